package node

import (
	"slices"
	"sync"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// noteMembers remembers who has seats now, if that can be proved and is news.
func (c *Client) noteMembers(repo identity.RepoID, at *wire.WhereReply) {
	g, err := replica.ParseGenesis(at.GetGenesis())
	if err != nil || g.Repo != repo || at.GetMembersIndex() <= c.members.index(repo) {
		return
	}
	if seats, err := replica.ParseSeats(g, at.GetMembers()); err == nil {
		c.members.put(repo, at.GetMembersIndex(), seats)
	}
}

// memberCache remembers the seats of groups whose members changed since they were
// founded. Seats are proved; that they are the present ones is not, so the
// founders are asked as well.
type memberCache struct {
	mu sync.Mutex
	of map[identity.RepoID]cachedMembers
}

type cachedMembers struct {
	index uint64
	seats []replica.Member
}

// cachedGroupsMax bounds the cache; it is emptied when it is full.
const cachedGroupsMax = 10_000

func (m *memberCache) index(repo identity.RepoID) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[repo].index
}

func (m *memberCache) put(repo identity.RepoID, index uint64, seats []replica.Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil || len(m.of) >= cachedGroupsMax {
		m.of = map[identity.RepoID]cachedMembers{}
	}
	m.of[repo] = cachedMembers{index, seats}
}

func (m *memberCache) peers(g *replica.Genesis) []identity.PeerID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []identity.PeerID
	for _, seat := range append(slices.Clone(m.of[g.Repo].seats), g.Members...) {
		if !slices.Contains(list, seat.Peer) {
			list = append(list, seat.Peer)
		}
	}
	return list
}
