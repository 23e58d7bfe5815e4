package node

import (
	"encoding/binary"
	"testing"

	"peer/identity"
)

// Nodes that share no group with this one have only so many seats wait, together; the
// others, and what is founded here, find room all the same.
func TestWaitingSeatsOfStrangers(t *testing.T) {
	n := &Node{waiting: map[identity.RepoID]waitingSeat{}, groups: map[identity.RepoID]*group{}, broken: map[identity.RepoID]*broken{}}
	fellow := identity.PeerID("fellow")
	n.near.of = map[identity.PeerID]*neighbour{fellow: {}}
	repo := func(i int) (id identity.RepoID) {
		binary.BigEndian.PutUint64(id[:], uint64(i))
		return id
	}
	drawn := 0
	for i := range 2 * seatsStrange {
		if n.admitSeat(repo(i), identity.PeerID("stranger "+string(rune('a'+i%20))), false) == nil {
			drawn++
		}
	}
	if drawn != seatsStrange {
		t.Errorf("strangers drew %d seats, want %d", drawn, seatsStrange)
	}
	for _, from := range []identity.PeerID{fellow, ""} {
		if err := n.admitSeat(repo(3*seatsStrange), from, false); err != nil {
			t.Errorf("%q: %v", from, err)
		}
	}
	n.groups[repo(0)] = &group{}
	if err := n.admitSeat(repo(4*seatsStrange), "stranger z", false); err != nil {
		t.Errorf("a seat that was claimed still waits: %v", err)
	}
}
