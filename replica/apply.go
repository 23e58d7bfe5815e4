package replica

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

const (
	// TransactionIDBytes is the size of the ID that a client draws.
	TransactionIDBytes = 16
	// WindowMax is how many entries after its base a transaction may commit, and
	// how long its outcome is kept.
	WindowMax = 65_536
	// EntryBytesMax bounds one entry, an inline payload included.
	EntryBytesMax = 32 << 20
	// OperationsMax bounds one transaction.
	OperationsMax = 10_000
	// LockMillisMax bounds a lease.
	LockMillisMax = 24 * 60 * 60 * 1000

	// NameBytesMax bounds the ref names of one transaction, and so what it writes
	// into the table.
	NameBytesMax = 1 << 20

	lockReasonBytesMax = 200
	detailBytesMax     = 320 // of one result

	// An entry of this version carries a transaction.
	entryVersion = 1
	// And one of this, what the group itself decided: a [wire.Collect]. A replica
	// that only knows the first stops at the second, rather than take it for a
	// transaction that is malformed; so does this one at kinds that came later.
	groupEntryVersion = 2
	// And one of this, a transaction that changes the policy. Whoever knows only the
	// first two would refuse that change, and from then on judge by another policy.
	policyEntryVersion = 3
	// And one of this, a transaction that replaces or revokes a key.
	keyEntryVersion = 4

	// EntryVersion is the newest version that this program knows. A leader proposes
	// no newer one than all members know that it hears; the others stop.
	EntryVersion = keyEntryVersion
)

// ErrUpgrade stops a replica that meets an entry it does not know. It must not
// guess: the others may have applied it.
var ErrUpgrade = errors.New("the log holds an entry of a newer peer: upgrade this one")

// Applied says what one entry did.
type Applied struct {
	Index, Term uint64
	StampMillis int64
	Signer      identity.PublicKey
	ID          []byte
	// Outcome is nil for raft's own empty entries, and for a transaction whose base
	// is yet to come.
	Outcome *wire.Outcome
	// Repeat means that the transaction had been applied before, so that this
	// entry did nothing; Outcome is the first one.
	Repeat bool
	Refs   []RefChange
	// Renewed are refs that were set to what they were: they name this entry now.
	Renewed []string
	// Head is the branch that HEAD names from this entry on; empty when unchanged.
	Head string
	// Floor is the table's floor from this entry on; zero when unchanged.
	Floor uint64
	// Payload holds the objects that the refs need; nil when nothing changed.
	Payload *wire.Payload
	// Again is the payload that a repeat brought, for nothing.
	Again *wire.Payload
	// State is what the leader's table was when it proposed the entry.
	State *wire.StateHash
	// Ancestry is what the leader said of objects and what refs moved for: it can be
	// checked, when these objects are here.
	Ancestry []*wire.Ancestry
}

// RefChange is one ref that moved. An empty old or new object ID: created, deleted.
type RefChange struct {
	Name     string
	Old, New []byte
}

// Apply applies one entry. It uses nothing but the entry and the table. An
// error means that this replica must stop taking part.
func (t *Table) Apply(index, term uint64, data []byte) (Applied, error) {
	if index != t.Index()+1 {
		panic(fmt.Sprintf("replica: apply entry %d on a table at %d", index, t.Index()))
	}
	done := Applied{Index: index, Term: term}
	entry := new(wire.Entry)
	if len(data) > 0 {
		if err := proto.Unmarshal(data, entry); err != nil {
			return done, fmt.Errorf("entry %d: %w", index, err)
		}
		if !known(entry) {
			return done, fmt.Errorf("entry %d has version %d: %w", index, entry.GetVersion(), ErrUpgrade)
		}
	}
	t.advance(index, LinkOf(term, pb.EntryNormal, data), entry.GetStampUnixMs())
	done.StampMillis, done.State = t.Stamp(), entry.GetState()
	switch {
	case entry.GetCollect() != nil && entry.GetVersion() == groupEntryVersion:
		t.collect(entry.GetCollect(), &done)
	case len(data) > 0:
		t.applyTransaction(entry, &done)
	}
	t.forgetOutcome(index)
	t.mark(keyMeta, encode(t.meta))
	return done, nil
}

// known says whether this program knows all that an entry may do. A group's own
// entry without what we know of is of a later kind.
func known(e *wire.Entry) bool {
	switch e.GetVersion() {
	case entryVersion:
		return true
	case policyEntryVersion, keyEntryVersion:
		return e.GetCollect() == nil
	case groupEntryVersion:
		return e.GetCollect() != nil && e.GetTransaction() == nil && e.GetPayload() == nil
	}
	return false
}

