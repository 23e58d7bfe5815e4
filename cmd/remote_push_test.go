package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"peer/wire"
)

func TestPushMovesRefs(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *fakeReplica, *person){
		"fast forward": func(t *testing.T, f *fakeReplica, p *person) {
			oid := p.commit("w", "a", "2")
			p.run("w", "push").exits(0).says("main -> main", "remote: committed at index 3 on 2 of 3 replicas", "remote: checked")
			wantRef(t, f, "refs/heads/main", oid)
			if got := p.ok("w", "rev-parse", "origin/main"); got != oid {
				t.Errorf("tracking ref at %s, want %s", got, oid)
			}
		},
		"quiet": func(t *testing.T, f *fakeReplica, p *person) {
			p.commit("w", "a", "2")
			if r := p.run("w", "push", "-q").exits(0); r.out+r.stderr != "" {
				t.Errorf("push -q says %q", r.out+r.stderr)
			}
		},
		"up to date": func(t *testing.T, f *fakeReplica, p *person) {
			before := len(f.ids())
			p.run("w", "push").exits(0).says("Everything up-to-date")
			if after := len(f.ids()); after != before {
				t.Errorf("%d transactions for nothing", after-before)
			}
		},
		"new branch at an old commit": func(t *testing.T, f *fakeReplica, p *person) {
			first := p.ok("w", "rev-parse", "HEAD")
			p.commit("w", "a", "2")
			p.ok("w", "push")
			p.ok("w", "push", "origin", "HEAD~1:refs/heads/old", "HEAD:refs/heads/same")
			wantRef(t, f, "refs/heads/old", first)
			p.ok("w", "push", "origin", "HEAD:refs/heads/third")
			if f.lastRequest().GetHasPack() {
				t.Error("a pack was announced for a commit that a branch names already")
			}
		},
		"tags": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("w", "tag", "light")
			p.ok("w", "tag", "-m", "note", "heavy")
			p.ok("w", "push", "--tags")
			wantRef(t, f, "refs/tags/light", p.ok("w", "rev-parse", "light"))
			wantRef(t, f, "refs/tags/heavy", p.ok("w", "rev-parse", "heavy"))
			p.commit("w", "a", "2")
			p.ok("w", "tag", "-f", "light")
			p.run("w", "push", "--tags").exits(1).says("already exists")
		},
		"delete": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("w", "push", "origin", "main:b1")
			p.run("w", "push", "origin", "--delete", "b1").exits(0).says("[deleted]")
			wantRef(t, f, "refs/heads/b1", "")
			if f.lastRequest().GetHasPack() {
				t.Error("a pack was announced for a deletion")
			}
			p.run("w", "push", "origin", ":main").exits(1).says("deletion of the current branch prohibited")
		},
		"force": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("w", "commit", "--quiet", "--amend", "-m", "other")
			p.run("w", "push").exits(1).says("[rejected]", "non-fast-forward")
			p.run("w", "push", "-f").exits(0).says("forced update")
			wantRef(t, f, "refs/heads/main", p.ok("w", "rev-parse", "HEAD"))
		},
		"force with lease": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("w", "commit", "--quiet", "--amend", "-m", "other")
			p.run("w", "push", "--force-with-lease=main:"+strings.Repeat("1", 40)).exits(1).says("stale info")
			p.run("w", "push", "--force-with-lease", "--force-if-includes").exits(0)
			wantRef(t, f, "refs/heads/main", p.ok("w", "rev-parse", "HEAD"))
			p.run("w", "push", "--force-with-lease=new:", "origin", "HEAD:new").exits(0)
		},
		"dry run": func(t *testing.T, f *fakeReplica, p *person) {
			old := p.ok("w", "rev-parse", "HEAD")
			p.commit("w", "a", "2")
			p.run("w", "push", "--dry-run").exits(0).says("main -> main")
			wantRef(t, f, "refs/heads/main", old)
		},
		"push options": func(t *testing.T, f *fakeReplica, p *person) {
			p.commit("w", "a", "2")
			p.ok("w", "push", "-o", "one two", "-o", `a"b\c`)
			f.mu.Lock()
			defer f.mu.Unlock()
			if got := f.arrived[len(f.arrived)-1].GetPushOptions(); !slices.Equal(got, []string{"one two", `a"b\c`}) {
				t.Errorf("push options %q", got)
			}
		},
		"signed if asked": func(t *testing.T, f *fakeReplica, p *person) {
			p.commit("w", "a", "2")
			p.ok("w", "push", "--signed=if-asked")
			p.commit("w", "a", "3")
			p.run("w", "push", "--signed").exits(128).says("--signed")
		},
		"expressions": func(t *testing.T, f *fakeReplica, p *person) {
			first := p.ok("w", "rev-parse", "HEAD")
			second := p.commit("w", "b", "fix: it")
			p.ok("w", "push", "origin", ":/fix: it:refs/heads/e1", "main@{1}:refs/heads/e2", "HEAD^:refs/heads/e3")
			wantRef(t, f, "refs/heads/e1", second)
			wantRef(t, f, "refs/heads/e2", first)
			wantRef(t, f, "refs/heads/e3", first)
		},
		"mirror": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("w", "push", "origin", "main:gone")
			p.ok("w", "branch", "b2")
			p.ok("w", "tag", "t1")
			p.ok("w", "update-ref", "-d", "refs/remotes/origin/main")
			p.ok("w", "update-ref", "-d", "refs/remotes/origin/gone")
			p.ok("w", "push", "--mirror", f.url())
			wantRef(t, f, "refs/heads/b2", p.ok("w", "rev-parse", "main"))
			wantRef(t, f, "refs/tags/t1", p.ok("w", "rev-parse", "main"))
			wantRef(t, f, "refs/heads/gone", "")
		},
		"thin pack": func(t *testing.T, f *fakeReplica, p *person) {
			p.commit("w", "big", strings.Repeat("all work and no play makes a dull push\n", 4000))
			p.ok("w", "push")
			p.commit("w", "big", strings.Repeat("all work and no play makes a dull push\n", 4001))
			p.ok("w", "push")
			f.mu.Lock()
			defer f.mu.Unlock()
			if last := f.packs[len(f.packs)-1]; last > 1000 {
				t.Errorf("one more line is a pack of %d bytes", last)
			}
		},
		"large pack": func(t *testing.T, f *fakeReplica, p *person) {
			oid := p.commit("w", "noise", noise(3<<20))
			p.run("w", "push", "--progress").exits(0).says("Writing objects: 100%")
			wantRef(t, f, "refs/heads/main", oid)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := started(t)
			test(t, f, p)
		})
	}
}

