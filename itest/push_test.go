package itest

import (
	"strings"
	"testing"
)

// TestPushVariants does with branches and tags what people do, and looks at the
// result on all nodes each time.
func TestPushVariants(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	v := &pushVariants{c: c, r: c.create("demo"), ann: c.at(0)}
	v.ann.git("", "init", "-q", "work")
	v.ann.git("work", "remote", "add", "origin", v.r.url)
	v.first = v.ann.commit("work", "a.txt", []byte("1\n"))
	v.ann.git("work", "push", "-q", "origin", "HEAD:refs/heads/main")
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
	v.ann.git("work", append([]string{"push", "-q"}, args...)...)
}

// wants compares what every node lists with name → object ID; an empty ID means
// that there is no such ref.
func (v *pushVariants) wants(t *testing.T, refs map[string]string) {
	t.Helper()
	for i, n := range v.c.nodes {
		listed := "\n" + v.r.remoteRefs(i) + "\n"
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
	before := v.r.remoteRefs(0)
	f()
	if after := v.r.remoteRefs(0); after != before {
		t.Fatalf("the refs changed: %s", firstDifference(before, after))
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
	v.ann.git("work", "switch", "-q", "-c", "feature/one")
	tip := v.ann.commit("work", "b.txt", []byte("1\n"))
	v.push("-u", "origin", "HEAD")
	v.wants(t, map[string]string{"refs/heads/feature/one": tip, "refs/heads/main": v.first})
	// The same again changes nothing.
	v.unchanged(t, func() {
		if r := v.ann.tryGit("work", "push", "origin", "HEAD"); r.code != 0 || !strings.Contains(r.err, "Everything up-to-date") {
			t.Fatal(r)
		}
	})
}

func (v *pushVariants) tags(t *testing.T) {
	v.ann.git("work", "tag", "light")
	v.ann.git("work", "tag", "-a", "-m", "annotated", "v1", v.first)
	v.ann.git("work", "tag", "-a", "-m", "of a tag", "v1-again", "v1")
	v.push("origin", "light", "v1", "v1-again")
	v.wants(t, map[string]string{
		"refs/tags/light":    v.ann.git("work", "rev-parse", "light"),
		"refs/tags/v1":       v.ann.git("work", "rev-parse", "v1"),
		"refs/tags/v1-again": v.ann.git("work", "rev-parse", "v1-again"),
	})
	v.ann.git("work", "tag", "-f", "-a", "-m", "moved", "v1", "HEAD")
	v.unchanged(t, func() { v.ann.refuses("work", []string{"already exists"}, "push", "origin", "v1") })
	v.push("--force", "origin", "v1")
	v.wants(t, map[string]string{"refs/tags/v1": v.ann.git("work", "rev-parse", "v1")})
}

func (v *pushVariants) remove(t *testing.T) {
	v.push("origin", ":refs/tags/light", ":feature/one")
	v.wants(t, map[string]string{"refs/tags/light": "", "refs/heads/feature/one": ""})
	v.unchanged(t, func() { v.ann.refuses("work", []string{"feature/one"}, "push", "origin", "--delete", "feature/one") })
	// A branch makes room for others below its name in one push.
	v.push("origin", "HEAD:refs/heads/dir")
	v.ann.refuses("work", []string{"dir"}, "push", "origin", "HEAD:refs/heads/dir/below")
	v.push("--atomic", "origin", ":refs/heads/dir", "HEAD:refs/heads/dir/below")
	v.wants(t, map[string]string{"refs/heads/dir": "", "refs/heads/dir/below": v.ann.git("work", "rev-parse", "HEAD")})
}

func (v *pushVariants) force(t *testing.T) {
	v.ann.git("work", "switch", "-q", "-C", "moving", v.first)
	v.ann.commit("work", "c.txt", []byte("1\n"))
	v.push("origin", "moving")
	v.ann.git("work", "reset", "-q", "--hard", v.first)
	other := v.ann.commit("work", "c.txt", []byte("2\n"))
	v.unchanged(t, func() { v.ann.refuses("work", []string{"non-fast-forward", "rejected"}, "push", "origin", "moving") })
	v.push("origin", "+moving")
	v.wants(t, map[string]string{"refs/heads/moving": other})
}

func (v *pushVariants) lease(t *testing.T) {
	v.ann.git("work", "reset", "-q", "--hard", v.first)
	third := v.ann.commit("work", "c.txt", []byte("3\n"))
	v.unchanged(t, func() {
		v.ann.refuses("work", []string{"stale info"}, "push", "--force-with-lease=moving:"+v.first, "origin", "moving")
	})
	v.push("--force-with-lease=moving:"+v.ann.git("work", "rev-parse", "origin/moving"), "origin", "moving")
	v.wants(t, map[string]string{"refs/heads/moving": third})
	// An empty expectation: it must not exist.
	v.ann.commit("work", "c.txt", []byte("4\n"))
	v.unchanged(t, func() {
		v.ann.refuses("work", []string{"stale info"}, "push", "--force-with-lease=moving:", "origin", "moving")
	})
	v.push("--force-with-lease=fresh:", "origin", "HEAD:fresh")
	v.wants(t, map[string]string{"refs/heads/fresh": v.ann.git("work", "rev-parse", "HEAD"), "refs/heads/moving": third})
}

func (v *pushVariants) atomic(t *testing.T) {
	v.ann.git("work", "switch", "-q", "-C", "left", "moving")
	left := v.ann.commit("work", "d.txt", []byte("1\n"))
	v.push("--atomic", "origin", "left", "left:right")
	v.wants(t, map[string]string{"refs/heads/left": left, "refs/heads/right": left})
	v.ann.commit("work", "d.txt", []byte("2\n"))
	v.unchanged(t, func() {
		// left is a fast-forward, moving is not.
		v.ann.git("work", "branch", "-f", "moving", v.ann.git("work", "commit-tree", "-m", "unrelated", "HEAD^{tree}"))
		v.ann.refuses("work", []string{"atomic"}, "push", "--atomic", "origin", "left", "moving")
	})
	v.unchanged(t, func() {
		// Only the group can refuse this one: the default branch stays.
		v.ann.refuses("work", []string{"atomic"}, "push", "--atomic", "origin", "left", ":refs/heads/main")
	})
}

func (v *pushVariants) notAtomic(t *testing.T) {
	left := v.ann.git("work", "rev-parse", "left")
	v.ann.refuses("work", []string{"rejected"}, "push", "origin", "left", ":refs/heads/main")
	v.wants(t, map[string]string{"refs/heads/left": left, "refs/heads/main": v.first})
}

func (v *pushVariants) defaultBranch(t *testing.T) {
	v.unchanged(t, func() {
		v.ann.refuses("work", []string{"deletion of the current branch prohibited", "main"}, "push", "origin", "--delete", "main")
	})
	v.unchanged(t, func() { v.ann.refuses("work", []string{"HEAD"}, "push", "origin", "--delete", "HEAD") })
}

func (v *pushVariants) dryRun(t *testing.T) {
	v.unchanged(t, func() {
		if r := v.ann.tryGit("work", "push", "--dry-run", "origin", "left:planned", ":right"); r.code != 0 || !strings.Contains(r.err, "planned") {
			t.Fatal(r)
		}
	})
}

// fetch follows a push from the other nodes, from one that cloned before it.
func (v *pushVariants) fetch(t *testing.T) {
	for i := range v.c.nodes {
		v.c.at(i).git("", "clone", "-q", v.r.url, "follow")
	}
	v.ann.git("work", "switch", "-q", "-C", "main", v.first)
	tip := v.ann.commit("work", "e.txt", []byte("1\n"))
	v.push("origin", "main")
	for i, n := range v.c.nodes {
		p := v.c.at(i)
		p.git("follow", "pull", "-q", "--ff-only")
		if got := p.git("follow", "rev-parse", "HEAD"); got != tip {
			t.Fatalf("%s fetched %s right after %s was acknowledged", n.name, got, tip)
		}
	}
}

// behind pushes from a clone that misses the last push.
func (v *pushVariants) behind(t *testing.T) {
	v.ann.git("", "clone", "-q", v.r.url, "behind")
	v.ann.git("work", "switch", "-q", "main")
	v.ann.commit("work", "f.txt", []byte("1\n"))
	v.push("origin", "main")
	v.ann.commit("behind", "g.txt", []byte("1\n"))
	v.unchanged(t, func() { v.ann.refuses("behind", []string{"fetch first"}, "push", "origin", "main") })
	v.ann.git("behind", "pull", "-q", "--rebase")
	v.ann.git("behind", "push", "-q")
}

// names tries refs that are nobody's to push.
func (v *pushVariants) names(t *testing.T) {
	for _, name := range []string{"refs/peer/x", "refs/nowhere", "HEAD", "refs/heads/HEAD"} {
		v.unchanged(t, func() { v.ann.refuses("work", nil, "push", "origin", "HEAD:"+name) })
	}
	v.unchanged(t, func() {
		v.ann.refuses("work", []string{"commit"}, "push", "origin", v.ann.git("work", "rev-parse", "HEAD:a.txt")+":refs/heads/blob")
	})
	v.push("origin", "HEAD:refs/heads/ünïcödé/日本")
	v.wants(t, map[string]string{"refs/heads/ünïcödé/日本": v.ann.git("work", "rev-parse", "HEAD")})
}

// stranger pushes with keys that the owner has not allowed.
func (v *pushVariants) stranger(t *testing.T) {
	eve, bob := v.c.guest("eve", ""), v.c.at(1)
	before := v.index(t)
	for _, p := range []*person{eve, bob} {
		p.git("", "clone", "-q", v.r.url, "theirs")
		for _, size := range []int{10, 3 << 20} { // one rides in the entry, one would be staged
			p.commit("theirs", "h.txt", randomBytes(7, size))
			v.unchanged(t, func() {
				p.refuses("theirs", []string{"may not write", "nothing was changed"}, "push", "origin", "HEAD:refs/heads/main")
				p.refuses("theirs", []string{"may not write"}, "push", "origin", "HEAD:refs/heads/theirs")
				p.refuses("theirs", []string{"may not write"}, "push", "origin", "--delete", "moving")
			})
		}
	}
	if now := v.index(t); now != before {
		t.Fatalf("strangers made the log grow from %d to %d", before, now)
	}
}

func (v *pushVariants) mirror(t *testing.T) {
	v.ann.git("", "clone", "-q", "--mirror", v.r.url, "copy.git")
	v.ann.git("copy.git", "update-ref", "refs/notes/review", v.first)
	v.ann.git("copy.git", "update-ref", "-d", "refs/heads/right")
	v.ann.git("copy.git", "push", "-q", "--mirror", v.r.url)
	v.wants(t, map[string]string{"refs/notes/review": v.first, "refs/heads/right": ""})
	v.r.cloneEverywhere(v.ann.path("copy.git"))
}