// versionOf is the version that an entry needs its readers to know.
func versionOf(e *wire.Entry) uint32 {
	if e.GetCollect() != nil {
		return groupEntryVersion
	}
	tx := new(wire.Transaction)
	if proto.Unmarshal(e.GetTransaction().GetBody(), tx) == nil {
		return VersionOf(tx)
	}
	return entryVersion
}

// VersionOf is the version of the entry that a transaction needs.
func VersionOf(tx *wire.Transaction) uint32 {
	version := uint32(entryVersion)
	for _, op := range tx.GetOperations() {
		switch op.GetKind().(type) {
		case *wire.Operation_ChangePolicy:
			version = max(version, policyEntryVersion)
		case *wire.Operation_ReplaceKey:
			version = max(version, keyEntryVersion)
		}
	}
	return version
}

// advance moves the position. The stamp never goes back, whatever a leader's clock does.
func (t *Table) advance(index uint64, link Link, stampMillis int64) {
	chain := link.Extend(index, [sha256.Size]byte(t.meta.GetChain()))
	before := t.meta // a snapshot that is on its way may share it
	t.meta = &wire.TableMeta{
		Index: index, Term: link.Term, Chain: chain[:], ChainVersion: chainVersion,
		StampUnixMs: max(before.GetStampUnixMs(), stampMillis),
		Successions: before.GetSuccessions(),
		Head:        before.GetHead(), Policy: before.GetPolicy(), Lock: before.GetLock(),
		Members: before.GetMembers(), MembersIndex: before.GetMembersIndex(), NextRaftId: before.GetNextRaftId(),
		Settings: before.GetSettings(), Floor: before.GetFloor(), RefsHash: before.GetRefsHash(), Tombstone: before.GetTombstone(),
	}
}

func (t *Table) applyTransaction(entry *wire.Entry, done *Applied) {
	signed := entry.GetTransaction()
	tx := new(wire.Transaction)
	signer, err := Open(signed, identity.DomainTransaction, tx)
	hash := sha256.Sum256(signed.GetBody())
	outcome := &wire.Outcome{
		Index: done.Index, Term: done.Term, Signer: signer[:], Id: tx.GetId(), TxSha256: hash[:],
		Result: &wire.Result{},
	}
	done.Signer, done.ID, done.Outcome = signer, tx.GetId(), outcome
	if err == nil {
		err = t.checkForm(signer, tx)
	}
	if err != nil {
		// Nobody vouches for these bytes: nothing is kept of them.
		outcome.Result = refuse(wire.Code_CODE_MALFORMED, err.Error())
		return
	}
	if first := t.Outcome(signer, tx.GetId()); first != nil {
		if bytes.Equal(first.GetTxSha256(), hash[:]) {
			done.Outcome, done.Repeat, done.Again = first, true, entry.GetPayload()
		} else {
			outcome.Result = reused(first)
		}
		return
	}
	if tx.GetBase() >= done.Index {
		// Somebody lied to the signer about the index. A refusal would be forgotten
		// before the transaction's window has passed, and it could still commit then.
		// So it is not refused: the entry does nothing, and nobody is answered.
		done.Outcome = nil
		return
	}
	if refusal := t.judge(signer, tx, done.Index); refusal != nil {
		outcome.Result = refusal
	} else {
		t.operate(signer, tx, entry, done)
	}
	if len(done.Refs) > 0 {
		done.Payload = entry.GetPayload()
	}
	if err := t.putOutcome(outcome); err != nil {
		panic(fmt.Sprintf("replica: keep outcome: %v", err)) // checkForm saw signer and ID
	}
	t.mark(outcomeKey(done.Index), encode(outcome))
}

// reused refuses other bytes under the ID of a transaction.
func reused(first *wire.Outcome) *wire.Result {
	return refuse(wire.Code_CODE_ID_REUSED, fmt.Sprintf("this ID was used for another transaction at index %d", first.GetIndex()))
}

// Known is what apply would answer to a transaction whose ID was used: the first
// outcome to the same signed bytes, by their hash, and to others a refusal, which
// names no entry. Nil: the ID is new.
func (t *Table) Known(signer identity.PublicKey, id, txSum []byte) *wire.Outcome {
	first := t.Outcome(signer, id)
	if first == nil || bytes.Equal(first.GetTxSha256(), txSum) {
		return first
	}
	return &wire.Outcome{Signer: signer[:], Id: id, TxSha256: txSum, Result: reused(first)}
}

