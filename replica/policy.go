package replica

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// Limits of a policy. A genesis has room for some 480 writers.
const (
	GrantsMax      = 1024
	ProtectionsMax = 256
)

// Roles, short.
const (
	asRevoked    = wire.Access_ACCESS_REVOKED
	asNobody     = wire.Access_ACCESS_NONE
	asReader     = wire.Access_ACCESS_READER
	asWriter     = wire.Access_ACCESS_WRITER
	asMaintainer = wire.Access_ACCESS_MAINTAINER
	asOwner      = wire.Access_ACCESS_OWNER
)

// policy is the policy in force, ready to judge. It never changes: a change
// makes another one.
type policy struct {
	// wire has grants and protections, sorted, and no writers.
	wire  *wire.Policy
	roles map[identity.PublicKey]wire.Access // those of revoked keys are less than none
	rules []rule
}

type rule struct {
	pattern
	*wire.Protection
}

// founded is the policy of a genesis: its owner owns, its writers write. What is
// no key never meant anybody.
func (g *Genesis) founded(rules Rules) *policy {
	p := &wire.Policy{Version: firstIndex, Grants: []*wire.Grant{{Key: g.Owner[:], Access: asOwner}}}
	for _, raw := range g.Policy.GetWriters() {
		_, err := identity.ParsePublicKey(raw)
		known := slices.ContainsFunc(p.Grants, func(g *wire.Grant) bool { return bytes.Equal(g.GetKey(), raw) })
		if err == nil && !known {
			p.Grants = append(p.Grants, &wire.Grant{Key: raw, Access: asWriter})
		}
	}
	sortPolicy(p)
	parsed, err := parsePolicy(p, rules)
	if err != nil {
		panic(fmt.Sprintf("replica: policy of a genesis: %v", err)) // it is made up here
	}
	return parsed
}

func sortPolicy(p *wire.Policy) {
	slices.SortFunc(p.Grants, func(a, b *wire.Grant) int { return bytes.Compare(a.GetKey(), b.GetKey()) })
	slices.SortFunc(p.Protections, func(a, b *wire.Protection) int { return strings.Compare(a.GetPattern(), b.GetPattern()) })
}

// parsePolicy checks a policy and makes it ready. Each has one form, so that its
// bytes are the same on every replica.
func parsePolicy(p *wire.Policy, rules Rules) (*policy, error) {
	owners, roles, revoked := tally(p)
	switch {
	case len(p.GetWriters()) > 0:
		return nil, errors.New("policy with writers, where these have grants")
	case roles > GrantsMax || revoked > RevokedMax || len(p.GetProtections()) > ProtectionsMax:
		return nil, fmt.Errorf("policy of %d grants, %d revoked keys and %d rules, want %d, %d and %d at most",
			roles, revoked, len(p.GetProtections()), GrantsMax, RevokedMax, ProtectionsMax)
	case owners == 0:
		return nil, errors.New("policy without an owner")
	}
	out := &policy{wire: p, roles: make(map[identity.PublicKey]wire.Access, len(p.GetGrants()))}
	for i, g := range p.GetGrants() {
		key, err := identity.ParsePublicKey(g.GetKey())
		switch {
		case err != nil:
			return nil, fmt.Errorf("policy: %w", err)
		case g.GetAccess() < asRevoked || g.GetAccess() == asNobody || g.GetAccess() > asOwner:
			return nil, fmt.Errorf("policy: %s has the unknown role %d", key.DID(), g.GetAccess())
		case i > 0 && bytes.Compare(p.Grants[i-1].GetKey(), g.GetKey()) >= 0:
			return nil, errors.New("policy: grants out of order")
		}
		out.roles[key] = g.GetAccess()
	}
	for i, protection := range p.GetProtections() {
		parsed, err := parsePattern(protection.GetPattern(), rules)
		switch {
		case err != nil:
			return nil, fmt.Errorf("policy: %w", err)
		case !pushRole(protection.GetPush()):
			return nil, fmt.Errorf("policy: no rule can ask for the role %d", protection.GetPush())
		case i > 0 && p.Protections[i-1].GetPattern() >= protection.GetPattern():
			return nil, errors.New("policy: rules out of order")
		}
		out.rules = append(out.rules, rule{parsed, protection})
	}
	return out, nil
}

// pushRole says whether a rule may ask for a role, none being nobody.
func pushRole(a wire.Access) bool { return a == asNobody || a >= asWriter && a <= asOwner }

func (p *policy) role(key identity.PublicKey) wire.Access { return p.roles[key] }

// mayPush refuses a key that a rule keeps from moving a ref; "" is none.
func (p *policy) mayPush(key identity.PublicKey, name string) *wire.Result {
	role := p.role(key)
	for _, r := range p.rules {
		if need := r.GetPush(); r.matches(name) && !MayPush(r.Protection, role) {
			if need == asNobody {
				return refuse(wire.Code_CODE_NOT_ALLOWED, fmt.Sprintf("nobody may push to it: %s is protected by the rule %s", name, r.GetPattern()))
			}
			return refuse(wire.Code_CODE_NOT_ALLOWED, fmt.Sprintf("that needs the role %s, which %s grants, and you are %s: %s is protected by the rule %s",
				AccessName(need), granterOf(need), AccessName(role), name, r.GetPattern()))
		}
	}
	return nil
}

