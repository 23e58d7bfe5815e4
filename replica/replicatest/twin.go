package replicatest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Twin is the table in the plainest words. It keeps everything, searches
// everything, and works on copies.
type Twin struct {
	genesis *replica.Genesis
	check   func(string) error

	Chain []byte
	state
	past []pastOutcome
}

// state is what a transaction may change.
type state struct {
	Refs map[string]string
	Head string
	Lock *wire.Lock
	// Settings is their version, Removed the entry of the tombstone.
	Settings, Removed uint64
	Policy            Policy
	// Stamp is the highest clock seen.
	Stamp int64
	// Retired is every object that a ref ever left, for good.
	Retired []retired
	Floor   uint64
}

type retired struct {
	oid   string
	index uint64
	stamp int64
}

type pastOutcome struct {
	index  uint64
	signer string
	id     string
	body   [32]byte
	Verdict
}

// Verdict is what the twin thinks of an entry.
type Verdict struct {
	Empty bool
	// Group is set for what the group itself decided; Floor is the one it set.
	Group bool
	Floor uint64
	// First is the index of the outcome; an earlier one for a repeat.
	First uint64
	Whole wire.Code
	Each  []wire.Code
}

// NewTwin begins where a table begins.
func NewTwin(g *replica.Genesis, check func(string) error) *Twin {
	return &Twin{genesis: g, check: check, Chain: g.Hash[:], state: state{Refs: map[string]string{}, Head: g.DefaultBranch, Policy: foundingPolicy(g)}}
}

// Pass passes an entry by that changes nothing but the members.
func (t *Twin) Pass(index, term uint64, kind byte, data []byte) Verdict {
	t.link(index, term, kind, make([]byte, sha256.Size), data)
	return Verdict{Group: true}
}

func (t *Twin) link(index, term uint64, kind byte, transaction, data []byte) {
	position := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, index), term)
	entry := sha256.Sum256(data)
	chain := sha256.Sum256(slices.Concat(t.Chain, position, []byte{kind}, transaction, entry[:]))
	t.Chain = chain[:]
}

// Apply applies one entry.
func (t *Twin) Apply(index, term uint64, data []byte) Verdict {
	if len(data) == 0 {
		t.link(index, term, 0, make([]byte, sha256.Size), nil)
		return Verdict{Empty: true}
	}
	entry, tx := new(wire.Entry), new(wire.Transaction)
	if proto.Unmarshal(data, entry) != nil {
		panic("replicatest: entry that does not decode")
	}
	transaction := make([]byte, sha256.Size)
	if entry.GetTransaction() != nil {
		sum := sha256.Sum256(entry.GetTransaction().GetBody())
		transaction = sum[:]
	}
	t.link(index, term, 0, transaction, data)
	if entry.GetStampUnixMs() > t.Stamp {
		t.Stamp = entry.GetStampUnixMs()
	}
	if c := entry.GetCollect(); c != nil && entry.GetVersion() == 2 {
		verdict := Verdict{Group: true}
		if c.GetFloor() > t.Floor && c.GetFloor() < index {
			t.Floor, verdict.Floor = c.GetFloor(), c.GetFloor()
		}
		return verdict
	}
	signed := entry.GetTransaction()
	verdict := Verdict{First: index}
	if !t.wellFormed(signed, tx) {
		verdict.Whole = wire.Code_CODE_MALFORMED
		return verdict
	}
	body := sha256.Sum256(signed.GetBody())
	for _, p := range t.past {
		within := p.index+replica.WindowMax >= index
		if within && p.signer == string(tx.GetSigner()) && p.id == string(tx.GetId()) {
			if p.body == body {
				return p.Verdict
			}
			verdict.Whole = wire.Code_CODE_ID_REUSED
			return verdict
		}
	}
	if index <= tx.GetBase() {
		return Verdict{Empty: true} // it may be decided yet
	}
	switch {
	case index-tx.GetBase() > tx.GetWindow():
		verdict.Whole = wire.Code_CODE_EXPIRED
	case t.Removed != 0:
		verdict.Whole = wire.Code_CODE_REMOVED
	case tx.GetBase() < t.Floor:
		verdict.Whole = wire.Code_CODE_LIST_AGAIN
	case t.Policy.Roles[string(tx.GetSigner())] < leastRole(tx):
		verdict.Whole = wire.Code_CODE_NOT_ALLOWED
	default:
		verdict.Each = t.carryOut(tx, entry, index)
	}
	t.past = append(t.past, pastOutcome{index, string(tx.GetSigner()), string(tx.GetId()), body, verdict})
	return verdict
}

