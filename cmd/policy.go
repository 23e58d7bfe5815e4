package cmd

import (
	"slices"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/control/pb"
	"peer/replica"
	"peer/wire"
)

// parsePolicyChange reads what somebody wants changed. What comes back checks that
// against the policy that is in force by then.
func parsePolicyChange(q *pb.ChangePolicyRequest) (func(node.Info) (*wire.ChangePolicy, error), error) {
	c := &wire.ChangePolicy{Unprotect: q.GetUnprotect()}
	for _, g := range q.GetGrants() {
		key, err := identity.ParseOwner(g.GetKey())
		if err != nil {
			return nil, wish("a key is a did:key", "%v", err)
		}
		access, err := parseRole(g.GetRole())
		if err != nil {
			return nil, wish("", "%v", err)
		}
		c.Set = append(c.Set, &wire.Grant{Key: key[:], Access: access})
	}
	for _, r := range q.GetProtect() {
		if err := checkPattern(r.GetPattern()); err != nil {
			return nil, err
		}
		push, err := parseRole(r.GetPush())
		if err != nil {
			return nil, wish("", "%v", err)
		}
		c.Protect = append(c.Protect, &wire.Protection{Pattern: r.GetPattern(), Push: push, NoForce: r.GetNoForce(), NoDelete: r.GetNoDelete()})
	}
	return func(info node.Info) (*wire.ChangePolicy, error) {
		url := pbRepo(info).GetUrl()
		for _, g := range c.GetSet() {
			key, _ := identity.ParsePublicKey(g.GetKey()) // it was one
			if g.GetAccess() == wire.Access_ACCESS_NONE && replica.AccessIn(info.Policy, key) <= wire.Access_ACCESS_NONE {
				return nil, wish("see who has one: peer repo show "+url, "%s has no role in %s", key.DID(), info.Genesis.Name)
			}
		}
		for _, pattern := range c.GetUnprotect() {
			if !slices.ContainsFunc(info.Policy.GetProtections(), func(r *wire.Protection) bool { return r.GetPattern() == pattern }) {
				return nil, wish("see the rules: peer repo show "+url, "no rule of %s has the pattern %.300s", info.Genesis.Name, pattern)
			}
		}
		return &wire.ChangePolicy{Set: c.GetSet(), Protect: c.GetProtect(), Unprotect: c.GetUnprotect()}, nil
	}, nil
}

func checkPattern(pattern string) error {
	if err := replica.CheckPattern(pattern, replica.Rules{CheckRefName: git.CheckRefName}); err != nil {
		return wish("for instance main, 'release/*', 'refs/tags/v*' or 'refs/heads/**'; quote it, or the shell takes * for files", "%v", err)
	}
	return nil
}

func parseRole(name string) (wire.Access, error) {
	if name == "none" {
		return wire.Access_ACCESS_NONE, nil
	}
	return replica.ParseAccess(name)
}

func pbPolicy(p *wire.Policy) *pb.Policy {
	if p == nil {
		return nil
	}
	out := &pb.Policy{Version: p.GetVersion()}
	grants := slices.Clone(p.GetGrants())
	slices.SortStableFunc(grants, func(a, b *wire.Grant) int { return int(b.GetAccess()) - int(a.GetAccess()) })
	for _, g := range grants {
		if key, err := identity.ParsePublicKey(g.GetKey()); err == nil {
			out.Grants = append(out.Grants, &pb.Grant{Key: key.DID(), Role: replica.AccessName(g.GetAccess())})
		}
	}
	for _, r := range p.GetProtections() {
		out.Protections = append(out.Protections, &pb.Protection{
			Pattern: r.GetPattern(), Push: replica.AccessName(r.GetPush()), NoForce: r.GetNoForce(), NoDelete: r.GetNoDelete(),
		})
	}
	return out
}
