package gitd

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"peer/git"
)

// TestReadPack cuts packs everywhere.
func TestReadPack(t *testing.T) {
	for _, format := range []git.Format{git.SHA1, git.SHA256} {
		end := newPackEnd(format)
		body := "PACK\x00\x00\x00\x02\x00\x00\x01\x02" + noise(300)
		_, _ = io.WriteString(end.sum, body)
		pack := body + string(end.sum.Sum(nil))
		for size := 1; size <= len(pack); size++ {
			var to spool
			objects, err := readPack(&pieces{pack, size}, &to, format, 1<<20)
			if err != nil || objects != 0x102 {
				t.Fatalf("%s in pieces of %d: %d objects, %v", format, size, objects, err)
			}
			if raw, _ := io.ReadAll(to.open()); string(raw) != pack {
				t.Fatalf("in pieces of %d it becomes %q", size, raw)
			}
		}
		for cut := range len(pack) {
			if _, err := readPack(strings.NewReader(pack[:cut]), new(spool), format, 1<<20); err == nil {
				t.Fatalf("%d bytes of %d are taken for a pack", cut, len(pack))
			}
		}
	}
}

// pieces is read size bytes at a time.
type pieces struct {
	text string
	size int
}

func (p *pieces) Read(buf []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(buf[:min(len(buf), p.size)], p.text)
	p.text = p.text[n:]
	return n, nil
}

func TestSpool(t *testing.T) {
	s := &spool{dir: t.TempDir()}
	defer s.Close()
	var want bytes.Buffer
	for i := range 40 {
		part := bytes.Repeat([]byte{byte(i)}, 64<<10)
		want.Write(part)
		if _, err := s.Write(part); err != nil {
			t.Fatal(err)
		}
		if i%13 != 0 {
			continue
		}
		if got, err := io.ReadAll(s.open()); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("after %d parts: %d bytes of %d, %v", i+1, len(got), want.Len(), err)
		}
	}
	if s.file == nil {
		t.Error("all of it is in memory")
	}
}

// FuzzReadCommands: what is understood is within its limits, and each update has
// a verdict or goes on.
func FuzzReadCommands(f *testing.F) {
	null, oid := git.SHA1.Null(), strings.Repeat("12", 20)
	f.Add([]byte("0000"))
	f.Add([]byte(pkt(null+" "+oid+" refs/heads/x\x00report-status atomic\n") + "0000"))
	f.Add([]byte(pkt("shallow "+oid) + pkt(oid+" "+null+" refs/heads/x\x00 push-options side-band-64k object-format=sha1") + pkt(oid+" "+null+" refs/heads/x") + "0000" + pkt("a=b") + "0000"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := readCommands(bytes.NewReader(raw), git.SHA1)
		if err != nil {
			c.refuseAll("unpacker error")
		}
		pending, at := c.pending()
		if len(pending) != len(at) || len(c.verdicts) != len(c.updates) || err != nil && len(pending) > 0 {
			t.Fatalf("%d pending of %d updates with %d verdicts (%v)", len(pending), len(c.updates), len(c.verdicts), err)
		}
		for _, u := range pending {
			if git.CheckRefName(u.Name) != nil || u.Old.IsZero() && u.New.IsZero() {
				t.Fatalf("passed on: %+v", u)
			}
		}
		var out bytes.Buffer
		if err := (&reporter{w: &out, cmds: c}).report("x"); err != nil {
			t.Fatal(err)
		}
	})
}