// leastRole is the least role that may sign a transaction at all.
func leastRole(tx *wire.Transaction) wire.Access {
	if ops := tx.GetOperations(); len(ops) == 1 && ops[0].GetReplaceKey() != nil && string(ops[0].GetReplaceKey().GetOld()) == string(tx.GetSigner()) {
		return wire.Access_ACCESS_READER
	}
	return wire.Access_ACCESS_WRITER
}

func (t *Twin) wellFormed(s *wire.Signed, tx *wire.Transaction) bool {
	key, err := identity.ParsePublicKey(s.GetSigner())
	return err == nil && key.Verify(identity.DomainTransaction, s.GetBody(), s.GetSignature()) &&
		proto.Unmarshal(s.GetBody(), tx) == nil &&
		string(tx.GetGenesis()) == string(t.genesis.Hash[:]) && string(tx.GetSigner()) == string(key[:]) &&
		len(tx.GetId()) == 16 && len(tx.GetOperations()) >= 1 && len(tx.GetOperations()) <= 10_000 &&
		tx.GetWindow() >= 1 && tx.GetWindow() <= 65_536
}

// carryOut tries the operations on a copy, deletes first, and keeps the copy
// unless all or nothing was asked for.
func (t *Twin) carryOut(tx *wire.Transaction, entry *wire.Entry, index uint64) []wire.Code {
	try := t.state
	try.Refs = maps.Clone(t.Refs)
	codes := make([]wire.Code, len(tx.GetOperations()))
	moved := map[string]bool{}
	failed := false
	run := func(deletes bool) {
		for i, op := range tx.GetOperations() {
			u := op.GetRefUpdate()
			if (u != nil && len(u.GetNew()) == 0) == deletes {
				codes[i] = t.try(&try, op, tx.GetSigner(), entry, index, moved)
				failed = failed || codes[i] != wire.Code_CODE_OK
			}
		}
	}
	run(true)
	run(false)
	if failed && tx.GetAtomic() {
		for i, code := range codes {
			if code == wire.Code_CODE_OK {
				codes[i] = wire.Code_CODE_SIBLING
			}
		}
		return codes
	}
	t.state = try
	return codes
}

