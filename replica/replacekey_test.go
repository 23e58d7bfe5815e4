package replica

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// heir is the key that takes somebody's place.
var heir = testKey(21)

// replacing has a key take another's place in the policy that is in force.
func (b *bench) replacing(old, successor identity.Key) *wire.Operation {
	b.Helper()
	r, err := b.table.Genesis().Replacement(old.Public(), successor, b.table.Policy().GetVersion())
	if err != nil {
		b.Fatal(err)
	}
	return &wire.Operation{Kind: &wire.Operation_ReplaceKey{ReplaceKey: r}}
}

// revoking revokes a key.
func (b *bench) revoking(k identity.Key) *wire.Operation {
	public := k.Public()
	return &wire.Operation{Kind: &wire.Operation_ReplaceKey{ReplaceKey: &wire.ReplaceKey{OldVersion: b.table.Policy().GetVersion(), Old: public[:]}}}
}

// TestReplaceKey tries every role with its own key and with those of others.
func TestReplaceKey(t *testing.T) {
	signers := map[string]identity.Key{"owner": owner, "co-owner": coOwner, "maintainer": keeper, "writer": writer, "reader": guest, "nobody": stranger}
	for by, signer := range signers {
		for of, old := range signers {
			for _, revoke := range []bool{false, true} {
				b := newBench(t)
				b.people()
				role, before := b.table.Access(old.Public()), encode(b.table.Snapshot())
				op := b.replacing(old, heir)
				if revoke {
					op = b.revoking(old)
				}
				done := b.apply(signer, b.draft(signer, op))
				what := fmt.Sprintf("%s replaces %s (revoke: %v): %v", by, of, revoke, done.Outcome)
				succeeded := done.Outcome.GetResult().GetCode() == ok && codes(done)[0] == ok
				mine := by == of && by != "nobody"
				owns := (by == "owner" || by == "co-owner") && (of != "nobody" || revoke)
				if succeeded != (mine || owns) {
					t.Error(what)
				}
				if !succeeded {
					if !sameButPosition(b, before) {
						t.Errorf("%s: and the table changed", what)
					}
					continue
				}
				want := role
				if revoke {
					want = asNobody
				}
				if got := b.table.Access(heir.Public()); got != want {
					t.Errorf("%s: its successor is %s", what, AccessName(got))
				}
				if AccessIn(b.table.Policy(), old.Public()) != asRevoked || b.table.Access(old.Public()) != asRevoked {
					t.Errorf("%s: the key is not revoked", what)
				}
				b.checkStored()
			}
		}
	}
}

// TestRevokedForGood has a revoked key come back in every way there is.
func TestRevokedForGood(t *testing.T) {
	b := newBench(t)
	b.people()
	b.must(move("heads/main", 0, 1))
	early := b.entry(writer, b.draft(writer, move("heads/main", 1, 2)))
	b.wantCodes(b.by(writer, b.replacing(writer, heir)), ok)
	b.wantCodes(b.by(heir, move("heads/main", 1, 3)), ok)
	refused := func(what string, done Applied) {
		t.Helper()
		if done.Outcome.GetResult().GetCode() != notAllowed || len(done.Refs) > 0 {
			t.Errorf("%s: %v", what, done.Outcome)
		}
	}
	refused("signed before, committed after", b.commit(early))
	refused("signed after", b.apply(writer, b.draft(writer, move("heads/x", 0, 2))))
	refused("replaced again by itself", b.apply(writer, b.draft(writer, b.replacing(writer, testKey(22)))))
	for _, a := range []wire.Access{asNobody, asReader, asWriter, asMaintainer, asOwner} {
		b.wantCodes(b.by(owner, b.changing(grant(writer, a))), notAllowed)
	}
	b.wantCodes(b.by(owner, b.changing(grant(testKey(23), asWriter), grant(writer, asWriter))), notAllowed)
	b.wantCodes(b.by(owner, b.changing(&wire.Grant{Key: grant(testKey(23), 0).Key, Access: asRevoked})), malformed)
	b.wantCodes(b.by(owner, b.revoking(writer)), notAllowed)
	b.wantCodes(b.by(owner, b.replacing(writer, testKey(22))), notAllowed)
	b.wantCodes(b.by(owner, b.replacing(guest, writer)), notAllowed)
	// No other change of the policy forgets it, nor does a store or a snapshot.
	b.change(grant(guest, asWriter), protect(mainBranch, asOwner))
	b.checkStored()
	b.table = b.load()
	if _, err := fromSnapshot(proto.Clone(b.table.Snapshot()).(*wire.TableSnapshot), b.table.genesis, testRules); err != nil {
		t.Fatal(err)
	}
	b.wantCodes(b.by(owner, b.changing(grant(writer, asWriter))), notAllowed)
	refused("after a restart", b.apply(writer, b.draft(writer, move("heads/x", 0, 2))))
	b.wantRefs("heads/main=3")
}

