package replica

import (
	"slices"
	"testing"

	"peer/identity"
	"peer/wire"
)

func configure(version uint64, s *wire.Settings) *wire.Operation {
	return &wire.Operation{Kind: &wire.Operation_Configure{Configure: &wire.Configure{OldVersion: version, Settings: s}}}
}

func removal() *wire.Operation {
	return &wire.Operation{Kind: &wire.Operation_Remove{Remove: &wire.Remove{}}}
}

const (
	notAllowed = wire.Code_CODE_NOT_ALLOWED
	removed    = wire.Code_CODE_REMOVED
)

// by applies operations one by one, each in its own right.
func (b *bench) by(k identity.Key, ops ...*wire.Operation) []wire.Code {
	return codes(b.apply(k, b.draft(k, ops...)))
}

// TestConfigure changes the settings: the owner alone may, and one who saw them.
func TestConfigure(t *testing.T) {
	b := newBench(t)
	five := &wire.Settings{Replicas: 5, GraceMs: 7, Version: 99, Stay: true, On: [][]byte{[]byte(writer.PeerID())}}
	b.wantCodes(b.by(writer, configure(0, five)), notAllowed)
	b.wantCodes(b.by(owner, configure(1, five)), stale)
	if b.table.Settings().GetVersion() != 0 || b.table.Settings().GetReplicas() != 0 {
		t.Errorf("settings %v before any took effect", b.table.Settings())
	}
	b.wantCodes(b.by(owner, configure(0, five)), ok)
	version := b.table.Index()
	if s := b.table.Settings(); s.GetVersion() != version || s.GetReplicas() != 5 || s.GetGraceMs() != 7 || !s.GetStay() || len(s.GetOn()) != 1 {
		t.Errorf("settings %v of entry %d", s, version)
	}
	b.wantCodes(b.by(owner, configure(0, five)), stale)
	b.wantCodes(b.by(owner, configure(version, &wire.Settings{Replicas: 3}), configure(version, five)), ok, stale)
	if s := b.table.Settings(); s.GetReplicas() != 3 || s.GetVersion() != b.table.Index() {
		t.Errorf("settings %v", s)
	}
	b.checkStored()
}

// TestSettingsRefused tries settings that no group can follow.
func TestSettingsRefused(t *testing.T) {
	p, q := []byte(writer.PeerID()), []byte(owner.PeerID())
	var many [][]byte
	var ranked []*wire.Priority
	for n := range settingsMax + 1 {
		many = append(many, []byte(testKey(byte(n)).PeerID()))
		ranked = append(ranked, &wire.Priority{Peer: many[n]})
	}
	for name, c := range map[string]struct {
		s    *wire.Settings
		want wire.Code
	}{
		"none":             {nil, malformed},
		"the first ones":   {&wire.Settings{}, ok},
		"one":              {&wire.Settings{Replicas: 1}, ok},
		"two":              {&wire.Settings{Replicas: 2}, malformed},
		"as many":          {&wire.Settings{Replicas: MembersMax}, ok},
		"one more":         {&wire.Settings{Replicas: MembersMax + 1}, malformed},
		"too many":         {&wire.Settings{Replicas: MembersMax + 2}, malformed},
		"never":            {&wire.Settings{GraceMs: -1}, ok},
		"broken peer":      {&wire.Settings{Off: [][]byte{p[1:]}}, malformed},
		"on and off":       {&wire.Settings{On: [][]byte{p}, Off: [][]byte{q, p}}, malformed},
		"on twice":         {&wire.Settings{On: [][]byte{p, p}}, malformed},
		"one of each":      {&wire.Settings{On: [][]byte{p}, Off: [][]byte{q}}, ok},
		"as many names":    {&wire.Settings{On: many[1:], Priorities: ranked[1:]}, ok},
		"too many on":      {&wire.Settings{On: many}, malformed},
		"too many off":     {&wire.Settings{Off: many}, malformed},
		"too many ranked":  {&wire.Settings{Priorities: ranked}, malformed},
		"nobody is ranked": {&wire.Settings{Priorities: []*wire.Priority{{}}}, malformed},
	} {
		b := newBench(t)
		before := b.table.Settings()
		if got := b.by(owner, configure(0, c.s)); !slices.Equal(got, []wire.Code{c.want}) {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
		if changed := b.table.Settings().GetVersion() != before.GetVersion(); changed != (c.want == ok) {
			t.Errorf("%s: settings %v", name, b.table.Settings())
		}
		b.checkStored()
	}
}

// TestConfigureRollsBack takes settings and a tombstone back with the
// transaction that they are part of.
func TestConfigureRollsBack(t *testing.T) {
	b := newBench(t)
	b.wantCodes(b.by(owner, configure(0, &wire.Settings{Replicas: 5})), ok)
	version := b.table.Index()
	tx := b.draft(owner, configure(version, &wire.Settings{Replicas: 1}), removal(), move("heads/b", 7, 8))
	tx.Atomic = true
	b.wantCodes(codes(b.apply(owner, tx)), sibling, sibling, stale)
	if s := b.table.Settings(); s.GetReplicas() != 5 || s.GetVersion() != version || b.table.Tombstone() != nil {
		t.Errorf("settings %v, tombstone %v after an atomic transaction that failed", s, b.table.Tombstone())
	}
	b.wantCodes(b.by(owner, configure(version, &wire.Settings{Replicas: 1})), ok)
	b.checkStored()
}

// TestRemove ends a repository, which its owner alone may; a lock is no obstacle.
func TestRemove(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1))
	b.wantCodes(b.by(writer, acquire(1000, 0), removal()), ok, notAllowed)
	if b.table.Tombstone() != nil {
		t.Error("a writer removed it")
	}
	tx := b.draft(owner, removal())
	b.wantCodes(codes(b.apply(owner, tx)), ok)
	stone := b.table.Tombstone()
	if stone.GetIndex() != b.table.Index() || stone.GetStampUnixMs() != b.table.Stamp() {
		t.Fatalf("tombstone %v", stone)
	}
	signed := new(wire.Transaction)
	if by, err := Open(stone.GetTransaction(), identity.DomainTransaction, signed); err != nil || by != owner.Public() || len(signed.GetOperations()) != 1 {
		t.Errorf("a tombstone that proves nothing: %v, %v", signed, err)
	}
	for _, k := range []identity.Key{owner, writer} {
		done := b.apply(k, b.draft(k, move("heads/main", 1, 2)))
		if done.Outcome.GetResult().GetCode() != removed || len(done.Refs) > 0 {
			t.Errorf("after its removal: %v", done.Outcome)
		}
	}
	// The same again is told what it was told.
	if again := b.apply(owner, tx); !again.Repeat || again.Outcome.GetResult().GetCode() != ok {
		t.Errorf("the removal, again: %v", again.Outcome)
	}
	b.checkStored()
	g := newBench(t).table.genesis
	f := newFollower(t)
	if f.genesis.Hash != g.Hash {
		t.Fatal("another genesis")
	}
	// Members go on changing members: an entry of raft's is no transaction.
	f.table.meta.Tombstone = stone
	f.mustConf(withSeat(t, f.table.members, 1))
	if f.table.Tombstone() == nil {
		t.Error("a change of members took the tombstone away")
	}
}
