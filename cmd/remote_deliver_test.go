package cmd

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/wire"
)

const retrying = "remote: leader changed, retrying"

// A push whose session breaks must reach the log once, under one ID.
func TestPushOnce(t *testing.T) {
	for name, c := range map[string]struct {
		breakIt  func(f *fakeReplica) // at the first transaction from now on
		says     string
		arrivals int
	}{
		"the transaction came, the pack did not": {
			func(f *fakeReplica) {
				f.before = nth(len(f.arrived), func(*fakeSession) {})
			}, "main -> main", 2},
		"the pack came, nothing was committed": {
			func(f *fakeReplica) {
				f.before = nth(len(f.arrived), func(s *fakeSession) {
					s.tell(&wire.ToClient{Kind: &wire.ToClient_Go{Go: &wire.PushGo{}}})
					s.ingest()
				})
			}, retrying, 2},
		"committed, and the reply is lost": {
			func(f *fakeReplica) {
				f.commit = nth(len(f.arrived), func(*fakeSession) {})
			}, retrying, 2},
		"committed, and the replica says that it does not know": {
			func(f *fakeReplica) {
				f.commit = nth(len(f.arrived), func(s *fakeSession) {
					s.fail(&wire.Failure{Code: wire.FailureCode_FAILURE_INTERNAL, Message: "odd", Unknown: true})
				})
			}, retrying, 2},
		"committed, and the answer is nonsense": {
			func(f *fakeReplica) {
				f.commit = nth(len(f.arrived), func(s *fakeSession) { s.done(&wire.Outcome{Index: 99, Result: &wire.Result{}}) })
			}, retrying, 2},
		"not the leader any more": {
			func(f *fakeReplica) {
				f.before = nth(len(f.arrived), func(s *fakeSession) {
					s.fail(&wire.Failure{Code: wire.FailureCode_FAILURE_NOT_LEADER, Message: "no"})
				})
			}, retrying, 2},
		"too many pushes for a moment": {
			func(f *fakeReplica) {
				f.before = nth(len(f.arrived), func(s *fakeSession) {
					s.fail(&wire.Failure{Code: wire.FailureCode_FAILURE_BUSY, Message: "no"})
				})
			}, "remote: the replica is busy, retrying", 2},
		"no quorum for a moment": {
			func(f *fakeReplica) {
				f.before = nth(len(f.arrived), func(s *fakeSession) {
					s.fail(&wire.Failure{Code: wire.FailureCode_FAILURE_NO_QUORUM, Message: "no"})
				})
			}, "remote: no majority of the replicas answers, retrying", 2},
		"the listing's session is dead": {
			func(f *fakeReplica) {
				first := true
				f.listed = func(int) bool { was := first; first = false; return was }
			}, "main -> main", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := started(t)
			before := len(f.ids())
			oid := p.commit("w", "a", "2")
			f.hook(func() { c.breakIt(f) })
			r := p.run("w", "push").exits(0).says(c.says, "committed at index 3 on 2 of 3 replicas", "main -> main")
			if strings.Count(r.stderr, retrying) > 1 || c.arrivals == 1 && strings.Contains(r.stderr, "retrying") {
				t.Errorf("too much said:\n%s", r.stderr)
			}
			wantRef(t, f, "refs/heads/main", oid)
			ids := f.ids()[before:]
			if len(ids) != c.arrivals || ids[0] != ids[len(ids)-1] {
				t.Errorf("transactions %v, want %d times the same", ids, c.arrivals)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.index != 3 {
				t.Errorf("index %d: committed more than once", f.index)
			}
		})
	}
}

// The second attempt may find that the pack is there already.
func TestPushSkipsPackThatArrived(t *testing.T) {
	t.Parallel()
	f, p := started(t)
	oid := p.commit("w", "a", "2")
	start := len(f.ids())
	f.hook(func() {
		f.before = func(n int, s *fakeSession) bool {
			s.tell(&wire.ToClient{Kind: &wire.ToClient_Go{Go: &wire.PushGo{SkipPack: n > start}}})
			if n == start {
				s.ingest()
				return true
			}
			request := s.requests[n]
			s.done(s.apply(request.GetTransaction(), s.arrived[n]))
			return true
		}
	})
	p.run("w", "push").exits(0).says(retrying)
	wantRef(t, f, "refs/heads/main", oid)
	f.mu.Lock()
	defer f.mu.Unlock()
	first, second := f.requests[start], f.requests[start+1]
	if !bytes.Equal(first.GetTransaction().GetBody(), second.GetTransaction().GetBody()) || !proto.Equal(first, second) {
		t.Error("the second request is not the first one")
	}
}

