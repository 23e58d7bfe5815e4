package replicatest

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Policy is a policy in the plainest words: roles by key, rules by pattern.
type Policy struct {
	Version uint64
	Roles   map[string]wire.Access
	Rules   map[string]Rule
}

// Rule is what a pattern says of its refs.
type Rule struct {
	Push              wire.Access
	NoForce, NoDelete bool
}

func foundingPolicy(g *replica.Genesis) Policy {
	p := Policy{Version: 1, Roles: map[string]wire.Access{}, Rules: map[string]Rule{}}
	for _, w := range g.Policy.GetWriters() {
		p.Roles[string(w)] = wire.Access_ACCESS_WRITER
	}
	p.Roles[string(g.Owner[:])] = wire.Access_ACCESS_OWNER
	return p
}

// expression is a pattern as a regular expression.
func expression(pattern string) *regexp.Regexp {
	parts := strings.Split(pattern, "/")
	var b strings.Builder
	for i, part := range parts {
		last := i == len(parts)-1
		switch {
		case part == "**" && last:
			b.WriteString(`[^/]+(/[^/]+)*`)
		case part == "**":
			b.WriteString(`([^/]+/)*`)
		default:
			b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(part), `\*`, `[^/]*`))
			if !last {
				b.WriteString("/")
			}
		}
	}
	return regexp.MustCompile(`(?s)^(?:` + b.String() + `)$`)
}

// Matches says whether a rule of a pattern is for a ref.
func Matches(pattern, name string) bool { return expression(pattern).MatchString(name) }

// patternOK tries a pattern with the shortest name that it could stand for.
func patternOK(pattern string, check func(string) error) bool {
	if len(pattern) > 256 {
		return false
	}
	parts := strings.Split(pattern, "/")
	stars := 0
	for i, part := range parts {
		switch n := strings.Count(part, "*"); {
		case part == "**":
			stars++
			parts[i] = "x/x"
		case n > 1:
			return false
		case n == 1:
			parts[i] = strings.ReplaceAll(part, "*", "x")
		}
	}
	return stars <= 1 && check(strings.Join(parts, "/")) == nil
}

// mayPush says whether all rules let a role push to a ref.
func (p Policy) mayPush(role wire.Access, name string) bool {
	for pattern, r := range p.Rules {
		if Matches(pattern, name) && (r.Push == wire.Access_ACCESS_NONE || role < r.Push) {
			return false
		}
	}
	return true
}

// keeps says whether a rule keeps a ref from being deleted.
func (p Policy) keeps(name string) bool {
	for pattern, r := range p.Rules {
		if r.NoDelete && Matches(pattern, name) {
			return true
		}
	}
	return false
}

// mayGo says whether the rules let a ref move as an update has it, where said is
// known of objects.
func (p Policy) mayGo(u *wire.RefUpdate, said []*wire.Ancestry) bool {
	if len(u.GetOld()) == 0 || len(u.GetNew()) == 0 || string(u.GetOld()) == string(u.GetNew()) {
		return true
	}
	forward := false
	for _, a := range said {
		forward = forward || string(a.GetOld()) == string(u.GetOld()) && string(a.GetNew()) == string(u.GetNew())
	}
	for pattern, r := range p.Rules {
		if r.NoForce && Matches(pattern, u.GetName()) && (!forward || strings.HasPrefix(u.GetName(), "refs/tags/")) {
			return false
		}
	}
	return true
}