// mayUpdate refuses an update for what the rules say of it and its signer, except
// that it may have to go forward; see mustForward.
func (p *policy) mayUpdate(key identity.PublicKey, u *wire.RefUpdate) *wire.Result {
	if refusal := p.mayPush(key, u.GetName()); refusal != nil || len(u.GetNew()) > 0 {
		return refusal
	}
	for _, r := range p.rules {
		if r.GetNoDelete() && r.matches(u.GetName()) {
			return refuse(wire.Code_CODE_NOT_ALLOWED, fmt.Sprintf("nobody may delete it: %s is protected by the rule %s", u.GetName(), r.GetPattern()))
		}
	}
	return nil
}

// mustForward is the rule that lets an update move its ref forward only; nil where
// none does, or where the update makes or deletes the ref, or leaves it.
func (p *policy) mustForward(u *wire.RefUpdate) *wire.Protection {
	if len(u.GetOld()) == 0 || len(u.GetNew()) == 0 || bytes.Equal(u.GetOld(), u.GetNew()) {
		return nil
	}
	for _, r := range p.rules {
		if r.GetNoForce() && r.matches(u.GetName()) {
			return r.Protection
		}
	}
	return nil
}

// AccessName is a role as people read it.
func AccessName(a wire.Access) string {
	switch a {
	case asOwner:
		return "owner"
	case asMaintainer:
		return "maintainer"
	case asWriter:
		return "writer"
	case asReader:
		return "reader"
	case asRevoked:
		return "revoked"
	}
	return "nobody"
}

// ParseAccess reads what AccessName writes.
func ParseAccess(name string) (wire.Access, error) {
	for a := asNobody; a <= asOwner; a++ {
		if AccessName(a) == name {
			return a, nil
		}
	}
	return asNobody, fmt.Errorf("unknown role %.40q: want owner, maintainer, writer, reader or nobody", name)
}

func granterOf(a wire.Access) string {
	if a >= asMaintainer {
		return "an owner"
	}
	return "an owner or a maintainer"
}

// needs refuses a signer whose role does not reach so far.
func (p *policy) needs(key identity.PublicKey, need wire.Access, what string) *wire.Result {
	if role := p.role(key); role < need {
		if role == asRevoked {
			return refuse(wire.Code_CODE_NOT_ALLOWED, fmt.Sprintf("%s may not %s: this key was revoked, for good", key.DID(), what))
		}
		return refuse(wire.Code_CODE_NOT_ALLOWED, fmt.Sprintf("%s may not %s: that needs the role %s, which %s grants, and this key's is %s",
			key.DID(), what, AccessName(need), granterOf(need), AccessName(role)))
	}
	return nil
}

// Policy is the policy in force, in grants and protections. The caller must not change it.
func (t *Table) Policy() *wire.Policy { return t.policy.wire }

// policyChanged says that the policy is no longer the genesis's.
func (t *Table) policyChanged() bool { return t.policy.wire.GetVersion() != firstIndex }

// Access is the role of a key.
func (t *Table) Access(key identity.PublicKey) wire.Access { return t.policy.role(key) }

// Roles is [Table.Access] of the policy in force now, for those beside the loop. It
// never changes.
func (t *Table) Roles() func(identity.PublicKey) wire.Access { return t.policy.role }

// MayWrite says whether the policy lets a key move refs, as far as no rule protects them.
func (t *Table) MayWrite(key identity.PublicKey) bool { return t.policy.role(key) >= asWriter }

// AccessIn is the role of a key in a policy from elsewhere.
func AccessIn(p *wire.Policy, key identity.PublicKey) wire.Access {
	for _, g := range p.GetGrants() {
		if bytes.Equal(g.GetKey(), key[:]) {
			return g.GetAccess()
		}
	}
	return asNobody
}

// MayPush says whether a rule lets a role push to its refs.
func MayPush(r *wire.Protection, role wire.Access) bool {
	return r.GetPush() != asNobody && role >= r.GetPush()
}

// decodePolicy reads a policy from the store.
func decodePolicy(raw []byte, rules Rules) (*policy, error) {
	p := new(wire.Policy)
	if err := proto.Unmarshal(raw, p); err != nil {
		return nil, err
	}
	return parseChanged(p, rules)
}

// parseChanged reads a policy that is no longer its genesis's.
func parseChanged(p *wire.Policy, rules Rules) (*policy, error) {
	if p.GetVersion() <= firstIndex {
		return nil, fmt.Errorf("policy of version %d, which no entry can have set", p.GetVersion())
	}
	return parsePolicy(p, rules)
}
