package container

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"peer/itest/internal/await"
	"peer/itest/internal/people"
)

// repo is a repository that the user of node 0 owns.
type repo struct {
	c    *cluster
	name string
	url  string
	id   string
}

// create makes a repository on the nodes named, or where that is nobody on as many
// as args say.
func (c *cluster) create(name string, on []*node, args ...string) *repo {
	c.t.Helper()
	var ids []string
	for _, n := range on {
		ids = append(ids, n.peerID)
	}
	if len(ids) > 0 {
		args = append(args, "--on", strings.Join(ids, ","))
	}
	r := &repo{c: c, name: name}
	owner := c.nodes[0].user
	var made struct{ ID, URL string }
	owner.Parse(owner.Peer(append([]string{"init", name, "--json"}, args...)...), &made)
	r.id, r.url = made.ID, made.URL
	return r
}

// path is OWNER/NAME.
func (r *repo) path() string { return strings.TrimPrefix(r.url, "peer://") }

// members are the nodes that hold the repository, as the first of those that run
// knows it.
func (r *repo) members() ([]*node, error) {
	running := r.c.up()
	if len(running) == 0 {
		return nil, errors.New("no node runs")
	}
	state, err := running[0].user.Show(r.url)
	if err != nil {
		return nil, err
	}
	var list []*node
	for _, n := range r.c.nodes {
		if slices.ContainsFunc(state.Replicas, func(p people.Replica) bool { return p.Peer == n.peerID }) {
			list = append(list, n)
		}
	}
	return list, nil
}

// leaderAt is who leads, as node n sees it; nil while it knows of nobody.
func (r *repo) leaderAt(n *node) (*node, error) {
	state, err := n.user.Show(r.url)
	if err != nil {
		return nil, err
	}
	for _, leader := range r.c.nodes {
		if leader.peerID == state.Leader {
			return leader, nil
		}
	}
	return nil, nil
}

// awaitLeader waits until n leads, by its own word.
func (r *repo) awaitLeader(n *node) {
	r.c.t.Helper()
	await.Eventually(r.c.t, convergeTimeout, func() error {
		leader, err := r.leaderAt(n)
		if err == nil && leader != n {
			err = fmt.Errorf("%s does not lead", n.name)
		}
		return err
	})
}

// converge waits until all replicas are in sync at one index and have the same
// refs on their disks, which it returns; and proves that each disk is whole.
func (r *repo) converge() string {
	r.c.t.Helper()
	var refs []string
	await.Eventually(r.c.t, convergeTimeout, func() (err error) {
		members, err := r.members()
		if err != nil {
			return err
		}
		if err := r.inSync(members); err != nil {
			return err
		}
		refs = make([]string, len(members))
		if err := each(members, func(i int) (err error) { refs[i], err = r.onDisk(members[i]); return }); err != nil {
			return err
		}
		for i := range refs {
			if refs[i] != refs[0] {
				return fmt.Errorf("the refs on the disks of %s and %s differ: %s", members[0].name, members[i].name, people.FirstDifference(refs[0], refs[i]))
			}
		}
		return nil
	})
	r.checkDisks()
	return refs[0]
}

// converged waits until all replicas agree, and returns what they say.
func (r *repo) converged() people.Repo {
	r.c.t.Helper()
	r.converge()
	state, err := r.c.up()[0].user.Show(r.url)
	if err != nil {
		r.c.t.Fatal(err)
	}
	return state
}

func (r *repo) inSync(members []*node) error {
	list := make([]people.Named, len(members))
	for i, n := range members {
		list[i] = people.Named{Name: n.name, Person: n.user}
	}
	return people.InSync(r.url, list)
}

// bare is where the repository is on node n.
func (r *repo) bare(n *node) (string, error) {
	state, err := n.user.Show(r.url)
	if err == nil && state.Dir == "" {
		err = fmt.Errorf("%s does not hold %s", n.name, r.name)
	}
	return state.Dir, err
}

// onDisk are the refs on the disk of node n.
func (r *repo) onDisk(n *node) (string, error) {
	dir, err := r.bare(n)
	if err != nil {
		return "", err
	}
	listed := n.user.TryGit(dir, "for-each-ref", "--format=%(refname) %(objectname)")
	if listed.Code != 0 {
		return "", errors.New(listed.String())
	}
	return listed.Out, nil
}

// checkDisks proves that all that the refs reach is there, on every member.
func (r *repo) checkDisks() {
	r.c.t.Helper()
	members, err := r.members()
	if err == nil {
		err = each(members, func(i int) error {
			dir, err := r.bare(members[i])
			if err != nil {
				return err
			}
			if fsck := members[i].user.TryGit(dir, "fsck", "--connectivity-only"); fsck.Code != 0 {
				return fmt.Errorf("%s: %v", members[i].name, fsck)
			}
			return nil
		})
	}
	if err != nil {
		r.c.t.Fatal(err)
	}
}
