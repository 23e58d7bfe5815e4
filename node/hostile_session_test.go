package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// Hellos that no honest client says.
func TestHostileHellos(t *testing.T) {
	t.Parallel()
	x := newTarget(t, nil)
	hello := func(edit func(*wire.Hello)) *wire.Signed { return x.owner.Hello(wire.Intent_INTENT_PUSH, edit) }
	broken := hello(nil)
	broken.Signature[0]++
	for _, tt := range []struct {
		name string
		open *wire.OpenSession
		at   int
		want wire.FailureCode
	}{
		{"no hello", &wire.OpenSession{}, 2, wire.FailureCode_FAILURE_NOT_ALLOWED},
		{"bad signature", &wire.OpenSession{Hello: broken}, 2, wire.FailureCode_FAILURE_NOT_ALLOWED},
		{"signed for another purpose", &wire.OpenSession{Hello: x.owner.Seal(identity.DomainTransaction, &wire.Hello{Version: 1})}, 2, wire.FailureCode_FAILURE_NOT_ALLOWED},
		{"another's name", &wire.OpenSession{Hello: hello(func(h *wire.Hello) { h.User = make([]byte, 32) })}, 2, wire.FailureCode_FAILURE_NOT_ALLOWED},
		{"older version", &wire.OpenSession{Hello: hello(func(h *wire.Hello) { h.Version = 0 })}, 2, wire.FailureCode_FAILURE_VERSION},
		{"newer version", &wire.OpenSession{Hello: hello(func(h *wire.Hello) { h.Version = 9 })}, 2, wire.FailureCode_FAILURE_VERSION},
		{"no repository", &wire.OpenSession{Hello: hello(func(h *wire.Hello) { h.Repo = nil })}, 2, wire.FailureCode_FAILURE_BAD_REQUEST},
		{"unknown repository", &wire.OpenSession{Hello: hello(func(h *wire.Hello) { h.Repo = make([]byte, 32) })}, 2, wire.FailureCode_FAILURE_NOT_FOUND},
		{"another genesis", &wire.OpenSession{Hello: hello(func(h *wire.Hello) { h.Genesis = make([]byte, 32) })}, 2, wire.FailureCode_FAILURE_GENESIS},
		{"short genesis", &wire.OpenSession{Hello: hello(func(h *wire.Hello) { h.Genesis = []byte{1} })}, 2, wire.FailureCode_FAILURE_GENESIS},
		{"no intent", &wire.OpenSession{Hello: hello(func(h *wire.Hello) { h.Intent = 0 })}, 2, wire.FailureCode_FAILURE_BAD_REQUEST},
		{"unknown intent", &wire.OpenSession{Hello: hello(func(h *wire.Hello) { h.Intent = 99 })}, 2, wire.FailureCode_FAILURE_BAD_REQUEST},
		{"from the future", &wire.OpenSession{Hello: hello(func(h *wire.Hello) { h.SeenIndex = 1 << 60 })}, 2, wire.FailureCode_FAILURE_BEHIND},
		{"relayed to a follower", &wire.OpenSession{Hello: hello(nil), Relayed: true}, 1, wire.FailureCode_FAILURE_NOT_LEADER},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := x.state(t)
			s, err := x.owner.Open(deadline(t), x.Members[tt.at].ID)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := wire.WriteFrame(s, tt.open); err != nil {
				t.Fatal(err)
			}
			m, err := s.Next()
			if nodetest.CodeOf(err) != tt.want {
				t.Errorf("%v, %v; want %s", m, err, tt.want)
			}
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("a refusal without a word")
			}
			x.unharmed(t, before)
		})
	}
}

