package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peer/wire"
)

func TestFetch(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *fakeReplica, *person){
		"clone and pull": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("", "clone", "--quiet", f.url(), "c")
			oid := p.commit("w", "a", "2")
			p.ok("w", "push")
			p.ok("c", "pull", "--quiet")
			if got := p.ok("c", "rev-parse", "HEAD"); got != oid {
				t.Errorf("pulled %s, want %s", got, oid)
			}
		},
		"clone names the directory after the repository": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("", "clone", "--quiet", f.url())
			p.ok("demo", "status")
		},
		"ls-remote": func(t *testing.T, f *fakeReplica, p *person) {
			oid := p.ok("w", "rev-parse", "HEAD")
			if got := p.ok("", "ls-remote", "--symref", f.url()); got != "ref: refs/heads/main\tHEAD\n"+oid+"\tHEAD\n"+oid+"\trefs/heads/main" {
				t.Errorf("ls-remote prints %q", got)
			}
		},
		"shallow, then unshallow": func(t *testing.T, f *fakeReplica, p *person) {
			p.commit("w", "a", "2")
			p.ok("w", "push")
			p.ok("", "clone", "--quiet", "--depth=1", f.url(), "c")
			if got := p.ok("c", "rev-list", "--count", "HEAD"); got != "1" {
				t.Errorf("%s commits in a clone of depth 1", got)
			}
			p.ok("c", "fetch", "--quiet", "--unshallow")
			p.ok("c", "fsck")
		},
		"without blobs": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("", "clone", "--quiet", "--filter=blob:none", "--no-checkout", f.url(), "c")
			p.ok("c", "checkout", "--quiet", "main")
			if raw, err := os.ReadFile(filepath.Join(p.dir, "c", "a")); err != nil || string(raw) != "1" {
				t.Errorf("checked out %q, %v", raw, err)
			}
		},
		"archive": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("", "ls-remote", f.url()) // what was proved before is no reason to refuse
			const bare = "what git archive gets is not proved"
			if got := p.run("", "archive", "--remote="+f.url(), "main").exits(0).says("peer: warning: " + bare); !strings.Contains(got.out, "1") {
				t.Error("no file in the archive")
			}
			p.env = append(p.env, unprovedEnv+"="+unprovedRefuse)
			if got := p.run("", "archive", "--remote="+f.url(), "main").exits(128).says("peer: error: demo: "+bare, "PEER_UNPROVED=refuse is set"); got.out != "" {
				t.Errorf("%d bytes of an archive", len(got.out))
			}
		},
		"stale": func(t *testing.T, f *fakeReplica, p *person) {
			f.hook(func() { f.stale = true })
			p.run("", "ls-remote", f.url()).exits(0).says("peer: warning: no leader confirmed this: it is demo as of index 2")
		},
		"the leader is away for a moment": func(t *testing.T, f *fakeReplica, p *person) {
			f.hook(func() {
				f.greet = func(n int) *wire.Failure {
					if n < 3 {
						return &wire.Failure{Code: wire.FailureCode_FAILURE_NO_QUORUM, Message: "wait"}
					}
					return nil
				}
			})
			p.run("", "ls-remote", f.url()).exits(0).says("remote: no majority of the replicas answers, retrying")
		},
		"not found": func(t *testing.T, f *fakeReplica, p *person) {
			f.hook(func() {
				f.greet = func(int) *wire.Failure {
					return &wire.Failure{Code: wire.FailureCode_FAILURE_NOT_FOUND, Message: "no such repository", Hint: "look at peer repo ls"}
				}
			})
			p.run("", "clone", f.url(), "c").exits(128).
				says("peer: error: demo: no such repository", "peer: hint: look at peer repo ls")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := started(t)
			test(t, f, p)
		})
	}
}

func TestCloneOfNothing(t *testing.T) {
	t.Parallel()
	f := newFakeReplica(t, "sha1")
	f.git(nil, "symbolic-ref", "HEAD", "refs/heads/trunk")
	p := newPerson(t, f)
	if got := p.ok("", "ls-remote", f.url()); got != "" {
		t.Errorf("ls-remote prints %q", got)
	}
	p.ok("", "clone", "--quiet", f.url(), "c")
	if got := p.ok("c", "symbolic-ref", "HEAD"); got != "refs/heads/trunk" {
		t.Errorf("HEAD is %s", got)
	}
	oid := p.commit("c", "a", "1")
	p.ok("c", "push", "origin", "HEAD")
	wantRef(t, f, "refs/heads/trunk", oid)
}

func TestOutsideRepository(t *testing.T) {
	t.Parallel()
	_, p := started(t)
	p.run("", "ls-remote", "peer://nobody").exits(128).says("peer: error: ")
	p.run("", "ls-remote", "peer://me/-x").exits(128).says("peer: error: ")
}
