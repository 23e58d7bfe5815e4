package transport

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"peer/identity"
	"peer/wire"
)

// Limits of gossip. A host that connects is told of all topics in one frame,
// and a frame beyond the limit silently ends the gossip between the two, so
// topicsMax names of topicBytesMax must fit. Messages themselves are held to
// wire.RecordBytesMax.
const (
	gossipFrameMax = 1 << 20
	topicsMax      = 8192
	topicBytesMax  = 100
)

var errNotJoined = errors.New("topic was not joined")

// gossip starts with the first topic: a client that joins none pays nothing.
type gossip struct {
	mu     sync.Mutex
	ps     *pubsub.PubSub
	topics map[string]*pubsub.Topic
}

func (t *Transport) pubsub() (*pubsub.PubSub, error) {
	if t.gossip.ps != nil {
		return t.gossip.ps, nil
	}
	mesh := t.names.protocol("mesh/1")
	ps, err := pubsub.NewGossipSub(t.ctx, t.host,
		// Messages are signed by those who made them, inside; a signature of
		// the host that publishes would prove nothing more and cost as much.
		// Without author and sequence number the content is the identity.
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(gossipFrameMax),
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(topicFilter{}, topicsMax)),
		pubsub.WithGossipSubProtocols([]protocol.ID{mesh}, func(f pubsub.GossipSubFeature, p protocol.ID) bool {
			return p == mesh && (f == pubsub.GossipSubFeatureMesh || f == pubsub.GossipSubFeatureIdontwant)
		}),
		pubsub.WithLogger(slog.New(slogSink{})),
	)
	if err != nil {
		return nil, err
	}
	t.gossip.ps = ps
	t.gossip.topics = make(map[string]*pubsub.Topic)
	return ps, nil
}

// topicFilter says which of a neighbour's topics to remember.
type topicFilter struct{}

func (topicFilter) CanSubscribe(topic string) bool { return len(topic) <= topicBytesMax }

func (f topicFilter) FilterIncomingSubscriptions(_ peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	return pubsub.FilterSubscriptions(subs, f.CanSubscribe), nil
}

func messageID(m *pb.Message) string {
	h := sha256.New()
	h.Write([]byte(m.GetTopic()))
	h.Write([]byte{0})
	h.Write(m.GetData())
	return string(h.Sum(nil))
}

// Join subscribes to a topic. validate runs before a message is relayed or
// received, on many goroutines at once, and for what this host publishes too;
// from is the neighbour that passed it on. receive gets the valid messages of
// others, one at a time; a receiver that lags misses some. leave waits for
// receive to return, so receive must not call it.
func (t *Transport) Join(topic string, validate func(from identity.PeerID, data []byte) bool, receive func(from identity.PeerID, data []byte)) (leave func(), err error) {
	fail := func(err error) (func(), error) { return nil, fmt.Errorf("join topic %.80q: %w", topic, err) }
	t.gossip.mu.Lock()
	defer t.gossip.mu.Unlock()
	if t.ctx.Err() != nil {
		return fail(ErrClosed)
	}
	switch {
	case len(topic) > topicBytesMax:
		return fail(errors.New("the name is too long"))
	case len(t.gossip.topics) >= topicsMax:
		return fail(errors.New("too many topics"))
	}
	ps, err := t.pubsub()
	if err != nil {
		return fail(err)
	}
	if t.gossip.topics[topic] != nil {
		return fail(errors.New("already joined"))
	}
	if err := ps.RegisterTopicValidator(topic, t.topicValidator(topic, validate)); err != nil {
		return fail(err)
	}
	handle, err := ps.Join(topic)
	if err != nil {
		return fail(errors.Join(err, ps.UnregisterTopicValidator(topic)))
	}
	sub, err := handle.Subscribe()
	if err != nil {
		return fail(errors.Join(err, handle.Close(), ps.UnregisterTopicValidator(topic)))
	}
	t.gossip.topics[topic] = handle

	ctx, cancel := context.WithCancel(t.ctx)
	done := make(chan struct{})
	t.loops.Go(func() {
		defer close(done)
		for {
			m, err := sub.Next(ctx)
			if err != nil {
				return
			}
			if m.ReceivedFrom != t.parts.id {
				receive(identity.PeerID(m.ReceivedFrom), m.GetData())
			}
		}
	})
	var once sync.Once
	return func() {
		once.Do(func() {
			cancel()
			<-done
			t.leave(topic, handle, sub)
		})
	}, nil
}

func (t *Transport) leave(topic string, handle *pubsub.Topic, sub *pubsub.Subscription) {
	t.gossip.mu.Lock()
	defer t.gossip.mu.Unlock()
	delete(t.gossip.topics, topic)
	sub.Cancel()
	if err := errors.Join(handle.Close(), t.gossip.ps.UnregisterTopicValidator(topic)); err != nil && t.ctx.Err() == nil {
		t.log.Warn("topic not left cleanly", "topic", topic, "error", err)
	}
}

func (t *Transport) topicValidator(topic string, validate func(identity.PeerID, []byte) bool) pubsub.ValidatorEx {
	return func(_ context.Context, from peer.ID, m *pubsub.Message) (result pubsub.ValidationResult) {
		defer func() {
			if p := recover(); p != nil {
				t.log.Error("message validator panicked", "topic", topic, "peer", from.String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				result = pubsub.ValidationReject
			}
		}()
		if len(m.GetData()) > wire.RecordBytesMax || !validate(identity.PeerID(from), m.GetData()) {
			return pubsub.ValidationReject
		}
		return pubsub.ValidationAccept
	}
}

// Publish sends data to the subscribers of a topic that was joined. At most
// wire.RecordBytesMax bytes; delivery is best effort, and the same data is
// sent once in two minutes.
func (t *Transport) Publish(ctx context.Context, topic string, data []byte) error {
	t.gossip.mu.Lock()
	handle := t.gossip.topics[topic]
	t.gossip.mu.Unlock()
	err := errNotJoined
	if handle != nil {
		err = handle.Publish(ctx, data)
	}
	if err != nil {
		return fmt.Errorf("publish on %.80q: %w", topic, err)
	}
	return nil
}
