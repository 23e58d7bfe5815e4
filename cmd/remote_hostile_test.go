package cmd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/wire"
)

// hostileTexts are reasons that must not reach git, or a terminal, as they are.
var hostileTexts = []string{
	"up to date", "no match", `"up to date"`, `"up\040to date"`, " up to date\n", "Up To Date", "forced update", "expecting report",
	"fetch first", "a\nok refs/heads/main\n\n", "\x1b[2J\x1b[31mgone", "\u202eevil", "\x00", "", strings.Repeat("long ", 10_000), "\xff\xfe",
}

// Whatever a replica says, git must not take a refused ref for a pushed one.
func TestHostileReasons(t *testing.T) {
	f, p := started(t)
	old := f.ref("refs/heads/main")
	p.commit("w", "a", "2")
	for _, text := range hostileTexts {
		for name, set := range map[string]func(){
			"failure": func() {
				f.judge = nil
				f.before = func(_ int, s *fakeSession) bool {
					s.fail(&wire.Failure{Code: wire.FailureCode_FAILURE_DISK, Message: strings.ToValidUTF8(text, "?"), Hint: strings.ToValidUTF8(text, "?")})
					return true
				}
			},
			"detail": func() {
				f.before = nil
				f.judge = refuseRef("refs/heads/main", wire.Code_CODE_NOT_ALLOWED, strings.ToValidUTF8(text, "?"))
			},
		} {
			f.hook(set)
			r := p.run("w", "push").exits(1).doesNotSay("\x1b", "\u202e", "Everything up-to-date")
			if !strings.Contains(r.stderr, "[remote rejected]") || len(r.stderr) > 4000 {
				t.Errorf("%s %.60q: git says\n%.2000s", name, text, r.stderr)
			}
			if got := p.ok("w", "rev-parse", "origin/main"); got != old {
				t.Fatalf("%s %.60q moved the tracking ref", name, text)
			}
		}
	}
}

