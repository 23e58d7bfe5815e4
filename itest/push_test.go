package itest

import (
	"strings"
	"testing"

	"peer/itest/internal/content"
	"peer/itest/internal/people"
)

// TestPushVariants does with branches and tags what people do, and looks at the
// result on all nodes each time.
func TestPushVariants(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	v := &pushVariants{c: c, r: c.create("demo"), ann: c.at(0)}
	v.ann.Git("", "init", "-q", "work")
	v.ann.Git("work", "remote", "add", "origin", v.r.url)
	v.first = v.ann.Commit("work", "a.txt", []byte("1\n"))
	v.ann.Git("work", "push", "-q", "origin", "HEAD:refs/heads/main")
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"branch", v.branch},
		{"tags", v.tags},
		{"delete", v.remove},
		{"force", v.force},
		{"lease", v.lease},
		{"atomic", v.atomic},
		{"not atomic", v.notAtomic},
		{"default branch stays", v.defaultBranch},
		{"dry run", v.dryRun},
		{"fetch elsewhere", v.fetch},
		{"behind", v.behind},
		{"names", v.names},
		{"stranger", v.stranger},
		{"mirror", v.mirror},
	} {
		if !c.run(t, step.name, step.run) {
			return // the next ones start from what this one should have left
		}
	}
	v.r.converge()
	v.r.checkDisks()
}

type pushVariants struct {
	c     *cluster
	r     *repository
	ann   *person
	first string // a root commit, on every branch
}

// push pushes and wants success.
func (v *pushVariants) push(args ...string) {
	v.ann.Git("work", append([]string{"push", "-q"}, args...)...)
}

// wants compares what every node lists with name → object ID; an empty ID means
// that there is no such ref.
func (v *pushVariants) wants(t *testing.T, refs map[string]string) {
	t.Helper()
	for i, n := range v.c.nodes {
		listed := "\n" + v.r.c.at(i).Listed(v.r.url) + "\n"
		for name, oid := range refs {
			if oid == "" && strings.Contains(listed, "\n"+name+" ") {
				t.Fatalf("%s still lists %s:%s", n.name, name, listed)
			}
			if oid != "" && !strings.Contains(listed, "\n"+name+" "+oid+"\n") {
				t.Fatalf("%s does not list %s at %s:%s", n.name, name, oid, listed)
			}
		}
	}
}

// unchanged runs f and wants the same listing after it. The log may have grown:
// what only the group can judge is refused there.
func (v *pushVariants) unchanged(t *testing.T, f func()) {
	t.Helper()
	v.r.converge()
	before := v.r.c.at(0).Listed(v.r.url)
	f()
	if after := v.r.c.at(0).Listed(v.r.url); after != before {
		t.Fatalf("the refs changed: %s", people.FirstDifference(before, after))
	}
}

func (v *pushVariants) index(t *testing.T) uint64 {
	t.Helper()
	s, err := v.r.show(0)
	if err != nil {
		t.Fatal(err)
	}
	return s.Index
}

func (v *pushVariants) branch(t *testing.T) {
	v.ann.Git("work", "switch", "-q", "-c", "feature/one")
	tip := v.ann.Commit("work", "b.txt", []byte("1\n"))
	v.push("-u", "origin", "HEAD")
	v.wants(t, map[string]string{"refs/heads/feature/one": tip, "refs/heads/main": v.first})
	// The same again changes nothing.
	v.unchanged(t, func() {
		if r := v.ann.TryGit("work", "push", "origin", "HEAD"); r.Code != 0 || !strings.Contains(r.Err, "Everything up-to-date") {
			t.Fatal(r)
		}
	})
}

func (v *pushVariants) tags(t *testing.T) {
	v.ann.Git("work", "tag", "light")
	v.ann.Git("work", "tag", "-a", "-m", "annotated", "v1", v.first)
	v.ann.Git("work", "tag", "-a", "-m", "of a tag", "v1-again", "v1")
	v.push("origin", "light", "v1", "v1-again")
	v.wants(t, map[string]string{
		"refs/tags/light":    v.ann.Git("work", "rev-parse", "light"),
		"refs/tags/v1":       v.ann.Git("work", "rev-parse", "v1"),
		"refs/tags/v1-again": v.ann.Git("work", "rev-parse", "v1-again"),
	})
	v.ann.Git("work", "tag", "-f", "-a", "-m", "moved", "v1", "HEAD")
	v.unchanged(t, func() { v.ann.Refuses("work", []string{"already exists"}, "push", "origin", "v1") })
	v.push("--force", "origin", "v1")
	v.wants(t, map[string]string{"refs/tags/v1": v.ann.Git("work", "rev-parse", "v1")})
}

