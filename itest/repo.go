package itest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"peer/itest/internal/await"
	"peer/itest/internal/people"
)

const convergeTimeout = 60 * time.Second

// repository is one that the user of node 0 owns.
type repository struct {
	c    *cluster
	name string
	url  string
	id   string
}

// create makes a repository with a replica on each node.
func (c *cluster) create(name string, args ...string) *repository {
	c.t.Helper()
	r := &repository{c: c, name: name}
	owner := c.at(0)
	var made struct{ ID, URL string }
	owner.Parse(owner.Peer(append([]string{"init", name, "--json"}, args...)...), &made)
	r.id, r.url = made.ID, made.URL
	return r
}

// show asks node i.
func (r *repository) show(i int) (people.Repo, error) { return r.c.at(i).Show(r.url) }

// awaitLeader waits until node i leads: the highest peer ID in sync does, after
// a while.
func (r *repository) awaitLeader(i int) {
	r.c.t.Helper()
	await.Eventually(r.c.t, convergeTimeout, func() error {
		s, err := r.show(i)
		if err == nil && s.Leader != r.c.nodes[i].peerID {
			err = fmt.Errorf("%s names %q as leader", r.c.nodes[i].name, s.Leader)
		}
		return err
	})
}

// bare is the repository on the disk of node i.
func (r *repository) bare(i int) string {
	r.c.t.Helper()
	found, err := filepath.Glob(filepath.Join(r.c.nodes[i].home, "repos", "*", r.name+".git"))
	if err != nil || len(found) != 1 {
		r.c.t.Fatalf("%s has %d directories for %s: %v", r.c.nodes[i].name, len(found), r.name, err)
	}
	return found[0]
}

// has says whether node i has a replica on its disk, or what is left of one.
func (r *repository) has(i int) bool {
	found, err := filepath.Glob(filepath.Join(r.c.nodes[i].home, "repos", "*", r.name+".git"))
	return err == nil && len(found) > 0
}

// holders are the numbers of the nodes that have a replica: in most tests all.
func (c *cluster) holders(s people.Repo) (list []int, err error) {
	for i, n := range c.nodes {
		if slices.ContainsFunc(s.Replicas, func(p people.Replica) bool { return p.Peer == n.peerID }) {
			list = append(list, i)
		}
	}
	if len(list) != len(s.Replicas) {
		return nil, fmt.Errorf("%d replicas, of which %d are on these nodes: %v", len(s.Replicas), len(list), s.Replicas)
	}
	return list, nil
}

// converge waits until all replicas are in sync at one index and the bare
// repositories on their disks have the same refs, which it returns.
func (r *repository) converge() string {
	r.c.t.Helper()
	var refs string
	await.Eventually(r.c.t, convergeTimeout, func() error {
		holders, err := r.atRest()
		if err != nil {
			return err
		}
		for i, holder := range holders {
			at := r.c.at(0).Refs(r.bare(holder))
			if i == 0 {
				refs = at
			} else if at != refs {
				return fmt.Errorf("the refs on disk differ: %s", people.FirstDifference(refs, at))
			}
		}
		return nil
	})
	return refs
}

// inSync says what is missing until every replica is alive, in sync and at the
// leader's index.
func (r *repository) inSync() error {
	all := make([]people.Named, len(r.c.nodes))
	for i, n := range r.c.nodes {
		all[i] = people.Named{Name: n.name, Person: n.user.Person}
	}
	return people.InSync(r.url, all)
}

// atRest says who has a replica, or what is missing until all who have one are full
// members and in sync.
func (r *repository) atRest() ([]int, error) {
	if err := r.inSync(); err != nil {
		return nil, err
	}
	s, err := r.show(0)
	if err != nil {
		return nil, err
	}
	for _, p := range s.Replicas {
		if p.Role != "voter" {
			return nil, fmt.Errorf("%s is a %s: %s", p.Peer, p.Role, s.Plan)
		}
	}
	return r.c.holders(s)
}

// checkDisks proves that every replica is whole: all that its refs reach is there.
func (r *repository) checkDisks() {
	r.c.t.Helper()
	for i, n := range r.c.nodes {
		if !r.has(i) {
			continue
		}
		p := r.c.at(i)
		fsck := p.TryGit(r.bare(i), "fsck", "--connectivity-only")
		for range 2 { // packs that the node joins meanwhile look damaged, once
			if fsck.Code != 0 {
				fsck = p.TryGit(r.bare(i), "fsck", "--connectivity-only")
			}
		}
		if fsck.Code != 0 {
			r.c.t.Fatalf("%s: %v", n.name, fsck)
		}
	}
}

// cloneEverywhere clones from each node, as that node's user, and compares with
// the repository in dir. Git hashes each object that it fetches; what else may be
// wrong with one is looked for once, since all clones have the same.
func (r *repository) cloneEverywhere(dir string) {
	r.c.t.Helper()
	want := r.c.at(0).Contents(dir)
	for i := range r.c.nodes {
		p := r.c.at(i)
		into := p.Path("clone-of-" + r.name)
		p.Git("", "clone", "-q", "--mirror", r.url, into)
		p.Wants(want, into)
		if i == 0 {
			p.Git(into, "fsck", "--strict")
		}
		_ = os.RemoveAll(into)
	}
}
