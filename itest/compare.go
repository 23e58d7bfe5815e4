package itest

import (
	"os"
	"slices"
	"strings"
)

// contents is all that a repository holds: refs, HEAD, and every object that the
// refs reach.
type contents struct{ refs, objects string }

func (p *person) contents(dir string) contents {
	p.c.t.Helper()
	return contents{p.c.refs(dir), p.objects(dir)}
}

// wants proves that the repository in dir holds just that.
func (p *person) wants(want contents, dir string) {
	p.c.t.Helper()
	got := p.contents(dir)
	if got.refs != want.refs {
		p.c.t.Fatalf("refs or HEAD differ: %s", firstDifference(want.refs, got.refs))
	}
	if got.objects != want.objects {
		p.c.t.Fatalf("objects differ: %s", firstDifference(want.objects, got.objects))
	}
}

// objects lists all objects that a repository's refs reach, with their paths.
func (p *person) objects(dir string) string {
	p.c.t.Helper()
	lines := strings.Split(p.git(dir, "rev-list", "--objects", "--all"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// cloneEverywhere clones from each node, as that node's user, and compares with
// the repository in dir. Git hashes each object that it fetches; what else may be
// wrong with one is looked for once, since all clones have the same.
func (r *repository) cloneEverywhere(dir string) {
	r.c.t.Helper()
	want := r.c.at(0).contents(dir)
	for i := range r.c.nodes {
		p := r.c.at(i)
		into := p.path("clone-of-" + r.name)
		p.git("", "clone", "-q", "--mirror", r.url, into)
		p.wants(want, into)
		if i == 0 {
			p.git(into, "fsck", "--strict")
		}
		_ = os.RemoveAll(into)
	}
}
