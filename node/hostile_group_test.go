package node_test

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// request asks one thing of the group protocol and gives the answer.
func request(t *testing.T, from *nodetest.Client, to identity.PeerID, r *wire.GroupRequest, more ...proto.Message) (*wire.GroupReply, error) {
	t.Helper()
	s, err := from.Net.Open(deadline(t), to, "group/1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetDeadline(time.Now().Add(nodetest.Patience)); err != nil {
		t.Fatal(err)
	}
	for _, m := range append([]proto.Message{r}, more...) {
		if err := wire.WriteFrame(s, m); err != nil {
			break // the answer says why
		}
	}
	answer := new(wire.GroupReply)
	return answer, wire.ReadFrame(s, answer, wire.RequestBytesMax)
}

func TestHostileGroupRequests(t *testing.T) {
	t.Parallel()
	x := newTarget(t, func(cfg *node.Config) { cfg.PackBytesMax = 1 << 20 })
	repo, genesis := x.g.Repo[:], x.g.Hash[:]
	public := x.owner.Key.Public()
	id := bytes.Repeat([]byte{7}, replica.TransactionIDBytes)
	stage := &wire.GroupRequest{Kind: &wire.GroupRequest_StagePayload{StagePayload: &wire.StagePayload{Repo: repo, Genesis: genesis, Signer: public[:], Id: id}}}
	objects := &wire.GroupRequest{Kind: &wire.GroupRequest_Objects{Objects: &wire.Objects{Repo: repo, Genesis: genesis, Wants: [][]byte{x.main.Bytes()}}}}
	attest := func(genesis []byte, index uint64) *wire.GroupRequest {
		return &wire.GroupRequest{Kind: &wire.GroupRequest_Attest{Attest: &wire.Attest{Repo: repo, Genesis: genesis, Index: index}}}
	}
	payload := func(p *wire.Payload) *wire.GroupRequest {
		return &wire.GroupRequest{Kind: &wire.GroupRequest_GetPayload{GetPayload: &wire.GetPayload{
			Repo: repo, Genesis: genesis, Signer: public[:], Id: id, Payload: p,
		}}}
	}
	create := func(g *wire.Signed) *wire.GroupRequest {
		return &wire.GroupRequest{Kind: &wire.GroupRequest_Create{Create: &wire.Create{Genesis: g}}}
	}
	data := func(n int) *wire.StageChunk {
		return &wire.StageChunk{Kind: &wire.StageChunk_Data{Data: make([]byte, n)}}
	}
	finish := &wire.StageChunk{Kind: &wire.StageChunk_Finish{Finish: &wire.Payload{Name: "x", PackSize: 10, PackSha256: make([]byte, 32), IdxSha256: make([]byte, 32)}}}
	longer := &wire.StageChunk{Kind: &wire.StageChunk_Finish{Finish: describe(make([]byte, 20), nil)}}
	longer.GetFinish().IdxSize++
	half := proto.CloneOf(stage)
	half.GetStagePayload().TxSha256 = make([]byte, sha256.Size/2)
	cut := func(keep uint64, header string) *wire.StageChunk {
		return &wire.StageChunk{Kind: &wire.StageChunk_Cut{Cut: &wire.StageCut{Keep: keep, Header: []byte(header)}}}
	}
	huge := make([]proto.Message, 0, 40)
	for range 40 {
		huge = append(huge, data(wire.ChunkBytes))
	}
	idx := make([]proto.Message, 0, 40)
	for range 40 {
		idx = append(idx, &wire.StageChunk{Kind: &wire.StageChunk_Idx{Idx: make([]byte, wire.ChunkBytes)}})
	}
	var (
		notFound   = wire.FailureCode_FAILURE_NOT_FOUND
		notAllowed = wire.FailureCode_FAILURE_NOT_ALLOWED
		badRequest = wire.FailureCode_FAILURE_BAD_REQUEST
		tooLarge   = wire.FailureCode_FAILURE_TOO_LARGE
		any        = wire.FailureCode_FAILURE_UNSPECIFIED
	)
	for _, tt := range []struct {
		name string
		from *nodetest.Client
		req  *wire.GroupRequest
		more []proto.Message
		want wire.FailureCode // any: some failure
	}{
		{"no kind", x.member, &wire.GroupRequest{}, nil, badRequest},
		{"where of an unknown repository", x.member, where(make([]byte, 32)), nil, notFound},
		{"where of nonsense", x.member, where([]byte("x")), nil, badRequest},
		{"prepare of a taken repository", x.member, prepare(repo), nil, badRequest},
		{"prepare instead of a seat that is in use", x.member, &wire.GroupRequest{Kind: &wire.GroupRequest_Prepare{Prepare: &wire.Prepare{
			Repo: repo, InsteadOf: x.leader.View(x.g).GetReplicas()[2].GetRaftId(),
		}}}, nil, badRequest},
		{"prepare of nonsense", x.member, prepare([]byte("x")), nil, badRequest},
		{"create with nothing", x.member, create(nil), nil, badRequest},
		{"create signed by another key", x.member, create(forged(t, x)), nil, badRequest},
		{"create of another genesis", x.member, create(second(t, x)), nil, wire.FailureCode_FAILURE_GENESIS},
		{"create with a wrong nonce", x.member, create(unseated(t, x, "other", x.leader.ID)), nil, notAllowed},
		{"create without a seat for this node", x.member, create(unseated(t, x, "other", x.Members[0].ID)), nil, notAllowed},
		{"objects for a stranger", x.owner, objects, nil, notAllowed},
		{"payload for a stranger", x.owner, payload(&wire.Payload{Name: "x"}), nil, notAllowed},
		{"a signature for a stranger", x.owner, attest(genesis, 2), nil, notAllowed},
		{"a signature for another genesis", x.member, attest(id, 2), nil, notAllowed},
		{"a signature for no entry", x.member, attest(genesis, 0), nil, any},
		{"staging for a stranger", x.owner, stage, []proto.Message{data(10), finish}, notAllowed},
		{"objects of another genesis", x.member, &wire.GroupRequest{Kind: &wire.GroupRequest_Objects{Objects: &wire.Objects{Repo: repo, Genesis: id}}}, nil, notAllowed},
		{"objects that are nowhere", x.member, &wire.GroupRequest{Kind: &wire.GroupRequest_Objects{Objects: &wire.Objects{Repo: repo, Genesis: genesis, Wants: [][]byte{bytes.Repeat([]byte{1}, 20)}}}}, nil, any},
		{"objects that are no IDs", x.member, &wire.GroupRequest{Kind: &wire.GroupRequest_Objects{Objects: &wire.Objects{Repo: repo, Genesis: genesis, Wants: [][]byte{{1}}}}}, nil, badRequest},
		{"payload by no name", x.member, payload(nil), nil, notFound},
		{"payload by a path", x.member, payload(&wire.Payload{Name: "../../../config"}), nil, notFound},
		{"payload nobody has", x.member, payload(&wire.Payload{Name: "aa"}), nil, notFound},
		{"staging with a wrong hash", x.member, stage, []proto.Message{data(10), finish}, any},
		{"staging with a wrong size of the index", x.member, stage, []proto.Message{data(20), longer}, badRequest},
		{"staging for half a hash", x.member, half, []proto.Message{data(10), finish}, badRequest},
		{"staging without bytes", x.member, stage, []proto.Message{finish}, any},
		{"cut beyond the size", x.member, stage, []proto.Message{data(10), cut(11, ""), finish}, any},
		{"cut beyond 63 bits", x.member, stage, []proto.Message{data(10), cut(1<<63, ""), finish}, any},
		{"header longer than what stays", x.member, stage, []proto.Message{data(10), cut(2, "12345"), finish}, any},
		{"unknown chunk", x.member, stage, []proto.Message{&wire.StageChunk{}, finish}, badRequest},
		{"more than a pack may have", x.member, stage, append(huge, finish), tooLarge},
		{"more than an index may have", x.member, stage, append(idx, finish), tooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := x.state(t)
			answer, err := request(t, tt.from, x.leader.ID, tt.req, tt.more...)
			failed := answer.GetFailure()
			if err != nil || failed == nil || (tt.want != any && failed.GetCode() != tt.want) || failed.GetMessage() == "" {
				t.Errorf("answer %v, %v; want %s", answer, err, tt.want)
			}
			x.unharmed(t, before)
		})
	}
	t.Run("staging cut off", func(t *testing.T) {
		before := x.state(t)
		s, err := x.member.Net.Open(deadline(t), x.leader.ID, "group/1")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []proto.Message{stage, data(1000)} {
			if err := wire.WriteFrame(s, m); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Reset(); err != nil {
			t.Fatal(err)
		}
		x.unharmed(t, before)
	})
}

