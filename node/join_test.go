package node_test

import (
	"testing"

	"peer/identity"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// A node that drew a nonce takes the seat that has it, and no other one that
// somebody names: that may be the seat which its disk held before it was lost.
func TestJoinTakesOnlyItsOwnSeat(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	target, founder := c.Members[0], identity.KeyFromSeed([32]byte{50})
	g, err := replica.NewGenesis(founder, genesisOf("elsewhere", founder))
	if err != nil {
		t.Fatal(err)
	}
	host := c.Net.Host(founder.PeerID())
	t.Cleanup(host.Close)
	other := &nodetest.Client{Key: founder, Genesis: g, Net: host}
	answer, err := request(t, other, target.ID, prepare(g.Repo[:]))
	nonce := answer.GetPrepare().GetNonce()
	if err != nil || len(nonce) != replica.NonceBytes {
		t.Fatalf("no nonce: %v, %v", answer, err)
	}
	proof, err := replica.Introduce(founder, g, target.ID, 2)
	if err != nil {
		t.Fatal(err)
	}
	// tell has the target hear of the group, and ask who has seats in it.
	tell := func(nonce []byte) {
		seat := replica.Member{RaftID: 2, Peer: target.ID, Nonce: nonce, Role: replica.Learner, Proof: proof}
		host.Handle("group/1", func(_ identity.PeerID, s wire.Stream) {
			if wire.ReadFrame(s, new(wire.GroupRequest), wire.RequestBytesMax) == nil {
				_ = wire.WriteFrame(s, &wire.GroupReply{Kind: &wire.GroupReply_Where{Where: &wire.WhereReply{
					Genesis: g.Signed, MembersIndex: 5, Members: []*wire.Member{g.Members[0].Wire(), seat.Wire()},
				}}})
			}
			_ = s.Close()
		})
		raw(t, other, target.ID, "raft/1", frames(&wire.RaftBatch{Messages: []*wire.RaftMessage{{Repo: g.Repo[:], Genesis: g.Hash[:], Wake: true}}}))
	}
	joined := func() bool {
		list, err := target.Node.Repos(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		return len(list) > 0
	}
	wrong := append([]byte{nonce[0] + 1}, nonce[1:]...)
	tell(wrong)
	c.Eventually(func() string {
		if !c.Logged("cannot take part in a group") && !joined() {
			return "it neither joins nor refuses to"
		}
		return ""
	})
	if joined() {
		t.Fatal("it took a seat whose nonce is another's")
	}
	tell(nonce)
	c.Eventually(func() string {
		if !joined() {
			return "it does not take its own seat"
		}
		return ""
	})
}