func (v *pushVariants) remove(t *testing.T) {
	v.push("origin", ":refs/tags/light", ":feature/one")
	v.wants(t, map[string]string{"refs/tags/light": "", "refs/heads/feature/one": ""})
	v.unchanged(t, func() { v.ann.Refuses("work", []string{"feature/one"}, "push", "origin", "--delete", "feature/one") })
	// A branch makes room for others below its name in one push.
	v.push("origin", "HEAD:refs/heads/dir")
	v.ann.Refuses("work", []string{"dir"}, "push", "origin", "HEAD:refs/heads/dir/below")
	v.push("--atomic", "origin", ":refs/heads/dir", "HEAD:refs/heads/dir/below")
	v.wants(t, map[string]string{"refs/heads/dir": "", "refs/heads/dir/below": v.ann.Git("work", "rev-parse", "HEAD")})
}

func (v *pushVariants) force(t *testing.T) {
	v.ann.Git("work", "switch", "-q", "-C", "moving", v.first)
	v.ann.Commit("work", "c.txt", []byte("1\n"))
	v.push("origin", "moving")
	v.ann.Git("work", "reset", "-q", "--hard", v.first)
	other := v.ann.Commit("work", "c.txt", []byte("2\n"))
	v.unchanged(t, func() { v.ann.Refuses("work", []string{"non-fast-forward", "rejected"}, "push", "origin", "moving") })
	v.push("origin", "+moving")
	v.wants(t, map[string]string{"refs/heads/moving": other})
}

func (v *pushVariants) lease(t *testing.T) {
	v.ann.Git("work", "reset", "-q", "--hard", v.first)
	third := v.ann.Commit("work", "c.txt", []byte("3\n"))
	v.unchanged(t, func() {
		v.ann.Refuses("work", []string{"stale info"}, "push", "--force-with-lease=moving:"+v.first, "origin", "moving")
	})
	v.push("--force-with-lease=moving:"+v.ann.Git("work", "rev-parse", "origin/moving"), "origin", "moving")
	v.wants(t, map[string]string{"refs/heads/moving": third})
	// An empty expectation: it must not exist.
	v.ann.Commit("work", "c.txt", []byte("4\n"))
	v.unchanged(t, func() {
		v.ann.Refuses("work", []string{"stale info"}, "push", "--force-with-lease=moving:", "origin", "moving")
	})
	v.push("--force-with-lease=fresh:", "origin", "HEAD:fresh")
	v.wants(t, map[string]string{"refs/heads/fresh": v.ann.Git("work", "rev-parse", "HEAD"), "refs/heads/moving": third})
}

func (v *pushVariants) atomic(t *testing.T) {
	v.ann.Git("work", "switch", "-q", "-C", "left", "moving")
	left := v.ann.Commit("work", "d.txt", []byte("1\n"))
	v.push("--atomic", "origin", "left", "left:right")
	v.wants(t, map[string]string{"refs/heads/left": left, "refs/heads/right": left})
	v.ann.Commit("work", "d.txt", []byte("2\n"))
	v.unchanged(t, func() {
		// left is a fast-forward, moving is not.
		v.ann.Git("work", "branch", "-f", "moving", v.ann.Git("work", "commit-tree", "-m", "unrelated", "HEAD^{tree}"))
		v.ann.Refuses("work", []string{"atomic"}, "push", "--atomic", "origin", "left", "moving")
	})
	v.unchanged(t, func() {
		// Only the group can refuse this one: the default branch stays.
		v.ann.Refuses("work", []string{"atomic"}, "push", "--atomic", "origin", "left", ":refs/heads/main")
	})
}

func (v *pushVariants) notAtomic(t *testing.T) {
	left := v.ann.Git("work", "rev-parse", "left")
	v.ann.Refuses("work", []string{"rejected"}, "push", "origin", "left", ":refs/heads/main")
	v.wants(t, map[string]string{"refs/heads/left": left, "refs/heads/main": v.first})
}

