package people

import (
	"fmt"
	"slices"
	"strings"
)

// Contents is all that a repository holds: refs, HEAD, and every object that the
// refs reach.
type Contents struct{ Refs, Objects string }

// Contents reads the repository in dir.
func (p *Person) Contents(dir string) Contents {
	p.t().Helper()
	return Contents{p.Refs(dir), p.objects(dir)}
}

// Wants proves that the repository in dir holds just that.
func (p *Person) Wants(want Contents, dir string) {
	p.t().Helper()
	got := p.Contents(dir)
	if got.Refs != want.Refs {
		p.t().Fatalf("refs or HEAD differ: %s", FirstDifference(want.Refs, got.Refs))
	}
	if got.Objects != want.Objects {
		p.t().Fatalf("objects differ: %s", FirstDifference(want.Objects, got.Objects))
	}
}

// objects lists all objects that a repository's refs reach, with their paths.
func (p *Person) objects(dir string) string {
	p.t().Helper()
	lines := strings.Split(p.Git(dir, "rev-list", "--objects", "--all"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Refs are the refs and the HEAD of the repository in dir.
func (p *Person) Refs(dir string) string {
	p.t().Helper()
	return p.Git(dir, "for-each-ref", "--format=%(refname) %(objectname)") + "\nHEAD " + p.Git(dir, "symbolic-ref", "HEAD")
}

// Listed is what a listing of url names, in the form of [Person.Refs] but without
// HEAD.
func (p *Person) Listed(url string) string {
	p.t().Helper()
	var lines []string
	for line := range strings.Lines(p.Git("", "ls-remote", url)) {
		oid, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(name, "refs/") && !strings.HasSuffix(name, "^{}") {
			lines = append(lines, name+" "+oid)
		}
	}
	return strings.Join(lines, "\n")
}

// FirstDifference is the first line that two texts don't share.
func FirstDifference(a, b string) string {
	left, right := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(left), len(right)) {
		var l, r string
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		if l != r {
			return fmt.Sprintf("line %d is %q and %q", i+1, l, r)
		}
	}
	return "none"
}
