package itest

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

const convergeTimeout = 60 * time.Second

// repository is one that the user of node 0 owns.
type repository struct {
	c    *cluster
	name string
	url  string
	id   string
}

// repoState is what `peer repo show --json` prints.
type repoState struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	URL      string `json:"url"`
	Leader   string `json:"leader"`
	Term     uint64 `json:"term"`
	Index    uint64 `json:"index"`
	Replicas []struct {
		Peer   string `json:"peer"`
		Alive  bool   `json:"alive"`
		InSync bool   `json:"in_sync"`
		Index  uint64 `json:"index"`
	} `json:"replicas"`
	Problem string `json:"problem"`
	Dir     string `json:"dir"`
}

// create makes a repository with a replica on each node.
func (c *cluster) create(name string, args ...string) *repository {
	c.t.Helper()
	r := &repository{c: c, name: name}
	owner := c.at(0)
	var made struct{ ID, URL string }
	owner.parse(owner.peer(append([]string{"init", name, "--json"}, args...)...), &made)
	r.id, r.url = made.ID, made.URL
	return r
}

// show asks node i.
func (r *repository) show(i int) (s repoState, err error) {
	asked := r.c.at(i).tryPeer("repo", "show", r.url, "--json")
	if asked.code != 0 {
		return s, errors.New(asked.String())
	}
	return s, json.Unmarshal([]byte(asked.out), &s)
}

// awaitLeader waits until node i leads: the highest peer ID in sync does, after
// a while.
func (r *repository) awaitLeader(i int) {
	r.c.t.Helper()
	eventually(r.c.t, convergeTimeout, func() error {
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

// converge waits until all replicas are in sync at one index and the bare
// repositories on their disks have the same refs, which it returns.
func (r *repository) converge() string {
	r.c.t.Helper()
	var refs string
	eventually(r.c.t, convergeTimeout, func() error {
		if err := r.inSync(); err != nil {
			return err
		}
		for i := range r.c.nodes {
			at := r.c.refs(r.bare(i))
			if i == 0 {
				refs = at
			} else if at != refs {
				return fmt.Errorf("the refs on disk differ: %s", firstDifference(refs, at))
			}
		}
		return nil
	})
	return refs
}

// inSync says what is missing until every replica is alive, in sync and at the
// leader's index.
func (r *repository) inSync() error {
	index := uint64(0)
	for i := range r.c.nodes {
		s, err := r.show(i)
		switch {
		case err != nil:
			return err
		case s.Problem != "":
			return fmt.Errorf("%s has a problem: %s", r.c.nodes[i].name, s.Problem)
		case s.Leader == "" || len(s.Replicas) == 0:
			return fmt.Errorf("%s knows no leader", r.c.nodes[i].name)
		}
		if i == 0 {
			index = s.Index
		}
		for _, p := range s.Replicas {
			if !p.Alive || !p.InSync || p.Index != index || s.Index != index {
				return fmt.Errorf("%s sees replica %s at index %d of %d, alive %v, in sync %v", r.c.nodes[i].name, p.Peer, p.Index, s.Index, p.Alive, p.InSync)
			}
		}
	}
	return nil
}

// checkDisks proves that every replica is whole: all that its refs reach is there.
func (r *repository) checkDisks() {
	r.c.t.Helper()
	for i, n := range r.c.nodes {
		p := r.c.at(i)
		if fsck := p.tryGit(r.bare(i), "fsck", "--connectivity-only"); fsck.code != 0 {
			r.c.t.Fatalf("%s: %v", n.name, fsck)
		}
	}
}

// refs are the refs and the HEAD of the repository in dir.
func (c *cluster) refs(dir string) string {
	c.t.Helper()
	p := c.at(0)
	return p.git(dir, "for-each-ref", "--format=%(refname) %(objectname)") + "\nHEAD " + p.git(dir, "symbolic-ref", "HEAD")
}

// remoteRefs is what node i lists, in the form of [cluster.refs] but without HEAD.
func (r *repository) remoteRefs(i int) string {
	r.c.t.Helper()
	var lines []string
	for line := range strings.Lines(r.c.at(i).git("", "ls-remote", r.url)) {
		oid, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(name, "refs/") && !strings.HasSuffix(name, "^{}") {
			lines = append(lines, name+" "+oid)
		}
	}
	return strings.Join(lines, "\n")
}

// firstDifference is the first line that two texts don't share.
func firstDifference(a, b string) string {
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