func (v *pushVariants) defaultBranch(t *testing.T) {
	v.unchanged(t, func() {
		v.ann.Refuses("work", []string{"deletion of the current branch prohibited", "main"}, "push", "origin", "--delete", "main")
	})
	v.unchanged(t, func() { v.ann.Refuses("work", []string{"HEAD"}, "push", "origin", "--delete", "HEAD") })
}

func (v *pushVariants) dryRun(t *testing.T) {
	v.unchanged(t, func() {
		if r := v.ann.TryGit("work", "push", "--dry-run", "origin", "left:planned", ":right"); r.Code != 0 || !strings.Contains(r.Err, "planned") {
			t.Fatal(r)
		}
	})
}

// fetch follows a push from the other nodes, from one that cloned before it.
func (v *pushVariants) fetch(t *testing.T) {
	for i := range v.c.nodes {
		v.c.at(i).Git("", "clone", "-q", v.r.url, "follow")
	}
	v.ann.Git("work", "switch", "-q", "-C", "main", v.first)
	tip := v.ann.Commit("work", "e.txt", []byte("1\n"))
	v.push("origin", "main")
	for i, n := range v.c.nodes {
		p := v.c.at(i)
		p.Git("follow", "pull", "-q", "--ff-only")
		if got := p.Git("follow", "rev-parse", "HEAD"); got != tip {
			t.Fatalf("%s fetched %s right after %s was acknowledged", n.name, got, tip)
		}
	}
}

// behind pushes from a clone that misses the last push.
func (v *pushVariants) behind(t *testing.T) {
	v.ann.Git("", "clone", "-q", v.r.url, "behind")
	v.ann.Git("work", "switch", "-q", "main")
	v.ann.Commit("work", "f.txt", []byte("1\n"))
	v.push("origin", "main")
	v.ann.Commit("behind", "g.txt", []byte("1\n"))
	v.unchanged(t, func() { v.ann.Refuses("behind", []string{"fetch first"}, "push", "origin", "main") })
	v.ann.Git("behind", "pull", "-q", "--rebase")
	v.ann.Git("behind", "push", "-q")
}

// names tries refs that are nobody's to push.
func (v *pushVariants) names(t *testing.T) {
	for _, name := range []string{"refs/peer/x", "refs/nowhere", "HEAD", "refs/heads/HEAD"} {
		v.unchanged(t, func() { v.ann.Refuses("work", nil, "push", "origin", "HEAD:"+name) })
	}
	v.unchanged(t, func() {
		v.ann.Refuses("work", []string{"commit"}, "push", "origin", v.ann.Git("work", "rev-parse", "HEAD:a.txt")+":refs/heads/blob")
	})
	v.push("origin", "HEAD:refs/heads/ünïcödé/日本")
	v.wants(t, map[string]string{"refs/heads/ünïcödé/日本": v.ann.Git("work", "rev-parse", "HEAD")})
}

// stranger pushes with keys that the owner has not allowed.
func (v *pushVariants) stranger(t *testing.T) {
	eve, bob := v.c.guest("eve", ""), v.c.at(1)
	before := v.index(t)
	for _, p := range []*person{eve, bob} {
		p.Git("", "clone", "-q", v.r.url, "theirs")
		for _, size := range []int{10, 3 << 20} { // one rides in the entry, one would be staged
			p.Commit("theirs", "h.txt", content.Random(7, size))
			v.unchanged(t, func() {
				p.Refuses("theirs", []string{"may not write", "nothing was changed"}, "push", "origin", "HEAD:refs/heads/main")
				p.Refuses("theirs", []string{"may not write"}, "push", "origin", "HEAD:refs/heads/theirs")
				p.Refuses("theirs", []string{"may not write"}, "push", "origin", "--delete", "moving")
			})
		}
	}
	if now := v.index(t); now != before {
		t.Fatalf("strangers made the log grow from %d to %d", before, now)
	}
}

func (v *pushVariants) mirror(t *testing.T) {
	v.ann.Git("", "clone", "-q", "--mirror", v.r.url, "copy.git")
	v.ann.Git("copy.git", "update-ref", "refs/notes/review", v.first)
	v.ann.Git("copy.git", "update-ref", "-d", "refs/heads/right")
	v.ann.Git("copy.git", "push", "-q", "--mirror", v.r.url)
	v.wants(t, map[string]string{"refs/notes/review": v.first, "refs/heads/right": ""})
	v.r.cloneEverywhere(v.ann.Path("copy.git"))
}
