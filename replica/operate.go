package replica

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// operation is one transaction being carried out. Operations change the table
// as they go; undo takes an atomic transaction back.
type operation struct {
	*Table
	signer  identity.PublicKey
	signed  *wire.Signed // the transaction
	version uint32       // of the entry
	index   uint64
	undo    []func()
	// before is the policy from before the transaction: it judges, whatever the
	// transaction makes of it.
	before *policy
	// ancestry is what the entry says of objects, and used what of that counted.
	ancestry, used []*wire.Ancestry
	// touched holds each ref's value before the transaction.
	touched map[string][]byte
	// setBy is the entry that had set it.
	setBy map[string]uint64
	order []string
}

// operate carries out the operations of a transaction. Without atomic each one
// succeeds or fails by itself.
func (t *Table) operate(signer identity.PublicKey, tx *wire.Transaction, entry *wire.Entry, done *Applied) {
	o := &operation{
		Table: t, signer: signer, signed: entry.GetTransaction(), version: entry.GetVersion(), index: done.Index,
		before: t.policy, ancestry: entry.GetAncestry(), touched: map[string][]byte{}, setBy: map[string]uint64{},
	}
	head := t.Head()
	results := make([]*wire.Result, len(tx.GetOperations()))
	failed := false
	// Deletes go first, so that a branch can make room for others below its name.
	for _, deletes := range []bool{true, false} {
		for i, op := range tx.GetOperations() {
			if isDelete(op) == deletes {
				results[i] = o.do(op)
				failed = failed || results[i].GetCode() != wire.Code_CODE_OK
			}
		}
	}
	if failed && tx.GetAtomic() {
		o.rollBack(results)
	}
	done.Outcome.Results = results
	var movedFrom []uint64
	for _, name := range o.order {
		movedFrom = append(movedFrom, o.setBy[name])
		// A ref set to what it was moves nothing, yet it names this entry from now on.
		t.saveRef(name)
		if old, now := o.touched[name], t.refs[name].GetOid(); !bytes.Equal(old, now) {
			done.Refs = append(done.Refs, RefChange{Name: name, Old: old, New: now})
		} else if t.refs[name] != nil {
			done.Renewed = append(done.Renewed, name)
		}
	}
	if t.Head() != head {
		done.Head = t.Head()
	}
	if len(done.Refs) > 0 {
		done.Ancestry = o.used
	}
	if t.policy != o.before {
		t.mark(keyPolicy, encode(t.policy.wire))
	}
	t.keep(o, movedFrom)
	t.retire(done)
	t.rehash(done.Refs, head)
}

func isDelete(op *wire.Operation) bool {
	update := op.GetRefUpdate()
	return update != nil && len(update.GetNew()) == 0
}

func (o *operation) rollBack(results []*wire.Result) {
	for i := len(o.undo) - 1; i >= 0; i-- {
		o.undo[i]()
	}
	o.order = nil
	for _, r := range results {
		if r.GetCode() == wire.Code_CODE_OK {
			proto.Merge(r, refuse(wire.Code_CODE_SIBLING, "another part of the atomic push failed"))
		}
	}
}

func (o *operation) do(op *wire.Operation) *wire.Result {
	switch kind := op.GetKind().(type) {
	case *wire.Operation_RefUpdate:
		return o.updateRef(kind.RefUpdate)
	case *wire.Operation_SetHead:
		return o.setHead(kind.SetHead)
	case *wire.Operation_AcquireLock:
		return o.acquire(kind.AcquireLock)
	case *wire.Operation_ReleaseLock:
		return o.release(kind.ReleaseLock)
	case *wire.Operation_Configure:
		return o.configure(kind.Configure)
	case *wire.Operation_Remove:
		return o.remove(kind.Remove)
	case *wire.Operation_ChangePolicy:
		// NB: in an entry of an older version others take it for unknown.
		if o.version >= policyEntryVersion {
			return o.changePolicy(kind.ChangePolicy)
		}
	case *wire.Operation_ReplaceKey:
		if o.version >= keyEntryVersion {
			return o.replaceKey(kind.ReplaceKey)
		}
	}
	return refuse(wire.Code_CODE_MALFORMED, "unknown kind of operation")
}

func (o *operation) updateRef(u *wire.RefUpdate) *wire.Result {
	name := u.GetName()
	if r := o.checkUpdate(u); r != nil {
		return r
	}
	if r := o.before.mayUpdate(o.signer, u); r != nil {
		return r
	}
	if r := o.locked(); r != nil {
		return r
	}
	current := o.refs[name]
	if _, twice := o.touched[name]; twice {
		return refuse(wire.Code_CODE_MALFORMED, fmt.Sprintf("%s occurs twice in one transaction", name))
	}
	if !bytes.Equal(current.GetOid(), u.GetOld()) {
		return refuse(wire.Code_CODE_STALE, fmt.Sprintf("%s is at %s, expected %s", name, spell(current.GetOid()), spell(u.GetOld())))
	}
	if r := o.forward(u); r != nil {
		return r
	}
	if len(u.GetNew()) == 0 {
		if name == o.Head() {
			return refuse(wire.Code_CODE_DELETES_HEAD, fmt.Sprintf("%s is the default branch", name))
		}
		o.move(name, current, nil)
		return &wire.Result{}
	}
	if conflict := o.conflict(name); conflict != "" {
		return refuse(wire.Code_CODE_NAME_CONFLICT, fmt.Sprintf("%s cannot stand beside %s", name, conflict))
	}
	if r := o.roomForRef(name); r != nil {
		return r
	}
	o.move(name, current, &wire.Ref{Name: name, Oid: u.GetNew(), Index: o.index})
	return &wire.Result{}
}

