package replicatest

import (
	"math/rand/v2"
	"slices"
	"strings"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Names are the refs of the tests. Some can't stand beside each other, and
// not all of the others may be there at once (see [Rules]).
var Names = []string{"refs/heads/main", "refs/heads/a", "refs/heads/a/b", "refs/heads/a/b/c", "refs/tags/v1", "refs/tags/v2"}

// Listing is a table as a client saw it.
type Listing struct {
	Index uint64
	Refs  map[string]string
	Head  string
	// Token is that of the lease in force; zero without one.
	Token uint64
	// Settings is their version.
	Settings uint64
	Policy   *wire.Policy
}

// List lists a table.
func List(t *replica.Table) Listing {
	l := Listing{Index: t.Index(), Refs: map[string]string{}, Head: t.Head(), Token: t.HeldLock().GetToken(), Settings: t.Settings().GetVersion(), Policy: t.Policy()}
	for _, r := range t.Refs() {
		l.Refs[r.GetName()] = string(r.GetOid())
	}
	return l
}

// Draw makes up transactions: most of them could succeed.
type Draw struct {
	Rand    *rand.Rand
	Genesis *replica.Genesis
	// Odd is how often a part is wrong or strange.
	Odd float64
	// LockMillis is how long leases last, at most.
	LockMillis int64
	// Removes: the owner may end the repository.
	Removes bool
	// Keys may get a role, or lose one; none: the policy stays as it is.
	Keys []identity.PublicKey
	// Spare keys may take the place of others; none: nobody is revoked.
	Spare []identity.Key
	// Settings makes up settings that the owner may want; nil: hardly ever other ones.
	Settings func() *wire.Settings
}

func (d Draw) odd() bool { return d.Odd > 0 && d.Rand.Float64() < d.Odd }

func (d Draw) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.Rand.Uint32())
	}
	return b
}

// Transaction makes up what somebody who saw l might push.
func (d Draw) Transaction(signer identity.PublicKey, l Listing) *wire.Transaction {
	tx := &wire.Transaction{
		Genesis: d.Genesis.Hash[:], Signer: signer[:], Id: d.bytes(replica.TransactionIDBytes),
		Base: l.Index, Window: replica.WindowMax, Atomic: d.Rand.IntN(2) == 0,
	}
	if d.Rand.IntN(5) == 0 {
		tx.Window = uint64(1 + d.Rand.IntN(20))
	}
	names := slices.Clone(Names)
	d.Rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for i := range 1 + d.Rand.IntN(3) {
		tx.Operations = append(tx.Operations, d.operation(names[i], l))
	}
	if d.odd() {
		tx.Operations = append(tx.Operations, tx.Operations[0])
	}
	return tx
}

func (d Draw) operation(name string, l Listing) *wire.Operation {
	switch d.Rand.IntN(20) {
	case 0:
		return d.setHead(l)
	case 1:
		return d.acquire(l)
	case 2:
		return &wire.Operation{Kind: &wire.Operation_ReleaseLock{ReleaseLock: &wire.ReleaseLock{Token: l.Token}}}
	case 3:
		return d.configure(l)
	case 4:
		if len(d.Keys) > 0 {
			return d.ChangePolicy(l)
		}
	case 5:
		if len(d.Spare) > 0 && d.Rand.IntN(4) == 0 {
			return d.ReplaceKey(l)
		}
	}
	return &wire.Operation{Kind: &wire.Operation_RefUpdate{RefUpdate: d.update(name, l)}}
}

// configure asks for as many replicas as there are, or for some number; and, where
// that may happen, ends the repository.
func (d Draw) configure(l Listing) *wire.Operation {
	if d.Removes && d.Rand.IntN(20) == 0 {
		return &wire.Operation{Kind: &wire.Operation_Remove{Remove: &wire.Remove{}}}
	}
	settings := &wire.Settings{}
	if d.Settings != nil {
		settings = d.Settings()
	}
	if d.odd() {
		settings.Replicas = uint32(d.Rand.IntN(9))
	}
	return &wire.Operation{Kind: &wire.Operation_Configure{Configure: &wire.Configure{OldVersion: l.Settings, Settings: settings}}}
}

// Patterns are those of the rules that tests make.
var Patterns = []string{"refs/heads/main", "refs/heads/a/**", "refs/heads/*", "refs/**/b", "refs/tags/v*"}

// ChangePolicy gives somebody a role, or takes it, and makes rules or drops some.
func (d Draw) ChangePolicy(l Listing) *wire.Operation {
	c := &wire.ChangePolicy{OldVersion: l.Policy.GetVersion()}
	for range d.Rand.IntN(3) {
		key := d.Keys[d.Rand.IntN(len(d.Keys))]
		access := []wire.Access{0, 1, 2, 2, 2, 3, 3, 4}[d.Rand.IntN(8)] // rather more than less, or nobody pushes in the end
		c.Set = append(c.Set, &wire.Grant{Key: key[:], Access: access})
	}
	for range d.Rand.IntN(3) {
		push := []wire.Access{wire.Access_ACCESS_WRITER, wire.Access_ACCESS_WRITER, wire.Access_ACCESS_WRITER, wire.Access_ACCESS_MAINTAINER, wire.Access_ACCESS_OWNER, wire.Access_ACCESS_NONE}[d.Rand.IntN(6)]
		c.Protect = append(c.Protect, &wire.Protection{
			Pattern: Patterns[d.Rand.IntN(len(Patterns))], Push: push, NoForce: d.Rand.IntN(2) == 0, NoDelete: d.Rand.IntN(2) == 0,
		})
	}
	for range d.Rand.IntN(3) {
		c.Unprotect = append(c.Unprotect, Patterns[d.Rand.IntN(len(Patterns))])
	}
	if d.odd() {
		switch d.Rand.IntN(6) {
		case 0:
			c.OldVersion += uint64(d.Rand.IntN(3))
		case 1:
			c.Set = append(c.Set, &wire.Grant{Key: d.bytes(d.Rand.IntN(40)), Access: wire.Access(d.Rand.IntN(7) - 1)})
		case 2:
			c.Protect = append(c.Protect, &wire.Protection{Pattern: "refs/heads/*" + strings.Repeat("*", d.Rand.IntN(3)), Push: wire.Access(d.Rand.IntN(7) - 1)})
		case 3:
			c.Protect = append(c.Protect, &wire.Protection{Pattern: "refs/" + strings.Repeat("x/", d.Rand.IntN(150)) + "**/**"[d.Rand.IntN(5):]})
		case 4:
			c = &wire.ChangePolicy{OldVersion: c.OldVersion}
		default:
			c.Set = append(c.Set, c.Set...)
		}
	}
	return &wire.Operation{Kind: &wire.Operation_ChangePolicy{ChangePolicy: c}}
}