func TestPushRefused(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *fakeReplica, *person){
		"fetch first": func(t *testing.T, f *fakeReplica, p *person) {
			ahead(p, f)
			p.commit("w", "a", "2")
			p.run("w", "push").exits(1).says("[rejected]", "(fetch first)", "hint: Updates were rejected")
		},
		"needs force": func(t *testing.T, f *fakeReplica, p *person) {
			tree := p.ok("w", "rev-parse", "HEAD^{tree}")
			p.ok("w", "push", "origin", tree+":refs/things/x")
			p.run("w", "push", "origin", "HEAD:refs/things/x").exits(1).says("(needs force)")
			p.ok("w", "push", "origin", "+HEAD:refs/things/x")
		},
		"moved between list and push": func(t *testing.T, f *fakeReplica, p *person) {
			p.commit("w", "a", "2")
			theirs := other(p, f)
			f.hook(func() {
				f.before = func(int, *fakeSession) bool {
					f.git(nil, "update-ref", "refs/heads/main", theirs)
					return false
				}
			})
			p.run("w", "push").exits(1).says("[rejected]", "(fetch first)")
			wantRef(t, f, "refs/heads/main", theirs)
		},
		"lease broken between list and push": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("w", "commit", "--quiet", "--amend", "-m", "mine")
			theirs := other(p, f)
			f.hook(func() {
				f.before = func(int, *fakeSession) bool {
					f.git(nil, "update-ref", "refs/heads/main", theirs)
					return false
				}
			})
			p.run("w", "push", "--force-with-lease").exits(1).says("[rejected]", "(stale info)")
		},
		"atomic, refused here": func(t *testing.T, f *fakeReplica, p *person) {
			ahead(p, f)
			p.commit("w", "a", "2")
			before := len(f.ids())
			p.run("w", "push", "--atomic", "origin", "main", "main:b1").exits(1).says("(fetch first)", "atomic push failed")
			wantRef(t, f, "refs/heads/b1", "")
			if len(f.ids()) != before {
				t.Error("a transaction was sent")
			}
		},
		"atomic, refused there": func(t *testing.T, f *fakeReplica, p *person) {
			f.hook(func() { f.judge = refuseRef("refs/heads/b2", wire.Code_CODE_NOT_ALLOWED, "ask ann") })
			p.run("w", "push", "--atomic", "origin", "main:b1", "main:b2").exits(1).
				says("(not allowed: ask ann)", "(atomic push failed)").doesNotSay("committed at")
			wantRef(t, f, "refs/heads/b1", "")
		},
		"one of two": func(t *testing.T, f *fakeReplica, p *person) {
			f.hook(func() { f.judge = refuseRef("refs/heads/b2", wire.Code_CODE_LOCKED, "until noon") })
			p.run("w", "push", "origin", "main:b1", "main:b2").exits(1).
				says("[new branch]", "main -> b2 (locked: until noon)", "committed at index")
			wantRef(t, f, "refs/heads/b1", p.ok("w", "rev-parse", "main"))
		},
		"reserved and funny names": func(t *testing.T, f *fakeReplica, p *person) {
			p.run("w", "push", "origin", "main:refs/peer/x", "main:refs/heads/HEAD").exits(1).
				says("funny refname", "reserved")
		},
		"a branch that is a tree": func(t *testing.T, f *fakeReplica, p *person) {
			p.run("w", "push", "origin", p.ok("w", "rev-parse", "HEAD^{tree}")+":refs/heads/t").exits(1)
			wantRef(t, f, "refs/heads/t", "")
		},
		"pack refused": func(t *testing.T, f *fakeReplica, p *person) {
			f.hook(func() {
				f.before = func(_ int, s *fakeSession) bool {
					s.fail(&wire.Failure{Code: wire.FailureCode_FAILURE_BAD_PACK, Message: "missing blob", Hint: "run git fsck"})
					return true
				}
			})
			p.commit("w", "a", "2")
			p.run("w", "push").exits(1).says("[remote rejected]", "(unpacker error: missing blob)", "peer: hint: run git fsck")
		},
		"other hash": func(t *testing.T, f *fakeReplica, p *person) {
			p.ok("", "init", "--quiet", "--initial-branch=main", "--object-format=sha256", "w256")
			p.commit("w256", "a", "1")
			p.run("w256", "push", f.url(), "main:new").exits(1).says("does not support this repository's hash algorithm")
			wantRef(t, f, "refs/heads/new", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := started(t)
			test(t, f, p)
		})
	}
}

