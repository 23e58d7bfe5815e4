package itest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"peer/itest/internal/await"
	"peer/itest/internal/people"
)

const (
	memberNodes = 5
	// memberDiskBytes is more than a run writes, and the file has holes.
	memberDiskBytes = 3 << 30
	// membersPatience is how long a change of members may take on a busy machine, once
	// all nodes are there.
	membersPatience = 90 * time.Second
	// wholePatience is how long a disk is waited for that may be wiped.
	wholePatience = 15 * time.Second
	// lostPatience is the grace of a node that is gone for good, which is the shortest
	// that there is, and what its replacement may take.
	lostPatience = time.Minute + membersPatience
)

// TestHistoriesMembers is TestHistories with five nodes, of which three or five
// have replicas: meanwhile the owner wants others, disks are lost and replaced,
// nodes are lost for good, the power fails, and what nothing reaches is collected.
func TestHistoriesMembers(t *testing.T) {
	t.Parallel()
	seed, goal := historySeed(t)
	board, err := newSwitchboard(t, memberNodes)
	if err != nil {
		t.Logf("no connection is cut: %v", err)
	}
	o := options{nodes: memberNodes, board: board, env: []string{
		fmt.Sprintf("PEER_LOG_KEEP=%d", logKeep), "PEER_REPAIR_EVERY=500ms", "PEER_GC_GRACE=2s", "PEER_MAINTAIN_EVERY=500ms",
	}}
	var images []*imageDisk
	if board != nil {
		for range memberNodes {
			images = append(images, newImageDisk(t, memberDiskBytes))
		}
		o.home = func(i int) string { return filepath.Join(images[i].dir, fmt.Sprintf("node%d", i+1)) }
	}
	c := newCluster(t, o)
	for _, d := range images { // the homes were written by the test, without any care
		if err := d.sync(); err != nil {
			t.Fatal(err)
		}
	}
	h := historiesOn(c, t, seed)
	h.nemesis.images, h.nemesis.members = images, &members{}
	if !testing.Short() {
		h.nemesis.members.mayLose = 2
		c.at(0).Peer("repo", "replicas", h.r.url, "--grace", "1m", "--wait", "0s")
	}
	h.play(goal)
}

// members is what the nemesis knows of who should have a replica.
type members struct {
	wanted  []int // as was last accepted; nil: as they are
	mayLose int   // how many nodes may still be lost for good
}

// membersChanged has the owner want replicas on other nodes.
func (m *nemesis) membersChanged(int) fault {
	want := m.random.Perm(memberNodes)[:3+2*m.random.IntN(2)]
	slices.Sort(want)
	text := "want replicas on " + m.names(want)
	return fault{"change members", text, func() error {
		if r := m.want(want, 0); r.Code != 0 {
			m.note("", "%s: %s", text, strings.TrimSpace(r.Err))
		}
		return nil
	}, func() error { return nil }, 1500 * time.Millisecond}
}

func (m *nemesis) names(nodes []int) string {
	var list []string
	for _, i := range nodes {
		list = append(list, m.c.nodes[i].name)
	}
	return strings.Join(list, " ")
}

// want has the owner say who should have replicas.
func (m *nemesis) want(nodes []int, wait time.Duration) people.Result {
	s, err := m.r.show(0)
	if err != nil {
		return people.Result{Code: 1, Err: err.Error()}
	}
	args := []string{"repo", "replicas", m.r.url, "--count", fmt.Sprint(len(nodes)), "--wait", wait.String()}
	for i, n := range m.c.nodes {
		wanted := slices.Contains(nodes, i)
		has := slices.ContainsFunc(s.Replicas, func(p people.Replica) bool { return p.Peer == n.peerID && p.Role != "learner" })
		switch {
		case wanted:
			args = append(args, "--add", n.peerID)
		case has:
			args = append(args, "--remove", n.peerID)
		}
	}
	r := m.c.at(0).TryPeer(args...)
	if r.Code == 0 {
		m.members.wanted = nodes
	}
	return r
}

