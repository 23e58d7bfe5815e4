package nodetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"peer/git"
	"peer/replica"
	"peer/wire"
)

// Converge waits until these members, or all that run, agree, and has git check
// their repositories.
func (c *Cluster) Converge(g *replica.Genesis, members ...*Member) {
	c.t.Helper()
	for _, m := range c.Agree(g, members...) {
		if err := m.Fsck(g); err != nil {
			c.t.Errorf("node %d: %v", slices.Index(c.Members, m), err)
		}
	}
}

// Agree waits until these members, or all that run, have applied and published
// the same. Two tables at one index fail the test at once.
func (c *Cluster) Agree(g *replica.Genesis, members ...*Member) []*Member {
	c.t.Helper()
	if len(members) == 0 {
		members = slices.DeleteFunc(slices.Clone(c.Members), func(m *Member) bool { return !m.Running() })
	}
	c.Eventually(func() string { return c.differ(g, members) })
	return members
}

// differ says in what the members differ, from each other or in themselves.
func (c *Cluster) differ(g *replica.Genesis, members []*Member) string {
	var first *replica.Table
	for _, m := range members {
		table, err := m.Table(g)
		if err != nil {
			return err.Error()
		}
		if first == nil {
			first = table
		}
		if table.Index() != first.Index() || !bytes.Equal(table.Chain(), first.Chain()) {
			return fmt.Sprintf("tables at %d and %d", first.Index(), table.Index())
		}
		if a, b := listTable(table), listTable(first); a != b {
			c.t.Fatalf("two tables at index %d:\n%s\n%s", table.Index(), a, b)
		}
		listed, err := m.ListRefs(g)
		if err != nil {
			return err.Error()
		}
		if listed != listTable(table) {
			return fmt.Sprintf("git's refs are not the table's:\n%s\nand the table:\n%s", listed, listTable(table))
		}
	}
	return ""
}

// Table is the table as a member's store has it.
func (m *Member) Table(g *replica.Genesis) (*replica.Table, error) {
	return replica.LoadTable(func(f func(string, []byte) error) error { return m.Store.Table(g.Repo, f) },
		replica.Rules{CheckRefName: git.CheckRefName})
}

// listTable spells a table's refs and HEAD as ListRefs does.
func listTable(t *replica.Table) string {
	lines := make([]string, 0, len(t.Refs()))
	for _, r := range t.Refs() {
		lines = append(lines, fmt.Sprintf("%x %s", r.GetOid(), r.GetName()))
	}
	return spellRefs(lines, t.Head())
}

func spellRefs(lines []string, head string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\nHEAD " + head
}

// ListRefs reads the refs and HEAD of the repository on disk, with git.
func (m *Member) ListRefs(g *replica.Genesis) (string, error) {
	repo, err := git.Open(m.RepoDir(g))
	if err != nil {
		return "", err
	}
	listing, err := repo.ReadRefs(context.Background())
	if err != nil {
		return "", err
	}
	lines := make([]string, 0, len(listing.Refs))
	for _, r := range listing.Refs {
		lines = append(lines, r.OID.String()+" "+r.Name)
	}
	return spellRefs(lines, listing.Head), nil
}

// Fsck has git check a member's repository, and that all that refs reach is there.
// It looks again where git complains: packs that the node joins meanwhile look
// damaged, once.
func (m *Member) Fsck(g *replica.Genesis) (err error) {
	for range 3 {
		cmd := git.Command{Args: []string{"fsck", "--full", "--strict", "--no-dangling", "--no-progress"}, Dir: m.RepoDir(g)}
		if _, err = cmd.Output(context.Background(), 1<<20); err == nil {
			return nil
		}
	}
	return err
}

// Has says whether an object is in a member's repository, reachable or not.
func (m *Member) Has(g *replica.Genesis, oid git.OID) bool {
	cmd := git.Command{Args: []string{"cat-file", "-e", oid.String()}, Dir: m.RepoDir(g)}
	return cmd.Run(context.Background()) == nil
}

// Staged lists what is in a member's staging area.
func (m *Member) Staged(g *replica.Genesis) []string {
	entries, err := os.ReadDir(filepath.Join(m.RepoDir(g), "peer", "staging"))
	if err != nil {
		return []string{err.Error()}
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// View is what a member itself knows about a repository; empty if it has none.
// It does not go through the network.
func (m *Member) View(g *replica.Genesis) *wire.RepoState {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	ours, theirs := Pair()
	served := make(chan struct{})
	go func() {
		defer close(served)
		m.Host.Serve("session/1", m.ID, theirs)
	}()
	c := &Client{Key: m.Key, Genesis: g}
	s := c.session(ctx, ours)
	state, err := s.show()
	_ = s.Close()
	<-served
	if err != nil {
		return &wire.RepoState{}
	}
	return state
}

// RepoDir is where a member keeps a repository.
func (m *Member) RepoDir(g *replica.Genesis) string {
	return filepath.Join(m.Repos, g.Owner.PeerID().String(), g.Name+".git")
}
