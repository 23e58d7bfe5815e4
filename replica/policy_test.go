package replica

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

const (
	notForward = wire.Code_CODE_NOT_FORWARD
	lastOwner  = wire.Code_CODE_LAST_OWNER
)

// Keys with a role, once [bench.people] has granted them.
var (
	coOwner = testKey(11)
	keeper  = testKey(12) // a maintainer
	fellow  = testKey(13) // another one
	guest   = testKey(14) // a reader
)

func grant(k identity.Key, a wire.Access) *wire.Grant {
	public := k.Public()
	return &wire.Grant{Key: public[:], Access: a}
}

func protect(pattern string, push wire.Access, keep ...string) *wire.Protection {
	words := strings.Join(keep, " ")
	return &wire.Protection{Pattern: pattern, Push: push, NoForce: strings.Contains(words, "force"), NoDelete: strings.Contains(words, "delete")}
}

// changing is a change of the policy that is in force.
func (b *bench) changing(parts ...any) *wire.Operation {
	c := &wire.ChangePolicy{OldVersion: b.table.Policy().GetVersion()}
	for _, part := range parts {
		switch p := part.(type) {
		case *wire.Grant:
			c.Set = append(c.Set, p)
		case *wire.Protection:
			c.Protect = append(c.Protect, p)
		case string:
			c.Unprotect = append(c.Unprotect, p)
		}
	}
	return &wire.Operation{Kind: &wire.Operation_ChangePolicy{ChangePolicy: c}}
}

// change has the owner change the policy.
func (b *bench) change(parts ...any) {
	b.Helper()
	b.wantCodes(b.by(owner, b.changing(parts...)), ok)
}

// people gives everybody their role. The writer is one by the genesis.
func (b *bench) people() {
	b.Helper()
	b.change(grant(coOwner, asOwner), grant(keeper, asMaintainer), grant(fellow, asMaintainer), grant(guest, asReader))
}

// byFact applies operations with what the leader says of objects: pairs of them.
func (b *bench) byFact(k identity.Key, facts []byte, ops ...*wire.Operation) Applied {
	b.Helper()
	signed, err := Seal(k, identity.DomainTransaction, b.draft(k, ops...))
	if err != nil {
		b.Fatal(err)
	}
	e := &wire.Entry{Version: entryVersion, StampUnixMs: b.stamp, Transaction: signed}
	for i := 0; i < len(facts); i += 2 {
		e.Ancestry = append(e.Ancestry, &wire.Ancestry{Old: oid(facts[i]), New: oid(facts[i+1])})
	}
	return b.commit(encode(e))
}

