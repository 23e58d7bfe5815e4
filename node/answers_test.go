package node_test

import (
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// FuzzAnswers: whatever a member answers to a client about seats, itself, its log
// and its checks, the client ends, hands over no more than it asked for, and only
// text that it can pass on.
func FuzzAnswers(f *testing.F) {
	key := identity.KeyFromSeed([32]byte{2})
	g, err := replica.NewGenesis(identity.KeyFromSeed([32]byte{1}), genesisOf("demo", key))
	if err != nil {
		f.Fatal(err)
	}
	net := nodetest.NewNetwork()
	member, asker := net.Host(key.PeerID()), net.Host(keyOfStranger.PeerID())
	f.Cleanup(func() { member.Close(); asker.Close() })
	proof, err := replica.Introduce(key, g, keyOfStranger.PeerID(), 2)
	if err != nil {
		f.Fatal(err)
	}
	newer := replica.Member{RaftID: 2, Peer: keyOfStranger.PeerID(), Nonce: make([]byte, replica.NonceBytes), Role: replica.Learner, Proof: proof}
	seats, err := proto.Marshal(&wire.WhereReply{
		Leader: []byte(member.Self()), Term: 2, Index: 9, MembersIndex: 5, RaftId: 1, Lost: true, Waits: make([]byte, 32),
		Members: []*wire.Member{g.Members[0].Wire(), newer.Wire()},
		State:   &wire.StateHash{Index: 9, Chain: make([]byte, 32), Refs: make([]byte, 32)}, Then: &wire.StateHash{Index: 3},
	})
	if err != nil {
		f.Fatal(err)
	}
	refused := &wire.Result{Code: wire.Code_CODE_STALE, Detail: "it moved"}
	welcome := &wire.ToClient{Kind: &wire.ToClient_Welcome{Welcome: &wire.Welcome{Genesis: g.Signed, Index: 9}}}
	page := &wire.ToClient{Kind: &wire.ToClient_Log{Log: &wire.LogPage{First: 2, Index: 9, Done: true, Entries: []*wire.LogEntry{
		{Index: 8, Term: 2, Signer: make([]byte, 32), More: 7, Result: refused, Changes: []*wire.LogChange{{Kind: "ref", Name: main, Old: make([]byte, 20), Result: refused}}},
	}}}}
	empty := &wire.ToClient{Kind: &wire.ToClient_Log{Log: &wire.LogPage{}}}
	verified := &wire.ToClient{Kind: &wire.ToClient_Verified{Verified: &wire.Verified{Peer: []byte(member.Self()), Findings: []*wire.Finding{{Part: "log", Detail: "odd", Mended: true}}}}}
	progress := &wire.ToClient{Kind: &wire.ToClient_Progress{Progress: &wire.Progress{Text: []byte("half \xc3")}}}
	state := &wire.ToClient{Kind: &wire.ToClient_State{State: &wire.RepoState{
		Repo: g.Repo[:], Genesis: g.Signed, Leader: []byte(member.Self()), Term: 2, Index: 9, Plan: "waits", Settings: &wire.Settings{Replicas: 3},
		Replicas: []*wire.ReplicaState{{Peer: []byte(member.Self()), Alive: true}, {Peer: []byte("x"), Role: wire.Role_ROLE_INCOMING}},
		Lock:     &wire.Lock{Owner: []byte("x")}, Tombstone: &wire.Tombstone{Index: 4}, Refuses: &wire.Failure{Message: "no"},
	}}}
	f.Add(seats, frames(welcome, page))
	f.Add(seats, frames(welcome, progress, verified))
	f.Add([]byte(nil), frames(state))
	f.Add(seats, frames(empty, empty, state, page, verified))
	f.Add(seats, frames(&wire.ToClient{Kind: &wire.ToClient_Failure{Failure: &wire.Failure{Message: "no"}}}))
	f.Fuzz(func(t *testing.T, where, session []byte) {
		at := new(wire.WhereReply)
		if proto.Unmarshal(where, at) != nil {
			return // what becomes of such a frame the session tells
		}
		at.Genesis, at.Problem = g.Signed, "" // or nothing else is asked
		member.Handle("group/1", func(_ identity.PeerID, s wire.Stream) {
			if wire.ReadFrame(s, new(wire.GroupRequest), wire.RequestBytesMax) == nil {
				_ = wire.WriteFrame(s, &wire.GroupReply{Kind: &wire.GroupReply_Where{Where: at}})
			}
			_ = s.Close()
		})
		member.Handle("session/1", func(_ identity.PeerID, s wire.Stream) {
			if wire.ReadFrame(s, new(wire.OpenSession), wire.HelloBytesMax) == nil {
				_, _ = s.Write(session)
			}
			_ = s.Close()
		})
		ask(t, node.NewClient(keyOfStranger, asker, discardLogger()), g)
	})
}

// ask asks a client all that members answer.
func ask(t *testing.T, client *node.Client, g *replica.Genesis) {
	t.Helper()
	ctx := deadline(t)
	if info, err := client.Show(ctx, g.Repo); err == nil && info.Genesis.Hash != g.Hash {
		t.Errorf("shows %v", info)
	}
	if view, err := client.Log(ctx, g.Repo, 5); err == nil && len(view.Entries) > 1000 {
		t.Errorf("%d entries of the log", len(view.Entries))
	}
	_, reasons, err := client.Why(ctx, g.Repo)
	if err == nil && len(reasons) == 0 {
		t.Error("there is no reason to a state that nobody proves")
	}
	for _, r := range reasons {
		text(t, r.What, r.Hint)
	}
	said := 0
	if err := client.Verify(ctx, g.Repo, false, func(v node.Verdict) error {
		if text(t, v.Progress); v.Progress == "" {
			said++
		}
		for _, found := range v.Report.GetFindings() {
			text(t, found.GetPart(), found.GetDetail())
		}
		if v.Err != nil {
			text(t, v.Err.Error())
		}
		return nil
	}); err != nil || said == 0 {
		t.Errorf("a verdict was given %d times: %v", said, err)
	}
}

// text fails for what no message can carry.
func text(t *testing.T, list ...string) {
	t.Helper()
	for _, s := range list {
		if !utf8.ValidString(s) {
			t.Errorf("%q is no text", s)
		}
	}
}
