package replica

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/wire"
)

// A membership is spelt as its seats: 1 votes, 4? learns, 4+ is on its way in, 3-
// on its way out.

// seatKey is the key of the node in a seat, as of testGenesis.
func seatKey(raftID uint64) identity.Key { return testKey(byte(99 + raftID)) }

func parseMembership(t testing.TB, spelt string) *Membership {
	t.Helper()
	g := foundedBy(t, 3)
	ms := &Membership{Index: 7, NextRaftID: 4, Lineage: g.Lineage()}
	for _, seat := range strings.Fields(spelt) {
		m := Member{Nonce: make([]byte, NonceBytes)}
		mark := seat[len(seat)-1]
		if at := strings.IndexByte("?+-", mark); at >= 0 {
			m.Role = []wire.Role{Learner, Incoming, Outgoing}[at]
			seat = seat[:len(seat)-1]
		}
		if _, err := fmt.Sscan(seat, &m.RaftID); err != nil {
			t.Fatal(err)
		}
		m.Peer = seatKey(m.RaftID).PeerID()
		if m.RaftID > 3 {
			m.Proof = introduce(t, g, m.Peer, m.RaftID)
		}
		ms.Members = append(ms.Members, m)
		ms.NextRaftID = max(ms.NextRaftID, m.RaftID+1)
	}
	return ms
}

