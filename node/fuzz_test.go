package node_test

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// fuzzed is a group of one with a repository in it, and somebody who says
// whatever comes.
type fuzzed struct {
	host   *nodetest.Host
	client *nodetest.Client
	member identity.PeerID
	last   nodetest.Push
}

func newFuzzed(f *testing.F, private bool) *fuzzed {
	f.Helper()
	c := nodetest.Start(f, 1, nil)
	g := c.Found(node.InitOptions{Private: private})
	client := c.Client(g)
	change := sha1.File(1, 100)
	p := client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, git.OID{}, change.OID))
	mustPush(f, c, client, p)
	return &fuzzed{c.Members[0].Host, client, c.Members[0].ID, p}
}

// say hands a handler a stream on which these bytes are said, and waits until it
// has ended it.
func (z *fuzzed) say(t *testing.T, protocol string, from identity.PeerID, raw []byte) []byte {
	t.Helper()
	ours, theirs := nodetest.Pair()
	served := make(chan struct{})
	go func() {
		defer close(served)
		z.host.Serve(protocol, from, theirs)
	}()
	go func() { // the answer may fill the stream
		_, _ = ours.Write(raw) // it ends when the handler does
		_ = ours.CloseWrite()
	}()
	if err := ours.SetDeadline(time.Now().Add(nodetest.Patience)); err != nil {
		t.Fatal(err)
	}
	back, err := io.ReadAll(ours)
	if os.IsTimeout(err) {
		t.Fatalf("%s does not end after %x", protocol, raw)
	}
	_ = ours.Reset()
	<-served
	return back
}

// frames are messages as they would be said.
func frames(messages ...proto.Message) []byte {
	var b bytes.Buffer
	for _, m := range messages {
		if err := wire.WriteFrame(&b, m); err != nil {
			panic(err) // a buffer's never fails
		}
	}
	return b.Bytes()
}

// FuzzSession: whatever a client says, the handler ends, and says why in a frame.
func FuzzSession(f *testing.F) {
	z := newFuzzed(f, false)
	open := func(i wire.Intent) *wire.OpenSession { return &wire.OpenSession{Hello: z.client.Hello(i, nil)} }
	push := &wire.PushRequest{Transaction: z.last.Signed, HasPack: true}
	for _, i := range []wire.Intent{wire.Intent_INTENT_FETCH, wire.Intent_INTENT_SHOW, wire.Intent_INTENT_ARCHIVE, wire.Intent_INTENT_UNSPECIFIED} {
		f.Add(frames(open(i)))
	}
	f.Add(frames(open(wire.Intent_INTENT_PUSH), push))
	again := z.client.Sign(1, nil, nil, nodetest.Head(main, main))
	f.Add(frames(open(wire.Intent_INTENT_PUSH), &wire.PushRequest{Transaction: again.Signed}))
	f.Add(frames(&wire.OpenSession{Hello: z.client.Hello(wire.Intent_INTENT_SHOW, func(h *wire.Hello) { h.To = []byte(z.member) }), Relayed: true}))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		back := bytes.NewReader(z.say(t, "session/1", z.client.Net.Self(), raw))
		if m := new(wire.ToClient); wire.ReadFrame(back, m, wire.ToClientBytesMax) != nil && len(raw) > 0 {
			t.Errorf("no answer to %x", raw)
		}
	})
}