// try tries one operation. t is still as it was before the transaction.
func (t *Twin) try(s *state, op *wire.Operation, signer []byte, entry *wire.Entry, index uint64, moved map[string]bool) wire.Code {
	role := t.Policy.Roles[string(signer)]
	held := s.Lock
	if held != nil && held.GetExpiresUnixMs() <= s.Stamp {
		held = nil
	}
	others := held != nil && string(held.GetOwner()) != string(signer)
	switch kind := op.GetKind().(type) {
	case *wire.Operation_RefUpdate:
		return t.tryRef(s, kind.RefUpdate, role, entry.GetAncestry(), index, others, moved)
	case *wire.Operation_SetHead:
		name := kind.SetHead.GetNew()
		switch {
		case others:
			return wire.Code_CODE_LOCKED
		case t.check(name) != nil || !strings.HasPrefix(name, "refs/heads/"):
			return wire.Code_CODE_BAD_NAME
		case !t.Policy.mayPush(role, s.Head) || !t.Policy.mayPush(role, name):
			return wire.Code_CODE_NOT_ALLOWED
		case kind.SetHead.GetOld() != s.Head:
			return wire.Code_CODE_STALE
		}
		s.Head = name
	case *wire.Operation_AcquireLock:
		a := kind.AcquireLock
		next := &wire.Lock{Owner: signer, Token: index, ExpiresUnixMs: s.Stamp + a.GetTtlMs(), Reason: a.GetReason()}
		switch {
		case others:
			return wire.Code_CODE_LOCKED
		case len(a.GetReason()) > 200 || a.GetTtlMs() < 1 || a.GetTtlMs() > 86_400_000:
			return wire.Code_CODE_MALFORMED
		case a.GetToken() == 0 && held != nil:
			return wire.Code_CODE_LOCKED
		case a.GetToken() != 0 && (held == nil || held.GetToken() != a.GetToken()):
			return wire.Code_CODE_NOT_HELD
		case a.GetToken() != 0:
			next.Token = a.GetToken()
		}
		s.Lock = next
	case *wire.Operation_ReleaseLock:
		breaks := role >= wire.Access_ACCESS_MAINTAINER
		if held == nil || held.GetToken() != kind.ReleaseLock.GetToken() || others && !breaks {
			return wire.Code_CODE_NOT_HELD
		}
		s.Lock = nil
	case *wire.Operation_Configure:
		n := kind.Configure.GetSettings().GetReplicas()
		switch {
		case role != wire.Access_ACCESS_OWNER:
			return wire.Code_CODE_NOT_ALLOWED
		case kind.Configure.GetOldVersion() != s.Settings:
			return wire.Code_CODE_STALE
		case n == 2 || n == 4 || n == 6 || n > 7:
			return wire.Code_CODE_MALFORMED
		}
		s.Settings = index
	case *wire.Operation_Remove:
		if role != wire.Access_ACCESS_OWNER {
			return wire.Code_CODE_NOT_ALLOWED
		}
		s.Removed = index
	case *wire.Operation_ChangePolicy:
		if entry.GetVersion() < 3 {
			return wire.Code_CODE_MALFORMED
		}
		next, code := s.Policy.change(kind.ChangePolicy, role, index, t.check)
		if code != wire.Code_CODE_OK {
			return code
		}
		s.Policy = next
	case *wire.Operation_ReplaceKey:
		if entry.GetVersion() < 4 {
			return wire.Code_CODE_MALFORMED
		}
		r := kind.ReplaceKey
		next, code := s.Policy.replace(r, t.genesis.Hash[:], signer, role, index)
		if code != wire.Code_CODE_OK {
			return code
		}
		s.Policy = next
		if s.Lock != nil && string(s.Lock.GetOwner()) == string(r.GetOld()) {
			if s.Lock = proto.CloneOf(s.Lock); len(r.GetNew()) > 0 {
				s.Lock.Owner = r.GetNew()
			} else {
				s.Lock = nil
			}
		}
	default:
		return wire.Code_CODE_MALFORMED
	}
	return wire.Code_CODE_OK
}

func (t *Twin) tryRef(s *state, u *wire.RefUpdate, role wire.Access, said []*wire.Ancestry, index uint64, locked bool, moved map[string]bool) wire.Code {
	size := map[string]int{replica.SHA1: 20, replica.SHA256: 32}[t.genesis.ObjectFormat]
	sized := func(oid []byte) bool { return len(oid) == 0 || len(oid) == size }
	name := u.GetName()
	switch {
	case t.check(name) != nil:
		return wire.Code_CODE_BAD_NAME
	case !sized(u.GetOld()) || !sized(u.GetNew()):
		return wire.Code_CODE_MALFORMED
	case !t.Policy.mayPush(role, name) || len(u.GetNew()) == 0 && t.Policy.keeps(name):
		return wire.Code_CODE_NOT_ALLOWED
	case locked:
		return wire.Code_CODE_LOCKED
	case moved[name]:
		return wire.Code_CODE_MALFORMED
	case s.Refs[name] != string(u.GetOld()):
		return wire.Code_CODE_STALE
	case !t.Policy.mayGo(u, said):
		return wire.Code_CODE_NOT_FORWARD
	case len(u.GetNew()) == 0 && name == s.Head:
		return wire.Code_CODE_DELETES_HEAD
	}
	if len(u.GetNew()) > 0 {
		for other := range s.Refs {
			if strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/") {
				return wire.Code_CODE_NAME_CONFLICT
			}
		}
		if s.Refs[name] == "" && len(s.Refs) >= Rules.RefsMax {
			return wire.Code_CODE_TOO_MANY_REFS
		}
	}
	moved[name] = true
	if before := s.Refs[name]; before != "" && before != string(u.GetNew()) {
		s.Retired = append(slices.Clip(s.Retired), retired{before, index, s.Stamp})
	}
	if delete(s.Refs, name); len(u.GetNew()) > 0 {
		s.Refs[name] = string(u.GetNew())
	}
	return wire.Code_CODE_OK
}