// TestRoles tries every role with every operation. A repository has main at 1,
// which writers may push to, kept for maintainers at 2, shut for owners at 3, a
// release branch at 4 that nobody may push to, and a lock of somebody else.
func TestRoles(t *testing.T) {
	signers := map[string]identity.Key{"owner": owner, "co-owner": coOwner, "maintainer": keeper, "writer": writer, "reader": guest, "nobody": stranger}
	const writers, maintainers, owners, none = "owner co-owner maintainer writer", "owner co-owner maintainer", "owner co-owner", ""
	for _, c := range []struct {
		what string
		who  string // may do it
		op   func(b *bench) *wire.Operation
	}{
		{"push", writers, func(*bench) *wire.Operation { return move("heads/main", 1, 9) }},
		{"make a branch", writers, func(*bench) *wire.Operation { return move("heads/new", 0, 9) }},
		{"make a tag", writers, func(*bench) *wire.Operation { return move("tags/v1", 0, 9) }},
		{"delete a branch", writers, func(*bench) *wire.Operation { return move("heads/other", 5, 0) }},
		{"push to a branch for maintainers", maintainers, func(*bench) *wire.Operation { return move("heads/kept", 2, 9) }},
		{"delete a branch for maintainers", maintainers, func(*bench) *wire.Operation { return move("heads/kept", 2, 0) }},
		{"push to a branch for owners", owners, func(*bench) *wire.Operation { return move("heads/shut", 3, 9) }},
		{"make a branch for owners", owners, func(*bench) *wire.Operation { return move("heads/shut2", 0, 9) }},
		{"push to a branch for nobody", none, func(*bench) *wire.Operation { return move("heads/release/1", 4, 9) }},
		{"delete a branch that stays", none, func(*bench) *wire.Operation { return move("heads/stays", 6, 0) }},
		{"force a branch", none, func(*bench) *wire.Operation { return move("heads/stays", 6, 9) }},
		{"set HEAD", writers, func(*bench) *wire.Operation { return setHead(mainBranch, "refs/heads/other") }},
		{"set HEAD to a branch for maintainers", maintainers, func(*bench) *wire.Operation { return setHead(mainBranch, "refs/heads/kept") }},
		{"lock", writers, func(b *bench) *wire.Operation { b.stamp += 2000; return acquire(1000, 0) }},
		{"break a lock", maintainers, func(b *bench) *wire.Operation { return release(b.table.HeldLock().GetToken()) }},
		{"change the settings", owners, func(*bench) *wire.Operation { return configure(0, &wire.Settings{Replicas: 5}) }},
		{"remove the repository", owners, func(*bench) *wire.Operation { return removal() }},
		{"make a reader", maintainers, func(b *bench) *wire.Operation { return b.changing(grant(testKey(99), asReader)) }},
		{"make a writer", maintainers, func(b *bench) *wire.Operation { return b.changing(grant(testKey(99), asWriter)) }},
		{"make a maintainer", owners, func(b *bench) *wire.Operation { return b.changing(grant(testKey(99), asMaintainer)) }},
		{"make an owner", owners, func(b *bench) *wire.Operation { return b.changing(grant(testKey(99), asOwner)) }},
		{"promote a writer", owners, func(b *bench) *wire.Operation { return b.changing(grant(writer, asMaintainer)) }},
		{"demote a writer", maintainers, func(b *bench) *wire.Operation { return b.changing(grant(writer, asReader)) }},
		{"deny a writer", maintainers, func(b *bench) *wire.Operation { return b.changing(grant(writer, asNobody)) }},
		{"deny a reader", maintainers, func(b *bench) *wire.Operation { return b.changing(grant(guest, asNobody)) }},
		{"deny a maintainer", owners, func(b *bench) *wire.Operation { return b.changing(grant(fellow, asNobody)) }},
		{"leave a maintainer as it is", owners, func(b *bench) *wire.Operation { return b.changing(grant(fellow, asMaintainer)) }},
		{"deny an owner", owners, func(b *bench) *wire.Operation { return b.changing(grant(coOwner, asNobody)) }},
		{"deny the founder", owners, func(b *bench) *wire.Operation { return b.changing(grant(owner, asNobody)) }},
		{"protect for writers", maintainers, func(b *bench) *wire.Operation { return b.changing(protect("refs/heads/x", asWriter, "force")) }},
		{"protect for maintainers", maintainers, func(b *bench) *wire.Operation { return b.changing(protect("refs/heads/x", asMaintainer)) }},
		{"protect for owners", owners, func(b *bench) *wire.Operation { return b.changing(protect("refs/heads/x", asOwner)) }},
		{"protect for nobody", owners, func(b *bench) *wire.Operation { return b.changing(protect("refs/heads/x", asNobody)) }},
		{"loosen what is for maintainers", maintainers, func(b *bench) *wire.Operation { return b.changing(protect("refs/heads/kept", asWriter)) }},
		{"loosen what is for owners", owners, func(b *bench) *wire.Operation { return b.changing(protect("refs/heads/shut*", asWriter)) }},
		{"unprotect what is for maintainers", maintainers, func(b *bench) *wire.Operation { return b.changing("refs/heads/kept") }},
		{"unprotect what is for owners", owners, func(b *bench) *wire.Operation { return b.changing("refs/heads/shut*") }},
		{"unprotect what is for nobody", owners, func(b *bench) *wire.Operation { return b.changing("refs/heads/release/**") }},
		{"unprotect what was not protected", maintainers, func(b *bench) *wire.Operation { return b.changing("refs/heads/y") }},
	} {
		for name, key := range signers {
			b := newBench(t)
			b.people()
			for i, ref := range strings.Fields("heads/main heads/kept heads/shut heads/release/1 heads/other heads/stays") {
				b.must(move(ref, 0, byte(i+1)))
			}
			b.change(protect("refs/heads/kept", asMaintainer), protect("refs/heads/shut*", asOwner),
				protect("refs/heads/release/**", asNobody), protect("refs/heads/stays", asWriter, "force", "delete"))
			if strings.Contains(c.what, "lock") {
				b.wantCodes(b.by(writer, acquire(1000, 0)), ok)
			}
			if c.what == "break a lock" && name == "writer" {
				continue // it is its own
			}
			before := encode(b.table.Snapshot())
			done := b.apply(key, b.draft(key, c.op(b)))
			code := done.Outcome.GetResult().GetCode()
			if code == ok {
				code = codes(done)[0]
			}
			may := strings.Contains(" "+c.who+" ", " "+name+" ")
			forbidden := code == notAllowed || code == notForward || c.what == "break a lock" && code == notHeld
			if (code == ok) != may || code != ok && !forbidden {
				t.Errorf("%s, %s: %s (%v)", name, c.what, code, done.Outcome)
			}
			if refused := done.Outcome.GetResult().GetCode() != ok; refused != (name == "reader" || name == "nobody") {
				t.Errorf("%s, %s: refused as a whole: %v", name, c.what, refused)
			}
			if code != ok && !sameButPosition(b, before) {
				t.Errorf("%s, %s: it was refused, and the table changed", name, c.what)
			}
			b.checkStored()
		}
	}
}

