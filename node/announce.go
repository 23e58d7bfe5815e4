package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// How often the network hears of a group that is idle, and how long a hint is
// believed. Hints lead to a group; its own log says what is true of it. A node's
// groups take turns, so that a thousand of them are never announced at once, and few
// turns, so that they don't keep it awake.
const (
	announceEvery = time.Minute
	announceStep  = 5 * time.Second
	republishEach = 10 // announcements
	hintAge       = 48 * time.Hour
	gossipTimeout = 5 * time.Second
	recordTimeout = 20 * time.Second
	freshQueued   = 256
)

func topicOf(repo identity.RepoID) string { return "repo/1/" + repo.String() }

// announcing is how far the announcement of a group is. It belongs to the loop's goroutine.
type announcing struct{ busy, again bool }

// announce tells the repository's topic where the group is. The loop calls it
// after each commit of this leader. One announcement of a group is under way at a
// time, and waits a tick before it looks: by then the followers usually have the
// entry too, and whatever was committed meanwhile needs no other.
func (n *Node) announce(g *group) {
	if g.genesis.Private {
		return // its members hear of it in the log
	}
	if g.announcing.busy {
		g.announcing.again = true
		return
	}
	g.announcing.busy = true
	n.spawn(func() {
		select {
		case <-time.After(n.cfg.Tick):
		case <-n.ctx.Done():
			return
		}
		n.announceNow(g, gossipTimeout, false)
		n.post(func() {
			again := g.announcing.again
			if g.announcing = (announcing{}); again {
				n.announce(g)
			}
		})
	})
}

// hint describes the group, on the loop's goroutine.
func (n *Node) hint(g *group) *wire.Hint {
	state := g.core.State()
	h := &wire.Hint{
		Genesis: g.genesis.Hash[:], Leader: []byte(state.Leader), Term: state.Term, Index: state.Applied,
		Generation: state.Membership.Lineage.Last().Generation, Chain: g.core.Table().Chain(), Refs: g.core.Table().State().GetRefs(), ExpiresUnixMs: time.Now().Add(hintAge).UnixMilli(),
	}
	for _, m := range state.Members {
		if m.InSync && n.answers(m.Peer) && !n.ailing(m.Peer).isDamaged(g.genesis.Repo) {
			h.InSync = append(h.InSync, []byte(m.Peer))
		}
	}
	return h
}

// signHint makes a record of a hint. Nobody believes a leader that is not certified
// yet: one that takes over while all voters of before leave.
func (n *Node) signHint(g *group, h *wire.Hint) ([]byte, error) {
	proved := g.members().Lineage
	if last := proved.Last(); !last.HasVoter(n.self) || last.Generation != h.GetGeneration() {
		return nil, errors.New("this member is not certified as a voter yet")
	}
	signed, err := replica.Seal(n.cfg.Key, identity.DomainHint, h)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(&wire.HintRecord{Hint: signed, Genesis: g.genesis.Signed, Lineage: proved.Wire()})
}

// announceLoop joins the topics of this node's groups, and keeps their records
// in the DHT from growing old.
func (n *Node) announceLoop() {
	ticker := time.NewTicker(announceStep)
	defer ticker.Stop()
	joined := map[identity.RepoID]func(){}
	defer func() {
		for _, leave := range joined {
			leave()
		}
	}()
	for _, g := range n.allGroups() {
		n.joinTopic(g, joined)
	}
	published := map[identity.RepoID]bool{}
	for step := uint32(0); ; {
		select {
		case <-ticker.C:
			step++
			n.announceDue(step, joined, published)
		case g := <-n.fresh:
			n.joinTopic(g, joined)
			published[g.genesis.Repo] = n.announceNow(g, recordTimeout, true)
		case <-n.ctx.Done():
			return
		}
	}
}

// announceDue announces the groups whose turn it is. A record is published when
// this node leads for the first time, and then each tenth time.
func (n *Node) announceDue(step uint32, joined map[identity.RepoID]func(), published map[identity.RepoID]bool) {
	const steps = uint32(announceEvery / announceStep)
	for _, g := range n.allGroups() {
		turn := binary.BigEndian.Uint32(g.genesis.Repo[:])
		if turn%steps != step%steps || n.ctx.Err() != nil {
			continue
		}
		n.joinTopic(g, joined)
		publish := !published[g.genesis.Repo] || (turn/steps)%republishEach == (step/steps)%republishEach
		if n.announceNow(g, recordTimeout, publish) && publish {
			published[g.genesis.Repo] = true
		}
	}
}

// freshen has the announcer see to a group soon: one that is new here, and one
// that this node leads for the first time, since only a leader publishes.
func (n *Node) freshen(g *group) {
	select {
	case n.fresh <- g:
	default:
	}
}

func (n *Node) joinTopic(g *group, joined map[identity.RepoID]func()) {
	if joined[g.genesis.Repo] != nil || g.genesis.Private {
		return
	}
	validate := func(_ identity.PeerID, data []byte) bool {
		known := g
		if now := n.group(g.genesis.Repo); now != nil {
			known = now
		}
		_, err := checkHint(known.members().Lineage, g.genesis, g.genesis.Repo, data, time.Now())
		return err == nil
	}
	leave, err := n.cfg.Network.Join(topicOf(g.genesis.Repo), validate, func(_ identity.PeerID, data []byte) {
		if now := n.group(g.genesis.Repo); now != nil { // another one, where this node took another seat
			n.takeHint(now, data)
		}
	})
	if err != nil {
		g.log.Warn("topic not joined", "error", err)
		return
	}
	joined[g.genesis.Repo] = leave
}