func (t *Table) checkUpdate(u *wire.RefUpdate) *wire.Result {
	if err := t.rules.CheckRefName(u.GetName()); err != nil {
		return refuse(wire.Code_CODE_BAD_NAME, err.Error())
	}
	for _, oid := range [][]byte{u.GetOld(), u.GetNew()} {
		if len(oid) != 0 && len(oid) != t.genesis.OIDBytes() {
			return refuse(wire.Code_CODE_MALFORMED, fmt.Sprintf("object ID of %d bytes in a %s repository", len(oid), t.genesis.ObjectFormat))
		}
	}
	return nil
}

// locked refuses while somebody else holds the lease.
func (o *operation) locked() *wire.Result {
	lock := o.HeldLock()
	if lock == nil || bytes.Equal(lock.GetOwner(), o.signer[:]) {
		return nil
	}
	owner, _ := identity.ParsePublicKey(lock.GetOwner())
	detail := fmt.Sprintf("locked by %s for %d more seconds", owner.DID(), (lock.GetExpiresUnixMs()-o.Stamp()+999)/1000)
	if lock.GetReason() != "" {
		detail += ": " + lock.GetReason()
	}
	return refuse(wire.Code_CODE_LOCKED, detail)
}

// conflict finds a ref that name can't stand beside: git keeps refs as paths.
func (o *operation) conflict(name string) string {
	if o.dirs[name] > 0 {
		return name + "/…"
	}
	for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
		if o.refs[name[:i]] != nil {
			return name[:i]
		}
	}
	return ""
}

// move sets a ref, or drops it when to is nil.
func (o *operation) move(name string, from, to *wire.Ref) {
	o.touched[name], o.setBy[name] = from.GetOid(), from.GetIndex()
	o.order = append(o.order, name)
	set := func(ref *wire.Ref) {
		if ref == nil {
			o.dropRef(name)
		} else {
			o.putRef(ref)
		}
	}
	set(to)
	o.undo = append(o.undo, func() { set(from) })
}

func (o *operation) setHead(h *wire.SetHead) *wire.Result {
	if r := o.locked(); r != nil {
		return r
	}
	if err := o.rules.CheckRefName(h.GetNew()); err != nil {
		return refuse(wire.Code_CODE_BAD_NAME, err.Error())
	}
	if !strings.HasPrefix(h.GetNew(), "refs/heads/") {
		return refuse(wire.Code_CODE_BAD_NAME, "HEAD names a branch, below refs/heads/")
	}
	before := o.Head()
	// Who takes a branch's place as the default one, or makes one that, does with it
	// what its rules are about.
	for _, branch := range []string{before, h.GetNew()} {
		if r := o.before.mayPush(o.signer, branch); r != nil {
			return r
		}
	}
	if h.GetOld() != before {
		return refuse(wire.Code_CODE_STALE, fmt.Sprintf("HEAD is %s, expected %s", before, h.GetOld()))
	}
	o.meta.Head = h.GetNew()
	o.undo = append(o.undo, func() { o.meta.Head = before })
	return &wire.Result{}
}

func (o *operation) acquire(a *wire.AcquireLock) *wire.Result {
	if r := o.locked(); r != nil {
		return r
	}
	if len(a.GetReason()) > lockReasonBytesMax {
		return refuse(wire.Code_CODE_MALFORMED, fmt.Sprintf("a reason of %d bytes: want %d at most", len(a.GetReason()), lockReasonBytesMax))
	}
	if a.GetTtlMs() <= 0 || a.GetTtlMs() > LockMillisMax {
		return refuse(wire.Code_CODE_MALFORMED, fmt.Sprintf("a lease of %d ms: want 1 to %d", a.GetTtlMs(), LockMillisMax))
	}
	held, token := o.HeldLock(), o.index
	if a.GetToken() != 0 {
		if held.GetToken() != a.GetToken() {
			return refuse(wire.Code_CODE_NOT_HELD, fmt.Sprintf("lease %d has ended", a.GetToken()))
		}
		token = a.GetToken()
	} else if held != nil {
		return refuse(wire.Code_CODE_LOCKED, fmt.Sprintf("you hold it already, with token %d", held.GetToken()))
	}
	o.setLock(&wire.Lock{Owner: o.signer[:], Token: token, ExpiresUnixMs: o.Stamp() + a.GetTtlMs(), Reason: a.GetReason()})
	return &wire.Result{}
}

// release gives the lease back: its holder may, and who maintains the repository.
func (o *operation) release(r *wire.ReleaseLock) *wire.Result {
	held := o.HeldLock()
	mine := bytes.Equal(held.GetOwner(), o.signer[:]) || o.before.role(o.signer) >= asMaintainer
	if held == nil || held.GetToken() != r.GetToken() || !mine {
		return refuse(wire.Code_CODE_NOT_HELD, fmt.Sprintf("lease %d is not yours, or has ended", r.GetToken()))
	}
	o.setLock(nil)
	return &wire.Result{}
}

func (o *operation) setLock(lock *wire.Lock) {
	before := o.meta.GetLock()
	o.meta.Lock = lock
	o.undo = append(o.undo, func() { o.meta.Lock = before })
}

func spell(oid []byte) string {
	if len(oid) == 0 {
		return "nothing"
	}
	return hex.EncodeToString(oid)
}