// TestReplaceTakesOver hands on what a key has besides its role.
func TestReplaceTakesOver(t *testing.T) {
	b := newBench(t)
	b.people()
	b.wantCodes(b.by(writer, acquire(100_000, 0)), ok)
	lock := b.table.HeldLock()
	b.wantCodes(b.by(writer, b.replacing(writer, heir)), ok)
	if now, public := b.table.HeldLock(), heir.Public(); string(now.GetOwner()) != string(public[:]) || now.GetToken() != lock.GetToken() || now.GetExpiresUnixMs() != lock.GetExpiresUnixMs() {
		t.Errorf("lock %v, was %v", now, lock)
	}
	b.wantCodes(b.by(owner, move("heads/main", 0, 1)), locked)
	b.wantCodes(b.by(heir, move("heads/main", 0, 1), acquire(100_000, lock.GetToken())), ok, ok)
	// A key that has a role already keeps the better one.
	b.wantCodes(b.by(owner, b.replacing(heir, keeper)), ok)
	if got := b.table.Access(keeper.Public()); got != asMaintainer {
		t.Errorf("a writer's place made a maintainer %s", AccessName(got))
	}
	b.wantCodes(b.by(coOwner, b.revoking(keeper)), ok)
	if held := b.table.Lock(); held != nil {
		t.Errorf("a revoked key holds the lock: %v", held)
	}
	// And the last owner goes only if somebody comes.
	b.wantCodes(b.by(owner, b.revoking(owner)), ok)
	b.wantCodes(b.by(coOwner, b.revoking(coOwner)), lastOwner)
	b.wantCodes(b.by(coOwner, b.replacing(coOwner, testKey(24))), ok)
	b.wantCodes(b.by(testKey(24), configure(0, &wire.Settings{Replicas: 5})), ok)
	if b.table.Genesis().Owner != owner.Public() {
		t.Error("the repository has another name")
	}
	b.checkStored()
}