// checkForm refuses what was never a transaction of this repository.
func (t *Table) checkForm(signer identity.PublicKey, tx *wire.Transaction) error {
	switch {
	case !bytes.Equal(tx.GetGenesis(), t.genesis.Hash[:]):
		return errors.New("transaction of another repository, or of another genesis of this one")
	case !bytes.Equal(tx.GetSigner(), signer[:]):
		return errors.New("transaction names another signer")
	case len(tx.GetId()) != TransactionIDBytes:
		return fmt.Errorf("transaction ID of %d bytes, want %d", len(tx.GetId()), TransactionIDBytes)
	case len(tx.GetOperations()) == 0 || len(tx.GetOperations()) > OperationsMax:
		return fmt.Errorf("%d operations, want 1 to %d", len(tx.GetOperations()), OperationsMax)
	case nameBytes(tx) > NameBytesMax:
		return fmt.Errorf("ref names of %d bytes, want %d at most in one transaction", nameBytes(tx), NameBytesMax)
	case tx.GetWindow() == 0 || tx.GetWindow() > WindowMax:
		return fmt.Errorf("window of %d entries, want 1 to %d", tx.GetWindow(), WindowMax)
	}
	return nil
}

// judge decides about the transaction as a whole, as of the index before. Its base
// is before index.
func (t *Table) judge(signer identity.PublicKey, tx *wire.Transaction, index uint64) *wire.Result {
	if index > tx.GetBase()+tx.GetWindow() {
		return refuse(wire.Code_CODE_EXPIRED, fmt.Sprintf("signed for entries %d to %d, this is %d", tx.GetBase()+1, tx.GetBase()+tx.GetWindow(), index))
	}
	if stone := t.Tombstone(); stone != nil {
		return refuse(wire.Code_CODE_REMOVED, fmt.Sprintf("%s was removed by its owner at index %d", t.genesis.Name, stone.GetIndex()))
	}
	if tx.GetBase() < t.Floor() {
		return refuse(wire.Code_CODE_LIST_AGAIN, fmt.Sprintf("signed from the listing at %d, and objects from before %d may be gone", tx.GetBase(), t.Floor()))
	}
	if replacesItself(signer, tx) {
		return t.policy.needs(signer, asReader, "have its place taken in "+t.genesis.Name)
	}
	return t.policy.needs(signer, asWriter, "write to "+t.genesis.Name)
}

// Courtesy says what apply would answer to tx if it were the next entry, or, where
// this table is not at its base yet, the one after that; or, where it would refuse
// every single update for the sake of protected refs, to the first. So a leader need
// not read a pack that is refused anyway. Nil: go on.
//
// NB: CODE_NOT_ALLOWED is the one of these refusals that may be another one day: an
// earlier attempt that is still on its way may succeed after a change of the policy.
func (t *Table) Courtesy(signer identity.PublicKey, tx *wire.Transaction) *wire.Result {
	if err := t.checkForm(signer, tx); err != nil {
		return refuse(wire.Code_CODE_MALFORMED, err.Error())
	}
	if refusal := t.judge(signer, tx, max(t.Index(), tx.GetBase())+1); refusal != nil {
		return refusal
	}
	return t.refusesAll(signer, tx)
}

// refusesAll is the first refusal of a transaction of which rules let nothing happen.
func (t *Table) refusesAll(signer identity.PublicKey, tx *wire.Transaction) (first *wire.Result) {
	for _, op := range tx.GetOperations() {
		u := op.GetRefUpdate()
		if u == nil || t.checkUpdate(u) != nil {
			return nil
		}
		refusal := t.policy.mayUpdate(signer, u)
		if refusal == nil {
			return nil
		}
		if first == nil {
			first = refusal
		}
	}
	return first
}

// HeldLock is the lease that is in force at the table's stamp; nil if none is.
func (t *Table) HeldLock() *wire.Lock {
	if lock := t.meta.GetLock(); lock.GetExpiresUnixMs() > t.Stamp() {
		return lock
	}
	return nil
}

func nameBytes(tx *wire.Transaction) (n int) {
	for _, op := range tx.GetOperations() {
		n += len(op.GetRefUpdate().GetName()) + len(op.GetSetHead().GetNew())
	}
	return n
}

func refuse(code wire.Code, detail string) *wire.Result {
	if len(detail) > detailBytesMax {
		detail = strings.ToValidUTF8(detail[:detailBytesMax], "")
	}
	return &wire.Result{Code: code, Detail: detail}
}
