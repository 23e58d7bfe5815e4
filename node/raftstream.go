package node

import (
	"context"
	"slices"
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
			batch := drainQueue(first, queue)
			next, err := s.deliver(to, stream, batch)
			if stream = next; err != nil {
				s.undelivered(to, batch, err)
			}
		}
	}
}

// drainQueue takes what is waiting into one frame, up to the frame's limit.
func drainQueue(first outgoing, queue chan outgoing) []outgoing {
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

// serveRaft takes messages from another node. One that shares no group with this
// one is heard too, within narrow limits: it may have a seat of which this member,
// which is behind, has yet to hear.
func (n *Node) serveRaft(from identity.PeerID, s wire.Stream) {
	stop := context.AfterFunc(n.ctx, func() { _ = s.Reset() })
	defer stop()
	place := &raftPlace{from: from, reset: func() { _ = s.Reset() }}
	defer n.raftIn.leave(place)
	for {
		frame := new(wire.RaftBatch)
		in := &raftReader{Stream: s, n: n, from: from}
		most := wire.SnapshotBytesMax
		if n.sharesGroup(from) {
			n.raftIn.leave(place)
		} else {
			most, in.whole = raftStrangerBytesMax, requestTimeout
			if oldest := n.raftIn.enter(place); oldest != nil {
				n.spawn(oldest.reset) // which waits for a host that doesn't read
			}
		}
		if err := wire.ReadFrame(in, frame, most); err != nil {
			_ = s.Reset()
			return
		}
		messages, err := n.unpack(from, frame)
		if err != nil {
			n.log.Warn("malformed raft message", "from", from)
			_ = s.Reset()
			return
		}
		n.takeBeat(from, frame.GetBeat())
		if len(messages) > 0 {
			n.post(func() {
				for _, i := range messages {
					i.g.take(from, i)
				}
			})
		}
	}
}

// raftReader reads one frame. It notes each time that bytes come: a large frame on
// a slow link is no silence. Nothing for idleTimeout is: who has nothing to say for
// half as long closes its stream, see senderIdle.
type raftReader struct {
	wire.Stream
	n     *Node
	from  identity.PeerID
	whole time.Duration // for all of the frame from when it began, if not zero
	begun bool
}

func (r *raftReader) Read(p []byte) (int, error) {
	if r.whole == 0 || !r.begun {
		if err := r.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
			return 0, err
		}
	}
	read, err := r.Stream.Read(p)
	if read == 0 {
		return 0, err
	}
	r.n.hear(r.from)
	if r.whole != 0 && !r.begun && err == nil {
		err = r.SetDeadline(time.Now().Add(r.whole))
	}
	r.begun = true
	return read, err
}

// What nodes that share no group with this one may have of raft's streams. A node
// needs one, and another while the first is found to be dead. A frame that holds a
// beat of leaders or a request for votes, which tell of an unknown seat, is small.
const (
	raftStrangersMax     = 64
	raftPerStrangerMax   = 2
	raftStrangerBytesMax = 256 << 10
)

// raftStrangers are the streams of such nodes, the oldest first. A new one is always
// let in, in the place of another: what it says first may be enough to know its
// sender, and who is put out and honest opens a stream again.
type raftStrangers struct {
	mu     sync.Mutex
	places []*raftPlace
}

// raftPlace is a stream's.
type raftPlace struct {
	from  identity.PeerID
	reset func()
	out   bool // it is being reset
}

// enter makes sure that a stream has a place, and says which one has none any more.
func (s *raftStrangers) enter(p *raftPlace) (out *raftPlace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.out || slices.Contains(s.places, p) {
		return nil
	}
	var own []*raftPlace
	for _, other := range s.places {
		if other.from == p.from {
			own = append(own, other)
		}
	}
	switch {
	case len(own) >= raftPerStrangerMax:
		out = own[0]
	case len(s.places) >= raftStrangersMax:
		out = s.places[0]
	}
	if out != nil {
		out.out = true
		s.remove(out)
	}
	s.places = append(s.places, p)
	return out
}

func (s *raftStrangers) leave(p *raftPlace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(p)
}

// remove forgets a place. The caller holds mu.
func (s *raftStrangers) remove(p *raftPlace) {
	s.places = slices.DeleteFunc(s.places, func(other *raftPlace) bool { return other == p })
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