// Pushes that no honest client makes.
func TestHostilePushes(t *testing.T) {
	t.Parallel()
	x := newTarget(t, func(cfg *node.Config) { cfg.InlineBytesMax, cfg.PackBytesMax = 8<<10, 1<<20 })
	stranger := x.ClientAs(identity.KeyFromSeed([32]byte{9}), x.g)
	type txEdit = func(*wire.Transaction)
	var none git.OID
	good := sha1.File(7, 100)
	pack := good.Pack(sha1)
	create := nodetest.Move("refs/heads/x", none, good.OID)
	large := sha1.File(8, 100_000)
	huge := sha1.File(9, 2<<20)
	broken := bytes.Clone(pack)
	broken[len(broken)-1]++
	brokenLarge := large.Pack(sha1)
	brokenLarge[50_000]++
	blob := sha1.Blob([]byte("just a file"))
	dotGit := sha1.Tree(map[string]nodetest.Object{".git": blob})
	evil := sha1.Commit(dotGit.OID, "evil")
	dotdot := sha1.Tree(map[string]nodetest.Object{"..": blob})
	climbing := sha1.Commit(dotdot.OID, "climbing")
	lost := sha1.Commit(good.OID, "a tree that is a commit") // and of the wrong type
	orphan := sha1.File(10, 100, sha1.File(11, 100).OID)     // its parent is nowhere
	nowhere := sha1.File(12, 100)
	ops := func(n int, op func(i int) *wire.Operation) (list []*wire.Operation) {
		for i := range n {
			list = append(list, op(i))
		}
		return list
	}
	oid := func(from, to []byte) *wire.Operation { return nodetest.Raw("refs/heads/x", from, to) }
	for _, tt := range []struct {
		name   string
		client *nodetest.Client
		edit   txEdit
		pack   []byte
		ops    []*wire.Operation
		// how it ends: with a failure, or an outcome with one of these codes throughout
		want any
	}{
		{"wrong genesis", x.owner, func(tx *wire.Transaction) { tx.Genesis = make([]byte, 32) }, pack, ops1(create), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"no genesis", x.owner, func(tx *wire.Transaction) { tx.Genesis = nil }, pack, ops1(create), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"another signer inside", x.owner, func(tx *wire.Transaction) { tx.Signer = make([]byte, 32) }, pack, ops1(create), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"signer not in the policy", stranger, nil, pack, ops1(create), wire.FailureCode_FAILURE_NOT_ALLOWED},
		{"short ID", x.owner, func(tx *wire.Transaction) { tx.Id = []byte("short") }, pack, ops1(create), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"no window", x.owner, func(tx *wire.Transaction) { tx.Window = 0 }, pack, ops1(create), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"endless window", x.owner, func(tx *wire.Transaction) { tx.Window = 1 << 40 }, pack, ops1(create), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"base and window that overflow", x.owner, func(tx *wire.Transaction) { tx.Base = 1<<64 - 1 }, pack, ops1(create), wire.FailureCode_FAILURE_BEHIND},
		{"no operations", x.owner, nil, pack, nil, wire.FailureCode_FAILURE_BAD_REQUEST},
		{"too many operations", x.owner, nil, nil, ops(replica.OperationsMax+1, func(i int) *wire.Operation {
			return nodetest.Move(fmt.Sprintf("refs/heads/o%d", i), none, x.main)
		}), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"unknown operation", x.owner, nil, nil, ops1(&wire.Operation{}), wire.Code_CODE_MALFORMED},
		{"short new ID", x.owner, nil, pack, ops1(oid(nil, []byte{1, 2})), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"new ID of another format", x.owner, nil, pack, ops1(oid(nil, make([]byte, 32))), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"new ID of zeroes", x.owner, nil, pack, ops1(oid(nil, make([]byte, 20))), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"new ID of zeroes without a pack", x.owner, nil, nil, ops1(nodetest.Raw("refs/tags/z", nil, make([]byte, 20))), wire.FailureCode_FAILURE_BAD_REQUEST},
		{"short old ID", x.owner, nil, pack, ops1(oid([]byte{1, 2}, good.OID.Bytes())), wire.Code_CODE_MALFORMED},
		{"old ID that is not there", x.owner, nil, pack, ops1(oid(good.OID.Bytes(), good.OID.Bytes())), wire.Code_CODE_STALE},
		{"garbage for a pack", x.owner, nil, []byte("garbage"), ops1(create), wire.FailureCode_FAILURE_BAD_PACK},
		{"much garbage for a pack", x.owner, nil, bytes.Repeat([]byte("garbage "), 20_000), ops1(create), wire.FailureCode_FAILURE_BAD_PACK},
		{"empty pack", x.owner, nil, []byte{}, ops1(create), wire.FailureCode_FAILURE_BAD_PACK},
		{"pack without objects", x.owner, nil, sha1.Pack(), ops1(create), wire.FailureCode_FAILURE_BAD_PACK},
		{"pack with a wrong checksum", x.owner, nil, broken, ops1(create), wire.FailureCode_FAILURE_BAD_PACK},
		{"cut pack", x.owner, nil, pack[:len(pack)/2], ops1(create), wire.FailureCode_FAILURE_BAD_PACK},
		{"cut large pack", x.owner, nil, large.Pack(sha1)[:60_000], ops1(nodetest.Move("refs/heads/x", none, large.OID)), wire.FailureCode_FAILURE_BAD_PACK},
		{"damaged large pack", x.owner, nil, brokenLarge, ops1(nodetest.Move("refs/heads/x", none, large.OID)), wire.FailureCode_FAILURE_BAD_PACK},
		{"pack that is too large", x.owner, nil, huge.Pack(sha1), ops1(nodetest.Move("refs/heads/x", none, huge.OID)), wire.FailureCode_FAILURE_TOO_LARGE},
		{"tree with .git in it", x.owner, nil, sha1.Pack(evil, dotGit, blob), ops1(nodetest.Move("refs/heads/x", none, evil.OID)), wire.FailureCode_FAILURE_BAD_PACK},
		{"tree with .. in it", x.owner, nil, sha1.Pack(climbing, dotdot, blob), ops1(nodetest.Move("refs/heads/x", none, climbing.OID)), wire.FailureCode_FAILURE_BAD_PACK},
		{"commit of no tree", x.owner, nil, sha1.Pack(append(good.Objects, lost)...), ops1(nodetest.Move("refs/heads/x", none, lost.OID)), wire.FailureCode_FAILURE_BAD_PACK},
		{"missing parent", x.owner, nil, orphan.Pack(sha1), ops1(nodetest.Move("refs/heads/x", none, orphan.OID)), wire.FailureCode_FAILURE_BAD_PACK},
		{"missing tree", x.owner, nil, sha1.Pack(good.Objects[0]), ops1(create), wire.FailureCode_FAILURE_BAD_PACK},
		{"missing blob", x.owner, nil, sha1.Pack(good.Objects[:2]...), ops1(create), wire.FailureCode_FAILURE_BAD_PACK},
		{"objects that are nowhere", x.owner, nil, nil, ops1(nodetest.Move("refs/heads/x", none, nowhere.OID)), wire.FailureCode_FAILURE_BAD_PACK},
		{"pack with other objects", x.owner, nil, pack, ops1(nodetest.Move("refs/heads/x", none, nowhere.OID)), wire.FailureCode_FAILURE_BAD_PACK},
		{"branch at a blob", x.owner, nil, sha1.Pack(blob), ops1(nodetest.Move("refs/heads/x", none, blob.OID)), wire.FailureCode_FAILURE_BAD_PACK},
		{"branch at a tag", x.owner, nil, sha1.Pack(append(good.Objects, sha1.Tag("v", good.Objects[0]))...), ops1(nodetest.Move("refs/heads/x", none, sha1.Tag("v", good.Objects[0]).OID)), wire.FailureCode_FAILURE_BAD_PACK},
		{"reserved name", x.owner, nil, nil, ops1(nodetest.Move("refs/peer/x", none, x.main)), wire.Code_CODE_BAD_NAME},
		{"HEAD as a ref", x.owner, nil, nil, ops1(nodetest.Move("HEAD", none, x.main)), wire.Code_CODE_BAD_NAME},
		{"name with dots", x.owner, nil, nil, ops1(nodetest.Move("refs/heads/a..b", none, x.main)), wire.Code_CODE_BAD_NAME},
		{"name that climbs", x.owner, nil, nil, ops1(nodetest.Move("refs/heads/../../../config", none, x.main)), wire.Code_CODE_BAD_NAME},
		{"name with a lock", x.owner, nil, nil, ops1(nodetest.Move("refs/heads/x.lock", none, x.main)), wire.Code_CODE_BAD_NAME},
		{"name with a newline", x.owner, nil, nil, ops1(nodetest.Move("refs/heads/a\nb", none, x.main)), wire.Code_CODE_BAD_NAME},
		{"name that is an option", x.owner, nil, nil, ops1(nodetest.Move("--upload-pack=x", none, x.main)), wire.Code_CODE_BAD_NAME},
		{"no name", x.owner, nil, nil, ops1(nodetest.Move("", none, x.main)), wire.Code_CODE_BAD_NAME},
		{"long name", x.owner, nil, nil, ops1(nodetest.Move("refs/heads/"+strings.Repeat("x", 5000), none, x.main)), wire.Code_CODE_BAD_NAME},
		{"name below a branch", x.owner, nil, nil, ops1(nodetest.Move(main+"/x", none, x.main)), wire.Code_CODE_NAME_CONFLICT},
		{"delete of the default branch", x.owner, nil, nil, nil, wire.Code_CODE_DELETES_HEAD},
		{"HEAD outside of branches", x.owner, nil, nil, ops1(nodetest.Head(main, "refs/tags/x")), wire.Code_CODE_BAD_NAME},
		{"endless lease", x.owner, nil, nil, ops1(&wire.Operation{Kind: &wire.Operation_AcquireLock{AcquireLock: &wire.AcquireLock{TtlMs: 1 << 62}}}), wire.Code_CODE_MALFORMED},
		{"lease of nobody", x.owner, nil, nil, ops1(&wire.Operation{Kind: &wire.Operation_ReleaseLock{ReleaseLock: &wire.ReleaseLock{Token: 9}}}), wire.Code_CODE_NOT_HELD},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refs := x.refs(t)
			if tt.want == wire.Code_CODE_DELETES_HEAD {
				tt.ops = ops1(nodetest.Move(main, x.main, none)) // it has moved since
			}
			p := tt.client.Sign(1, tt.pack, tt.edit, tt.ops...)
			done, err := tt.client.Once(deadline(t), x.leader.ID, p)
			switch want := tt.want.(type) {
			case wire.FailureCode:
				failed := new(node.FailureError)
				if !errors.As(err, &failed) || failed.F.GetCode() != want || failed.F.GetMessage() == "" || failed.F.GetUnknown() {
					t.Errorf("ended with %v, %v; want %s", done, err, want)
				}
			case wire.Code:
				if err != nil || len(done.GetOutcome().GetResults()) != len(tt.ops) {
					t.Fatalf("ended with %v, %v; want %s", done, err, want)
				}
				for _, r := range done.GetOutcome().GetResults() {
					if r.GetCode() != want || r.GetDetail() == "" {
						t.Errorf("result %v, want %s", r, want)
					}
				}
			}
			if now := x.refs(t); now != refs {
				t.Errorf("refs were\n%s\nare\n%s", refs, now)
			}
			x.unharmed(t, x.settled(t))
		})
	}
}

func ops1(op *wire.Operation) []*wire.Operation { return []*wire.Operation{op} }

// settled is the state once all members that run are equal and nothing is staged.
func (x *target) settled(t *testing.T) string {
	t.Helper()
	x.Agree(x.g, x.Members[1:]...)
	for _, m := range x.Members[1:] {
		nodetest.Eventually(t, func() string {
			if staged := m.Staged(x.g); len(staged) > 0 {
				return fmt.Sprintf("left in the staging area: %v", staged)
			}
			return ""
		})
	}
	return x.state(t)
}

func (x *target) refs(t *testing.T) string {
	t.Helper()
	refs, err := x.leader.ListRefs(x.g)
	if err != nil {
		t.Fatal(err)
	}
	return refs
}
