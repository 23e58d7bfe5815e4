package replica

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// TestPolicyRefused tries changes that make no sense.
func TestPolicyRefused(t *testing.T) {
	many := func(n int) (list []any) {
		for i := range n {
			list = append(list, protect(fmt.Sprint("refs/heads/", i), asWriter))
		}
		return list
	}
	crowd := func(n int) (list []any) {
		for i := range n {
			list = append(list, grant(identity.KeyFromSeed([32]byte{9, byte(i), byte(i >> 8)}), asWriter))
		}
		return list
	}
	for name, c := range map[string]struct {
		parts []any
		want  wire.Code
	}{
		"nothing":             {nil, malformed},
		"half a key":          {[]any{&wire.Grant{Key: make([]byte, 31), Access: asWriter}}, malformed},
		"a key twice":         {[]any{grant(guest, asWriter), grant(guest, asReader)}, malformed},
		"a role to come":      {[]any{grant(guest, asOwner+1)}, malformed},
		"a role below none":   {[]any{grant(guest, -1)}, malformed},
		"a rule for readers":  {[]any{protect(mainBranch, asReader)}, malformed},
		"a role to come asks": {[]any{protect(mainBranch, asOwner+1)}, malformed},
		"a rule twice":        {[]any{protect(mainBranch, asWriter), protect(mainBranch, asOwner)}, malformed},
		"a rule on and off":   {[]any{protect(mainBranch, asWriter), mainBranch}, malformed},
		"off twice":           {[]any{mainBranch, mainBranch}, malformed},
		"no pattern":          {[]any{protect("", asWriter)}, malformed},
		"a short name":        {[]any{protect("main", asWriter)}, malformed},
		"as many rules":       {many(ProtectionsMax), ok},
		"one rule more":       {many(ProtectionsMax + 1), malformed},
		"as many keys":        {crowd(GrantsMax - 2), ok}, // beside owner and writer
		"one key more":        {crowd(GrantsMax - 1), malformed},
		"far more":            {crowd(GrantsMax + 1), malformed},
	} {
		b := newBench(t)
		before := b.table.Policy()
		b.wantCodes(b.by(owner, b.changing(c.parts...)), c.want)
		if changed := !proto.Equal(before, b.table.Policy()); changed != (c.want == ok) {
			t.Errorf("%s: policy changed: %v", name, changed)
		}
		if t.Failed() {
			t.Fatal(name)
		}
		b.checkStored()
	}
}

// TestPolicyVersions checks that a change is one for those alone who know changes.
func TestPolicyVersions(t *testing.T) {
	b := newBench(t)
	tx := b.draft(owner, b.changing(grant(stranger, asWriter)))
	if VersionOf(tx) != policyEntryVersion || VersionOf(b.draft(owner, move("heads/x", 0, 1))) != entryVersion {
		t.Error("entries of the wrong version")
	}
	signed, err := Seal(owner, identity.DomainTransaction, tx)
	if err != nil {
		t.Fatal(err)
	}
	if got := versionOf(&wire.Entry{Transaction: signed}); got != policyEntryVersion {
		t.Errorf("proposed in version %d", got)
	}
	// In an entry that older programs read it is what it is for these: unknown.
	b.wantCodes(codes(b.commit(encode(&wire.Entry{Version: entryVersion, Transaction: signed}))), malformed)
	if b.table.MayWrite(stranger.Public()) || b.table.policyChanged() {
		t.Error("the policy changed")
	}
	if again := b.table.Policy().GetVersion(); again != firstIndex {
		t.Errorf("version %d", again)
	}
}

