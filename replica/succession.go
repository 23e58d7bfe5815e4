package replica

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"peer/identity"
	"peer/wire"
)

const (
	// successionsMax bounds how often the key of the genesis, and then its successor,
	// may hand on the right to begin a lineage; and successionBytesMax the transaction,
	// so that they have room in a record.
	successionsMax     = 8
	successionBytesMax = 400
)

// succeed notes that the key which may begin a lineage has handed that on. It must
// have signed so itself: those who check a lineage know the genesis and not the policy.
func (o *operation) succeed(old identity.PublicKey) {
	before := o.meta.GetSuccessions()
	owner, err := o.genesis.successor(before)
	if err != nil || owner != old || old != o.signer || len(before) == successionsMax || len(o.signed.GetBody()) > successionBytesMax {
		return
	}
	if _, err := o.genesis.successor(append(slices.Clip(before), o.signed)); err != nil {
		return // revoked, without a successor
	}
	o.meta.Successions = append(slices.Clip(before), bare(o.signed))
	o.undo = append(o.undo, func() { o.meta.Successions = before })
}

// bare is a signature without what somebody may have added to it.
func bare(s *wire.Signed) *wire.Signed {
	return &wire.Signed{Body: s.GetBody(), Signer: s.GetSigner(), Signature: s.GetSignature()}
}

// successor is the key to which successions lead from the owner of the genesis.
func (g *Genesis) successor(successions []*wire.Signed) (identity.PublicKey, error) {
	owner := g.Owner
	if len(successions) > successionsMax {
		return owner, fmt.Errorf("%d successions, want %d at most", len(successions), successionsMax)
	}
	for _, signed := range successions {
		if len(signed.GetBody()) > successionBytesMax {
			return owner, fmt.Errorf("succession of %d bytes, want %d at most", len(signed.GetBody()), successionBytesMax)
		}
		tx := new(wire.Transaction)
		signer, err := Open(signed, identity.DomainTransaction, tx)
		if err != nil {
			return owner, fmt.Errorf("succession: %w", err)
		}
		if signer != owner || !bytes.Equal(tx.GetGenesis(), g.Hash[:]) {
			return owner, errors.New("succession that is not the owner's, or of another repository")
		}
		at := slices.IndexFunc(tx.GetOperations(), func(op *wire.Operation) bool {
			return bytes.Equal(op.GetReplaceKey().GetOld(), owner[:]) && len(op.GetReplaceKey().GetNew()) > 0
		})
		if at < 0 {
			return owner, errors.New("succession by nobody")
		}
		if _, owner, err = g.parseReplacement(tx.GetOperations()[at].GetReplaceKey()); err != nil {
			return owner, fmt.Errorf("succession: %w", err)
		}
	}
	return owner, nil
}

// succeeded is the key that may confirm a configuration, and those of the successions
// that lead to it: none, where it is the owner of the genesis.
func (g *Genesis) succeeded(signer identity.PublicKey, successions []*wire.Signed) (identity.PublicKey, []*wire.Signed, error) {
	if signer == g.Owner {
		return signer, nil, nil
	}
	owner, err := g.successor(successions)
	kept := make([]*wire.Signed, 0, len(successions))
	for _, s := range successions {
		kept = append(kept, bare(s))
	}
	return owner, kept, err
}