// sameButPosition compares what transactions change: not the position, nor outcomes.
func sameButPosition(b *bench, before []byte) bool {
	was := new(wire.TableSnapshot)
	if err := proto.Unmarshal(before, was); err != nil {
		b.Fatal(err)
	}
	is := proto.Clone(b.table.Snapshot()).(*wire.TableSnapshot)
	was.Outcomes, is.Outcomes = nil, nil
	was.Meta.Index, was.Meta.Term, was.Meta.Chain, was.Meta.StampUnixMs = 0, 0, nil, 0
	is.Meta.Index, is.Meta.Term, is.Meta.Chain, is.Meta.StampUnixMs = 0, 0, nil, 0
	return proto.Equal(was, is)
}

// TestPolicyRaces signs before a revoke what commits after it, and before a grant.
func TestPolicyRaces(t *testing.T) {
	b := newBench(t)
	b.people()
	b.must(move("heads/main", 0, 1))
	push := b.entry(writer, b.draft(writer, move("heads/main", 1, 2)))
	early := b.entry(stranger, b.draft(stranger, move("heads/x", 0, 2)))
	force := b.entry(keeper, b.draft(keeper, move("heads/main", 1, 3)))
	demotes := b.draft(keeper, b.changing(grant(guest, asWriter)))
	b.change(grant(writer, asNobody), grant(stranger, asWriter), protect(mainBranch, asWriter, "force"))
	if done := b.commit(push); done.Outcome.GetResult().GetCode() != notAllowed || len(done.Refs) > 0 {
		t.Errorf("signed before the revoke, committed after: %v", done.Outcome)
	}
	b.wantCodes(codes(b.commit(early)), ok)
	b.wantCodes(codes(b.commit(force)), notForward)
	b.wantCodes(codes(b.apply(keeper, demotes)), stale)
	b.wantRefs("heads/main=1 heads/x=2")
	// What was refused stays refused when it comes again, whatever is granted since.
	b.change(grant(writer, asWriter))
	if done := b.commit(push); !done.Repeat || done.Outcome.GetResult().GetCode() != notAllowed {
		t.Errorf("the refused push again: %v", done.Outcome)
	}
	b.checkStored()
}

// TestPolicyBefore judges all of a transaction by the policy from before it.
func TestPolicyBefore(t *testing.T) {
	b := newBench(t)
	b.people()
	b.must(move("heads/main", 0, 1))
	b.change(protect(mainBranch, asNobody))
	b.wantCodes(b.by(owner, b.changing(mainBranch), move("heads/main", 1, 2)), ok, notAllowed)
	b.wantCodes(b.by(owner, b.changing(protect(mainBranch, asNobody)), move("heads/main", 1, 2)), ok, ok)
	// Whoever gives up ownership has it until the end of the transaction.
	b.wantCodes(b.by(owner, b.changing(grant(owner, asNobody)), configure(0, &wire.Settings{Replicas: 5})), ok, ok)
	if done := b.apply(owner, b.draft(owner, move("heads/y", 0, 1))); done.Outcome.GetResult().GetCode() != notAllowed {
		t.Errorf("a push by who owns it no more: %v", done.Outcome)
	}
	// And the second change of one transaction is of another version.
	first, second := b.changing(grant(guest, asWriter)), b.changing(grant(guest, asNobody))
	b.wantCodes(b.by(coOwner, first, second), ok, stale)
	b.checkStored()
}

