package node

import (
	"context"
	"fmt"
	"strings"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// ChangePolicy changes who may do what: change gets the repository as it is and
// says what is to change. If somebody else was faster it is asked again.
func (c *Client) ChangePolicy(ctx context.Context, repo identity.RepoID, change func(Info) (*wire.ChangePolicy, error)) (Info, *replica.Done, error) {
	const triesMax = 3
	for try := 1; ; try++ {
		info, err := c.Show(ctx, repo)
		if err != nil {
			return info, nil, err
		}
		if info.Policy == nil {
			return info, nil, failure(wire.FailureCode_FAILURE_VERSION, "whoever leads "+info.Genesis.Name+" runs an older peer, which knows no roles", "upgrade its nodes")
		}
		next, err := change(info)
		if err != nil {
			return info, nil, err
		}
		next.OldVersion = info.Policy.GetVersion()
		done, err := c.operate(ctx, repo, &wire.Operation{Kind: &wire.Operation_ChangePolicy{ChangePolicy: next}})
		if err == nil {
			info, err = c.Show(ctx, repo)
			return info, done, err
		}
		if !done.Stale() || try == triesMax {
			return info, nil, err
		}
	}
}

// errOld refuses to propose what a member does not know that this leader hears: it
// would stop there, and say "upgrade me". One that is away does when it comes back.
func (u *push) errOld() error {
	need := replica.VersionOf(u.tx)
	for _, m := range u.g.members().Members {
		nb := u.n.near.get(m.Peer)
		if nb == nil {
			continue
		}
		nb.mu.Lock()
		knows := nb.entries
		nb.mu.Unlock()
		if knows != 0 && knows < need {
			return failure(wire.FailureCode_FAILURE_VERSION, fmt.Sprintf("replica %s runs an older peer, which can't follow this change", m.Peer), "nothing was changed; upgrade it, then try again")
		}
	}
	return nil
}

// rulesHint says where the rules are, to one who may write and meets one.
func (g *group) rulesHint() string {
	url := addressOf(g.genesis).URL()
	return fmt.Sprintf("the rules, and who has which role: peer repo show %s; who may change a rule: peer repo protect %s PATTERN", url, url)
}

// grantHint says how a key gets the role that it lacks.
func (g *group) grantHint(key identity.PublicKey) string {
	if (*g.roles.Load())(key) == wire.Access_ACCESS_REVOKED {
		return "a revoked key gets no role again; take another one: peer id rotate, and have an owner allow it"
	}
	return fmt.Sprintf("an owner or a maintainer grants it: peer repo allow %s %s", addressOf(g.genesis).URL(), key.DID())
}

// describePolicyChange is a change as the log's readers see it.
func describePolicyChange(c *wire.ChangePolicy) string {
	var parts []string
	for _, g := range c.GetSet() {
		key, err := identity.ParsePublicKey(g.GetKey())
		if err != nil {
			continue // it was refused
		}
		parts = append(parts, fmt.Sprintf("%s is %s", key.DID(), replica.AccessName(g.GetAccess())))
	}
	for _, r := range c.GetProtect() {
		parts = append(parts, "protect "+describeProtection(r))
	}
	for _, pattern := range c.GetUnprotect() {
		parts = append(parts, "unprotect "+pattern)
	}
	return strings.Join(parts, ", ")
}

// describeReplacement is one as the log's readers see it.
func describeReplacement(r *wire.ReplaceKey) string {
	old, err := identity.ParsePublicKey(r.GetOld())
	if err != nil {
		return "" // it was refused
	}
	if successor, err := identity.ParsePublicKey(r.GetNew()); err == nil {
		return fmt.Sprintf("%s takes the place of %s", successor.DID(), old.DID())
	}
	return old.DID() + " is revoked"
}

// describeProtection is a rule in words.
func describeProtection(r *wire.Protection) string {
	text := r.GetPattern() + ": push " + replica.AccessName(r.GetPush())
	if r.GetNoForce() {
		text += ", no force"
	}
	if r.GetNoDelete() {
		text += ", no delete"
	}
	return text
}

// rulesAgainst says which rules would keep this client from pushing, though it may write.
func (w *why) rulesAgainst(p *wire.Policy) (list []Reason) {
	role := replica.AccessIn(p, w.c.user.Public())
	if role < wire.Access_ACCESS_WRITER {
		return nil // the leader says so
	}
	for _, r := range p.GetProtections() {
		if !replica.MayPush(r, role) {
			list = append(list, Reason{
				What: fmt.Sprintf("a push by you to %s would be refused: it needs the role %s, and yours is %s", r.GetPattern(), replica.AccessName(r.GetPush()), replica.AccessName(role)),
				Hint: "an owner changes that: peer repo allow, or peer repo protect",
			})
		}
	}
	return list
}
