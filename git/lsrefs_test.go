package git

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// lsRefsRequest is a request of version 2 to list refs.
func lsRefsRequest(f Format, args ...string) []byte {
	out := AppendPkt(nil, []byte("command=ls-refs\n"))
	out = append(AppendPkt(out, []byte("object-format="+string(f)+"\n")), "0001"...)
	for _, a := range args {
		out = AppendPkt(out, []byte(a+"\n"))
	}
	return append(out, FlushPkt...)
}

// TestAnswerLsRefs asks git's upload-pack and our own answer the same, and wants the same
// bytes.
func TestAnswerLsRefs(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		r, w := newRepo(t, f), newWork(t, f)
		c := w.commit("a", "1")
		w.git("tag", "-a", "-m", "one", "v1")
		tag := w.oid("v1")
		publish(t, r, w.packOf(c, tag, w.oid("HEAD^{tree}"), w.oid("HEAD:a")), c)
		l := Listing{Head: "refs/heads/main", Peeled: true, Refs: []Ref{
			{Name: "refs/heads/a", OID: c}, {Name: "refs/heads/main", OID: c}, {Name: "refs/notes/n", OID: c},
			{Name: "refs/tags/v1", OID: tag, Peeled: c}, {Name: "refs/tags/v2", OID: c},
		}}
		for _, head := range []string{"refs/heads/main", "refs/heads/unborn"} {
			l.Head = head
			if err := r.WriteRefs(l); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				nil, {"peel"}, {"symrefs"}, {"unborn"}, {"peel", "symrefs", "unborn"},
				{"peel", "symrefs", "ref-prefix refs/heads/", "ref-prefix HEAD"}, {"ref-prefix refs/tags/v1"}, {"ref-prefix nothing"}, {"ref-prefix H", "symrefs", "unborn"},
			} {
				request := lsRefsRequest(f, args...)
				var ours, theirs, passed bytes.Buffer
				if err := AnswerLsRefs(bytes.NewReader(request), &passed, strings.NewReader(offer("ls-refs=unborn", "fetch")), &ours, &l); err != nil {
					t.Fatal(err)
				}
				server := w.cmd("upload-pack", "--strict", r.Dir())
				server.Env = append(server.Env, "GIT_PROTOCOL=version=2")
				server.Stdin, server.Stdout = bytes.NewReader(append(slices.Clone(request), FlushPkt...)), &theirs
				if err := server.Run(); err != nil {
					t.Fatal(err)
				}
				_, want, _ := strings.Cut(theirs.String(), FlushPkt) // behind the capabilities
				_, said, _ := strings.Cut(ours.String(), FlushPkt)
				if said != want || passed.Len() > 0 {
					t.Errorf("HEAD %s, %q: git is told\n%s\nand upload-pack says\n%s; %d bytes went to it", head, args, said, want, passed.Len())
				}
			}
		}
	})
}

// offer is what a server begins with.
func offer(lines ...string) string {
	var out []byte
	for _, l := range append([]string{"version 2"}, lines...) {
		out = AppendPkt(out, []byte(l+"\n"))
	}
	return string(out) + FlushPkt
}

// TestOffers has a server begin in all ways. What would have git take refs from it is not
// passed on, nor is what it says before it is asked.
func TestOffers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ said, passed, fails string }{
		"plain":            {said: offer("agent=git/2", "ls-refs", "fetch=shallow filter"), passed: offer("agent=git/2", "ls-refs", "fetch=shallow filter")},
		"names at a fetch": {said: offer("fetch=ref-in-want shallow\tref-in-want=1"), passed: offer("fetch=shallow")},
		"all that there is": {
			said:   offer("fetch=shallow wait-for-done filter ref-in-want sideband-all packfile-uris what=ever shallow2", "object-info", "session-id=1"),
			passed: offer("fetch=shallow wait-for-done filter", "session-id=1"),
		},
		"bundles, and more": {said: offer("bundle-uri", "what=x", "fetch\x00=x", "server-option"), passed: string(AppendPkt(AppendPkt(AppendPkt(nil, []byte("version 2\n")), []byte("fetch=\n")), []byte("server-option\n"))) + FlushPkt},
		"out of turn":       {said: offer("fetch") + offer(strings.Repeat("0", 40)+" refs/heads/main"), passed: offer("fetch=")},
		"version 1":         {said: strings.Replace(offer(), "version 2", "version 1", 1), fails: "instead of git's protocol of version 2"},
		"a listing":         {said: strings.TrimPrefix(offer(strings.Repeat("0", 40)+" HEAD"), "000eversion 2\n"), fails: "instead of git's protocol of version 2"},
		"nothing":           {fails: "EOF"},
		"a flush":           {said: FlushPkt, fails: "instead of"},
		"two parts":         {said: strings.TrimSuffix(offer("fetch"), FlushPkt) + "0001" + FlushPkt, fails: "offers"},
		"for ever":          {said: offer(slices.Repeat([]string{strings.Repeat("x", 1000)}, 100)...), fails: "more than"},
	} {
		var told bytes.Buffer
		err := AnswerLsRefs(strings.NewReader(""), io.Discard, strings.NewReader(c.said), &told, &Listing{})
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) || told.String() != c.passed {
			t.Errorf("%s: %v, and git is told\n%q, want\n%q", name, err, told.String(), c.passed)
		}
	}
}

// FuzzAnswerLsRefs has git say anything. What is no request to list refs goes on as it is.
func FuzzAnswerLsRefs(f *testing.F) {
	fetch := append(AppendPkt(nil, []byte("command=fetch")), "0001"...)
	fetch = append(AppendPkt(fetch, []byte("want x")), FlushPkt...)
	list := lsRefsRequest(SHA1, "peel", "symrefs", "ref-prefix refs/heads/")
	f.Add(list)
	f.Add(append(slices.Clone(list), fetch...))
	f.Add(append(slices.Clone(fetch), FlushPkt...))
	f.Add([]byte("0005"))
	l := Listing{Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/main", OID: objectID(SHA1, "blob", nil)}}}
	f.Fuzz(func(t *testing.T, said []byte) {
		var passed, told bytes.Buffer
		server := strings.NewReader(offer("fetch") + strings.Repeat(string(AppendPkt(nil, []byte("acknowledgments\n")))+FlushPkt, len(said)))
		if err := AnswerLsRefs(bytes.NewReader(said), &passed, server, &told, &l); err != nil {
			return
		}
		if !bytes.Contains(said, []byte("command=ls-refs")) && passed.Len() != len(said) && !bytes.HasPrefix(said, passed.Bytes()) {
			t.Errorf("%q went on as %q", said, passed.Bytes())
		}
		for pkts := NewPktReader(&told); ; {
			if _, err := pkts.Next(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("git is told what is no pkt-line: %v", err)
			}
		}
	})
}