// The listed session may also break in the middle of a long pack.
func TestPushBrokenInTheMiddleOfThePack(t *testing.T) {
	t.Parallel()
	f, p := started(t)
	oid := p.commit("w", "noise", noise(5<<20))
	f.hook(func() {
		f.before = nth(len(f.arrived), func(s *fakeSession) {
			s.tell(&wire.ToClient{Kind: &wire.ToClient_Go{Go: &wire.PushGo{}}})
			for range 3 {
				if _, err := wire.ReadChunk(s, wire.ChunkBytesMax); err != nil {
					f.t.Errorf("chunk: %v", err)
				}
			}
		})
	})
	p.run("w", "push").exits(0).says(retrying)
	wantRef(t, f, "refs/heads/main", oid)
}

// A refusal in the middle of a pack must stop it, not wait for its end.
func TestPushRefusedInTheMiddleOfThePack(t *testing.T) {
	t.Parallel()
	f, p := started(t)
	p.commit("w", "noise", noise(5<<20))
	start := len(f.ids())
	f.hook(func() {
		f.before = nth(len(f.arrived), func(s *fakeSession) {
			s.tell(&wire.ToClient{Kind: &wire.ToClient_Go{Go: &wire.PushGo{}}})
			_, _ = wire.ReadChunk(s, wire.ChunkBytesMax)
			s.fail(&wire.Failure{Code: wire.FailureCode_FAILURE_TOO_LARGE, Message: "more than 1 MiB", Hint: "push less"})
			_ = s.CloseWrite()
			for {
				if _, err := wire.ReadChunk(s, wire.ChunkBytesMax); err != nil {
					return
				}
			}
		})
	})
	p.run("w", "push").exits(1).says("(more than 1 MiB)", "peer: hint: push less")
	if got := len(f.ids()) - start; got != 1 {
		t.Errorf("%d transactions, want 1", got)
	}
}

func TestPushGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		failure *wire.Failure // nil: the session breaks when all has been sent
		says    []string
	}{
		"nobody knows": {nil, []string{"peer: error: ", "whether it was committed is not known", "peer: hint: run git push again: it is safe"}},
		"no quorum": {&wire.Failure{Code: wire.FailureCode_FAILURE_NO_QUORUM, Message: "1 of 3 replicas answers", Hint: "start more"},
			[]string{"[remote rejected]", "(1 of 3 replicas answers)", "peer: hint: start more"}},
		"a refusal after an unknown outcome": {&wire.Failure{Code: wire.FailureCode_FAILURE_NOT_ALLOWED, Message: "no"},
			[]string{"whether it was committed is not known"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := started(t)
			p.env = append(p.env, "PEER_PUSH_TIMEOUT=0.7")
			p.commit("w", "a", "2")
			start := len(f.ids())
			f.hook(func() {
				f.before = func(n int, s *fakeSession) bool {
					if c.failure == nil || n == start && strings.Contains(name, "unknown") {
						s.tell(&wire.ToClient{Kind: &wire.ToClient_Go{Go: &wire.PushGo{}}})
						s.ingest()
						return true
					}
					s.fail(c.failure)
					return true
				}
			})
			p.run("w", "push").exits(1).says(c.says...).doesNotSay("main -> main\n")
			ids := f.ids()[start:]
			if len(ids) < 2 {
				t.Fatalf("tried %d times", len(ids))
			}
			for _, id := range ids {
				if id != ids[0] {
					t.Fatalf("transactions %v are not all the same", ids)
				}
			}
		})
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	f, p := started(t)
	p.commit("w", "a", "2")
	arrived, release := make(chan struct{}), make(chan struct{})
	f.hook(func() {
		f.before = func(int, *fakeSession) bool {
			close(arrived)
			<-release
			return true
		}
	})
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "git", "push")
	c.Dir, c.Env = filepath.Join(p.dir, "w"), p.env
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	// As a terminal does: the whole foreground group gets it.
	if err := syscall.Kill(-c.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // also waits until nobody holds stderr: the helper and its children have ended
	if ctx.Err() != nil {
		t.Fatal("git or a child did not end")
	}
	if strings.Contains(stderr.String(), "not known") {
		t.Errorf("nothing was sent, but:\n%s", stderr.String())
	}
}

// nth makes a hook that breaks the nth transaction off after a step.
func nth(n int, step func(*fakeSession)) func(int, *fakeSession) bool {
	return func(i int, s *fakeSession) bool {
		if i == n {
			step(s)
		}
		return i == n
	}
}

// noise is text that does not compress.
func noise(size int) string {
	raw := make([]byte, size)
	for i, x := 0, uint32(1); i < size; i++ {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		raw[i] = byte(x)
	}
	return string(raw)
}