func TestPushSHA256(t *testing.T) {
	t.Parallel()
	f := newFakeReplica(t, "sha256")
	p := newPerson(t, f)
	p.ok("", "init", "--quiet", "--initial-branch=main", "--object-format=sha256", "w")
	oid := p.commit("w", "a", "1")
	p.ok("w", "push", f.url(), "main")
	wantRef(t, f, "refs/heads/main", oid)
	p.ok("", "clone", "--quiet", f.url(), "c")
	oid = p.commit("c", "a", "2")
	p.ok("c", "push")
	wantRef(t, f, "refs/heads/main", oid)

	p.ok("", "init", "--quiet", "--initial-branch=main", "sha1")
	p.commit("sha1", "a", "1")
	p.run("sha1", "push", f.url(), "main:new").exits(1).says("peer init --object-format sha1")
}

func TestPushFromShallowClone(t *testing.T) {
	t.Parallel()
	f, p := started(t)
	p.commit("w", "a", "2")
	p.ok("w", "push")
	p.ok("", "clone", "--quiet", "--depth=1", f.url(), "c")
	root := p.ok("c", "rev-parse", "HEAD")
	oid := p.commit("c", "a", "3")
	p.ok("c", "push")
	wantRef(t, f, "refs/heads/main", oid)
	shallow := f.lastRequest().GetShallow()
	if len(shallow) != 1 || len(shallow[0]) != 20 {
		t.Fatalf("shallow roots %x, want %s", shallow, root)
	}
}

func TestPushOverAPetname(t *testing.T) {
	t.Parallel()
	f, p := started(t)
	home, err := OpenHome(p.home)
	if err != nil {
		t.Fatal(err)
	}
	if err := home.SetAlias("ann", f.owner.Public(), false); err != nil {
		t.Fatal(err)
	}
	p.ok("w", "push", "peer://ann/demo", "main:b1")
	p.ok("w", "push", "peer://"+f.owner.PeerID().String()+"/demo.git", "main:b2")
	wantRef(t, f, "refs/heads/b2", p.ok("w", "rev-parse", "main"))
	p.run("w", "push", "peer://bob/demo", "main:b3").exits(128).says("peer: error: ", "peer: hint: ")
}

func TestPushManyRefs(t *testing.T) {
	t.Parallel()
	f, p := started(t)
	oid := p.ok("w", "rev-parse", "HEAD")
	var packed strings.Builder
	packed.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
	for i := range 10_050 {
		fmt.Fprintf(&packed, "%s refs/heads/n%05d\n", oid, i)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "w", ".git", "packed-refs"), []byte(packed.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	before := len(f.ids())
	p.run("w", "push", "--all", "--atomic").exits(1).says("at most 10000 refs")
	if got := len(f.ids()); got != before {
		t.Fatalf("%d transactions sent", got-before)
	}
	p.run("w", "push", "--all").exits(0).says("committed at index 3", "committed at index 4")
	ids := f.ids()[before:]
	if len(ids) != 2 || ids[0] == ids[1] {
		t.Fatalf("%d transactions, want 2 different ones", len(ids))
	}
	wantRef(t, f, "refs/heads/n00000", oid)
	wantRef(t, f, "refs/heads/n10049", oid)
}

func wantRef(t *testing.T, f *fakeReplica, name, oid string) {
	t.Helper()
	if got := f.ref(name); got != oid {
		t.Errorf("%s is at %q, want %q", name, got, oid)
	}
}

func refuseRef(name string, code wire.Code, detail string) func(*wire.RefUpdate) *wire.Result {
	return func(u *wire.RefUpdate) *wire.Result {
		if u.GetName() == name {
			return &wire.Result{Code: code, Detail: detail}
		}
		return nil
	}
}

// other makes a commit in the replica that nobody else has.
func other(p *person, f *fakeReplica) string {
	p.t.Helper()
	tree := strings.TrimSpace(f.git(strings.NewReader(""), "mktree"))
	return strings.TrimSpace(f.git(nil, "commit-tree", "-m", "theirs", "-p", "refs/heads/main", tree))
}

// ahead moves the replica's main to such a commit.
func ahead(p *person, f *fakeReplica) {
	p.t.Helper()
	f.git(nil, "update-ref", "refs/heads/main", other(p, f))
}
