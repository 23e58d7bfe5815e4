package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"peer/itest/internal/await"
	"peer/itest/internal/people"
)

// author pushes to branches of a repository, and knows what was acknowledged.
type author struct {
	r    *repo
	p    *people.Person
	dir  string
	tips map[string]string // of branches, acknowledged
	made int
}

// begin is the owner at home, with an empty work tree.
func (r *repo) begin() *author {
	r.c.t.Helper()
	return r.beginAs(r.c.nodes[0].user, "owner")
}

// beginAs is somebody with a work tree of a name of its own.
func (r *repo) beginAs(p *people.Person, name string) *author {
	r.c.t.Helper()
	a := &author{r: r, p: p, dir: "work-" + r.name + "-" + name, tips: map[string]string{}}
	p.Git("", "init", "-q", a.dir)
	p.Git(a.dir, "remote", "add", "origin", r.url)
	return a
}

// commit adds a commit with one file, on top of all others.
func (a *author) commit(file string, data []byte) string {
	a.r.c.t.Helper()
	a.made++
	return a.p.Commit(a.dir, file, data)
}

// next adds a small commit.
func (a *author) next() string {
	a.r.c.t.Helper()
	return a.commit("file.txt", fmt.Appendf(nil, "%s, version %d\n", a.dir, a.made))
}

// push pushes a new small commit, which must be acknowledged.
func (a *author) push(branch string) {
	a.r.c.t.Helper()
	a.pushCommit(branch, a.next())
}

func (a *author) pushCommit(branch, tip string) {
	a.r.c.t.Helper()
	a.p.Must(a.tryPush(branch, tip))
}

// tryPush pushes a commit, and notes it if it was acknowledged.
func (a *author) tryPush(branch, tip string) people.Result {
	r := a.p.TryGit(a.dir, "push", "-q", "origin", tip+":refs/heads/"+branch)
	if r.Code == 0 {
		a.tips[branch] = tip
	}
	return r
}

// refused pushes a new small commit where it must be refused, saying all of says.
// It gives up soon.
func (a *author) refused(branch string, says ...string) {
	a.r.c.t.Helper()
	tip := a.next()
	before := a.p.Env
	a.p.Env = append(append([]string{}, before...), "PEER_PUSH_TIMEOUT=2")
	defer func() { a.p.Env = before }()
	a.p.Refuses(a.dir, says, "push", "-q", "origin", tip+":refs/heads/"+branch)
}

// wants says what is missing in a listing of name and object ID a line.
func (a *author) wants(listed, where string) error {
	for branch, tip := range a.tips {
		if want := "refs/heads/" + branch + " " + tip; !strings.Contains(listed, want) {
			return fmt.Errorf("%s does not have %s, which was acknowledged:\n%s", where, want, listed)
		}
	}
	return nil
}

// wantEverywhere lists and clones at every node that runs: what was acknowledged
// is there, at once, and whole.
func (a *author) wantEverywhere() {
	a.r.c.t.Helper()
	a.wantWithin(0)
}

// wantWithin is wantEverywhere in a network where a node may hear nothing of a leader
// for a second: an answer that no leader confirmed says so, and is asked for again.
func (a *author) wantWithin(patience time.Duration) {
	a.r.c.t.Helper()
	all := a.r.c.up()
	err := each(all, func(i int) error { return a.wantAt(all[i].name, all[i].user, patience) })
	if err != nil {
		a.r.c.t.Fatal(err)
	}
}

// wantAt does it as one person.
func (a *author) wantAt(where string, p *people.Person, patience time.Duration) error {
	into := p.Path(fmt.Sprintf("clone-%s-%d", a.r.name, a.made))
	var cloned people.Result
	stale := await.Poll(patience, func() error {
		if cloned = p.Run("", "rm", "-rf", into); cloned.Code != 0 {
			return nil
		}
		if cloned = p.TryGit("", "clone", "-q", "--mirror", a.r.url, into); cloned.Stale() {
			return fmt.Errorf("clone at %s: %v", where, cloned)
		}
		return nil
	})
	if stale != nil {
		return stale
	}
	if cloned.Code != 0 {
		return fmt.Errorf("clone at %s: %v", where, cloned)
	}
	if r := p.TryGit(into, "fsck", "--strict"); r.Code != 0 {
		return fmt.Errorf("clone at %s: %v", where, r)
	}
	r := p.TryGit(into, "for-each-ref", "--format=%(refname) %(objectname)")
	if r.Code != 0 {
		return errors.New(r.String())
	}
	return a.wants(r.Out, where)
}

// wantFromOutside clones with this machine's git from every node's published port.
func (a *author) wantFromOutside() {
	t := a.r.c.t
	t.Helper()
	for _, n := range a.r.c.up() {
		await.Eventually(t, convergeTimeout, func() error { // a listing without a leader is refused there
			url, err := n.gitURL(a.r)
			if err != nil {
				return err
			}
			into, err := os.MkdirTemp("", "peer-itest-clone-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(into)
			ctx, cancel := context.WithTimeout(t.Context(), engineTimeout)
			defer cancel()
			clone := exec.CommandContext(ctx, "git", "clone", "-q", "--mirror", url, filepath.Join(into, "c"))
			if said, err := clone.CombinedOutput(); err != nil {
				return fmt.Errorf("clone %s: %w\n%s", url, err, said)
			}
			said, err := exec.CommandContext(ctx, "git", "-C", filepath.Join(into, "c"), "for-each-ref", "--format=%(refname) %(objectname)").Output()
			if err != nil {
				return err
			}
			return a.wants(string(said), url)
		})
	}
}