// TestReplaceRefused tries replacements that nobody agreed to, or that make no sense.
func TestReplaceRefused(t *testing.T) {
	other, err := NewGenesis(owner, &wire.Genesis{Name: "other", ObjectFormat: SHA1, DefaultBranch: mainBranch, Members: testGenesis(1).Members})
	if err != nil {
		t.Fatal(err)
	}
	consent := func(g *Genesis, old identity.Key, version uint64) []byte {
		r, err := g.Replacement(old.Public(), heir, version)
		if err != nil {
			t.Fatal(err)
		}
		return r.GetConsent()
	}
	for name, c := range map[string]struct {
		edit func(b *bench, r *wire.ReplaceKey)
		want wire.Code
	}{
		"as it is":                       {func(*bench, *wire.ReplaceKey) {}, ok},
		"an older version":               {func(_ *bench, r *wire.ReplaceKey) { r.OldVersion-- }, stale},
		"half a key":                     {func(_ *bench, r *wire.ReplaceKey) { r.Old = r.Old[1:] }, malformed},
		"by half a key":                  {func(_ *bench, r *wire.ReplaceKey) { r.New = r.New[1:] }, malformed},
		"by itself":                      {func(_ *bench, r *wire.ReplaceKey) { r.New = r.Old }, malformed},
		"without consent":                {func(_ *bench, r *wire.ReplaceKey) { r.Consent = nil }, malformed},
		"with consent of nobody":         {func(_ *bench, r *wire.ReplaceKey) { r.New = nil }, malformed},
		"with another's consent":         {func(_ *bench, r *wire.ReplaceKey) { r.New = grant(stranger, 0).Key }, malformed},
		"with consent to replace others": {func(b *bench, r *wire.ReplaceKey) { r.Consent = consent(b.table.genesis, guest, r.OldVersion) }, malformed},
		"with consent for elsewhere":     {func(_ *bench, r *wire.ReplaceKey) { r.Consent = consent(other, writer, r.OldVersion) }, malformed},
		"with consent for another time":  {func(b *bench, r *wire.ReplaceKey) { r.Consent = consent(b.table.genesis, writer, r.OldVersion+1) }, malformed},
	} {
		b := newBench(t)
		b.people()
		before := encode(b.table.Snapshot())
		op := b.replacing(writer, heir)
		c.edit(b, op.GetReplaceKey())
		got := b.by(owner, op)
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if c.want != ok && !sameButPosition(b, before) {
			t.Errorf("%s: it was refused, and the table changed", name)
		}
	}
}

