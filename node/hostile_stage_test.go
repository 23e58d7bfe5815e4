package node_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// stageOf asks to bring a payload of a push.
func stageOf(t *testing.T, x *target, p nodetest.Push) *wire.GroupRequest {
	t.Helper()
	body := new(wire.Transaction)
	if err := proto.Unmarshal(p.Signed.GetBody(), body); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(p.Signed.GetBody())
	return &wire.GroupRequest{Kind: &wire.GroupRequest_StagePayload{StagePayload: &wire.StagePayload{
		Repo: x.g.Repo[:], Genesis: x.g.Hash[:], Signer: p.Signed.GetSigner(), Id: body.GetId(), TxSha256: sum[:],
	}}}
}

// payloadOf is what follows: the files in pieces, and what they are said to be.
func payloadOf(pack, idx []byte) []proto.Message {
	var chunks []proto.Message
	for part := range slices.Chunk(pack, wire.ChunkBytes) {
		chunks = append(chunks, &wire.StageChunk{Kind: &wire.StageChunk_Data{Data: part}})
	}
	for part := range slices.Chunk(idx, wire.ChunkBytes) {
		chunks = append(chunks, &wire.StageChunk{Kind: &wire.StageChunk_Idx{Idx: part}})
	}
	return append(chunks, &wire.StageChunk{Kind: &wire.StageChunk_Finish{Finish: describe(pack, idx)}})
}

func describe(pack, idx []byte) *wire.Payload {
	packSum, idxSum := sha256.Sum256(pack), sha256.Sum256(idx)
	return &wire.Payload{
		Name: packName(pack), PackSize: uint64(len(pack)), PackSha256: packSum[:], IdxSize: uint64(len(idx)), IdxSha256: idxSum[:],
	}
}

// packName is the checksum at a pack's end.
func packName(pack []byte) string { return hex.EncodeToString(pack[len(pack)-20:]) }

// madeUpIdx belongs to a pack as far as its end tells.
func madeUpIdx(pack []byte) []byte {
	return slices.Concat(bytes.Repeat([]byte("no index"), 100), pack[len(pack)-20:], make([]byte, 20))
}

// indexOf is the index that git makes of a pack of whole histories.
func indexOf(t *testing.T, pack []byte) []byte {
	t.Helper()
	repo, err := git.Create(t.Context(), filepath.Join(t.TempDir(), "r.git"), git.SHA1, main)
	if err != nil {
		t.Fatal(err)
	}
	q, err := repo.Ingest(t.Context(), bytes.NewReader(pack), git.IngestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	idx, err := os.ReadFile(q.IdxPath)
	if err := errors.Join(err, q.Discard()); err != nil {
		t.Fatal(err)
	}
	return idx
}

// mustStage has a node take a payload.
func mustStage(t *testing.T, x *target, at identity.PeerID, p nodetest.Push, pack, idx []byte) {
	t.Helper()
	answer, err := request(t, x.member, at, stageOf(t, x, p), payloadOf(pack, idx)...)
	if err != nil || answer.GetDone() == nil {
		t.Fatalf("not staged: %v, %v", answer, err)
	}
}

// A member that has seen a transaction, since it was asked to pass it on perhaps, may
// say that any pack is the one that was checked for it. The leader finds out for itself.
func TestMemberStagesAnotherPack(t *testing.T) {
	t.Parallel()
	x := newTarget(t, nil)
	decoy := sha1.File(1, 1000).Pack(sha1)
	for _, tt := range []struct {
		name  string
		stage func(pack []byte) (staged, idx []byte)
		skip  bool // the client need not send it
	}{
		{"another pack", func([]byte) ([]byte, []byte) { return decoy, indexOf(t, decoy) }, false},
		{"another pack without an index", func([]byte) ([]byte, []byte) { return decoy, madeUpIdx(decoy) }, false},
		{"no pack", func([]byte) ([]byte, []byte) { return decoy[100:], madeUpIdx(decoy) }, false},
		{"its pack without an index", func(pack []byte) ([]byte, []byte) { return pack, madeUpIdx(pack) }, true},
		{"its pack", func(pack []byte) ([]byte, []byte) { return pack, indexOf(t, pack) }, true},
	} {
		for _, size := range []int{100, 300_000} { // in the entry, and staged
			t.Run(fmt.Sprintf("%s of %d bytes", tt.name, size), func(t *testing.T) {
				x.pushes++
				change := sha1.File(2000+x.pushes, size)
				branch := "refs/heads/" + packName(change.Pack(sha1))
				p := x.owner.Sign(1, change.Pack(sha1), nil, nodetest.Move(branch, git.OID{}, change.OID))
				staged, idx := tt.stage(p.Pack)
				for _, m := range x.Members[1:] {
					mustStage(t, x, m.ID, p, staged, idx)
				}
				s, err := x.owner.Begin(deadline(t), x.leader.ID)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				answer, err := s.Request(p)
				if err != nil || answer.GetGo() == nil || answer.GetGo().GetSkipPack() != tt.skip {
					t.Errorf("answer %v, %v", answer, err)
				}
				if !answer.GetGo().GetSkipPack() {
					if err := s.SendPack(p.Pack); err != nil {
						t.Fatal(err)
					}
				}
				done, err := s.Done()
				if err != nil || done.GetOutcome().GetResult().GetCode() != wire.Code_CODE_OK {
					t.Fatalf("outcome %v, %v", done, err)
				}
				x.Converge(x.g, x.Members[1:]...)
				for _, m := range x.Members[1:] {
					if !m.Has(x.g, change.OID) {
						t.Errorf("%s is committed, and lacks %s", m.ID, change.OID)
					}
					nodetest.Eventually(t, func() string {
						if left := m.Staged(x.g); len(left) > 0 {
							return "left in the staging area: " + left[0]
						}
						return ""
					})
				}
			})
		}
	}
}

// A member can't put other bytes in the place of those that wait for a majority.
func TestMemberReplacesNoPayload(t *testing.T) {
	t.Parallel()
	proposed := make(chan struct{}, 64)
	x := newTarget(t, func(cfg *node.Config) {
		cfg.Fail = func(point string) {
			if point == "proposed" {
				proposed <- struct{}{}
			}
		}
	})
	for len(proposed) > 0 {
		<-proposed // while the target was made
	}
	fault := x.Net.Fault(func(o nodetest.Opening) int {
		if carriesObjects(o) && o.From != x.member.Net.Self() {
			return nodetest.Refuse
		}
		return nodetest.Pass
	})
	change := sha1.File(1, 1<<20)
	p := x.owner.Sign(1, change.Pack(sha1), nil, nodetest.Move("refs/heads/large", git.OID{}, change.OID))
	pushed := make(chan error, 1)
	go func() {
		_, err := x.owner.Once(deadline(t), x.leader.ID, p)
		pushed <- err
	}()
	<-proposed
	mustStage(t, x, x.leader.ID, p, p.Pack, madeUpIdx(p.Pack))
	mustStage(t, x, x.Members[1].ID, p, p.Pack, madeUpIdx(p.Pack))
	fault.Mend()
	if err := <-pushed; err != nil {
		t.Fatal(err)
	}
	x.Converge(x.g, x.Members[1:]...)
}

// A member that begins to bring a payload, and never ends, is in nobody's way.
func TestMemberHoldsUpNoPayload(t *testing.T) {
	t.Parallel()
	x := newTarget(t, nil)
	change := sha1.File(1, 1<<20)
	p := x.owner.Sign(1, change.Pack(sha1), nil, nodetest.Move("refs/heads/large", git.OID{}, change.OID))
	for _, m := range x.Members[1:] {
		s, err := x.member.Net.Open(deadline(t), m.ID, "group/1")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Reset() }()
		for _, say := range []proto.Message{stageOf(t, x, p), &wire.StageChunk{Kind: &wire.StageChunk_Data{Data: p.Pack[:100]}}} {
			if err := wire.WriteFrame(s, say); err != nil {
				t.Fatal(err)
			}
		}
		x.Eventually(func() string {
			if len(m.Staged(x.g)) == 0 {
				return "nothing arrives"
			}
			return ""
		})
	}
	if _, err := x.owner.Once(deadline(t), x.leader.ID, p); err != nil {
		t.Fatal(err)
	}
	x.Converge(x.g, x.Members[1:]...)
}

