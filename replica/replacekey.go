package replica

import (
	"bytes"
	"errors"
	"fmt"

	"peer/identity"
	"peer/wire"
)

// RevokedMax bounds the revoked keys of a repository. The last half is for owners, so
// that nobody else can use up what these need one day.
const RevokedMax = 1024

// replaceKey revokes a key, and has another take its place, if one is named.
func (o *operation) replaceKey(r *wire.ReplaceKey) *wire.Result {
	name := o.genesis.Name
	if have := o.Policy().GetVersion(); r.GetOldVersion() != have {
		return refuse(wire.Code_CODE_STALE, fmt.Sprintf("the policy is of version %d, expected %d", have, r.GetOldVersion()))
	}
	old, successor, err := o.genesis.parseReplacement(r)
	if err != nil {
		return refuse(wire.Code_CODE_MALFORMED, err.Error())
	}
	if old != o.signer {
		if refusal := o.before.needs(o.signer, asOwner, "replace or revoke the key of somebody else in "+name); refusal != nil {
			return refusal
		}
	}
	for _, key := range []identity.PublicKey{old, successor} {
		if refusal := o.policy.refuseRevoked(key, name); refusal != nil {
			return refusal
		}
	}
	role := o.policy.role(old)
	next := &wire.Policy{Version: o.index, Protections: o.policy.wire.GetProtections(), Grants: []*wire.Grant{{Key: old[:], Access: asRevoked}}}
	if len(r.GetNew()) > 0 {
		if role == asNobody {
			return refuse(wire.Code_CODE_MALFORMED, fmt.Sprintf("%s has no role in %s that another key could take over", old.DID(), name))
		}
		next.Grants = append(next.Grants, &wire.Grant{Key: successor[:], Access: max(role, o.policy.role(successor))})
	}
	for _, g := range o.policy.wire.GetGrants() {
		if !bytes.Equal(g.GetKey(), old[:]) && !bytes.Equal(g.GetKey(), r.GetNew()) {
			next.Grants = append(next.Grants, g)
		}
	}
	most := RevokedMax
	if o.before.role(o.signer) < asOwner {
		most = RevokedMax / 2
	}
	owners, _, revoked := tally(next)
	switch {
	case owners == 0:
		return refuse(wire.Code_CODE_LAST_OWNER, "an owner must be left: make somebody else one first")
	case revoked > most:
		return refuse(wire.Code_CODE_NOT_ALLOWED, fmt.Sprintf("%s has %d revoked keys, and takes no more of %s", name, revoked-1, AccessName(o.before.role(o.signer))+"s"))
	}
	sortPolicy(next)
	parsed, err := parsePolicy(next, o.rules)
	if err != nil {
		panic(fmt.Sprintf("replica: policy after a key was replaced: %v", err))
	}
	o.setPolicy(parsed)
	o.succeed(old)
	o.passLock(old[:], r.GetNew())
	return &wire.Result{}
}

// passLock hands a revoked key's lease to its successor, or ends it.
func (o *operation) passLock(old, successor []byte) {
	lock := o.meta.GetLock()
	if !bytes.Equal(lock.GetOwner(), old) {
		return
	}
	if len(successor) == 0 {
		o.setLock(nil)
		return
	}
	o.setLock(&wire.Lock{Owner: successor, Token: lock.GetToken(), ExpiresUnixMs: lock.GetExpiresUnixMs(), Reason: lock.GetReason()})
}

// parseReplacement checks what a replacement says by itself. The zero key stands for
// no successor.
func (g *Genesis) parseReplacement(r *wire.ReplaceKey) (old, successor identity.PublicKey, err error) {
	if old, err = identity.ParsePublicKey(r.GetOld()); err != nil {
		return old, successor, err
	}
	if len(r.GetNew()) == 0 {
		if len(r.GetConsent()) > 0 {
			return old, successor, errors.New("a consent of no key")
		}
		return old, successor, nil
	}
	if successor, err = identity.ParsePublicKey(r.GetNew()); err != nil {
		return old, successor, err
	}
	if old == successor {
		return old, successor, errors.New("a key in its own place")
	}
	if !successor.Verify(identity.DomainSuccession, g.succession(old, successor, r.GetOldVersion()), r.GetConsent()) {
		return old, successor, fmt.Errorf("%s did not agree to take the place of %s", successor.DID(), old.DID())
	}
	return old, successor, nil
}

func (g *Genesis) succession(old, successor identity.PublicKey, version uint64) []byte {
	return encode(&wire.Succession{Genesis: g.Hash[:], Old: old[:], New: successor[:], Version: version})
}

// Replacement has a key take the place of another in the policy of a version. It
// agrees to that here; who signs the transaction is the old key, or an owner.
func (g *Genesis) Replacement(old identity.PublicKey, successor identity.Signer, version uint64) (*wire.ReplaceKey, error) {
	public := successor.Public()
	consent, err := successor.TrySign(identity.DomainSuccession, g.succession(old, public, version))
	if err != nil {
		return nil, err
	}
	return &wire.ReplaceKey{OldVersion: version, Old: old[:], New: public[:], Consent: consent}, nil
}

// refuseRevoked refuses whatever would give a revoked key a role, or revoke it again.
func (p *policy) refuseRevoked(key identity.PublicKey, name string) *wire.Result {
	if p.role(key) != asRevoked {
		return nil
	}
	return refuse(wire.Code_CODE_NOT_ALLOWED, fmt.Sprintf("%s was revoked in %s, for good", key.DID(), name))
}

// tally counts the owners, the keys with a role, and the revoked ones.
func tally(p *wire.Policy) (owners, roles, revoked int) {
	for _, g := range p.GetGrants() {
		switch g.GetAccess() {
		case asRevoked:
			revoked++
			continue
		case asOwner:
			owners++
		}
		roles++
	}
	return owners, roles, revoked
}

// replacesItself says whether a transaction is a key's that has another take its
// place and does nothing else, for which any role will do.
func replacesItself(signer identity.PublicKey, tx *wire.Transaction) bool {
	ops := tx.GetOperations()
	return len(ops) == 1 && ops[0].GetReplaceKey() != nil && bytes.Equal(ops[0].GetReplaceKey().GetOld(), signer[:])
}
