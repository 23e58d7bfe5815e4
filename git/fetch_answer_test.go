package git

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// pkts writes lines; those that are "0000", "0001", "0002" or "0004" stand for themselves.
func pkts(lines ...string) string {
	var out []byte
	for _, l := range lines {
		if len(l) == pktHeaderBytes && strings.HasPrefix(l, "000") {
			out = append(out, l...)
		} else {
			out = AppendPkt(out, []byte(l))
		}
	}
	return string(out)
}

// fetched has a server answer a fetch, and returns what git is told of it.
func fetched(answer string, args ...string) (string, error) {
	request := pkts(append(append([]string{"command=fetch", "0001"}, args...), FlushPkt)...)
	var told bytes.Buffer
	err := AnswerLsRefs(strings.NewReader(request), io.Discard, strings.NewReader(offer("fetch=shallow")+answer), &told, &Listing{})
	return strings.TrimPrefix(told.String(), offer("fetch=shallow")), err
}

// TestFetchAnswers has a server answer a fetch in all ways. Git is told nothing that it
// did not ask for, nor what it would take for an answer to something else.
func TestFetchAnswers(t *testing.T) {
	t.Parallel()
	oid := strings.Repeat("1", 40)
	want, depth, cut := "want "+oid+"\n", "deepen 1\n", "shallow "+oid+"\n"
	pack := pkts("packfile\n", "\x01PACK", "\x02done", FlushPkt)
	acks := pkts("acknowledgments\n", "ACK "+oid+"\n", "ready\n", "0001")
	for name, c := range map[string]struct {
		args   []string
		answer string
		fails  string
	}{
		"a pack":                      {args: []string{want}, answer: pack},
		"no common commits":           {args: []string{want}, answer: pkts("acknowledgments\n", "NAK\n", FlushPkt)},
		"common commits and a pack":   {args: []string{want}, answer: acks + pack},
		"enough in common":            {args: []string{want, "wait-for-done"}, answer: pkts("acknowledgments\n", "ready\n", FlushPkt)},
		"a shallow clone":             {args: []string{want, depth}, answer: pkts("shallow-info\n", cut, "0001") + pack},
		"by time, in older words":     {args: []string{want, "deepen-since 1"}, answer: acks + pkts("shallow-info", cut, "0001") + pack},
		"a fetch of a shallow clone":  {args: []string{cut, want}, answer: acks + pkts("shallow-info\n", "0001") + pack},
		"an error":                    {args: []string{want}, answer: pkts("ERR upload-pack: not our ref\n"), fails: errChildEnded.Error()},
		"refs":                        {args: []string{want}, answer: pkts("wanted-refs\n", oid+" refs/heads/main\n", "0001") + pack, fails: "wanted-refs"},
		"refs behind what is common":  {args: []string{want}, answer: acks + pkts("wanted-refs\n", oid+" refs/heads/main\n", "0001") + pack, fails: "wanted-refs"},
		"refs behind an error":        {args: []string{want}, answer: pkts("ERR no\n", "wanted-refs\n"), fails: "wanted-refs"},
		"URLs":                        {args: []string{want, depth}, answer: pkts("shallow-info\n", "0001", "packfile-uris\n", oid+" http://a\n", "0001") + pack, fails: "packfile-uris"},
		"a cut":                       {args: []string{want}, answer: pkts("shallow-info\n", cut, "0001") + pack, fails: "shallow-info"},
		"another cut":                 {args: []string{cut, want}, answer: pkts("shallow-info\n", "shallow "+strings.Repeat("2", 40)+"\n", "0001") + pack, fails: "cuts the history"},
		"an end behind a cut":         {args: []string{want, depth}, answer: pkts("shallow-info\n", FlushPkt, "wanted-refs\n"), fails: "ends early"},
		"nothing":                     {args: []string{want}, answer: FlushPkt, fails: "ends early"},
		"no header":                   {args: []string{want}, answer: "0001" + pack, fails: "ends early"},
		"a header as C reads it":      {args: []string{want}, answer: pkts("wanted-refs\x00packfile\n"), fails: "wanted-refs"},
		"another, as C reads it":      {args: []string{want}, answer: pkts("packfile\x00\n"), fails: "did not ask for"},
		"a header in a sideband":      {args: []string{want}, answer: pkts("\x01packfile\n"), fails: "did not ask for"},
		"two lists of common commits": {args: []string{want}, answer: acks + acks + pack, fails: "twice"},
		"two cuts":                    {args: []string{want, depth}, answer: pkts("shallow-info\n", "0001", "shallow-info\n"), fails: "twice"},
		"out of order":                {args: []string{want, depth}, answer: pkts("shallow-info\n", "0001") + acks, fails: "out of order"},
		"an empty line in a pack":     {args: []string{want}, answer: pkts("packfile\n", "\x01PACK", "0004", "wanted-refs\n"), fails: "a pack with"},
		"a second section in a pack":  {args: []string{want}, answer: pkts("packfile\n", "0001", "wanted-refs\n"), fails: "a pack with"},
		"an end of HTTP":              {args: []string{want}, answer: pkts("packfile\n", "0002"), fails: "a pack with"},
		"an end of HTTP before":       {args: []string{want}, answer: pkts("acknowledgments\n", "0002"), fails: "ends early"},
		"a listing":                   {args: []string{want}, answer: pkts(oid+" refs/heads/main\n", FlushPkt), fails: "did not ask for"},
	} {
		told, err := fetched(c.answer, c.args...)
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v, want %q", name, err, c.fails)
		}
		var broke *BreachError
		if c.fails != "" && !errors.Is(err, errChildEnded) && !errors.As(err, &broke) {
			t.Errorf("%s: %v is no breach", name, err)
		}
		if c.fails == "" && told != c.answer {
			t.Errorf("%s: git is told\n%q, want\n%q", name, told, c.answer)
		}
		if strings.Contains(told, "wanted-refs") || strings.Contains(told, "uris") || strings.Contains(told, strings.Repeat("2", 40)) {
			t.Errorf("%s: git is told %q", name, told)
		}
	}
}