// TestFoundingPolicy loads what programs founded that knew no roles, and lets
// nobody found with what these would not see.
func TestFoundingPolicy(t *testing.T) {
	key := func(k identity.Key) []byte { public := k.Public(); return public[:] }
	for name, p := range map[string]*wire.Policy{
		"none":         nil,
		"empty":        {},
		"writers":      {Version: 1, Writers: [][]byte{key(writer), key(guest)}},
		"odd writers":  {Version: 7, Writers: [][]byte{nil, key(writer), key(owner), key(writer), key(guest), make([]byte, 5)}},
		"other grants": {Grants: []*wire.Grant{grant(writer, asOwner)}},
		"other rules":  {Protections: []*wire.Protection{protect(mainBranch, asOwner)}},
	} {
		founding := testGenesis(3)
		founding.Policy = p
		g, err := NewGenesis(owner, founding)
		if refused := strings.HasPrefix(name, "other"); refused || err != nil {
			if !refused || err == nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		b := &bench{TB: t, stored: map[string][]byte{}, stamp: 1_000_000}
		b.store(g.Found(testRules).Table)
		b.table = b.load()
		if b.stored[keyPolicy] != nil {
			t.Errorf("%s: a policy of its own is stored, which older programs do not know", name)
		}
		writes := strings.Contains(name, "writers")
		for k, want := range map[identity.PublicKey]bool{owner.Public(): true, writer.Public(): writes, guest.Public(): writes, stranger.Public(): false} {
			if b.table.MayWrite(k) != want {
				t.Errorf("%s: writes: %v", name, !want)
			}
		}
		b.wantCodes(b.by(owner, move("heads/main", 0, 1)), ok)
		b.change(grant(stranger, asWriter))
		for k, want := range map[identity.PublicKey]bool{owner.Public(): true, writer.Public(): writes, guest.Public(): writes, stranger.Public(): true} {
			if b.table.MayWrite(k) != want {
				t.Errorf("%s, after a change: writes: %v", name, !want)
			}
		}
		if p := b.table.Policy(); p.GetVersion() != b.table.Index() || len(p.GetWriters()) > 0 {
			t.Errorf("%s: policy %v", name, p)
		}
		b.checkStored()
	}
}

// TestPolicyFromElsewhere checks what is asked of a policy in a snapshot or a store.
func TestPolicyFromElsewhere(t *testing.T) {
	b := newBench(t)
	b.people()
	b.change(protect(mainBranch, asOwner), protect("refs/heads/x", asOwner))
	for name, edit := range map[string]func(*wire.Policy){
		"writers":          func(p *wire.Policy) { p.Writers = [][]byte{p.Grants[0].Key} },
		"founding version": func(p *wire.Policy) { p.Version = firstIndex },
		"no version":       func(p *wire.Policy) { p.Version = 0 },
		"no owner":         func(p *wire.Policy) { p.Grants = nil },
		"no role":          func(p *wire.Policy) { p.Grants[0].Access = asNobody },
		"role to come":     func(p *wire.Policy) { p.Grants[0].Access = asOwner + 1 },
		"half a key":       func(p *wire.Policy) { p.Grants[0].Key = p.Grants[0].Key[1:] },
		"out of order":     func(p *wire.Policy) { p.Grants[0], p.Grants[1] = p.Grants[1], p.Grants[0] },
		"twice":            func(p *wire.Policy) { p.Grants[0] = p.Grants[1] },
		"rule for readers": func(p *wire.Policy) { p.Protections[0].Push = asReader },
		"rules twice":      func(p *wire.Policy) { p.Protections[0] = p.Protections[1] },
		"broken pattern":   func(p *wire.Policy) { p.Protections[0].Pattern = "a" },
	} {
		p := proto.Clone(b.table.Policy()).(*wire.Policy)
		edit(p)
		s := proto.Clone(b.table.Snapshot()).(*wire.TableSnapshot)
		s.Policy = p
		if _, err := fromSnapshot(s, b.table.genesis, testRules); err == nil {
			t.Errorf("%s: accepted in a snapshot", name)
		}
		stored := map[string][]byte{}
		for key, value := range b.stored {
			stored[key] = value
		}
		stored[keyPolicy] = encode(p)
		if _, err := LoadTable(func(f func(string, []byte) error) error {
			for key, value := range stored {
				if err := f(key, value); err != nil {
					return err
				}
			}
			return nil
		}, testRules); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

// TestPatterns matches patterns with names, and refuses what is none.
func TestPatterns(t *testing.T) {
	for text, c := range map[string]struct{ yes, no string }{
		"refs/heads/main":       {"refs/heads/main", "refs/heads/main2 refs/heads/mai refs/heads/main/x refs/tags/main"},
		"refs/heads/*":          {"refs/heads/main refs/heads/x", "refs/heads/a/b refs/tags/x refs/heads"},
		"refs/heads/release/*":  {"refs/heads/release/1", "refs/heads/release refs/heads/release/1/2 refs/heads/released/1"},
		"refs/heads/**":         {"refs/heads/a refs/heads/a/b/c", "refs/heads refs/tags/a refs/headsx/a"},
		"refs/tags/v*":          {"refs/tags/v refs/tags/v1 refs/tags/v1.2", "refs/tags/w refs/tags/v/1"},
		"refs/tags/v*-rc":       {"refs/tags/v1-rc refs/tags/v-rc", "refs/tags/v1 refs/tags/v1-rc2"},
		"refs/tags/aa*aa":       {"refs/tags/aaaa refs/tags/aaxaa", "refs/tags/aaa refs/tags/aa"},
		"refs/**/main":          {"refs/main/main refs/heads/main refs/remotes/x/y/main", "refs/heads/main/x refs/x/domain"},
		"refs/heads/**/a*/b":    {"refs/heads/a/b refs/heads/x/y/a1/b", "refs/heads/b refs/heads/b/a refs/heads/a/x/b"},
		"refs/**":               {"refs/heads/main refs/x/y", "refs other/x/y"},
		"refs/heads/feat-*/**":  {"refs/heads/feat-1/x refs/heads/feat-/y/z", "refs/heads/feat-1 refs/heads/fea/x"},
		"refs/heads/*/*":        {"refs/heads/a/b", "refs/heads/a refs/heads/a/b/c"},
		"refs/heads/ü*/**/ende": {"refs/heads/über/ende refs/heads/ü/x/ende", "refs/heads/u/ende"},
	} {
		p, err := parsePattern(text, testRules)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, name := range strings.Fields(c.yes) {
			if !p.matches(name) {
				t.Errorf("%s does not match %s", text, name)
			}
		}
		for _, name := range strings.Fields(c.no) {
			if p.matches(name) {
				t.Errorf("%s matches %s", text, name)
			}
		}
		if n := testing.AllocsPerRun(10, func() { p.matches("refs/heads/release/2/x/y") }); n > 0 {
			t.Errorf("%s: a match makes %v objects", text, n)
		}
	}
	for _, text := range []string{"", "main", "*", "**", "heads/*", "refs/**/x/**", "refs/heads/a*b*", "refs/heads/***", "refs/heads/..", "r*/heads/x", "refs/" + strings.Repeat("x", PatternBytesMax)} {
		if err := CheckPattern(text, testRules); err == nil {
			t.Errorf("%q is taken for a pattern", text)
		}
	}
}
