package node

import (
	"sync"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// noteMembers remembers who votes now, if that is certified and is news.
func (c *Client) noteMembers(repo identity.RepoID, at *wire.WhereReply) {
	known := c.members.lineage(repo)
	if known != nil && known.Same(at.GetLineage()) {
		return
	}
	if g, err := replica.ParseGenesis(at.GetGenesis()); err == nil && g.Repo == repo {
		c.noteLineage(g, at.GetLineage())
	}
}

func (c *Client) noteLineage(g *replica.Genesis, raw *wire.Lineage) {
	if raw == nil {
		return
	}
	if proved, err := replica.ParseLineage(g, raw); err == nil {
		c.members.put(g.Repo, proved)
	}
}

// memberCache remembers who votes in groups whose voters changed since they were
// founded: the newest that was certified. Later voters may follow; who is asked says.
type memberCache struct {
	mu sync.Mutex
	of map[identity.RepoID]*replica.Lineage
}

// cachedGroupsMax bounds the cache; it is emptied when it is full.
const cachedGroupsMax = 10_000

func (m *memberCache) lineage(repo identity.RepoID) *replica.Lineage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[repo]
}

// put keeps a lineage, unless one is known that leads further, or elsewhere.
func (m *memberCache) put(repo identity.RepoID, proved *replica.Lineage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if have := m.of[repo]; proved.Last().Generation == 0 || have != nil && !proved.Extends(have) {
		return
	}
	if m.of == nil || len(m.of) >= cachedGroupsMax {
		m.of = map[identity.RepoID]*replica.Lineage{}
	}
	m.of[repo] = proved
}

// peers are the voters, as far as this client knows: those that the genesis names,
// where it knows of no others.
func (m *memberCache) peers(g *replica.Genesis) (list []identity.PeerID) {
	voters := g.Members
	if proved := m.lineage(g.Repo); proved != nil && proved.Genesis().Hash == g.Hash {
		voters = proved.Last().Voters
	}
	for _, seat := range voters {
		list = append(list, seat.Peer)
	}
	return list
}