// introduce is a proof by the founder in seat 1.
func introduce(t testing.TB, g *Genesis, peer identity.PeerID, raftID uint64) []*wire.Signed {
	t.Helper()
	proof, err := Introduce(seatKey(1), g, peer, raftID)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func foundedBy(t testing.TB, members int) *Genesis {
	t.Helper()
	g, err := NewGenesis(owner, testGenesis(members))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func spell1(m Member) string { return fmt.Sprint(m.RaftID) + []string{"", "?", "+", "-"}[m.Role] }

func (ms *Membership) spell() string {
	var list []string
	for _, m := range ms.Members {
		list = append(list, spell1(m))
	}
	return strings.Join(list, " ")
}

// spellConf spells a configuration of raft's in the same way, in order.
func spellConf(c *pb.ConfState) string {
	marks := map[uint64]string{}
	for _, id := range c.GetVoters() {
		marks[id] = ""
		if len(c.GetVotersOutgoing()) > 0 && !slices.Contains(c.GetVotersOutgoing(), id) {
			marks[id] = "+"
		}
	}
	for _, id := range c.GetVotersOutgoing() {
		if !slices.Contains(c.GetVoters(), id) {
			marks[id] = "-"
		}
	}
	for _, id := range c.GetLearners() {
		marks[id] += "?"
	}
	for _, id := range c.GetLearnersNext() {
		marks[id] += "-?"
	}
	var list []string
	for _, id := range slices.Sorted(maps.Keys(marks)) {
		list = append(list, fmt.Sprint(id, marks[id]))
	}
	return strings.Join(list, " ")
}

// TestMembershipSteps goes through the steps that there are.
func TestMembershipSteps(t *testing.T) {
	admit := func(ms *Membership) *Membership { return ms.Admit(stranger.PeerID(), []byte("n"), nil) }
	drop := func(id uint64) func(*Membership) *Membership {
		return func(ms *Membership) *Membership { return ms.Drop(id) }
	}
	become := func(ids ...uint64) func(*Membership) *Membership {
		return func(ms *Membership) *Membership { return ms.Become(ids) }
	}
	for _, c := range []struct {
		from    string
		step    func(*Membership) *Membership
		to      string // empty: refused
		settled string // once a change under way is done
	}{
		{"1 2 3", admit, "1 2 3 4?", "1 2 3 4?"},
		{"1 2 3 7?", admit, "1 2 3 7? 8?", "1 2 3 7? 8?"},
		{"1", admit, "1 4?", "1 4?"},
		{"1 2 3 4?", drop(4), "1 2 3", "1 2 3"},
		{"1 2 3 4? 5?", drop(4), "1 2 3 5?", "1 2 3 5?"},
		{"1 2 3", drop(3), "", ""},
		{"1 2 3", drop(9), "", ""},
		{"1 2 3 4?", become(1, 2, 4), "1 2 3- 4+", "1 2 4"},
		{"1 2 3 4? 5?", become(1, 2, 3, 4, 5), "1 2 3 4+ 5+", "1 2 3 4 5"},
		{"1 2 3 4? 5?", become(1, 2, 4), "1 2 3- 4+ 5?", "1 2 4 5?"},
		{"1 2 3 4 5", become(1, 2, 3), "1 2 3 4- 5-", "1 2 3"},
		{"1 2 3", become(2), "1- 2 3-", "2"},
		{"1 4? 5?", become(1, 4, 5), "1 4+ 5+", "1 4 5"},
		{"1 4?", become(4), "1- 4+", "4"},
		{"1 2 3 4? 5? 6?", become(4, 5, 6), "1- 2- 3- 4+ 5+ 6+", "4 5 6"},
		{"1 2 3", become(1, 2, 3), "", ""},
		{"1 2 3", become(1, 2), "", ""},
		{"1 2 3", become(), "", ""},
		{"1 2 3 4?", become(1, 2, 3, 4), "", ""},
		{"1 2 3 4 5 6 7 8? 9?", become(1, 2, 3, 4, 5, 6, 7, 8, 9), "", ""},
		{"1 2 3- 4+", admit, "", ""},
		{"1 2 3- 4+ 5?", drop(5), "", ""},
		{"1 2 3- 4+", become(1, 2, 3), "", ""},
	} {
		ms := parseMembership(t, c.from)
		next := c.step(ms)
		err := ms.checkNext(next)
		switch {
		case ms.spell() != c.from:
			t.Errorf("%s changed to %s", c.from, ms.spell())
		case c.to == "":
			if err == nil {
				t.Errorf("%s became %s", c.from, next.spell())
			}
			continue
		case err != nil || next.spell() != c.to:
			t.Errorf("%s became %s (%v), want %s", c.from, next.spell(), err, c.to)
		case spellConf(next.confState()) != c.to:
			t.Errorf("%s is %s to raft", c.to, spellConf(next.confState()))
		}
		next = next.settled(9, ms.Lineage)
		if next.spell() != c.settled || next.Index != 9 || next.Joint() || spellConf(next.confState()) != c.settled {
			t.Errorf("%s settled as %s of %d, want %s", c.to, next.spell(), next.Index, c.settled)
		}
		if len(next.Voters())%2 == 0 || next.Quorum() != len(next.Voters())/2+1 {
			t.Errorf("%s has %d voters and a quorum of %d", next.spell(), len(next.Voters()), next.Quorum())
		}
	}
}

// TestMembershipRefuses tries what none of the steps makes.
func TestMembershipRefuses(t *testing.T) {
	many := "1 2 3"
	for id := 4; id < 4+seatsMax-3; id++ {
		many += fmt.Sprintf(" %d?", id)
	}
	for name, c := range map[string]struct {
		from string
		edit func(ms *Membership)
	}{
		"two newcomers":           {"1 2 3", func(ms *Membership) { *ms = *ms.Admit("a", nil, nil).Admit("b", nil, nil) }},
		"two learners go":         {"1 2 3 4? 5?", func(ms *Membership) { *ms = *ms.Drop(4).Drop(5) }},
		"one comes, one goes":     {"1 2 3 4?", func(ms *Membership) { *ms = *ms.Drop(4).Admit("a", nil, nil) }},
		"a newcomer and voters":   {"1 2 3 4?", func(ms *Membership) { *ms = *ms.Admit("a", nil, nil).Become([]uint64{1, 2, 4}) }},
		"a dropped one and votes": {"1 2 3 4? 5?", func(ms *Membership) { *ms = *ms.Drop(5).Become([]uint64{1, 2, 4}) }},
		"a newcomer that votes":   {"1 2 3", func(ms *Membership) { *ms = *ms.Admit("a", nil, nil); ms.Members[3].Role = Voter }},
		"a newcomer on its way":   {"1 2 3 4?", func(ms *Membership) { *ms = *ms.Admit("a", nil, nil); ms.Members[4].Role = Incoming }},
		"an old seat again":       {"1 2 3 5?", func(ms *Membership) { *ms = *ms.Admit("a", nil, nil); ms.Members[4].RaftID = 4 }},
		"a seat ahead":            {"1 2 3", func(ms *Membership) { *ms = *ms.Admit("a", nil, nil); ms.Members[3].RaftID = 5 }},
		"a number that is lost":   {"1 2 3", func(ms *Membership) { ms.NextRaftID++ }},
		"a number that is back":   {"1 2 3", func(ms *Membership) { ms.NextRaftID-- }},
		"a number not counted":    {"1 2 3", func(ms *Membership) { *ms = *ms.Admit("a", nil, nil); ms.NextRaftID-- }},
		"numbers that jump":       {"1 2 3", func(ms *Membership) { *ms = *ms.Admit("a", nil, nil); ms.NextRaftID++ }},
		"another node":            {"1 2 3 4?", func(ms *Membership) { *ms = *ms.Drop(4); ms.Members[2].Peer = "a" }},
		"another nonce":           {"1 2 3 4?", func(ms *Membership) { *ms = *ms.Drop(4); ms.Members[2].Nonce = make([]byte, NonceBytes+1) }},
		"a learner votes at once": {"1 2 3 4? 5?", func(ms *Membership) { ms.Members[3].Role, ms.Members[4].Role = Voter, Voter }},
		"a voter learns":          {"1 2 3", func(ms *Membership) { ms.Members[1].Role, ms.Members[2].Role = Learner, Learner }},
		"a voter comes in again":  {"1 2 3", func(ms *Membership) { ms.Members[2].Role = Incoming }},
		"a learner goes out":      {"1 2 3 4?", func(ms *Membership) { ms.Members[3].Role = Outgoing }},
		"nobody stays":            {"1", func(ms *Membership) { ms.Members[0].Role = Outgoing }},
		"nobody":                  {"1 2 3", func(ms *Membership) { ms.Members = nil }},
		"nothing":                 {"1 2 3", func(*Membership) {}},
		"too many seats":          {many, func(ms *Membership) { *ms = *ms.Admit("a", nil, nil) }},
	} {
		ms, next := parseMembership(t, c.from), parseMembership(t, c.from)
		c.edit(next)
		if err := ms.checkNext(next); err == nil {
			t.Errorf("%s: %s became %s", name, c.from, next.spell())
		}
	}
}

// TestHasQuorum counts both halves.
func TestHasQuorum(t *testing.T) {
	for spelt, want := range map[string]map[string]bool{
		"1 2 3":          {"": false, "1": false, "1 2": true, "1 2 3": true},
		"1 2 3 4? 5?":    {"1 4 5": false, "1 3": true},
		"1 2 3- 4+":      {"1 3": false, "1 4": false, "3 4": false, "1 2": true, "1 3 4": true, "2 3 4": true},
		"1- 2- 3- 4+ 5?": {"1 2 3": false, "4": false, "1 4": false, "1 2 4": true, "1 2 5": false},
		"1 4+ 5+":        {"4 5": false, "1": false, "1 4": true},
		"1 2- 3-":        {"1": false, "2 3": false, "1 2": true},
	} {
		ms := parseMembership(t, spelt)
		for those, want := range want {
			if got := ms.HasQuorum(func(m Member) bool { return slices.Contains(strings.Fields(those), fmt.Sprint(m.RaftID)) }); got != want {
				t.Errorf("%q of %s: %v, want %v", those, spelt, got, want)
			}
		}
	}
}

// TestMembershipFinds looks a node up that lost one seat and has another.
func TestMembershipFinds(t *testing.T) {
	ms := parseMembership(t, "1 2 3")
	twice := ms.Admit(ms.Members[1].Peer, make([]byte, NonceBytes), nil)
	if m, ok := twice.Member(ms.Members[1].Peer); !ok || m.RaftID != 4 || m.Votes() {
		t.Errorf("found %+v, want the new seat", m)
	}
	if twice.Newest(2) || !twice.Newest(4) || !twice.Newest(1) || twice.Newest(99) || !ms.Newest(2) {
		t.Error("a lost seat is its node's newest, or another is not")
	}
	if m, ok := twice.Seat(2); !ok || m.Peer != ms.Members[1].Peer || twice.PeerOf(2) != m.Peer {
		t.Errorf("found %+v in seat 2", m)
	}
	if _, ok := twice.Member("nobody"); ok || twice.PeerOf(99) != "" {
		t.Error("found somebody in a seat that is not there")
	}
	if m, ok := ms.Member(ms.Members[1].Peer); !ok || m.RaftID != 2 {
		t.Errorf("found %+v", m)
	}
}

// TestParseMembers changes one thing of a list at a time.
func TestParseMembers(t *testing.T) {
	good := func() []*wire.Member { return parseMembership(t, "1 2 3- 4+ 5?").Wire() }
	members, err := parseMembers(good())
	if ms := (&Membership{Members: members}); err != nil || ms.spell() != "1 2 3- 4+ 5?" {
		t.Fatalf("%s, %v", ms.spell(), err)
	}
	for name, edit := range map[string]func([]*wire.Member) []*wire.Member{
		"no peer":         func(l []*wire.Member) []*wire.Member { l[0].Peer = nil; return l },
		"broken peer":     func(l []*wire.Member) []*wire.Member { l[0].Peer = l[0].Peer[1:]; return l },
		"no seat":         func(l []*wire.Member) []*wire.Member { l[0].RaftId = 0; return l },
		"seat beyond":     func(l []*wire.Member) []*wire.Member { l[0].RaftId = 1 << 32; return l },
		"one seat twice":  func(l []*wire.Member) []*wire.Member { l[0].RaftId = 2; return l },
		"short nonce":     func(l []*wire.Member) []*wire.Member { l[0].Nonce = l[0].Nonce[1:]; return l },
		"no such role":    func(l []*wire.Member) []*wire.Member { l[0].Role = 4; return l },
		"negative role":   func(l []*wire.Member) []*wire.Member { l[0].Role = -1; return l },
		"too long proof":  func(l []*wire.Member) []*wire.Member { l[0].Proof = make([]*wire.Signed, 2); return l },
		"too many":        func(l []*wire.Member) []*wire.Member { return slices.Repeat(l, 4) },
		"nothing in it":   func(l []*wire.Member) []*wire.Member { return append(l, nil) },
		"an empty member": func(l []*wire.Member) []*wire.Member { return append(l, &wire.Member{}) },
	} {
		if members, err := parseMembers(edit(good())); err == nil {
			t.Errorf("%s: %v", name, members)
		}
	}
}

// TestMembershipOf reads what a table might hold.
func TestMembershipOf(t *testing.T) {
	g := foundedBy(t, 3)
	for spelt, want := range map[string]bool{
		"1 2 3": true, "1 2 3 4?": true, "1 2 3- 4+": true,
		"2": false, "1 2 3 4 5": false, "1 2 4": false, "1 2 4+": false,
		"1 2": false, "1?": false, "1-": false, "1+": false, "1 2-": false, "1? 2- 3-": false, "4? 5?": false,
	} {
		meta := &wire.TableMeta{Members: parseMembership(t, spelt).Wire(), NextRaftId: 6, MembersIndex: 5}
		if ms, err := membershipOf(meta, g.Lineage()); (err == nil) != want || want && (ms.spell() != spelt || ms.Index != 5 || ms.NextRaftID != 6) {
			t.Errorf("%s: %v, %v", spelt, ms, err)
		}
	}
	if ms, err := membershipOf(&wire.TableMeta{}, g.Lineage()); err != nil || ms.spell() != "1 2 3" || ms.NextRaftID != 4 {
		t.Errorf("a table of the founders: %v, %v", ms, err)
	}
	if _, err := membershipOf(&wire.TableMeta{Members: parseMembership(t, "1 2 3").Wire(), NextRaftId: 3}, g.Lineage()); err == nil {
		t.Error("a seat that is yet to be given was accepted")
	}
}
