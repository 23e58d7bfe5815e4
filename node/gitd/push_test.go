package gitd

import (
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"peer/git"
)

func withPush(o *Options) { o.Push = true }

// ref is what a ref of the fake's repository is at; empty if there is none.
func (b *fakeBackend) ref(name string) string {
	return strings.TrimSpace(b.git(nil, "-C", b.dir, "for-each-ref", "--format=%(objectname)", name))
}

func (b *fakeBackend) last() *Transaction {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.pushes) == 0 {
		return nil
	}
	return b.pushes[len(b.pushes)-1]
}

// pushTests are what one pushes, whatever the way.
var pushTests = map[string]func(*testing.T, *fakeBackend, *person){
	"update": func(t *testing.T, b *fakeBackend, p *person) {
		old := p.ok("w", "rev-parse", "HEAD")
		oid := p.commit("w", "a", "2")
		if out := p.ok("w", "push", p.url, "main"); !strings.Contains(out, "remote: committed") || strings.Contains(out, "checking") {
			t.Errorf("without a terminal push prints\n%s", out)
		}
		wantRef(t, b, "refs/heads/main", oid)
		u := b.last().Updates
		if len(u) != 1 || u[0].Old.String() != old || u[0].New.String() != oid || b.last().Atomic || b.last().Pack == nil {
			t.Errorf("transaction %+v", b.last())
		}
	},
	"progress": func(t *testing.T, b *fakeBackend, p *person) {
		p.commit("w", "a", "2")
		if out := p.ok("w", "push", "--progress", p.url, "main"); !strings.Contains(out, "remote: checking") {
			t.Errorf("push prints\n%s", out)
		}
	},
	"new branch of what is there": func(t *testing.T, b *fakeBackend, p *person) {
		oid := p.ok("w", "rev-parse", "HEAD")
		p.ok("w", "push", p.url, "main:refs/heads/x")
		wantRef(t, b, "refs/heads/x", oid)
		if b.last().Pack != nil {
			t.Error("an empty pack was passed on")
		}
	},
	"delete": func(t *testing.T, b *fakeBackend, p *person) {
		p.ok("w", "push", p.url, "main:refs/heads/x")
		p.ok("w", "push", p.url, ":refs/heads/x")
		wantRef(t, b, "refs/heads/x", "")
	},
	"up to date": func(t *testing.T, b *fakeBackend, p *person) {
		p.ok("w", "push", p.url, "main")
		if b.last() != nil {
			t.Error("nothing was delivered")
		}
		eventually(t, "the session is closed", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.closed == 1 })
	},
	"force, tags, many": func(t *testing.T, b *fakeBackend, p *person) {
		p.ok("w", "commit", "--quiet", "--amend", "-m", "other")
		p.ok("w", "tag", "-m", "one", "v1")
		for i := range 300 {
			p.ok("w", "update-ref", "refs/heads/many/"+strconv.Itoa(i), "HEAD")
		}
		p.ok("w", "push", "--mirror", p.url)
		wantRef(t, b, "refs/heads/main", p.ok("w", "rev-parse", "HEAD"))
		wantRef(t, b, "refs/tags/v1", p.ok("w", "rev-parse", "v1"))
		if got := len(b.last().Updates); got != 302 {
			t.Errorf("%d updates", got)
		}
	},
	"options": func(t *testing.T, b *fakeBackend, p *person) {
		p.commit("w", "a", "2")
		p.ok("w", "push", "-o", "one two", "-o", "x=ü", p.url, "main")
		if got := b.last().Options; !slices.Equal(got, []string{"one two", "x=ü"}) {
			t.Errorf("options %q", got)
		}
	},
	"atomic": func(t *testing.T, b *fakeBackend, p *person) {
		p.commit("w", "a", "2")
		p.ok("w", "push", "--atomic", p.url, "main", "main:refs/heads/x")
		if !b.last().Atomic {
			t.Error("not atomic")
		}
		p.fails("atomic push failed", "w", "push", "--atomic", p.url, "+main:refs/peer/x", "main:refs/heads/y")
		wantRef(t, b, "refs/heads/y", "")
	},
	"names": func(t *testing.T, b *fakeBackend, p *person) {
		p.fails("main -> refs/peer/x (funny refname)", "w", "push", p.url, "main:refs/peer/x", "main:refs/heads/good")
		wantRef(t, b, "refs/peer/x", "")
		wantRef(t, b, "refs/heads/good", p.ok("w", "rev-parse", "HEAD"))
		p.fails("(funny refname)", "w", "push", p.url, "main:refs/odd")
	},
	"refused one by one": func(t *testing.T, b *fakeBackend, p *person) {
		b.set(func() {
			b.deliver = func(t *Transaction) ([]Verdict, error) { return []Verdict{"", "locked\nby bob"}, nil }
		})
		p.fails("(locked by bob)", "w", "push", p.url, "main:refs/heads/x", "main:refs/heads/y")
	},
	"refused as a whole": func(t *testing.T, b *fakeBackend, p *person) {
		p.commit("w", "a", "2")
		b.set(func() {
			b.deliver = func(t *Transaction) ([]Verdict, error) { return nil, &Refusal{"ann may not write"} }
		})
		p.fails("main -> main (ann may not write)", "w", "push", p.url, "main")
	},
	"a backend that fails": func(t *testing.T, b *fakeBackend, p *person) {
		p.commit("w", "a", "2")
		for _, answer := range []struct {
			verdicts []Verdict
			err      error
		}{{nil, io.ErrClosedPipe}, {nil, nil}, {make([]Verdict, 2), nil}} {
			b.set(func() {
				b.deliver = func(t *Transaction) ([]Verdict, error) { return answer.verdicts, answer.err }
			})
			p.fails("main -> main (this node could not deliver the push: its log says why)", "w", "push", p.url, "main")
		}
	},
	"moved meanwhile": func(t *testing.T, b *fakeBackend, p *person) {
		p.commit("w", "a", "2")
		b.set(func() {
			b.deliver = func(t *Transaction) ([]Verdict, error) { return []Verdict{"moved"}, nil }
		})
		p.fails("(moved)", "w", "push", p.url, "main")
	},
	"larger than memory": func(t *testing.T, b *fakeBackend, p *person) {
		oid := p.commit("w", "big", noise(5*spoolMemoryBytes))
		p.ok("w", "push", p.url, "main")
		wantRef(t, b, "refs/heads/main", oid)
		b.git(nil, "-C", b.dir, "fsck", "--strict")
	},
	"from a shallow clone": func(t *testing.T, b *fakeBackend, p *person) {
		p.commit("w", "a", "2")
		p.ok("w", "push", p.url, "main")
		p.ok("", "clone", "--quiet", "--depth=1", p.url, "c")
		root := p.ok("c", "rev-parse", "HEAD")
		oid := p.commit("c", "a", "3")
		p.ok("c", "push", p.url, "main")
		wantRef(t, b, "refs/heads/main", oid)
		if got := b.last().Shallow; len(got) != 1 || got[0].String() != root {
			t.Errorf("shallow %v, want %s", got, root)
		}
	},
	"without side band": func(t *testing.T, b *fakeBackend, p *person) {
		oid := p.commit("w", "a", "2")
		q := *p
		q.config = append(q.config, "sendpack.sideband=false")
		q.ok("w", "push", p.url, "main")
		wantRef(t, b, "refs/heads/main", oid)
	},
	"dry run": func(t *testing.T, b *fakeBackend, p *person) {
		p.commit("w", "a", "2")
		p.ok("w", "push", "--dry-run", p.url, "main")
		if b.last() != nil {
			t.Error("a dry run was delivered")
		}
	},
}