// FuzzFetchAnswers has a server answer anything. What git is told must be one answer as
// git reads it, and nothing behind it: that would answer its next request.
func FuzzFetchAnswers(f *testing.F) {
	oid := strings.Repeat("1", 40)
	f.Add(pkts("acknowledgments\n", "ready\n", "0001", "shallow-info\n", "shallow "+oid, "0001", "packfile\n", "\x01PACK", FlushPkt), true, true)
	f.Add(pkts("wanted-refs\n", oid+" refs/heads/main\n", "0001", "packfile\n", "\x01PACK", FlushPkt), false, false)
	f.Add(pkts("packfile\n", "\x01PACK", "0004", "wanted-refs\n", FlushPkt), false, true)
	f.Add(pkts("ERR no", "shallow-info", "0000"), true, false)
	f.Fuzz(func(t *testing.T, answer string, shallow, deepen bool) {
		var args []string
		if shallow {
			args = append(args, "shallow "+oid)
		}
		if deepen {
			args = append(args, "deepen 1")
		}
		told, err := fetched(answer, args...)
		if !strings.HasPrefix(answer, told) {
			t.Errorf("%q went on as %q", answer, told)
		}
		header, in := true, ""
		for r := NewPktReader(strings.NewReader(told)); ; {
			pkt, perr := r.Next()
			switch {
			case perr != nil && err == nil && in != "end":
				t.Fatalf("git waits for more than %q", told)
			case perr != nil || strings.HasPrefix(string(pkt.Payload()), "ERR ") && in != "packfile":
				return // git has all, or gives up
			case in == "end":
				t.Fatalf("more than an answer: %q", told)
			case header:
				in, header = strings.TrimSuffix(string(pkt.Payload()), "\n"), false
				if in != "acknowledgments" && in != "packfile" && (in != "shallow-info" || !shallow && !deepen) {
					t.Fatalf("git is told of %q", in)
				}
			case pkt.Kind == PktFlush && in != "shallow-info", in == "packfile" && len(pkt.Payload()) == 0:
				in = "end"
			case pkt.Kind != PktData:
				header = true
			case in == "shallow-info" && !deepen:
				t.Fatalf("git is told of %q", pkt.Payload())
			}
		}
	})
}
