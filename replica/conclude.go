package replica

import (
	"bytes"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// A change of voters ends with its certificate. Each voter of before that has
// applied the joint configuration signs what it leads to, and tells whoever leads,
// with each tick until it is done; the entry that ends the change carries a majority
// of these signatures. So voters who are at rest are always certified.
//
// This waits for nobody for whom the change does not wait anyway: that entry is
// under the joint configuration too, and commits only at a majority of the voters
// of before. Those can sign: to take the entry they hear a leader that has applied
// the joint configuration, and apply it as well.

const (
	// vouchBytesMax bounds what rides in an acknowledgement.
	vouchBytesMax = 512
	// concludeTicks is how long a leader waits for the end that it proposed before it
	// proposes it again: raft may have made an empty entry of it.
	concludeTicks = 3 * ElectionTicks
)

// change is what a member knows of the change of voters that is under way.
type change struct {
	of   *Membership // the joint one
	next *Configuration
	// due: it is time to tell the leader again.
	due bool
	// endorsed are signatures over next, by seat.
	endorsed map[uint64][]byte
	// proposed is when the end was proposed, and in which term.
	proposed, term uint64
}

// pending is the configuration that the change under way leads to; nil if none is.
func (g *Group) pending() *Configuration {
	ms := g.table.members
	if !ms.Joint() {
		g.change = change{}
		return nil
	}
	if g.change.of != ms {
		g.change = change{of: ms, due: true, next: ms.pending(g.genesis), endorsed: map[uint64][]byte{}}
	}
	return g.change.next
}

func (ms *Membership) pending(g *Genesis) *Configuration {
	return ms.Lineage.Last().next(g, ms.Index, ms.Voters())
}

// vouch signs, at the end of a turn, what a change leads to that is applied here.
// What it sends must not leave before the turn is saved.
func (g *Group) vouch(t *Turn) {
	next := g.pending()
	if next == nil || !g.change.due {
		return
	}
	g.change.due = false
	self, b := g.Self(), g.rn.BasicStatus()
	if self.Role != Voter && self.Role != Outgoing {
		return
	}
	signature := g.key.Sign(identity.DomainConfiguration, next.Body)
	g.change.endorsed[self.RaftID] = signature
	if b.Lead == raft.None || b.RaftState != raft.StateFollower || !g.active(b.Lead) {
		return
	}
	// An acknowledgement of what is applied, and so was acknowledged long ago.
	t.Messages = append(t.Messages, &pb.Message{
		Type: pb.MsgAppResp.Enum(), From: new(self.RaftID), To: new(b.Lead), Term: new(b.GetTerm()), Index: new(g.table.Index()),
		Context: encode(&wire.Vouch{Generation: next.Generation, Configuration: signature}),
	})
}

// takeVouch takes in what an acknowledgement carries.
func (g *Group) takeVouch(m *pb.Message) {
	raw := m.GetContext()
	m.Context = nil
	v := new(wire.Vouch)
	if len(raw) == 0 || len(raw) > vouchBytesMax || proto.Unmarshal(raw, v) != nil {
		return
	}
	next, sender := g.pending(), g.seat(m.GetFrom())
	g.takeHeld(sender, v.GetHeld())
	if next == nil || v.GetGeneration() != next.Generation || g.change.endorsed[sender.RaftID] != nil {
		return
	}
	if sender.Role != Voter && sender.Role != Outgoing || !next.endorsedBy(sender, v.GetConfiguration()) {
		return
	}
	g.change.endorsed[sender.RaftID] = bytes.Clone(v.GetConfiguration())
}

// conclude proposes the end of a change, where this member leads and enough
// voters of before have signed. A leader that is on its way out hands over instead.
func (g *Group) conclude() {
	next, b := g.pending(), g.rn.BasicStatus()
	if next == nil || b.RaftState != raft.StateLeader || b.LeadTransferee != raft.None || g.Self().Role == Outgoing {
		return
	}
	if g.table.Term() != b.GetTerm() { // raft knows of no change before it has applied all that it began with
		return
	}
	if g.change.term == b.GetTerm() && g.ticks-g.change.proposed < concludeTicks {
		return
	}
	cert := g.table.members.Lineage.Last().certify(next, g.change.endorsed)
	if cert == nil || g.rn.ProposeConfChange(&pb.ConfChangeV2{Context: encode(cert)}) != nil {
		return // later
	}
	g.change.term, g.change.proposed = b.GetTerm(), g.ticks
}

// concluded is the membership after a change that an entry with that certificate
// ends; nil where it does not.
func (t *Table) concluded(index uint64, raw []byte) *Membership {
	cert := new(wire.Certificate)
	if !t.members.Joint() || proto.Unmarshal(raw, cert) != nil || !bytes.Equal(cert.GetConfiguration(), t.members.pending(t.genesis).Body) {
		return nil
	}
	proved, err := t.members.Lineage.With(cert)
	if err != nil {
		return nil
	}
	return t.members.settled(index, proved)
}
