package node

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// senders carries raft's messages, one queue and one stream for each other
// node, whatever the number of groups they share. Messages may get lost; raft
// sends again.
type senders struct {
	n  *Node
	mu sync.Mutex
	to map[identity.PeerID]chan outgoing
}

// outgoing is a message of raft; or without one what a leader says to a group
// that sleeps, or that the group must wake; or without a group a beat, which is
// made when it is written.
type outgoing struct {
	g     *group
	m     *pb.Message
	sleep *wire.Sleep
}

// senderIdle is how long a queue without messages keeps its goroutine and stream.
const senderIdle = time.Minute

func (s *senders) init(n *Node) { s.n, s.to = n, map[identity.PeerID]chan outgoing{} }

// send hands a group's messages to the queues. It never waits: it is called by the loop.
func (g *group) send(messages []*pb.Message) {
	for _, m := range messages {
		to := g.core.PeerOf(m.GetTo())
		if to == "" || to == g.n.self {
			continue
		}
		if !g.n.raftOut.enqueue(to, outgoing{g: g, m: m}) {
			g.core.Unreachable(to)
			g.lost(to, m)
		}
	}
}

// lost tells raft about a snapshot that did not get through. One that did is
// over when its receiver acknowledges it, which may take as long as fetching
// all its objects.
func (g *group) lost(to identity.PeerID, m *pb.Message) {
	if m.GetType() == pb.MsgSnap {
		g.core.SnapshotSent(to, false)
	}
}

func (s *senders) enqueue(to identity.PeerID, o outgoing) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue, ok := s.to[to]
	if !ok {
		queue = make(chan outgoing, raftQueueLen)
		s.to[to] = queue
		s.n.spawn(func() { s.run(to, queue) })
	}
	select {
	case queue <- o:
		return true
	default:
		return false
	}
}

// retire ends a queue that nothing uses, unless a message slipped in.
func (s *senders) retire(to identity.PeerID, queue chan outgoing) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(queue) > 0 {
		return false
	}
	delete(s.to, to)
	return true
}

func (s *senders) run(to identity.PeerID, queue chan outgoing) {
	var stream wire.Stream
	defer func() {
		if stream != nil {
			_ = stream.Close()
		}
	}()
	for {
		select {
		case <-s.n.ctx.Done():
			return
		case <-time.After(senderIdle):
			if s.retire(to, queue) {
				return
			}
		case first := <-queue:
			batch := gather(first, queue)
			next, err := s.deliver(to, stream, batch)
			if stream = next; err != nil {
				s.undelivered(to, batch, err)
			}
		}
	}
}

// gather takes what is waiting into one frame, up to the frame's limit.
func gather(first outgoing, queue chan outgoing) []outgoing {
	batch, size := []outgoing{first}, proto.Size(first.m)
	for size < wire.RaftBytesMax/4 {
		select {
		case o := <-queue:
			batch, size = append(batch, o), size+proto.Size(o.m)
		default:
			return batch
		}
	}
	return batch
}

// deliver writes a batch, opening the stream if there is none. A stream that
// failed is reset and given up.
func (s *senders) deliver(to identity.PeerID, stream wire.Stream, batch []outgoing) (wire.Stream, error) {
	frame := new(wire.RaftBatch)
	if stream == nil {
		ctx, cancel := context.WithTimeout(s.n.ctx, probeTimeout)
		defer cancel()
		opened, err := s.n.cfg.Network.Open(ctx, to, protocolRaft)
		if err != nil {
			return nil, err
		}
		stream = bind(s.n.ctx, opened)
	}
	for _, o := range batch {
		if o.g == nil {
			frame.Beat = s.n.beatTo(to)
			continue
		}
		m, err := o.spell()
		if err != nil {
			return stream, err
		}
		frame.Messages = append(frame.Messages, m)
	}
	if err := wire.WriteFrame(moving{stream, requestTimeout}, frame); err != nil { // a snapshot is large
		_ = stream.Reset()
		return nil, err
	}
	return stream, nil
}

func (o outgoing) spell() (*wire.RaftMessage, error) {
	m := &wire.RaftMessage{Repo: o.g.genesis.Repo[:], Genesis: o.g.genesis.Hash[:], Sleep: o.sleep}
	if o.m == nil {
		m.Wake = o.sleep == nil
		return m, nil
	}
	var err error
	m.Message, err = proto.Marshal(o.m)
	return m, err
}

func (s *senders) undelivered(to identity.PeerID, batch []outgoing, err error) {
	s.n.log.Debug("messages lost", "to", to, "messages", len(batch), "error", err)
	s.n.post(func() {
		for _, o := range batch {
			if o.m == nil {
				continue
			}
			o.g.core.Unreachable(to)
			o.g.lost(to, o.m)
			s.n.touch(o.g)
		}
	})
}

// incoming is what another node says about a group.
type incoming struct {
	g     *group
	m     *pb.Message
	sleep *wire.Sleep
}

// serveRaft takes messages from another node. Only nodes that share a group
// with this one may send any.
func (n *Node) serveRaft(from identity.PeerID, s wire.Stream) {
	stop := context.AfterFunc(n.ctx, func() { _ = s.Reset() })
	defer stop()
	for {
		frame := new(wire.RaftBatch)
		if err := wire.ReadFrame(heardStream{s, n, from}, frame, n.raftLimit(from)); err != nil {
			_ = s.Reset()
			return
		}
		in, err := n.unpack(from, frame)
		if err != nil {
			n.log.Warn("malformed raft message", "from", from)
			_ = s.Reset()
			return
		}
		n.takeBeat(from, frame.GetBeat())
		if len(in) > 0 {
			n.post(func() {
				for _, i := range in {
					i.g.take(from, i)
				}
			})
		}
	}
}

// heardStream notes each time that bytes come: a large frame on a slow link is
// no silence.
type heardStream struct {
	wire.Stream
	n    *Node
	from identity.PeerID
}

func (s heardStream) Read(p []byte) (int, error) {
	read, err := s.Stream.Read(p)
	if read > 0 {
		s.n.hear(s.from)
	}
	return read, err
}

// unpack decodes a frame. What is about groups that this node does not have, or
// has by another genesis, is left out.
func (n *Node) unpack(from identity.PeerID, frame *wire.RaftBatch) (in []incoming, err error) {
	for _, raw := range frame.GetMessages() {
		repo, err := identity.RepoIDFromBytes(raw.GetRepo())
		if err != nil {
			return nil, err
		}
		i := incoming{g: n.group(repo), sleep: raw.GetSleep()}
		if i.sleep == nil && !raw.GetWake() {
			i.m = new(pb.Message)
			if err := proto.Unmarshal(raw.GetMessage(), i.m); err != nil {
				return nil, err
			}
		}
		switch {
		case i.g == nil:
			n.missedGroup(from, repo)
		case string(raw.GetGenesis()) == string(i.g.genesis.Hash[:]):
			in = append(in, i)
		}
	}
	return in, nil
}

// take does what another member says.
func (g *group) take(from identity.PeerID, i incoming) {
	_, member := g.members().Member(from)
	switch {
	case i.m != nil:
		g.step(from, i.m)
	case g.problem != nil || !member:
	case i.sleep != nil:
		g.lulled(from, i.sleep)
	default:
		g.wake()
	}
}

// raftLimit is how large a frame from may send: snapshots come from members only.
func (n *Node) raftLimit(from identity.PeerID) int {
	if n.sharesGroup(from) {
		return wire.SnapshotBytesMax
	}
	return wire.RequestBytesMax
}
