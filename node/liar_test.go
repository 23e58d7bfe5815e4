package node_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// liar is a member that makes up a membership with a node of its own in it, and
// signs all that one member can sign.
type liar struct {
	g          *replica.Genesis
	key        identity.Key
	accomplice identity.Key
}

func (l *liar) seal(t *testing.T, k identity.Key, d identity.Domain, m proto.Message) *wire.Signed {
	t.Helper()
	signed, err := replica.Seal(k, d, m)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// members are those that it makes up: its accomplice alone, introduced.
func (l *liar) members(t *testing.T) []*wire.Member {
	t.Helper()
	return []*wire.Member{{
		RaftId: 4, Peer: []byte(l.accomplice.PeerID()), Nonce: make([]byte, replica.NonceBytes),
		Proof: []*wire.Signed{l.seal(t, l.key, identity.DomainIntroduction, &wire.Introduction{
			Genesis: l.g.Hash[:], Peer: []byte(l.accomplice.PeerID()), RaftId: 4,
		})},
	}}
}

// lineage certifies them, by the liar's signature and by those that it can forge.
func (l *liar) lineage(t *testing.T) *wire.Lineage {
	t.Helper()
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(&wire.Configuration{
		Genesis: l.g.Hash[:], Generation: 1, Index: 9, Previous: l.g.Hash[:],
		Voters: []*wire.Member{{RaftId: 4, Peer: []byte(l.accomplice.PeerID()), Nonce: make([]byte, replica.NonceBytes)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	cert := &wire.Certificate{Configuration: body}
	for _, m := range l.g.Members {
		cert.Endorsements = append(cert.Endorsements, &wire.Endorsement{RaftId: m.RaftID, Signature: l.key.Sign(identity.DomainConfiguration, body)})
	}
	return &wire.Lineage{Certificates: []*wire.Certificate{cert}}
}

// where is what it and its accomplice answer about the group.
func (l *liar) where(t *testing.T) *wire.WhereReply {
	t.Helper()
	return &wire.WhereReply{
		Genesis: l.g.Signed, Leader: []byte(l.accomplice.PeerID()), Term: 1 << 40, Index: 1 << 40,
		Members: l.members(t), MembersIndex: 1 << 40, RaftId: 4, Lineage: l.lineage(t),
	}
}

// answers has a host say so to whoever asks.
func (l *liar) answers(t *testing.T, host *nodetest.Host) (asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	at := l.where(t)
	host.Handle("group/1", func(_ identity.PeerID, s wire.Stream) {
		asked.Add(1)
		if wire.ReadFrame(s, new(wire.GroupRequest), wire.RequestBytesMax) == nil {
			_ = wire.WriteFrame(s, &wire.GroupReply{Kind: &wire.GroupReply_Where{Where: at}})
		}
		_ = s.Close()
	})
	return asked
}

func (l *liar) record(t *testing.T, by identity.Key, lineage *wire.Lineage) []byte {
	t.Helper()
	raw, err := proto.Marshal(&wire.HintRecord{
		Hint: l.seal(t, by, identity.DomainHint, &wire.Hint{
			Genesis: l.g.Hash[:], Leader: []byte(l.accomplice.PeerID()), Term: 1 << 40, Index: 1 << 40,
			Generation: uint64(len(lineage.GetCertificates())), ExpiresUnixMs: time.Now().Add(time.Hour).UnixMilli(),
		}),
		Genesis: l.g.Signed, Lineage: lineage,
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A member lies about who the members are: no client goes where it points to, and
// nobody stores or relays what its accomplice signs.
func TestLyingMember(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	c.Settle(g)
	honest := c.Members[:2]
	l := &liar{g: g, key: c.Members[2].Key, accomplice: identity.KeyFromSeed([32]byte{77})}
	c.Members[2].Stop()

	for name, raw := range map[string][]byte{
		"without a lineage": l.record(t, l.accomplice, nil),
		"with its own":      l.record(t, l.accomplice, l.lineage(t)),
		"both, by the liar": l.record(t, l.key, l.lineage(t)),
	} {
		if hint, err := node.CheckHint(g.Repo, raw, time.Now()); err == nil {
			t.Errorf("%s: a made-up membership is taken: %v", name, hint)
		}
	}

	var visits atomic.Int32
	there := c.Net.Host(l.accomplice.PeerID())
	t.Cleanup(there.Close)
	l.answers(t, there)
	there.Handle("session/1", func(_ identity.PeerID, s wire.Stream) {
		visits.Add(1)
		_ = s.Reset()
	})
	lying := c.Net.Host(c.Members[2].ID)
	t.Cleanup(lying.Close)
	asked := l.answers(t, lying)
	lying.Handle("session/1", func(_ identity.PeerID, s wire.Stream) { _ = s.Reset() })

	host := c.Client(g).Net
	client := node.NewClient(identity.KeyFromSeed([32]byte{78}), host, slog.New(slog.DiscardHandler))
	// The honest ones are away at first: the client hears the liar alone.
	for _, m := range honest {
		m.Stop()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	if s, err := client.Session(ctx, g.Repo, true); err == nil {
		s.Close()
	}
	cancel()
	if asked.Load() == 0 {
		t.Error("nobody asked the liar")
	}
	if n := visits.Load(); n > 0 {
		t.Errorf("the client went %d times to a node that one member made up", n)
	}
	for _, m := range honest {
		m.Start()
	}
	if _, err := client.Show(deadline(t), g.Repo); err != nil {
		t.Errorf("the client does not find the honest members: %v", err)
	}
	if n := visits.Load(); n > 0 {
		t.Errorf("the client went %d times to a node that one member made up", n)
	}
}

// A member and its accomplice tell a replica that the group went on without it: it
// keeps its copy.
func TestLyingMemberRemovesNobody(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, repairing)
	g := c.Found(node.InitOptions{})
	c.Settle(g)
	l := &liar{g: g, key: c.Members[2].Key, accomplice: identity.KeyFromSeed([32]byte{77})}
	c.Members[0].Stop()
	c.Members[2].Stop()
	var asked []*atomic.Int32
	for _, id := range []identity.PeerID{l.accomplice.PeerID(), c.Members[2].ID} {
		host := c.Net.Host(id)
		t.Cleanup(host.Close)
		asked = append(asked, l.answers(t, host))
	}
	victim := c.Members[1]
	const looks = 10
	c.Eventually(func() string {
		if n := asked[1].Load(); n < looks {
			return fmt.Sprintf("the liar was asked %d times", n)
		}
		return ""
	})
	if _, err := os.Stat(victim.RepoDir(g) + ".removed"); err == nil {
		t.Error("the replica put its copy aside")
	}
	if _, err := os.Stat(victim.RepoDir(g)); err != nil {
		t.Error(err)
	}
}
