package itest

import (
	"slices"
	"strings"
	"testing"
)

// compareRepos proves that two repositories hold the same: refs, HEAD, and every
// object that the refs reach; and that git finds nothing wrong with the second.
func compareRepos(t testing.TB, p *person, want, got string) {
	t.Helper()
	if w, g := p.c.refs(want), p.c.refs(got); w != g {
		t.Fatalf("refs or HEAD differ: %s", firstDifference(w, g))
	}
	if w, g := p.objects(want), p.objects(got); w != g {
		t.Fatalf("objects differ: %s", firstDifference(w, g))
	}
	if fsck := p.tryGit(got, "fsck", "--strict"); fsck.code != 0 {
		t.Fatal(fsck)
	}
}

// objects lists all objects that a repository's refs reach, with their paths.
func (p *person) objects(dir string) string {
	p.c.t.Helper()
	lines := strings.Split(p.git(dir, "rev-list", "--objects", "--all"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// cloneEverywhere clones from each node, as that node's user, and compares.
func (r *repository) cloneEverywhere(t testing.TB, want string) {
	t.Helper()
	for i := range r.c.nodes {
		p := r.c.at(i)
		into := p.path("clone-of-" + r.name)
		p.git("", "clone", "-q", "--mirror", r.url, into)
		compareRepos(t, p, want, into)
	}
}