// ReplaceKey has a key take the place of another, or revokes one.
func (d Draw) ReplaceKey(l Listing) *wire.Operation {
	old, successor := d.Keys[d.Rand.IntN(len(d.Keys))], d.Spare[d.Rand.IntN(len(d.Spare))]
	version := l.Policy.GetVersion()
	if d.odd() {
		version += uint64(d.Rand.IntN(3))
	}
	r, err := d.Genesis.Replacement(old, successor, version)
	if err != nil {
		panic(err) // keys in memory sign anything
	}
	if d.Rand.IntN(6) == 0 {
		r.New, r.Consent = nil, nil
	}
	if d.odd() {
		switch d.Rand.IntN(4) {
		case 0:
			r.Consent = d.bytes(64)
		case 1:
			r.Old = d.bytes(d.Rand.IntN(40))
		case 2:
			r.New = d.bytes(d.Rand.IntN(40))
		default:
			r.OldVersion++
		}
	}
	return &wire.Operation{Kind: &wire.Operation_ReplaceKey{ReplaceKey: r}}
}

// Ancestry is what a leader would say of a transaction's objects, most of the time.
func (d Draw) Ancestry(tx *wire.Transaction) (list []*wire.Ancestry) {
	for _, op := range tx.GetOperations() {
		if u := op.GetRefUpdate(); len(u.GetOld()) > 0 && len(u.GetNew()) > 0 && d.Rand.IntN(3) > 0 {
			list = append(list, &wire.Ancestry{Old: u.GetOld(), New: u.GetNew()})
		}
	}
	return list
}

func (d Draw) update(name string, l Listing) *wire.RefUpdate {
	u := &wire.RefUpdate{Name: name, Old: []byte(l.Refs[name]), New: d.bytes(d.Genesis.OIDBytes())}
	switch pick := d.Rand.IntN(10); {
	case pick < 3 && len(u.Old) > 0:
		u.New = nil
	case pick == 3:
		u.New = d.known(l) // an object that is there, perhaps that of this ref
	}
	if d.odd() {
		switch d.Rand.IntN(4) {
		case 0:
			u.Name = []string{"", "main", "refs/peer/x", "refs/heads/a..b", "refs/heads/" + strings.Repeat("é", 200)}[d.Rand.IntN(5)]
		case 1:
			u.New = d.bytes(d.Rand.IntN(40))
		case 2:
			u.Old = d.bytes(d.Rand.IntN(40))
		default:
			u.Old = nil
		}
	}
	return u
}

func (d Draw) known(l Listing) []byte {
	var oids []string
	for _, oid := range l.Refs {
		oids = append(oids, oid)
	}
	if len(oids) == 0 {
		return nil
	}
	slices.Sort(oids)
	return []byte(oids[d.Rand.IntN(len(oids))])
}

func (d Draw) setHead(l Listing) *wire.Operation {
	h := &wire.SetHead{Old: l.Head, New: Names[d.Rand.IntN(len(Names))]}
	if d.odd() {
		h.Old = Names[d.Rand.IntN(len(Names))]
	}
	return &wire.Operation{Kind: &wire.Operation_SetHead{SetHead: h}}
}

func (d Draw) acquire(l Listing) *wire.Operation {
	a := &wire.AcquireLock{TtlMs: 1 + d.Rand.Int64N(d.LockMillis)}
	if d.Rand.IntN(3) == 0 {
		a.Token = l.Token
	}
	if d.odd() {
		a.TtlMs = []int64{0, -1, replica.LockMillisMax, replica.LockMillisMax + 1}[d.Rand.IntN(4)]
	}
	if d.odd() {
		a.Reason = strings.Repeat("ü", d.Rand.IntN(200))
	}
	return &wire.Operation{Kind: &wire.Operation_AcquireLock{AcquireLock: a}}
}

// Mangle makes a transaction as a whole wrong, or strange.
func (d Draw) Mangle(tx *wire.Transaction) {
	switch d.Rand.IntN(9) {
	case 0:
		tx.Genesis = d.bytes(32)
	case 1:
		tx.Signer = d.bytes(d.Rand.IntN(40))
	case 2:
		tx.Id = d.bytes(d.Rand.IntN(20))
	case 3:
		tx.Operations = nil
	case 4:
		tx.Window = []uint64{0, 1, replica.WindowMax + 1}[d.Rand.IntN(3)]
	case 5:
		tx.Base += uint64(d.Rand.IntN(3))
	case 6:
		tx.Base -= min(tx.Base, uint64(d.Rand.IntN(30)))
	case 7:
		tx.Base = d.Rand.Uint64()
	default:
		tx.Operations[0] = &wire.Operation{}
	}
}