// TestOwners hands a repository over, and keeps its last owner.
func TestOwners(t *testing.T) {
	b := newBench(t)
	for _, a := range []wire.Access{asNobody, asReader, asWriter, asMaintainer} {
		b.wantCodes(b.by(owner, b.changing(grant(owner, a))), lastOwner)
	}
	b.wantCodes(b.by(owner, b.changing(grant(owner, asNobody), grant(coOwner, asOwner))), ok)
	for k, want := range map[identity.PublicKey]wire.Access{owner.Public(): asNobody, coOwner.Public(): asOwner, writer.Public(): asWriter, stranger.Public(): asNobody} {
		if got := b.table.Access(k); got != want {
			t.Errorf("role %s, want %s", got, want)
		}
	}
	if done := b.apply(owner, b.draft(owner, removal())); done.Outcome.GetResult().GetCode() != notAllowed {
		t.Errorf("the founder removes what is no longer theirs: %v", done.Outcome)
	}
	if b.table.Genesis().Owner != owner.Public() {
		t.Error("the repository has another name")
	}
	b.wantCodes(b.by(coOwner, b.changing(grant(coOwner, asMaintainer))), lastOwner)
	b.wantCodes(b.by(coOwner, configure(0, &wire.Settings{Replicas: 5})), ok)
	b.checkStored()
}

// TestPolicyRollsBack takes a change back with the transaction that it is part of.
func TestPolicyRollsBack(t *testing.T) {
	b := newBench(t)
	b.people()
	before := b.table.Policy()
	tx := b.draft(owner, b.changing(grant(stranger, asWriter), protect(mainBranch, asOwner)), move("heads/b", 7, 8))
	tx.Atomic = true
	b.wantCodes(codes(b.apply(owner, tx)), sibling, stale)
	if !proto.Equal(b.table.Policy(), before) {
		t.Errorf("policy %v, want %v", b.table.Policy(), before)
	}
	b.checkStored()
}

// TestForward moves protected refs with and without the leader's word for it.
func TestForward(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1), move("heads/free", 0, 1), move("tags/v1", 0, 1))
	b.change(protect("refs/heads/m*", asWriter, "force"), protect("refs/tags/**", asWriter, "force"))
	for _, c := range []struct {
		what  string
		facts []byte
		op    *wire.Operation
		want  wire.Code
	}{
		{"nothing is known", nil, move("heads/main", 1, 2), notForward},
		{"another pair", []byte{2, 1, 1, 3}, move("heads/main", 1, 2), notForward},
		{"to there from elsewhere", []byte{3, 2}, move("heads/main", 1, 2), notForward},
		{"the wrong place", []byte{8, 2}, move("heads/main", 8, 2), stale},
		{"to where it is", nil, move("heads/main", 1, 1), ok},
		{"forward", []byte{5, 6, 1, 2}, move("heads/main", 1, 2), ok},
		{"a branch that no rule is for", nil, move("heads/free", 1, 2), ok},
		{"a new branch", nil, move("heads/m", 0, 2), ok},
		{"a branch that goes", nil, move("heads/m", 2, 0), ok},
		{"tags have no forward", []byte{1, 2}, move("tags/v1", 1, 2), notForward},
	} {
		if u := c.op.GetRefUpdate(); (len(b.table.Forward(writer.Public(), b.draft(writer, c.op))) > 0) !=
			(strings.HasPrefix(u.GetName(), "refs/heads/main") && !bytes.Equal(u.GetOld(), u.GetNew())) {
			t.Errorf("%s: asked about: %v", c.what, b.table.Forward(writer.Public(), b.draft(writer, c.op)))
		}
		done := b.byFact(writer, c.facts, c.op)
		b.wantCodes(codes(done), c.want)
		if used := len(done.Ancestry) > 0; used != (c.what == "forward") {
			t.Errorf("%s: used %v", c.what, done.Ancestry)
		}
	}
	many := make([]*wire.Operation, 2*AncestryMax)
	for i := range many {
		many[i] = move(fmt.Sprint("heads/m", i), 1, 2)
	}
	if list := b.table.Forward(writer.Public(), b.draft(writer, many...)); len(list) != AncestryMax {
		t.Errorf("asked about %d pairs", len(list))
	}
	b.checkStored()
}
