package replica

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"peer/identity"
	"peer/wire"
)

// changePolicy changes grants and rules. Who may is judged by the policy from
// before the transaction; what it is applied to is the present one.
func (o *operation) changePolicy(c *wire.ChangePolicy) *wire.Result {
	name := o.genesis.Name
	if r := o.before.needs(o.signer, asMaintainer, "change who may do what in "+name); r != nil {
		return r
	}
	if have := o.Policy().GetVersion(); c.GetOldVersion() != have {
		return refuse(wire.Code_CODE_STALE, fmt.Sprintf("the policy is of version %d, expected %d", have, c.GetOldVersion()))
	}
	if err := checkChange(c, o.rules); err != nil {
		return refuse(wire.Code_CODE_MALFORMED, err.Error())
	}
	for _, g := range c.GetSet() {
		key, _ := identity.ParsePublicKey(g.GetKey()) // checkChange read it
		if r := o.policy.refuseRevoked(key, name); r != nil {
			return r
		}
	}
	if role := o.before.role(o.signer); role < asOwner {
		if reason := o.policy.beyond(c); reason != "" {
			return refuse(wire.Code_CODE_NOT_ALLOWED, fmt.Sprintf("%s: you are %s, and that takes an owner", reason, AccessName(role)))
		}
	}
	next := o.policy.changed(c)
	next.Version = o.index
	owners, roles, _ := tally(next)
	switch {
	case owners == 0:
		return refuse(wire.Code_CODE_LAST_OWNER, "an owner must be left: make somebody else one first")
	case roles > GrantsMax:
		return refuse(wire.Code_CODE_MALFORMED, fmt.Sprintf("more than %d keys with a role", GrantsMax))
	case len(next.GetProtections()) > ProtectionsMax:
		return refuse(wire.Code_CODE_MALFORMED, fmt.Sprintf("more than %d rules", ProtectionsMax))
	}
	parsed, err := parsePolicy(next, o.rules)
	if err != nil {
		panic(fmt.Sprintf("replica: policy after a change that was checked: %v", err))
	}
	o.setPolicy(parsed)
	return &wire.Result{}
}

func (o *operation) setPolicy(next *policy) {
	before := o.policy
	o.policy = next
	o.undo = append(o.undo, func() { o.policy = before })
}

// beyond says what in a change a maintainer may not do; empty: nothing. A grant
// never exceeds the granter's own, nor is one changed that reaches as far.
func (p *policy) beyond(c *wire.ChangePolicy) string {
	for _, g := range c.GetSet() {
		key, _ := identity.ParsePublicKey(g.GetKey()) // checkChange read it
		switch have := p.role(key); {
		case have >= asMaintainer:
			return fmt.Sprintf("%s is %s", key.DID(), AccessName(have))
		case g.GetAccess() >= asMaintainer:
			return fmt.Sprintf("%s would become %s", key.DID(), AccessName(g.GetAccess()))
		}
	}
	ownersOnly := func(r *wire.Protection) bool { return r.GetPush() == asOwner || r.GetPush() == asNobody }
	for _, r := range c.GetProtect() {
		if ownersOnly(r) {
			return fmt.Sprintf("the rule %s would be for owners, or nobody", r.GetPattern())
		}
	}
	touched := slices.Clone(c.GetUnprotect())
	for _, r := range c.GetProtect() {
		touched = append(touched, r.GetPattern())
	}
	for _, r := range p.rules {
		if ownersOnly(r.Protection) && slices.Contains(touched, r.GetPattern()) {
			return fmt.Sprintf("the rule %s is for owners, or nobody", r.GetPattern())
		}
	}
	return ""
}

// changed is the policy with a change, which has been checked.
func (p *policy) changed(c *wire.ChangePolicy) *wire.Policy {
	next := &wire.Policy{}
	for _, g := range p.wire.GetGrants() {
		if !slices.ContainsFunc(c.GetSet(), func(s *wire.Grant) bool { return bytes.Equal(s.GetKey(), g.GetKey()) }) {
			next.Grants = append(next.Grants, g)
		}
	}
	for _, g := range c.GetSet() {
		if g.GetAccess() != asNobody {
			next.Grants = append(next.Grants, &wire.Grant{Key: g.GetKey(), Access: g.GetAccess()})
		}
	}
	for _, r := range p.wire.GetProtections() {
		again := slices.ContainsFunc(c.GetProtect(), func(s *wire.Protection) bool { return s.GetPattern() == r.GetPattern() })
		if !again && !slices.Contains(c.GetUnprotect(), r.GetPattern()) {
			next.Protections = append(next.Protections, r)
		}
	}
	for _, r := range c.GetProtect() {
		next.Protections = append(next.Protections, &wire.Protection{Pattern: r.GetPattern(), Push: r.GetPush(), NoForce: r.GetNoForce(), NoDelete: r.GetNoDelete()})
	}
	sortPolicy(next)
	return next
}

// checkChange checks what a change says by itself.
func checkChange(c *wire.ChangePolicy, rules Rules) error {
	switch {
	case len(c.GetSet())+len(c.GetProtect())+len(c.GetUnprotect()) == 0:
		return errors.New("a change of the policy that changes nothing")
	case len(c.GetSet()) > GrantsMax || len(c.GetProtect())+len(c.GetUnprotect()) > 2*ProtectionsMax:
		return errors.New("a change of the policy that is too long")
	}
	keys := map[identity.PublicKey]bool{}
	for _, g := range c.GetSet() {
		key, err := identity.ParsePublicKey(g.GetKey())
		switch {
		case err != nil:
			return err
		case keys[key]:
			return fmt.Errorf("%s is named twice", key.DID())
		case g.GetAccess() < asNobody || g.GetAccess() > asOwner:
			return fmt.Errorf("unknown role %d", g.GetAccess())
		}
		keys[key] = true
	}
	patterns := map[string]bool{}
	for _, r := range c.GetProtect() {
		if err := CheckPattern(r.GetPattern(), rules); err != nil {
			return err
		}
		if patterns[r.GetPattern()] {
			return fmt.Errorf("the rule %s is named twice", r.GetPattern())
		}
		if !pushRole(r.GetPush()) {
			return fmt.Errorf("no rule can ask for the role %d", r.GetPush())
		}
		patterns[r.GetPattern()] = true
	}
	for _, text := range c.GetUnprotect() {
		if patterns[text] {
			return fmt.Errorf("the rule %.100q is named twice", text)
		}
		patterns[text] = true
	}
	return nil
}
