package election

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// group makes up members by letter: upper case is alive and in sync, lower case
// alive and behind; a dash after a letter means not alive, a question mark unfit.
func group(spelling string) (members []Member) {
	for i := 0; i < len(spelling); i++ {
		c := spelling[i]
		m := Member{ID: ID(c | 0x20), Alive: true, InSync: c < 'a'}
		if rest := spelling[i+1:]; rest != "" && (rest[0] == '-' || rest[0] == '?') {
			m.Alive, m.Unfit = rest[0] != '-', rest[0] == '?'
			i++
		}
		members = append(members, m)
	}
	return members
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name         string
		members      string
		self, leader ID
		busy         bool
		want         Action
	}{
		{"the highest of all goes first", "ABC", "c", None, false, Action{Do: Campaign, Rank: 0}},
		{"the next one waits for one", "ABC", "b", None, false, Action{Do: Campaign, Rank: 1}},
		{"the lowest waits for two", "ABC", "a", None, false, Action{Do: Campaign, Rank: 2}},
		{"order of the list does not matter", "CAB", "b", None, false, Action{Do: Campaign, Rank: 1}},
		{"one that is gone is not waited for", "ABC-", "b", None, false, Action{Do: Campaign, Rank: 0}},
		{"one that is behind is not waited for", "ABc", "b", None, false, Action{Do: Campaign, Rank: 0}},
		{"one that is behind does not campaign", "ABc", "c", None, false, Action{}},
		{"a minority waits", "AB-C-", "a", None, false, Action{}},
		{"half is no majority", "ABC-D-", "b", None, false, Action{}},
		{"three of five", "ABCD-E-", "c", None, false, Action{Do: Campaign, Rank: 0}},
		{"two of five", "ABC-D-E-", "b", None, false, Action{}},
		{"alone in a group of one", "A", "a", None, false, Action{Do: Campaign, Rank: 0}},
		{"not a member", "ABC", "z", None, false, Action{}},
		{"nobody", "", "a", None, false, Action{}},
		{"a leader is followed", "ABC", "c", "a", false, Action{}},
		{"and leads on when it is the highest", "ABC", "c", "c", false, Action{}},
		{"or hands over", "ABC", "a", "a", false, Action{Do: TransferTo, Target: "c"}},
		{"to the highest in sync", "ABc", "a", "a", false, Action{Do: TransferTo, Target: "b"}},
		{"that is alive", "ABC-", "a", "a", false, Action{Do: TransferTo, Target: "b"}},
		{"not downwards", "ABc", "b", "b", false, Action{}},
		{"not while busy", "ABC", "a", "a", true, Action{}},
		{"to nobody", "AB-C-", "a", "a", false, Action{}},
		{"downwards, being unfit", "ABC?", "c", "c", false, Action{Do: TransferTo, Target: "b"}},
		{"not to one that is unfit", "ABC?", "b", "b", false, Action{}},
		{"an unfit one goes last", "ABC?", "c", None, false, Action{Do: Campaign, Rank: 2}},
		{"and is not waited for", "ABC?", "b", None, false, Action{Do: Campaign, Rank: 0}},
		{"where all are unfit the highest leads", "A?B?C?", "c", "c", false, Action{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := View{Self: c.self, Leader: c.leader, Members: group(c.members), Busy: c.busy}
			if got := Decide(v); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestIDsAreBytes orders IDs as raw bytes, not as people or numbers do.
func TestIDsAreBytes(t *testing.T) {
	low, high := ID("\x00\x7f\xff"), ID("\x00\x80")
	v := View{Self: low, Leader: low, Members: []Member{{ID: low, Alive: true, InSync: true}, {ID: high, Alive: true, InSync: true}}}
	if got := Decide(v); got != (Action{Do: TransferTo, Target: high}) {
		t.Errorf("%+v, want the transfer to %q", got, high)
	}
}

// TestPreference: the owner's priorities come before the ID, and distance before both.
func TestPreference(t *testing.T) {
	member := func(id ID, priority int32, millis int64) Member {
		return Member{ID: id, Priority: priority, Alive: true, InSync: true, RoundTripMicros: millis * 1000}
	}
	for _, c := range []struct {
		name    string
		members []Member
		stay    bool
		want    Action
	}{
		{"a lower ID with priority", []Member{member("a", 1, 1), member("b", 0, 0), member("c", 0, 1)}, false, Action{Do: TransferTo, Target: "a"}},
		{"not to one that the owner puts last", []Member{member("a", 0, 1), member("b", 0, 0), member("c", -1, 1)}, false, Action{}},
		{"equal priorities: the ID", []Member{member("a", 2, 1), member("b", 2, 0), member("c", 2, 1)}, false, Action{Do: TransferTo, Target: "c"}},
		{"not to the other side of the world", []Member{member("a", 0, 1), member("b", 0, 0), member("c", 0, 250)}, false, Action{}},
		{"nor because of its priority", []Member{member("a", 0, 1), member("b", 0, 0), member("c", 9, 250)}, false, Action{}},
		{"a near one instead", []Member{member("c", 0, 1), member("a", 0, 0), member("b", 0, 2), member("d", 0, 250), member("e", 0, 250)}, false, Action{Do: TransferTo, Target: "c"}},
		{"from the other side of the world", []Member{member("a", 0, 250), member("b", 0, 0), member("c", 0, 255)}, false, Action{Do: TransferTo, Target: "c"}},
		{"a little farther is near enough", []Member{member("a", 0, 1), member("b", 0, 0), member("c", 0, 30)}, false, Action{Do: TransferTo, Target: "c"}},
		{"not where it is switched off", []Member{member("a", 0, 1), member("b", 0, 0), member("c", 0, 1)}, true, Action{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			self := c.members[1].ID
			if got := Decide(View{Self: self, Leader: self, Members: c.members, Stay: c.stay}); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	v := View{Self: "c", Members: []Member{member("a", 5, 0), member("b", 0, 0), member("c", 0, 0)}}
	if got := Decide(v); got != (Action{Do: Campaign, Rank: 1}) {
		t.Errorf("the second of three in the owner's order: %+v", got)
	}
}

// draw makes up a group and who leads it.
func draw(rng *rand.Rand) (members []Member) {
	for i := range 1 + rng.IntN(7) {
		members = append(members, Member{
			ID: ID(fmt.Sprintf("%c%d", 'a'+rng.IntN(26), i)), Alive: rng.IntN(3) > 0, InSync: rng.IntN(3) > 0,
		})
	}
	return members
}

// TestProperties holds what is promised about decisions against random views
// that all members share.
func TestProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	campaigns, transfers := 0, 0
	for range 20_000 {
		members := draw(rng)
		alive, able := 0, 0
		for _, m := range members {
			if m.Alive {
				alive++
				if m.InSync {
					able++
				}
			}
		}
		ranks := map[int]int{}
		for _, self := range members {
			if !self.Alive {
				continue // nobody decides while it is gone
			}
			switch got := Decide(View{Self: self.ID, Members: members}); got.Do {
			case Campaign:
				campaigns++
				ranks[got.Rank]++
				if 2*alive <= len(members) {
					t.Fatalf("%s campaigns with %d of %d alive: %v", self.ID, alive, len(members), members)
				}
				if !self.InSync {
					t.Fatalf("%s campaigns and is behind: %v", self.ID, members)
				}
			case TransferTo:
				t.Fatalf("%s hands over and does not lead: %v", self.ID, members)
			}
			for _, busy := range []bool{false, true} {
				got := Decide(View{Self: self.ID, Leader: self.ID, Members: members, Busy: busy})
				if got.Do == Wait {
					continue
				}
				transfers++
				if got.Do != TransferTo || busy || got.Target <= self.ID || !fit(members, got.Target) {
					t.Fatalf("%s leads, busy %v, and %+v: %v", self.ID, busy, got, members)
				}
			}
			for _, leader := range members {
				if leader.ID != self.ID && Decide(View{Self: self.ID, Leader: leader.ID, Members: members}) != (Action{}) {
					t.Fatalf("%s does not wait while %s leads: %v", self.ID, leader.ID, members)
				}
			}
		}
		// Each who campaigns has a turn of its own, and somebody has the first.
		if 2*alive <= len(members) {
			able = 0
		}
		for rank := range able {
			if ranks[rank] != 1 {
				t.Fatalf("%d members have rank %d of %d: %v", ranks[rank], rank, able, members)
			}
		}
		if len(ranks) != able {
			t.Fatalf("ranks %v of %d members: %v", ranks, able, members)
		}
	}
	if campaigns == 0 || transfers == 0 {
		t.Errorf("%d campaigns and %d transfers are no test", campaigns, transfers)
	}
}

func fit(members []Member, id ID) bool {
	for _, m := range members {
		if m.ID == id {
			return m.Alive && m.InSync
		}
	}
	return false
}

// TestHandOverEnds lets leaders hand over until nobody wants to: the highest
// that is alive and in sync leads then, after one step.
func TestHandOverEnds(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 5_000 {
		members := draw(rng)
		leader := members[rng.IntN(len(members))].ID
		steps := 0
		for {
			got := Decide(View{Self: leader, Leader: leader, Members: members})
			if got.Do == Wait {
				break
			}
			if leader, steps = got.Target, steps+1; steps > 1 {
				t.Fatalf("leadership wanders: %v", members)
			}
		}
		for _, m := range members {
			if fit(members, m.ID) && m.ID > leader {
				t.Fatalf("%s leads and %s could: %v", leader, m.ID, members)
			}
		}
	}
}

func TestDoString(t *testing.T) {
	for d, want := range map[Do]string{Wait: "wait", Campaign: "campaign", TransferTo: "transfer to"} {
		if d.String() != want {
			t.Errorf("%d is %q, want %q", d, d, want)
		}
	}
}