// takeHint takes another member's hint, which was checked before it was relayed. It is
// no evidence for the group itself, but a reason to ask: the last entry of a quiet
// group is followed by none.
func (n *Node) takeHint(g *group, data []byte) {
	record, hint := new(wire.HintRecord), new(wire.Hint)
	if proto.Unmarshal(data, record) != nil || proto.Unmarshal(record.GetHint().GetBody(), hint) != nil {
		return
	}
	there := &wire.StateHash{Index: hint.GetIndex(), Chain: hint.GetChain(), Refs: hint.GetRefs()}
	n.spawn(func() { n.post(func() { g.compare(there, "a hint tells") }) })
}

// announceNow says where the group is, if this node leads it, to those who listen
// to it, and with publish in the DHT too.
func (n *Node) announceNow(g *group, patience time.Duration, publish bool) (leads bool) {
	hint, err := ask(n.ctx, n, func() *wire.Hint {
		if _, leading := g.core.Leading(); !leading || g.problem != nil {
			return nil
		}
		return n.hint(g)
	})
	if err != nil || hint == nil {
		return false
	}
	if g.genesis.Private {
		n.tellFellows(g, hint, publish)
		return true
	}
	record, err := n.signHint(g, hint)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(n.ctx, patience)
	defer cancel()
	if err := n.cfg.Network.Publish(ctx, topicOf(g.genesis.Repo), record); err != nil {
		g.log.Debug("not announced", "error", err)
	}
	if publish {
		if err := n.cfg.Network.PutRecord(ctx, g.genesis.Repo[:], record); err != nil {
			g.log.Debug("not published", "error", err)
		}
	}
	return true
}

// CheckHint verifies a record about repo before it is stored, relayed or
// believed: the genesis hashes back to the repository's ID under the owner's
// signature, a majority of the voters signed each change of voters since, and one of
// the voters that this leads to signed the hint.
func CheckHint(repo identity.RepoID, raw []byte, now time.Time) (*wire.Hint, error) {
	return checkHint(nil, nil, repo, raw, now)
}

// checkHint spares the check of a genesis and a lineage that are known already: who
// has a thousand groups hears of each of them every minute.
func checkHint(proved *replica.Lineage, known *replica.Genesis, repo identity.RepoID, raw []byte, now time.Time) (*wire.Hint, error) {
	if len(raw) > wire.RecordBytesMax {
		return nil, &wire.TooLargeError{Size: len(raw), Max: wire.RecordBytesMax}
	}
	record, hint := new(wire.HintRecord), new(wire.Hint)
	if err := proto.Unmarshal(raw, record); err != nil {
		return nil, fmt.Errorf("hint: %w", err)
	}
	g := known
	if g == nil || !proto.Equal(record.GetGenesis(), g.Signed) {
		var err error
		if g, err = replica.ParseGenesis(record.GetGenesis()); err != nil {
			return nil, err
		}
	}
	if proved == nil || g != known || !proved.Same(record.GetLineage()) {
		var err error
		if proved, err = replica.ParseLineage(g, record.GetLineage()); err != nil {
			return nil, err
		}
	}
	signer, err := replica.Open(record.GetHint(), identity.DomainHint, hint)
	if err != nil {
		return nil, err
	}
	switch left := time.UnixMilli(hint.GetExpiresUnixMs()).Sub(now); {
	case g.Private:
		return nil, errors.New("hint about a private repository")
	case g.Repo != repo:
		return nil, errors.New("hint about another repository")
	case string(hint.GetGenesis()) != string(g.Hash[:]):
		return nil, errors.New("hint about another genesis")
	case hint.GetGeneration() != proved.Last().Generation:
		return nil, errors.New("hint about other voters than it proves")
	case !proved.Last().HasVoter(signer.PeerID()):
		return nil, errors.New("hint signed by no certified voter")
	case left <= 0 || left > 2*hintAge:
		return nil, errors.New("hint has expired, or is from the future")
	}
	return hint, nil
}

// newer says whether a hint is of later voters, or of the same at a later time.
func newer(a, b *wire.Hint) bool {
	return cmp.Or(cmp.Compare(a.GetGeneration(), b.GetGeneration()), cmp.Compare(a.GetTerm(), b.GetTerm()), cmp.Compare(a.GetIndex(), b.GetIndex())) > 0
}

// SelectHint picks the newest of several valid records.
func SelectHint(repo identity.RepoID, records [][]byte, now time.Time) (int, error) {
	best := -1
	var top *wire.Hint
	for i, raw := range records {
		h, err := CheckHint(repo, raw, now)
		if err != nil {
			continue
		}
		if best < 0 || newer(h, top) {
			best, top = i, h
		}
	}
	if best < 0 {
		return 0, errors.New("no valid record")
	}
	return best, nil
}