// whole says what is missing until every disk that has a replica holds all that is
// committed, so that one of them may go.
func (m *nemesis) whole() error {
	s, err := m.r.show(0)
	if err != nil {
		return err
	}
	holders, err := m.c.holders(s)
	if err != nil || len(holders) < 3 {
		return errors.Join(fmt.Errorf("%d replicas: %s", len(holders), s.Plan), err)
	}
	for _, p := range s.Replicas {
		if p.Role != "voter" || !p.Alive || !p.InSync {
			return fmt.Errorf("%s is %s, alive %v, in sync %v: %s", p.Peer, p.Role, p.Alive, p.InSync, s.Plan)
		}
	}
	for _, i := range holders {
		// NB: a seat counts as in sync until its silence is noticed. A node without a
		// disk has taken no new one as long as it has no repository.
		if !m.r.has(i) {
			return fmt.Errorf("%s has not taken its new seat", m.c.nodes[i].name)
		}
	}
	return nil
}

// another is node i, or one that is not the owner's, whose home the clients use.
func (m *nemesis) another(i int) *node {
	if i == 0 {
		i = 1 + m.random.IntN(memberNodes-1)
	}
	return m.c.nodes[i]
}

// wiped gives a node an empty disk: it has its key, and no seat any more.
func (m *nemesis) wiped(i int) fault {
	n := m.another(i)
	return fault{"wipe", "wipe the disk of " + n.name, func() error {
		if err := await.Poll(wholePatience, m.whole); err != nil {
			m.note("", "not wiped: %v", err)
			return nil
		}
		return errors.Join(n.kill(), m.wipe(n, "key", "config.json"), n.restart())
	}, func() error { return nil }, time.Second}
}

// lost takes a node away for good. Another one, which nobody knows, comes to its
// address, and the group has found a replacement before the next fault.
func (m *nemesis) lost(i int) fault {
	n := m.another(i)
	old := n.peerID
	return fault{"lose a node", "lose " + n.name + " for good", func() error {
		if err := await.Poll(wholePatience, m.whole); err != nil {
			m.note("", "not lost: %v", err)
			return nil
		}
		m.members.mayLose--
		if err := errors.Join(n.kill(), m.wipe(n, "config.json")); err != nil {
			return err
		}
		n.peerID = n.user.Identity().PeerID
		return errors.Join(m.sync(n), n.restart(), await.Poll(lostPatience, func() error {
			s, err := m.r.show(0)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(s.Replicas, func(p people.Replica) bool { return p.Peer == old }) {
				return fmt.Errorf("%s, which is gone for good, is not replaced: %s", old, s.Plan)
			}
			if m.members.wanted, err = m.c.holders(s); err != nil {
				return err
			}
			return m.whole()
		}))
	}, func() error { return nil }, time.Second}
}

// wipe removes all from a node's home but some files.
func (m *nemesis) wipe(n *node, but ...string) error {
	files, err := os.ReadDir(n.home)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !slices.Contains(but, f.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(n.home, f.Name())))
		}
	}
	return errors.Join(err, m.sync(n))
}

// sync has on the disk of a node what the test wrote to it.
func (m *nemesis) sync(n *node) error {
	if m.images == nil {
		return nil
	}
	return m.images[n.number].sync()
}

// settleMembers waits until those have replicas that the owner wants, and nobody
// else has a copy.
func (m *nemesis) settleMembers(t *testing.T) {
	t.Helper()
	begin := time.Now()
	var holders []int
	await.Eventually(t, membersPatience, func() (err error) {
		if holders, err = m.r.atRest(); err != nil || m.members.wanted == nil || slices.Equal(holders, m.members.wanted) {
			return err
		}
		// Who was wanted earlier may have been taken in since: it is to leave again.
		asked := m.want(m.members.wanted, membersPatience/3)
		return fmt.Errorf("replicas are on %s, and wanted on %s: %v", m.names(holders), m.names(m.members.wanted), asked)
	})
	await.Eventually(t, membersPatience, func() error {
		for i, n := range m.c.nodes {
			if has := m.r.has(i); has != slices.Contains(holders, i) {
				return fmt.Errorf("%s has a copy: %v, and replicas are on %s", n.name, has, m.names(holders))
			}
		}
		return nil
	})
	t.Logf("replicas are on %s, %v after the last fault", m.names(holders), time.Since(begin).Round(time.Millisecond))
}