// A leader that has an honest push committed without its objects is not stopped, since
// the followers check the hashes of a payload alone. But nobody gets anything in their
// place, each replica that checks itself misses them, and the pusher can send them again.
func TestLeaderCommitsAnotherPack(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	client := c.Client(g)
	const branch = "refs/heads/topic"
	other := chain(t, c, client, git.OID{}, 1)
	change, decoy := sha1.File(1001, 100), sha1.File(1002, 100).Pack(sha1)
	p := client.Sign(1, change.Pack(sha1), nil, nodetest.Move(branch, git.OID{}, change.OID))
	payload := describe(decoy, indexOf(t, decoy))
	payload.InlinePack, payload.InlineIdx = decoy, indexOf(t, decoy)
	if err := leader.Node.Propose(g.Repo, &wire.Entry{Transaction: p.Signed, Payload: payload}); err != nil {
		t.Fatal(err)
	}
	first := mustPush(t, c, client, p)
	c.Agree(g)
	fetch := func(m *nodetest.Member, want git.OID) error {
		s, err := client.Open(deadline(t), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Greet(wire.Intent_INTENT_FETCH, nil); err != nil {
			t.Fatal(err)
		}
		_, err = s.FetchPack(want)
		return err
	}
	for _, m := range c.Members {
		if fetch(m, change.OID) == nil {
			t.Errorf("%s serves what nobody has", m.ID)
		}
		if err := fetch(m, other); err != nil {
			t.Errorf("%s does not serve another branch: %v", m.ID, err)
		}
	}
	said := verified(t, leader, g, false)
	for _, m := range c.Members {
		if v := said[m.ID]; v.Err != nil || len(v.Report.GetFindings()) == 0 {
			t.Errorf("%s misses nothing: %v, %v", m.ID, v.Report, v.Err)
		}
	}
	mustPush(t, c, client, client.Sign(first.GetIndex(), nil, nil, nodetest.Move(branch, change.OID, git.OID{})))
	mustPush(t, c, client, client.Sign(first.GetIndex(), change.Pack(sha1), nil, nodetest.Move(branch, git.OID{}, change.OID)))
	c.Converge(g)
}