func where(repo []byte) *wire.GroupRequest {
	return &wire.GroupRequest{Kind: &wire.GroupRequest_Where{Where: &wire.Where{Repo: repo}}}
}

func prepare(repo []byte) *wire.GroupRequest {
	return &wire.GroupRequest{Kind: &wire.GroupRequest_Prepare{Prepare: &wire.Prepare{Repo: repo}}}
}

// body is the genesis of the target, for forging others.
func body(t *testing.T, x *target) *wire.Genesis {
	t.Helper()
	b := new(wire.Genesis)
	if err := proto.Unmarshal(x.g.Signed.GetBody(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func seal(t *testing.T, k identity.Key, d identity.Domain, m proto.Message) *wire.Signed {
	t.Helper()
	s, err := replica.Seal(k, d, m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// forged is a genesis in the owner's name, signed by somebody else.
func forged(t *testing.T, x *target) *wire.Signed {
	s := seal(t, x.Members[2].Key, identity.DomainGenesis, body(t, x))
	s.Signer = x.g.Signed.GetSigner()
	return s
}

// second is another genesis of the same repository, by its owner.
func second(t *testing.T, x *target) *wire.Signed {
	b := body(t, x)
	b.CreatedUnixMs++
	return seal(t, x.owner.Key, identity.DomainGenesis, b)
}

// unseated is the genesis of another repository whose only seat nobody took.
func unseated(t *testing.T, x *target, name string, on identity.PeerID) *wire.Signed {
	b := body(t, x)
	b.Name, b.Members = name, []*wire.Member{{RaftId: 1, Peer: []byte(on), Nonce: make([]byte, replica.NonceBytes)}}
	return seal(t, x.owner.Key, identity.DomainGenesis, b)
}
