package cmd

import (
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"peer/identity"
	"peer/node/gitd"
	"peer/wire"
)

// startedGitd is started with a git daemon in front of the replica. Its URL is
// also the remote "plain" of the work tree.
func startedGitd(t *testing.T) (f *fakeReplica, p *person, key identity.Key, url string) {
	t.Helper()
	f, p = started(t)
	o, key := gitdOptions(t, f)
	s, err := gitd.Serve(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	url = "git://" + s.Addr() + "/" + f.owner.Public().DID() + "/demo"
	p.ok("w", "remote", "add", "plain", url)
	return f, p, key, url
}

func gitdOptions(t *testing.T, f *fakeReplica) (gitd.Options, identity.Key) {
	t.Helper()
	home, err := OpenHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.LoadOrCreateKey(home.GitdKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	b := &gitBackend{home: home, dialer: socketDialer(f.socket), key: key}
	return gitd.Options{Addr: ":0", Backend: b, Push: true, Logger: slog.New(slog.DiscardHandler), TempDir: home.Dir}, key
}

func TestGitdOverHTTP(t *testing.T) {
	t.Parallel()
	f, p := started(t)
	o, key := gitdOptions(t, f)
	s, err := gitd.ServeHTTP(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	url := "http://" + s.Addr() + "/" + f.owner.Public().DID() + "/demo"
	p.ok("", "clone", "--quiet", url, "c")
	oid := p.commit("w", "a", "2")
	p.run("w", "push", url, "main", "main:refs/heads/x").exits(0).says("remote: committed at index 3 on 2 of 3 replicas")
	wantRef(t, f, "refs/heads/x", oid)
	f.hook(func() {
		public := key.Public()
		if tx := f.arrived[len(f.arrived)-1]; string(tx.GetSigner()) != string(public[:]) || tx.GetBase() == 0 {
			t.Errorf("transaction %v", tx)
		}
	})
	p.ok("c", "pull", "--quiet")
	if got := p.ok("c", "rev-parse", "HEAD"); got != oid {
		t.Errorf("pulled %s, want %s", got, oid)
	}
	p.run("w", "push", url, ":refs/heads/main").exits(1).says("(deletion of the current branch prohibited)")
	f.hook(func() { f.stale = true })
	p.run("", "ls-remote", url).exits(128).says("remote: peer: no leader confirms what this replica has")
	f.hook(func() {
		f.stale = false
		f.greet = func(int) *wire.Failure {
			return &wire.Failure{Code: wire.FailureCode_FAILURE_NOT_FOUND, Message: "no such repository here"}
		}
	})
	for _, missing := range []string{url, url + "s"} {
		p.run("", "ls-remote", missing).exits(128).says("no such repository, or it is not yours to read")
	}
}

func TestGitd(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, f *fakeReplica, p *person, key identity.Key, url string){
		"read": func(t *testing.T, f *fakeReplica, p *person, key identity.Key, url string) {
			p.ok("", "clone", "--quiet", url, "c")
			oid := p.commit("w", "a", "2")
			p.ok("w", "push", "--quiet", "origin")
			p.ok("c", "pull", "--quiet")
			if got := p.ok("c", "rev-parse", "HEAD"); got != oid {
				t.Errorf("pulled %s, want %s", got, oid)
			}
			p.ok("", "archive", "--remote="+url, "main")
			p.ok("", "-c", "protocol.version=0", "ls-remote", url)
			f.hook(func() {
				if last := f.hellos[len(f.hellos)-1]; last.GetGitVersion() != wire.GitVersion_GIT_VERSION_0 {
					t.Errorf("asked for %v", last.GetGitVersion())
				}
			})
		},
		"push": func(t *testing.T, f *fakeReplica, p *person, key identity.Key, url string) {
			oid := p.commit("w", "a", "2")
			p.run("w", "push", "-o", "one", "plain", "main", "main:refs/heads/x").exits(0).
				says("remote: committed at index 3 on 2 of 3 replicas").doesNotSay("remote: remote:")
			wantRef(t, f, "refs/heads/main", oid)
			wantRef(t, f, "refs/heads/x", oid)
			public := key.Public()
			f.hook(func() {
				tx := f.arrived[len(f.arrived)-1]
				if string(tx.GetSigner()) != string(public[:]) || len(tx.GetPushOptions()) != 1 || tx.GetBase() == 0 {
					t.Errorf("transaction %v", tx)
				}
			})
			p.run("w", "push", "--progress", "plain", "HEAD~1:refs/heads/y").exits(0).doesNotSay("remote: remote:")
			p.ok("w", "push", "plain", ":refs/heads/x")
			wantRef(t, f, "refs/heads/x", "")
			p.run("w", "push", "plain", ":refs/heads/main").exits(1).says("(deletion of the current branch prohibited)")
		},
		"larger than memory, and its first leader dies": func(t *testing.T, f *fakeReplica, p *person, key identity.Key, url string) {
			f.hook(func() {
				f.commit = func(n int, s *fakeSession) bool {
					if n == 1 {
						_ = s.Close() // committed, and the reply is lost
						return true
					}
					return false
				}
			})
			noise := make([]byte, 3<<20) // does not compress
			_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
			oid := p.commit("w", "big", "a line of more than forty characters, then:\n"+string(noise))
			p.ok("w", "push", "plain", "main")
			wantRef(t, f, "refs/heads/main", oid)
			if ids := f.ids(); len(ids) != 3 || ids[1] != ids[2] {
				t.Errorf("transactions %v: want the second one twice", ids)
			}
		},
		"refused by the policy": func(t *testing.T, f *fakeReplica, p *person, key identity.Key, url string) {
			f.hook(func() {
				f.before = func(_ int, s *fakeSession) bool {
					s.fail(&wire.Failure{Code: wire.FailureCode_FAILURE_NOT_ALLOWED, Message: "you may not write", Hint: "ask the owner"})
					return true
				}
			})
			p.commit("w", "a", "2")
			p.run("w", "push", "plain", "main").exits(1).says("main -> main (you may not write; ask the owner)")
		},
		"moved meanwhile": func(t *testing.T, f *fakeReplica, p *person, key identity.Key, url string) {
			f.hook(func() {
				f.judge = func(*wire.RefUpdate) *wire.Result { return &wire.Result{Code: wire.Code_CODE_STALE} }
			})
			p.commit("w", "a", "2")
			p.run("w", "push", "plain", "main").exits(1).says("(moved by somebody else meanwhile: fetch, then push again)")
		},
		"unknown and forbidden": func(t *testing.T, f *fakeReplica, p *person, key identity.Key, url string) {
			f.hook(func() {
				f.greet = func(int) *wire.Failure {
					return &wire.Failure{Code: wire.FailureCode_FAILURE_NOT_FOUND, Message: "no such repository here"}
				}
			})
			const same = "remote error: peer: no such repository, or it is not yours to read"
			p.run("", "ls-remote", url).exits(128).says(same)
			p.run("w", "push", "plain", "main").exits(128).says(same)
			p.run("", "ls-remote", strings.Replace(url, "/demo", "/other", 1)).exits(128).says(same)
		},
		"no leader for a moment": func(t *testing.T, f *fakeReplica, p *person, key identity.Key, url string) {
			first := true
			f.hook(func() {
				f.greet = func(int) *wire.Failure {
					if !first {
						return nil
					}
					first = false
					return &wire.Failure{Code: wire.FailureCode_FAILURE_NO_QUORUM, Message: "wait"}
				}
			})
			p.ok("", "ls-remote", url)
		},
		"never older than the last push": func(t *testing.T, f *fakeReplica, p *person, key identity.Key, url string) {
			f.hook(func() { f.stale = true })
			p.run("", "ls-remote", url).exits(128).says("remote error: peer: no leader confirms what this replica has").says("clone " + f.url())
			f.hook(func() { f.stale = false })
			p.ok("", "ls-remote", url)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p, key, url := startedGitd(t)
			test(t, f, p, key, url)
		})
	}
}