// Differs says how what a replica made of an entry differs; empty if it does not.
func (v Verdict) Differs(a *replica.Applied) string {
	o := a.Outcome
	if v.Floor != a.Floor {
		return fmt.Sprintf("floor %d, want %d", a.Floor, v.Floor)
	}
	if quiet := v.Empty || v.Group; quiet || o == nil {
		if quiet && o == nil && len(a.Refs) == 0 {
			return ""
		}
		return fmt.Sprintf("an outcome of an entry without a transaction, or none: %v", o)
	}
	var each []wire.Code
	for _, r := range o.GetResults() {
		each = append(each, r.GetCode())
	}
	switch {
	case v.First != o.GetIndex() || a.Repeat != (v.First != a.Index):
		return fmt.Sprintf("outcome of %d, want that of %d", o.GetIndex(), v.First)
	case v.Whole != o.GetResult().GetCode():
		return fmt.Sprintf("%s, want %s", o.GetResult().GetCode(), v.Whole)
	case !slices.Equal(v.Each, each):
		return fmt.Sprintf("%v, want %v", each, v.Each)
	}
	return ""
}

// DiffersFrom says how a table's state differs; empty if it does not.
func (t *Twin) DiffersFrom(table *replica.Table) string {
	refs := map[string]string{}
	for _, r := range table.Refs() {
		refs[r.GetName()] = string(r.GetOid())
	}
	switch {
	case !maps.Equal(refs, t.Refs):
		return fmt.Sprintf("refs %x, want %x", refs, t.Refs)
	case table.Floor() != t.Floor:
		return fmt.Sprintf("floor %d, want %d", table.Floor(), t.Floor)
	case !slices.Equal(t.retiredNow(), retiredOf(table)):
		return fmt.Sprintf("retired %x, want %x", retiredOf(table), t.retiredNow())
	case table.Head() != t.Head:
		return fmt.Sprintf("HEAD %s, want %s", table.Head(), t.Head)
	case !proto.Equal(table.Lock(), t.Lock):
		return fmt.Sprintf("lock %v, want %v", table.Lock(), t.Lock)
	case table.Settings().GetVersion() != t.Settings || table.Tombstone().GetIndex() != t.Removed:
		return fmt.Sprintf("settings of %d, removed at %d; want %d, %d", table.Settings().GetVersion(), table.Tombstone().GetIndex(), t.Settings, t.Removed)
	case t.Policy.differsFrom(table.Policy()) != "":
		return t.Policy.differsFrom(table.Policy())
	case table.Stamp() != t.Stamp:
		return fmt.Sprintf("stamp %d, want %d", table.Stamp(), t.Stamp)
	case !bytes.Equal(table.Chain(), t.Chain):
		return "another chain"
	}
	return unproved(table)
}

// unproved names a ref for which the table does not keep the transaction that set it.
func unproved(table *replica.Table) string {
	for _, r := range table.Refs() {
		tx := new(wire.Transaction)
		kept := table.Kept([]uint64{r.GetIndex()})
		if len(kept) != 1 || proto.Unmarshal(kept[0].GetTransaction().GetBody(), tx) != nil {
			return fmt.Sprintf("no transaction is kept for %s, which entry %d set", r.GetName(), r.GetIndex())
		}
		if !slices.ContainsFunc(tx.GetOperations(), func(op *wire.Operation) bool {
			return op.GetRefUpdate().GetName() == r.GetName() && bytes.Equal(op.GetRefUpdate().GetNew(), r.GetOid())
		}) {
			return fmt.Sprintf("the transaction that is kept for %s put it elsewhere", r.GetName())
		}
	}
	return ""
}

// retiredNow searches all that was ever retired.
func (t *Twin) retiredNow() (list []retired) {
	for _, r := range t.Retired {
		if r.index > t.Floor {
			list = append(list, r)
		}
	}
	return inOrder(list)
}

func retiredOf(table *replica.Table) (list []retired) {
	for _, r := range table.Retired() {
		list = append(list, retired{string(r.GetOid()), r.GetIndex(), r.GetStampUnixMs()})
	}
	return inOrder(list)
}

// inOrder sorts within each entry: in which order its refs moved does not matter.
func inOrder(list []retired) []retired {
	slices.SortStableFunc(list, func(a, b retired) int { return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.oid, b.oid)) })
	return list
}
