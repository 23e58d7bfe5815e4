package node

import (
	"context"
	"fmt"

	"peer/git"
	"peer/replica"
	"peer/wire"
)

// retiredTip is an object that a ref named until an entry moved or deleted it.
// The publisher keeps those of the table that it has published.
type retiredTip struct {
	oid   git.OID
	index uint64
}

func loadRetired(list []*wire.Retired) (tips []retiredTip) {
	for _, r := range list {
		if oid, err := git.FromBytes(r.GetOid()); err == nil { // the table checked them
			tips = append(tips, retiredTip{oid, r.GetIndex()})
		}
	}
	return tips
}

// retire follows what an entry did to the table's retired tips. The caller holds
// the gate.
func (p *publisher) retire(a replica.Applied) error {
	for _, r := range a.Refs {
		oid, err := git.FromBytes(r.Old)
		if err != nil {
			return err
		}
		if !oid.IsZero() {
			p.retired = append(p.retired, retiredTip{oid, a.Index})
		}
	}
	if a.Floor == 0 {
		return nil
	}
	p.floor = a.Floor
	keep := 0
	for keep < len(p.retired) && p.retired[keep].index <= a.Floor {
		keep++
	}
	p.retired = append([]retiredTip(nil), p.retired[keep:]...)
	return nil
}

// currentFloor is the floor of the published table.
func (p *publisher) currentFloor() uint64 {
	p.gate.RLock()
	defer p.gate.RUnlock()
	return p.floor
}

// hasRetired says whether there is anything to collect.
func (p *publisher) hasRetired() bool {
	p.gate.RLock()
	defer p.gate.RUnlock()
	return len(p.retired) > 0
}

// tips are the refs, and what they left after base, as published at an index.
func (p *publisher) tips(base uint64) (tips []git.OID, index uint64) {
	p.gate.RLock()
	defer p.gate.RUnlock()
	p.mu.Lock()
	index = p.index
	p.mu.Unlock()
	for _, r := range p.refs {
		tips = append(tips, r.OID)
	}
	for i := len(p.retired) - 1; i >= 0 && p.retired[i].index > base; i-- {
		tips = append(tips, p.retired[i].oid)
	}
	return unique(tips), index
}

// basis is what a push may rely on: see package replica. Whoever listed here or
// elsewhere knows no later index than the one that is published here, since the
// session began with a confirmed one.
func (u *push) basis() ([]git.OID, error) {
	tips, index := u.g.pub.tips(u.tx.GetBase())
	if base := u.tx.GetBase(); base > index {
		return nil, errBadRequest("signed from the listing at %d, and the group is at %d", base, index)
	}
	return tips, nil
}

// checkPack checks that all is there that the push needs, given where to look for
// what it brings.
func (u *push) checkPack(ctx context.Context, check func(ctx context.Context, news, shallow, tips []git.OID) (map[git.OID]git.Object, error)) error {
	tips, err := u.basis()
	if err != nil {
		return err
	}
	objects, err := check(ctx, u.news, u.shallow, tips)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return u.checkTypes(objects)
}