// TestSuccession has who took the founder's place confirm the voters, to those who know
// the genesis alone; and nobody else.
func TestSuccession(t *testing.T) {
	g := foundedBy(t, 3)
	l := mustWith(t, g.Lineage(), 5, seatsOf(1, 2, 4), 1, 2)
	last := l.Last()
	sealed := func(by identity.Key, ops ...*wire.Operation) *wire.Signed {
		public := by.Public()
		signed, err := Seal(by, identity.DomainTransaction, &wire.Transaction{Genesis: g.Hash[:], Signer: public[:], Id: make([]byte, TransactionIDBytes), Window: 1, Operations: ops})
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	replaces := func(by, old, successor identity.Key) *wire.Signed {
		r, err := g.Replacement(old.Public(), successor, 7)
		if err != nil {
			t.Fatal(err)
		}
		return sealed(by, &wire.Operation{Kind: &wire.Operation_ReplaceKey{ReplaceKey: r}})
	}
	confirms := func(by identity.Key) *wire.Signed {
		return sealed(by, &wire.Operation{Kind: &wire.Operation_Configure{Configure: &wire.Configure{Configuration: last.Hash[:]}}})
	}
	first, second := replaces(owner, owner, heir), replaces(heir, heir, coOwner)
	forged := replaces(owner, owner, heir)
	forged.Signature[0] ^= 1
	tampered := proto.CloneOf(first)
	tampered.Body = append(tampered.Body, 1)
	long := sealed(owner, &wire.Operation{Kind: &wire.Operation_AcquireLock{AcquireLock: &wire.AcquireLock{Reason: string(make([]byte, successionBytesMax))}}})
	for name, c := range map[string]struct {
		by          identity.Key
		successions []*wire.Signed
		ok          bool
	}{
		"the founder":                     {owner, nil, true},
		"its successor":                   {heir, []*wire.Signed{first}, true},
		"the next one":                    {coOwner, []*wire.Signed{first, second}, true},
		"a successor without proof":       {heir, nil, false},
		"a step is left out":              {coOwner, []*wire.Signed{second}, false},
		"one that has handed on":          {heir, []*wire.Signed{first, second}, false},
		"somebody whom an owner put":      {heir, []*wire.Signed{replaces(coOwner, owner, heir)}, false},
		"somebody in another's place":     {heir, []*wire.Signed{replaces(owner, writer, heir)}, false},
		"a forged succession":             {heir, []*wire.Signed{forged}, false},
		"other bytes":                     {heir, []*wire.Signed{tampered}, false},
		"no succession at all":            {heir, []*wire.Signed{confirms(owner)}, false},
		"one too long":                    {heir, []*wire.Signed{long}, false},
		"a revocation":                    {heir, []*wire.Signed{sealed(owner, &wire.Operation{Kind: &wire.Operation_ReplaceKey{ReplaceKey: &wire.ReplaceKey{Old: g.Owner[:]}}})}, false},
		"without the successor's consent": {heir, []*wire.Signed{sealed(owner, &wire.Operation{Kind: &wire.Operation_ReplaceKey{ReplaceKey: &wire.ReplaceKey{Old: g.Owner[:], New: grant(heir, 0).Key}}})}, false},
	} {
		got, err := ParseLineage(g, &wire.Lineage{Checkpoint: confirms(c.by), Configuration: last.Body, Successions: c.successions})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok && err == nil && (got.Last().Hash != last.Hash || !got.Extends(l)) {
			t.Errorf("%s: another lineage", name)
		}
	}
	// A table keeps them, up to a limit, and no others.
	b := newBench(t)
	b.people()
	b.wantCodes(b.by(coOwner, b.replacing(keeper, testKey(30))), ok)
	if n := len(b.table.meta.GetSuccessions()); n != 0 {
		t.Errorf("%d successions of somebody else", n)
	}
	now := owner
	for i := range successionsMax + 1 {
		next := testKey(byte(40 + i))
		b.wantCodes(b.by(now, b.replacing(now, next)), ok)
		if got, err := b.table.genesis.successor(b.table.meta.GetSuccessions()); err != nil || len(b.table.meta.GetSuccessions()) != min(i+1, successionsMax) || i < successionsMax && got != next.Public() {
			t.Fatalf("after %d: %d successions, %v", i+1, len(b.table.meta.GetSuccessions()), err)
		}
		now = next
	}
	tx := b.draft(coOwner, b.revoking(now), move("heads/none", 8, 9))
	tx.Atomic = true
	b.wantCodes(codes(b.apply(coOwner, tx)), sibling, stale)
	b.checkStored()
}

// TestRevokedMax leaves owners room that nobody else can use up.
func TestRevokedMax(t *testing.T) {
	b := newBench(t)
	b.people()
	key := func(i int) identity.Key { return identity.KeyFromSeed([32]byte{9, byte(i), byte(i >> 8)}) }
	now := writer
	for i := range RevokedMax / 2 {
		b.wantCodes(b.by(now, b.replacing(now, key(i))), ok)
		now = key(i)
	}
	b.wantCodes(b.by(now, b.replacing(now, heir)), notAllowed)
	for i := range RevokedMax / 2 {
		b.wantCodes(b.by(owner, b.revoking(key(10_000+i))), ok)
	}
	b.wantCodes(b.by(owner, b.revoking(now)), notAllowed)
	b.change(grant(now, asNobody))
	b.checkStored()
}

// TestKeyVersions checks that a replacement is one for those alone who know it, and
// that a policy which revokes is none to those who do not.
func TestKeyVersions(t *testing.T) {
	b := newBench(t)
	tx := b.draft(owner, b.changing(grant(guest, asReader)), b.replacing(writer, heir))
	if VersionOf(tx) != keyEntryVersion {
		t.Error("an entry of the wrong version")
	}
	signed, err := Seal(owner, identity.DomainTransaction, b.draft(owner, b.replacing(writer, heir)))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint32{entryVersion, policyEntryVersion} {
		b.wantCodes(codes(b.commit(encode(&wire.Entry{Version: version, Transaction: signed}))), malformed)
	}
	// Older programs take a role below none for an unknown one, and stop.
	if asRevoked >= asNobody {
		t.Error("older programs would read a revoked key as one with a role")
	}
}