// A replica that answers with another outcome than this transaction's has
// proved nothing.
func TestForgedOutcome(t *testing.T) {
	for name, forge := range map[string]func(*wire.Outcome){
		"another ID":          func(o *wire.Outcome) { o.Id[0]++ },
		"another signer":      func(o *wire.Outcome) { o.Signer[0]++ },
		"another transaction": func(o *wire.Outcome) { o.TxSha256[0]++ },
		"a result too few":    func(o *wire.Outcome) { o.Results = nil },
		"a result too many":   func(o *wire.Outcome) { o.Results = append(o.Results, &wire.Result{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := started(t)
			p.env = append(p.env, "PEER_PUSH_TIMEOUT=300ms")
			f.hook(func() {
				f.commit = func(n int, s *fakeSession) bool {
					o := proto.CloneOf(s.outcomes[string(s.arrived[n].GetId())])
					forge(o)
					s.done(o)
					return true
				}
				f.outcomes = map[string]*wire.Outcome{} // it never remembers
				f.before = func(int, *fakeSession) bool { clear(f.outcomes); return false }
			})
			p.commit("w", "a", "2")
			p.run("w", "push").exits(1).says("is not known", "the replica broke the protocol").doesNotSay("committed at index")
		})
	}
}

func FuzzReplicaAnswers(f *testing.F) {
	frames := func(list ...proto.Message) []byte {
		var b bytes.Buffer
		for _, m := range list {
			_ = wire.WriteFrame(&b, m)
		}
		return b.Bytes()
	}
	g := testGenesis(testOwner, "demo", 1)
	good := welcomeFrame(g.Signed, 3)
	goAhead := &wire.ToClient{Kind: &wire.ToClient_Go{Go: &wire.PushGo{}}}
	done := &wire.ToClient{Kind: &wire.ToClient_Done{Done: &wire.PushDone{Outcome: &wire.Outcome{Result: &wire.Result{}}}}}
	f.Add(frames(good, refsFrame(true, "refs/heads/main"), goAhead, done))
	f.Add(frames(good, refsFrame(false, "refs/heads/main", "HEAD")))
	f.Add(frames(good, refsFrame(true), &wire.ToClient{Kind: &wire.ToClient_Failure{Failure: &wire.Failure{Unknown: true, Message: "\x1b"}}}))
	f.Add(frames(good, refsFrame(true), &wire.ToClient{Kind: &wire.ToClient_Progress{Progress: &wire.Progress{Text: []byte("a\rb\n")}}}, done))
	f.Add(frames(welcomeFrame(nil, 0)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, said []byte) {
		cl := testClient(t.TempDir(), dialFunc(func() (wire.Stream, error) { return &cannedStream{Reader: bytes.NewReader(said)}, nil }))
		// The transaction's ID is fresh: no input can hold its outcome.
		if err := pushOver(t.Context(), cl, "pack"); err == nil && !refusesWhole(said) {
			t.Error("the push counts as done")
		}
	})
}

// refusesWhole says whether a frame refuses a transaction as a whole, which
// needs no proof.
func refusesWhole(said []byte) bool {
	r := bytes.NewReader(said)
	for {
		frame := new(wire.ToClient)
		if err := wire.ReadFrame(r, frame, wire.ToClientBytesMax); err != nil {
			return false
		}
		if frame.GetDone().GetOutcome().GetResult().GetCode() != wire.Code_CODE_OK {
			return true
		}
	}
}

// FuzzListing lets nothing through that git could take for another line.
func FuzzListing(f *testing.F) {
	f.Add("refs/heads/main", bytes.Repeat([]byte{1}, 20))
	f.Add("refs/heads/a b", bytes.Repeat([]byte{1}, 20))
	f.Add("refs/heads/a\nb", bytes.Repeat([]byte{0}, 20))
	f.Add("HEAD", bytes.Repeat([]byte{1}, 32))
	f.Fuzz(func(t *testing.T, name string, oid []byte) {
		var b bytes.Buffer
		_ = wire.WriteFrame(&b, &wire.ToClient{Kind: &wire.ToClient_Refs{Refs: &wire.RefList{Done: true, Refs: []*wire.Ref{{Name: name, Oid: oid}}}}})
		s := &session{stream: &cannedStream{Reader: &b}, genesis: testGenesis(testOwner, "demo", 1)}
		refs, err := s.refs()
		if err != nil {
			return
		}
		line := refs[0].OID.String() + " " + refs[0].Name
		if len(oid) != 20 || len(strings.Fields(line)) != 2 || strings.ContainsAny(line, "\n\r\x00") || !strings.HasPrefix(refs[0].Name, "refs/") {
			t.Errorf("let %q through", line)
		}
	})
}

// FuzzDialogue plays git. The helper must answer in git's grammar, whatever it reads.
func FuzzDialogue(f *testing.F) {
	f.Add("capabilities\noption progress true\noption cas refs/heads/main:" + strings.Repeat("1", 40) + "\n\n")
	f.Add("option push-option \"a\\nb\"\noption object-format\noption object-format true\noption verbosity x\n")
	f.Add("connect git-receive-pack\nlist for-push\n")
	f.Add("push +a:b\npush :c\n\n")
	f.Add("list\n")
	f.Add(strings.Repeat("x", 200<<10))
	home := &Home{Dir: f.TempDir()}
	if _, err := home.Key(); err != nil {
		f.Fatal(err)
	}
	url := testClient("", nil).address.URL()
	f.Fuzz(func(t *testing.T, said string) {
		var out, errs bytes.Buffer
		dial := func(context.Context) (dialer, error) { return nil, errors.New("nobody there") }
		code := serveRemoteHelper(t.Context(), []string{"origin", url}, strings.NewReader(said), &out, &errs, home, dial)
		if code != exitOK && (code != exitFatal || !strings.HasPrefix(errs.String(), "peer: error: ")) {
			t.Errorf("code %d, says %q", code, errs.String())
		}
		known := []string{"", "connect", "push", "option", "object-format", "ok", "unsupported", "fallback"}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if !slices.Contains(known, line) && !strings.HasPrefix(line, "error ") {
				t.Errorf("answered git with %q", line)
			}
		}
	})
}

func FuzzForeignText(f *testing.F) {
	for _, text := range hostileTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		reason := foreignReason(text)
		meant, err := git.Unquote(reason)
		if err != nil || meant != reason || slices.Contains(magicReasons, reason) || reason == "" {
			t.Errorf("%q became the reason %q", text, reason)
		}
		if strings.ContainsFunc(reason, func(r rune) bool { return !unicode.IsGraphic(r) }) || len(reason) > messageBytesMax+20 {
			t.Errorf("%q became %q", text, reason)
		}
		var b bytes.Buffer
		say := &remoteText{w: &b, options: &remoteOptions{verbosity: 1}}
		say.progress([]byte(text))
		say.flush()
		for line := range strings.FieldsFuncSeq(b.String(), func(r rune) bool { return r == '\n' || r == '\r' }) {
			if !strings.HasPrefix(line, "remote: ") || strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("%q is printed as %q", text, line)
			}
		}
	})
}

// cannedStream says what it was given and takes everything.
type cannedStream struct{ io.Reader }

func (s *cannedStream) Write(p []byte) (int, error) { return len(p), nil }
func (s *cannedStream) CloseWrite() error           { return nil }
func (s *cannedStream) Close() error                { return nil }
func (s *cannedStream) Reset() error                { return nil }
func (s *cannedStream) SetDeadline(time.Time) error { return nil }
