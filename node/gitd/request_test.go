package gitd

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for line, want := range map[string]int{
		"git-upload-pack /a/b\n":                                                  0,
		"git-upload-pack /a/b":                                                    0,
		"git-upload-pack /a/b\x00host=x\x00":                                      0,
		"git-upload-pack /a/b\x00host=x\x00\x00version=0\x00":                     0,
		"git-upload-pack /a/b\x00host=x\x00\x00version=1\x00":                     1,
		"git-upload-pack /a/b\x00host=x\x00\x00version=2\x00":                     2,
		"git-upload-pack /a/b\x00host=x\x00\x00version=2":                         2,
		"git-upload-pack /a/b\x00\x00version=2\x00":                               2,
		"git-upload-pack /a/b\x00version=2\x00":                                   0, // a host, as it were
		"git-upload-pack /a/b\x00host=x\x00\x00version=3\x00":                     0,
		"git-upload-pack /a/b\x00host=x\x00\x00version=22\x00":                    0,
		"git-upload-pack /a/b\x00host=x\x00\x00version=\x00":                      0,
		"git-upload-pack /a/b\x00host=x\x00\x00version=1\x00version=2\x00x=y\x00": 2,
		"git-upload-pack /a/b\x00host=x\x00\x00x=y:version=1\x00":                 1,
	} {
		q, err := parseRequest([]byte(line))
		if err != nil || q.version != want || q.service != UploadPack || q.path != "a/b" {
			t.Errorf("%q is %+v, %v; want version %d", line, q, err, want)
		}
	}
}

// FuzzReadRequest: what is understood says the same when it is written again, and
// holds nothing but what a path may; no byte behind the line is read.
func FuzzReadRequest(f *testing.F) {
	for _, line := range []string{
		goodRequest, "git-upload-pack /a/b\n", "git-receive-pack /a/b\x00host=x\x00", "git-upload-archive /did:key:z6/b.git/\x00",
		"git-upload-pack /a/b\x00\x00version=1\x00", "git-upload-pack /a%20/b", "git-upload-pack /a//", "git-upload-pack ///", "x",
	} {
		f.Add([]byte(pkt(line) + "rest"))
	}
	f.Add([]byte("0000"))
	f.Add([]byte("ffff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := bytes.NewReader(raw)
		q, err := readRequest(in)
		if err != nil {
			return
		}
		size, err := strconv.ParseUint(string(raw[:pktHeaderBytes]), 16, 16)
		if err != nil || len(raw)-in.Len() != int(size) {
			t.Fatalf("read %d bytes of a line of %d (%v)", len(raw)-in.Len(), size, err)
		}
		if strings.ContainsAny(q.path, "%\x00\n \\~") || strings.HasPrefix(q.path, "/") || len(q.path) > requestBytesMax {
			t.Fatalf("path %q", q.path)
		}
		line := string(q.service) + " /" + q.path + "\x00host=x\x00\x00version=" + strconv.Itoa(q.version) + "\x00"
		if len(line) > requestBytesMax-pktHeaderBytes {
			return
		}
		if again, err := readRequest(strings.NewReader(pkt(line))); err != nil || again != q {
			t.Fatalf("%+v is %+v when written again (%v)", q, again, err)
		}
	})
}