func TestPush(t *testing.T) {
	for name, test := range pushTests {
		for _, version := range []int{0, 1, 2} {
			t.Run(name+"/version "+strconv.Itoa(version), func(t *testing.T) {
				t.Parallel()
				b, s, p := filled(t, withPush)
				test(t, b, p.speaking(version))
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func wantRef(t *testing.T, b *fakeBackend, name, want string) {
	t.Helper()
	if got := b.ref(name); got != want {
		t.Errorf("%s is at %q, want %q", name, got, want)
	}
}

func TestPushToNothing(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"sha1", "sha256"} {
		b, _, p := started(t, format, withPush)
		oid := p.commit("w", "a", "1")
		p.ok("w", "push", p.url, "main")
		wantRef(t, b, "refs/heads/main", oid)
	}
	_, _, p := started(t, "sha256", withPush)
	p.ok("", "init", "--quiet", "--object-format=sha1", "other")
	p.commit("other", "a", "1")
	p.fails("hash algorithm", "other", "push", p.url, "HEAD:refs/heads/main")
}

func TestPackTooLarge(t *testing.T) {
	t.Parallel()
	b, _, p := filled(t, func(o *Options) { o.Push, o.PackBytesMax = true, 1<<20 })
	p.commit("w", "big", noise(8<<20))
	p.fails("more than this server takes in one push", "w", "push", p.url, "main")
	if b.last() != nil {
		t.Error("it was delivered")
	}
}

// TestBrokenPushes: no half of a push is ever delivered.
func TestBrokenPushes(t *testing.T) {
	t.Parallel()
	b, s, p := filled(t, func(o *Options) { o.Push, o.PushTimeout = true, 500*time.Millisecond })
	oid, null := p.ok("w", "rev-parse", "HEAD"), git.SHA1.Null()
	command := func(name, capabilities string) string {
		return pkt(null + " " + oid + " " + name + "\x00" + capabilities)
	}
	const request = "git-receive-pack /ann/demo\x00host=x\x00"
	for name, sent := range map[string]string{
		"no command":        "",
		"no flush":          command("refs/heads/x", "report-status"),
		"no pack":           command("refs/heads/x", "report-status") + "0000",
		"half a header":     command("refs/heads/x", "report-status") + "0000PACK\x00",
		"no pack but noise": command("refs/heads/x", "report-status") + "0000" + strings.Repeat("x", 5000),
		"pack without end":  command("refs/heads/x", "report-status") + "0000PACK\x00\x00\x00\x02\x00\x00\x00\x01" + strings.Repeat("x", 100),
		"no options":        command("refs/heads/x", "report-status push-options") + "0000",
		"other format":      command("refs/heads/x", "report-status object-format=sha256") + "0000",
		"no object":         pkt("x") + "0000",
		"short object":      pkt(oid[1:]+" "+oid+" refs/heads/x\x00") + "0000",
		"no name":           pkt(null+" "+oid+" \x00") + "0000",
		"odd shallow":       pkt("shallow "+null) + "0000",
		"certificate":       pkt("push-cert\x00report-status\n") + "0000",
		"delimiter":         "0001",
	} {
		t.Run(name, func(t *testing.T) {
			for _, closes := range []bool{true, false} {
				c := dial(t, s)
				_, _ = io.WriteString(c, pkt(request)+sent)
				if closes {
					_ = c.CloseWrite()
				}
				raw, err := io.ReadAll(c)
				if isTimeout(err) {
					t.Fatal("the client waits for ever")
				}
				if strings.Contains(string(raw), "ok refs/heads/x") {
					t.Errorf("it is told\n%q", raw)
				}
			}
		})
	}
	if b.last() != nil {
		t.Errorf("delivered %+v", b.last())
	}
}

func TestPushIsLocal(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1": true, "127.5.5.5": true, "::1": true, "192.0.2.1": false, "::": false, "2001:db8::1": false, "::ffff:127.0.0.1": true} {
		if got := isLoopback(&net.TCPAddr{IP: net.ParseIP(addr)}); got != want {
			t.Errorf("%s is loopback: %v", addr, got)
		}
	}
	if isLoopback(&net.UnixAddr{}) {
		t.Error("a unix socket is no loopback address")
	}
}

// TestPushFromElsewhere: one end that is no loopback address is enough.
func TestPushFromElsewhere(t *testing.T) {
	t.Parallel()
	b, s, _ := filled(t, withPush)
	here, there := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}
	for _, ends := range [][2]net.Addr{{here, there}, {there, here}, {there, there}} {
		c := &conn{Conn: connBetween{ends[0], ends[1]}}
		var refusal *Refusal
		if err := s.answer(c, request{service: ReceivePack, path: "ann/demo"}); !errors.As(err, &refusal) || !strings.Contains(refusal.Text, "from its own machine only: push to peer://") {
			t.Errorf("from %v to %v: %v", ends[1], ends[0], err)
		}
	}
	if b.closed > 0 {
		t.Error("a push was begun")
	}
}

// connBetween has addresses and nothing else.
type connBetween struct{ local, remote net.Addr }

func (c connBetween) LocalAddr() net.Addr              { return c.local }
func (c connBetween) RemoteAddr() net.Addr             { return c.remote }
func (c connBetween) Read([]byte) (int, error)         { return 0, io.EOF }
func (c connBetween) Write([]byte) (int, error)        { return 0, io.ErrClosedPipe }
func (c connBetween) Close() error                     { return nil }
func (c connBetween) SetDeadline(time.Time) error      { return nil }
func (c connBetween) SetReadDeadline(time.Time) error  { return nil }
func (c connBetween) SetWriteDeadline(time.Time) error { return nil }