// change is what a change makes of a policy.
func (p Policy) change(c *wire.ChangePolicy, role wire.Access, index uint64, check func(string) error) (Policy, wire.Code) {
	const none, writer, maintainer, owner = wire.Access_ACCESS_NONE, wire.Access_ACCESS_WRITER, wire.Access_ACCESS_MAINTAINER, wire.Access_ACCESS_OWNER
	next := Policy{Version: index, Roles: maps.Clone(p.Roles), Rules: maps.Clone(p.Rules)}
	if role < maintainer {
		return p, wire.Code_CODE_NOT_ALLOWED
	}
	if c.GetOldVersion() != p.Version {
		return p, wire.Code_CODE_STALE
	}
	malformed := len(c.GetSet()) == 0 && len(c.GetProtect()) == 0 && len(c.GetUnprotect()) == 0
	forbidden, revoked := false, false
	keys, patterns := map[string]bool{}, map[string]bool{}
	for _, g := range c.GetSet() {
		key := string(g.GetKey())
		_, err := identity.ParsePublicKey(g.GetKey())
		malformed = malformed || err != nil || keys[key] || g.GetAccess() < none || g.GetAccess() > owner
		forbidden = forbidden || p.Roles[key] >= maintainer || g.GetAccess() >= maintainer
		revoked = revoked || p.Roles[key] == wire.Access_ACCESS_REVOKED
		keys[key] = true
		if next.Roles[key] = g.GetAccess(); g.GetAccess() == none {
			delete(next.Roles, key)
		}
	}
	owners := func(r Rule) bool { return r.Push == none || r.Push == owner }
	for _, pattern := range c.GetUnprotect() {
		before, had := p.Rules[pattern]
		malformed = malformed || patterns[pattern]
		forbidden = forbidden || had && owners(before)
		patterns[pattern] = true
		delete(next.Rules, pattern)
	}
	for _, r := range c.GetProtect() {
		rule := Rule{r.GetPush(), r.GetNoForce(), r.GetNoDelete()}
		before, had := p.Rules[r.GetPattern()]
		askable := rule.Push == none || rule.Push == writer || rule.Push == maintainer || rule.Push == owner
		malformed = malformed || patterns[r.GetPattern()] || !patternOK(r.GetPattern(), check) || !askable
		forbidden = forbidden || owners(rule) || had && owners(before)
		patterns[r.GetPattern()] = true
		next.Rules[r.GetPattern()] = rule
	}
	owned := false
	for _, a := range next.Roles {
		owned = owned || a == owner
	}
	switch {
	case malformed || len(c.GetSet()) > 1024 || len(c.GetProtect())+len(c.GetUnprotect()) > 512:
		return p, wire.Code_CODE_MALFORMED
	case revoked || role == maintainer && forbidden:
		return p, wire.Code_CODE_NOT_ALLOWED
	case !owned:
		return p, wire.Code_CODE_LAST_OWNER
	case next.count(false) > 1024 || len(next.Rules) > 256:
		return p, wire.Code_CODE_MALFORMED
	}
	return next, wire.Code_CODE_OK
}

// count counts the keys that are revoked, or the others.
func (p Policy) count(revoked bool) (n int) {
	for _, a := range p.Roles {
		if (a == wire.Access_ACCESS_REVOKED) == revoked {
			n++
		}
	}
	return n
}

// replace is what a replacement of a key makes of a policy.
func (p Policy) replace(r *wire.ReplaceKey, genesis, signer []byte, role wire.Access, index uint64) (Policy, wire.Code) {
	const revoked, owner = wire.Access_ACCESS_REVOKED, wire.Access_ACCESS_OWNER
	old, successor := string(r.GetOld()), string(r.GetNew())
	if r.GetOldVersion() != p.Version {
		return p, wire.Code_CODE_STALE
	}
	if len(old) != 32 || successor != "" && (len(successor) != 32 || successor == old) {
		return p, wire.Code_CODE_MALFORMED
	}
	agreed := successor == "" && len(r.GetConsent()) == 0
	if successor != "" {
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(&wire.Succession{Genesis: genesis, Old: r.GetOld(), New: r.GetNew(), Version: r.GetOldVersion()})
		agreed = err == nil && len(r.GetConsent()) == ed25519.SignatureSize &&
			ed25519.Verify(r.GetNew(), append([]byte("peer/succession/1\x00"), body...), r.GetConsent())
	}
	next := Policy{Version: index, Roles: maps.Clone(p.Roles), Rules: p.Rules}
	next.Roles[old] = revoked
	if successor != "" {
		next.Roles[successor] = max(p.Roles[old], p.Roles[successor])
	}
	owned := false
	for _, a := range next.Roles {
		owned = owned || a == owner
	}
	switch {
	case !agreed:
		return p, wire.Code_CODE_MALFORMED
	case role != owner && old != string(signer), p.Roles[old] == revoked, p.Roles[successor] == revoked:
		return p, wire.Code_CODE_NOT_ALLOWED
	case successor != "" && p.Roles[old] == 0:
		return p, wire.Code_CODE_MALFORMED
	case !owned:
		return p, wire.Code_CODE_LAST_OWNER
	case next.count(true) > 1024, role != owner && next.count(true) > 512:
		return p, wire.Code_CODE_NOT_ALLOWED
	}
	return next, wire.Code_CODE_OK
}

// differsFrom says how another policy differs; empty if it does not.
func (p Policy) differsFrom(other *wire.Policy) string {
	roles, rules := map[string]wire.Access{}, map[string]Rule{}
	for _, g := range other.GetGrants() {
		roles[string(g.GetKey())] = g.GetAccess()
	}
	for _, r := range other.GetProtections() {
		rules[r.GetPattern()] = Rule{r.GetPush(), r.GetNoForce(), r.GetNoDelete()}
	}
	if other.GetVersion() != p.Version || !maps.Equal(roles, p.Roles) || !maps.Equal(rules, p.Rules) {
		return fmt.Sprintf("policy %v, want %v", other, p)
	}
	return ""
}