// FuzzPushRequest: the same behind a good hello.
func FuzzPushRequest(f *testing.F) {
	z := newFuzzed(f, false)
	hello := frames(&wire.OpenSession{Hello: z.client.Hello(wire.Intent_INTENT_PUSH, nil)})
	change := sha1.File(2, 10)
	p := z.client.Sign(1, change.Pack(sha1), nil, nodetest.Move("refs/heads/x", git.OID{}, change.OID))
	var chunks bytes.Buffer
	for _, chunk := range [][]byte{p.Pack, nil} {
		if err := wire.WriteChunk(&chunks, chunk); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(append(frames(&wire.PushRequest{Transaction: p.Signed, HasPack: true}), chunks.Bytes()...))
	f.Add(frames(&wire.PushRequest{Transaction: p.Signed, HasPack: true, Shallow: [][]byte{{1}}}))
	f.Add(frames(&wire.PushRequest{}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		z.say(t, "session/1", z.client.Net.Self(), append(bytes.Clone(hello), raw...))
	})
}

// FuzzGroupRequest: whatever another node asks, a member or not, of a private repository.
func FuzzGroupRequest(f *testing.F) {
	z := newFuzzed(f, true)
	g := z.client.Genesis
	public := z.client.Key.Public()
	stage := &wire.GroupRequest{Kind: &wire.GroupRequest_StagePayload{StagePayload: &wire.StagePayload{
		Repo: g.Repo[:], Genesis: g.Hash[:], Signer: public[:], Id: make([]byte, replica.TransactionIDBytes),
	}}}
	chunk := &wire.StageChunk{Kind: &wire.StageChunk_Data{Data: []byte("data")}}
	cut := &wire.StageChunk{Kind: &wire.StageChunk_Cut{Cut: &wire.StageCut{Header: []byte("d"), Keep: 2}}}
	f.Add(frames(stage, chunk, cut, &wire.StageChunk{Kind: &wire.StageChunk_Finish{Finish: &wire.Payload{Name: "x"}}}), true)
	for _, r := range []*wire.GroupRequest{
		{Kind: &wire.GroupRequest_Probe{Probe: &wire.Probe{}}}, where(g.Repo[:]), prepare(g.Repo[:]), {},
		{Kind: &wire.GroupRequest_Create{Create: &wire.Create{Genesis: g.Signed}}},
		{Kind: &wire.GroupRequest_Objects{Objects: &wire.Objects{Repo: g.Repo[:], Genesis: g.Hash[:]}}},
		{Kind: &wire.GroupRequest_GetPayload{GetPayload: &wire.GetPayload{Repo: g.Repo[:], Genesis: g.Hash[:], Payload: &wire.Payload{Name: "x"}}}},
	} {
		f.Add(frames(r), true)
		f.Add(frames(r), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, member bool) {
		from := z.client.Net.Self()
		if member {
			from = z.member
		}
		z.say(t, "group/1", from, raw)
	})
}

// FuzzRaftBatch: whatever comes on the stream that carries raft's messages and
// beats, from a member or not. A replica may leave its group over it; the node goes on.
func FuzzRaftBatch(f *testing.F) {
	c := nodetest.Start(f, 3, nil)
	g := c.Found(node.InitOptions{})
	c.Settle(g)
	target, other := c.Members[0], c.Members[1].ID
	about := func(m *wire.RaftMessage) *wire.RaftBatch {
		m.Repo, m.Genesis = g.Repo[:], g.Hash[:]
		return &wire.RaftBatch{Messages: []*wire.RaftMessage{m}}
	}
	for _, batch := range []*wire.RaftBatch{
		{}, {Beat: &wire.Beat{Run: 7, SentUs: 1, EchoUs: 1 << 63, HeldUs: 5}}, {Beat: &wire.Beat{Run: 1, EchoUs: 1}},
		about(&wire.RaftMessage{Sleep: &wire.Sleep{Term: 2, Index: 2}}), about(&wire.RaftMessage{Wake: true}),
		about(&wire.RaftMessage{Message: []byte{8, 9}}), about(&wire.RaftMessage{Wake: true, Sleep: &wire.Sleep{}, Message: []byte{1}}),
	} {
		f.Add(frames(batch, batch), true)
		f.Add(frames(batch), false)
	}
	z := &fuzzed{host: target.Host}
	f.Fuzz(func(t *testing.T, raw []byte, member bool) {
		from := other
		if !member {
			from = keyOfStranger.PeerID()
		}
		z.say(t, "raft/1", from, raw)
		if target.Node.Asleep(g.Repo); !target.Running() {
			t.Fatalf("the node ended: %v", target.Node.Err())
		}
	})
}

var keyOfStranger = identity.KeyFromSeed([32]byte{99})
