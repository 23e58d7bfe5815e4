package storetest

import (
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/replica"
)

// twin does the same random things to this store and to one in memory.
func (f *fixture) twin() {
	seed := rand.Uint64()
	f.Logf("seed %d", seed)
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0)), other: New()}
	refused := 0
	for step := range 600 {
		if g.rng.IntN(40) == 0 {
			repo := g.repo()
			f.must(errors.Join(f.DropRepo(repo), g.other.DropRepo(repo)))
		}
		var turn []replica.Save
		for range 1 + g.rng.IntN(3) {
			turn = append(turn, g.save())
		}
		got, want := f.Save(turn), g.other.Save(turn)
		if (got == nil) != (want == nil) {
			f.Fatalf("step %d: %s\nsaved with %v, the twin with %v", step, brief(turn), got, want)
		}
		if want != nil {
			refused++
		}
		if g.rng.IntN(50) == 0 {
			f.reopen()
		}
		for n := range repos {
			got, err := Describe(f.Backend, Repo(n))
			want, _ := Describe(g.other, Repo(n))
			if err != nil || got != want {
				f.Fatalf("step %d, repository %d after %s:\n got %s\nwant %s\nerror %v", step, n, brief(turn), got, want, err)
			}
		}
	}
	if refused == 0 || refused > 400 {
		f.Errorf("%d of 600 turns were refused: the generator is off", refused)
	}
}

// brief is a turn for people.
func brief(turn []replica.Save) string {
	var s string
	for _, save := range turn {
		s += fmt.Sprintf("\n  %s: hard state %v, install %v, compact to %d, %d changes, %d entries",
			save.Repo.Short(), save.HardState, save.Install, save.CompactTo, len(save.Table), len(save.Entries))
		if len(save.Entries) > 0 {
			s += fmt.Sprintf(" from %d on", save.Entries[0].GetIndex())
		}
	}
	return s
}

// repos is how many the generator plays with.
const repos byte = 3

// generator makes Saves that are mostly valid for the state of other.
type generator struct {
	rng   *rand.Rand
	other *Store
}

func (g *generator) repo() identity.RepoID { return Repo(byte(g.rng.IntN(int(repos)))) }

func (g *generator) maybe(percent int) bool { return g.rng.IntN(100) < percent }

// between is a number from lo to hi, both included.
func (g *generator) between(lo, hi uint64) uint64 { return lo + g.rng.Uint64N(max(hi, lo)-lo+1) }

func (g *generator) save() replica.Save {
	s := replica.Save{Repo: g.repo()}
	r := g.other.disk.repos[s.Repo]
	if r == nil {
		r = &repo{}
	}
	index, last, commit, term := r.index, r.last(), r.hard.GetCommit(), max(r.hard.GetTerm(), r.termOf(r.last()))
	if g.maybe(6) {
		index = max(commit, 1) + g.rng.Uint64N(20)
		s.Install, last, commit = Position(index, term, g.between(1, 9)), index, index
	}
	if g.maybe(60) {
		first := g.between(max(commit, index)+1, last+1)
		if g.maybe(3) {
			first = g.between(1, last+3) // perhaps a gap, perhaps over committed ones
		}
		term += g.rng.Uint64N(2)
		s.Entries = Entries(term, first, first+g.rng.Uint64N(8))
		last = first + uint64(len(s.Entries)) - 1
	}
	if g.maybe(50) {
		commit = g.between(max(commit, index), last)
		s.HardState = HardState(term, g.rng.Uint64N(3), commit)
	}
	for range g.rng.IntN(5) {
		s.Table = append(s.Table, g.change())
	}
	if g.maybe(10) {
		s.Conf = &pb.ConfState{Voters: []uint64{g.between(1, 9)}, Learners: []uint64{g.between(10, 19)}}
	}
	if g.maybe(10) {
		s.CompactTo = g.between(index, commit)
	}
	return s
}

func (g *generator) change() replica.Change {
	c := replica.Change{Key: fmt.Sprintf("k%d", g.rng.IntN(12))}
	if !g.maybe(30) {
		c.Value = make([]byte, g.rng.IntN(2)*g.rng.IntN(3000)) // some go to the value log
		for i := range c.Value {
			c.Value[i] = byte(g.rng.Uint32())
		}
	}
	return c
}

// raft lets a real raft node of one member live on the log, and restarts it.
func (f *fixture) raft() {
	repo := Repo(1)
	f.save(replica.Save{Repo: repo, Install: Position(1, 1, 1), HardState: HardState(1, 0, 1)})
	applied := uint64(1)
	for life := range 4 {
		l := f.log(repo)
		node, err := raft.NewRawNode(&raft.Config{
			ID: 1, ElectionTick: 10, HeartbeatTick: 1, Storage: l, Applied: applied,
			MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 16,
			Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)},
		})
		f.must(err)
		f.must(node.Campaign())
		f.drive(node, repo, &applied)
		for i := range 30 {
			f.must(node.Propose(fmt.Appendf(nil, "%d.%d", life, i)))
			f.drive(node, repo, &applied)
		}
		last, _ := l.LastIndex()
		if applied != last {
			f.Fatalf("life %d: applied %d of %d", life, applied, last)
		}
		f.save(replica.Save{Repo: repo, CompactTo: applied - 5})
		f.reopen()
	}
	if want := uint64(1 + 4*31); applied != want {
		f.Errorf("applied %d entries, want %d", applied, want)
	}
}

func (f *fixture) drive(node *raft.RawNode, repo identity.RepoID, applied *uint64) {
	f.Helper()
	for node.HasReady() {
		rd := node.Ready()
		f.save(replica.Save{Repo: repo, HardState: rd.HardState, Entries: rd.Entries})
		for _, e := range rd.CommittedEntries {
			if e.GetIndex() != *applied+1 {
				f.Fatalf("entry %d follows %d", e.GetIndex(), *applied)
			}
			*applied++
		}
		node.Advance(rd)
	}
}
