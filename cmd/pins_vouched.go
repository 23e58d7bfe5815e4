package cmd

import (
	"context"
	"encoding/hex"
	"fmt"

	"peer/identity"
	"peer/replica"
)

// vouchedPin is the last state of a repository that a majority of its voters vouched for
// to this home. Who is asked next may know more, and nothing else.
type vouchedPin struct {
	Index         uint64 `json:"index"`
	Chain         string `json:"chain"` // hashes, in hexadecimal
	Refs          string `json:"refs"`
	Generation    uint64 `json:"generation"` // of the configuration whose voters they were
	Configuration string `json:"configuration"`
	Policy        uint64 `json:"policy,omitempty"` // its version
	// KeptSince is the first entry whose signature was seen here: from then on, if not
	// before, the group keeps them.
	KeptSince uint64 `json:"kept_since,omitempty"`
}

func newVouchedPin(v *replica.Vouched) *vouchedPin {
	c := v.Lineage.Last()
	return &vouchedPin{
		Index: v.Index, Chain: hex.EncodeToString(v.Chain[:]), Refs: hex.EncodeToString(v.Refs[:]),
		Generation: c.Generation, Configuration: hex.EncodeToString(c.Hash[:]),
		Policy: v.Policy.GetVersion(),
	}
}

// check refuses what goes back behind a pin, or sideways from it. Without a pin it takes
// everything.
func (p *vouchedPin) check(v *replica.Vouched) error {
	if p == nil {
		return nil
	}
	configuration, err := hex.DecodeString(p.Configuration)
	if err != nil {
		return fmt.Errorf("the hash of configuration %d in the pins is damaged", p.Generation)
	}
	next := newVouchedPin(v)
	switch {
	case v.Index < p.Index:
		return &protocolError{fmt.Sprintf("it lists index %d, and a majority of the voters vouched for index %d here before", v.Index, p.Index)}
	case v.Index == p.Index && (next.Chain != p.Chain || next.Refs != p.Refs):
		return &protocolError{fmt.Sprintf("it lists another state of index %d than the one that a majority of the voters vouched for here before", v.Index)}
	case next.Policy < p.Policy:
		return &protocolError{fmt.Sprintf("its policy is of version %d, and a majority of the voters vouched for version %d here before", next.Policy, p.Policy)}
	case !v.Lineage.GoesOnFrom(p.Generation, configuration):
		return &protocolError{fmt.Sprintf("its voters, of configuration %d, do not go on from configuration %d, which is known here", next.Generation, p.Generation)}
	}
	return nil
}

// keptSince is the first entry whose signature was seen here, the one of now included;
// zero is none.
func (p *vouchedPin) keptSince(now uint64) uint64 {
	if p == nil || p.KeptSince == 0 || now > 0 && now < p.KeptSince {
		return now
	}
	return p.KeptSince
}

// vouch moves the pin of a repository, whose genesis is pinned, to what a majority of its
// voters vouches for. keptSince is the first entry whose signature came with it.
func (p pins) vouch(ctx context.Context, repo identity.RepoID, v *replica.Vouched, keptSince uint64) error {
	next := newVouchedPin(v)
	found, err := p.lookup(repo)
	if err != nil {
		return err
	}
	next.KeptSince = found.Vouched.keptSince(keptSince)
	if found.Vouched != nil && *found.Vouched == *next {
		return nil
	}
	unlock, err := p.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	file, err := p.read()
	if err != nil {
		return err
	}
	have := file.Repos[repo.String()]
	if have.Vouched != nil && have.Vouched.Index > next.Index {
		return nil // another process went on meanwhile
	}
	if err := have.Vouched.check(v); err != nil {
		return err
	}
	next.KeptSince = have.Vouched.keptSince(keptSince)
	have.Vouched = next
	file.Repos[repo.String()] = have
	return p.write(file)
}
