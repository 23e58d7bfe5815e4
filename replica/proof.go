package replica

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"peer/identity"
	"peer/wire"
)

// ErrProof says that a ref is not where a transaction put it, or that its signer may not.
var ErrProof = errors.New("it is not where anybody who may put it there has signed for")

// history is who might do what, and when: the policy of the genesis, and what became of
// it by changes that keys signed which might.
type history struct {
	policies []*policy // oldest first
	// assumed: not all changes were kept, so that the policy of now has to do.
	assumed bool
}

// history replays changes of the policy. They must lead to the policy that is in force.
func (g *Genesis) history(changes []*wire.Kept, now *wire.Policy, rules Rules) (*history, error) {
	last, err := parsePolicy(now, rules)
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 && now.GetVersion() > firstIndex {
		return &history{policies: []*policy{last}, assumed: true}, nil
	}
	if len(changes) > changesMax {
		return nil, fmt.Errorf("%d changes of the policy, want %d at most", len(changes), changesMax)
	}
	t := newTable(g, rules)
	h := &history{policies: []*policy{t.policy}}
	for _, c := range changes {
		if err := t.replayChange(c); err != nil {
			return nil, fmt.Errorf("the change of the policy in entry %d: %w", c.GetIndex(), err)
		}
		h.policies = append(h.policies, t.policy)
	}
	if !bytes.Equal(encode(t.policy.wire), encode(now)) {
		return nil, errors.New("the changes of the policy do not lead to the one that is in force")
	}
	return h, nil
}

// replayChange does to a bare table what a transaction did to the policy.
func (t *Table) replayChange(c *wire.Kept) error {
	p, err := ParseKept(t.genesis, c)
	if err != nil {
		return err
	}
	o := &operation{Table: t, signer: p.signer, signed: c.GetTransaction(), version: VersionOf(p.tx), index: c.GetIndex(), before: t.policy}
	if c.GetIndex() <= t.policy.wire.GetVersion() {
		return errors.New("out of order")
	}
	for _, op := range p.tx.GetOperations() {
		if changesPolicy(op) {
			o.do(op)
		}
	}
	if t.policy == o.before {
		return errors.New("it changes nothing, or its signer may not")
	}
	return nil
}

// at is the policy that judged the entry at index: nil before there was one.
func (h *history) at(index uint64) *policy {
	if h.assumed {
		return h.policies[0]
	}
	var p *policy
	for _, next := range h.policies {
		if next.wire.GetVersion() < index {
			p = next
		}
	}
	return p
}

// Proof is a transaction that is kept, whose signature was checked.
type Proof struct {
	Index  uint64
	signer identity.PublicKey
	tx     *wire.Transaction
	// updates are those that set a ref, by its name. A transaction may name one more
	// than once, and which of these was carried out is in the table alone.
	updates map[string][]*wire.RefUpdate
}

// ParseKept checks a transaction from outside by itself.
func ParseKept(g *Genesis, k *wire.Kept) (*Proof, error) {
	p := &Proof{Index: k.GetIndex(), tx: new(wire.Transaction), updates: map[string][]*wire.RefUpdate{}}
	var err error
	if p.signer, err = Open(k.GetTransaction(), identity.DomainTransaction, p.tx); err != nil {
		return nil, err
	}
	if err := (&Table{genesis: g}).checkForm(p.signer, p.tx); err != nil {
		return nil, err
	}
	if base := p.tx.GetBase(); p.Index <= base || p.Index-base > p.tx.GetWindow() {
		return nil, fmt.Errorf("signed for entries %d to %d, and this is %d", base+1, base+p.tx.GetWindow(), p.Index)
	}
	for _, op := range p.tx.GetOperations() {
		if u := op.GetRefUpdate(); len(u.GetNew()) > 0 {
			p.updates[u.GetName()] = append(p.updates[u.GetName()], u)
		}
	}
	return p, nil
}

// Proves checks that a proof put a ref where it is, and that its signer might, by the
// policy of before that entry. Known is false where the policy of then is not known, and
// that of now, which a majority vouches for, does not allow it.
func (v *Vouched) Proves(p *Proof, name string, oid []byte) (known bool, err error) {
	at := slices.IndexFunc(p.updates[name], func(u *wire.RefUpdate) bool { return bytes.Equal(u.GetNew(), oid) })
	if at < 0 {
		return true, fmt.Errorf("the transaction of entry %d does not put %s at %x: %w", p.Index, name, oid, ErrProof)
	}
	policy := v.history.at(p.Index)
	if policy == nil || p.Index > v.Index {
		return true, fmt.Errorf("no transaction can be entry %d: %w", p.Index, ErrProof)
	}
	if v.history.assumed && !v.Majority() {
		return false, nil
	}
	if policy.role(p.signer) >= asWriter && policy.mayUpdate(p.signer, p.updates[name][at]) == nil {
		return true, nil
	}
	if v.history.assumed {
		return false, nil
	}
	return true, fmt.Errorf("%s signed that %s is at %x, who might not: %w", p.signer.DID(), name, oid, ErrProof)
}

// GoesOnFrom says whether a proof can be taken for what moved a ref after an entry, when it
// was at from: it was signed for a listing of then or later, or it starts from there. Which
// entry a transaction is, its signer did not sign. So one that starts from elsewhere may
// have been carried out before that entry, and be shown again as a later one; unless it was
// on its way for as long as the ref took to go away from where that starts, and back.
func (p *Proof) GoesOnFrom(index uint64, from []byte, name string, to []byte) bool {
	return p.tx.GetBase() >= index || slices.ContainsFunc(p.updates[name], func(u *wire.RefUpdate) bool {
		return bytes.Equal(u.GetNew(), to) && bytes.Equal(u.GetOld(), from)
	})
}
