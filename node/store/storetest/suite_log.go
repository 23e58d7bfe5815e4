package storetest

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
)

func (f *fixture) log(repo identity.RepoID) replica.Log {
	f.Helper()
	l, err := f.Log(repo)
	f.must(err)
	return l
}

func (f *fixture) empty() {
	f.expect(Repo(1), "hard (0 0 0) conf [][] log 1 after term 0: table:")
	if hard, conf, _ := f.log(Repo(1)).InitialState(); hard != nil || conf == nil {
		f.Errorf("initial state %v, %v; want nil, empty", hard, conf)
	}
	repos, err := f.Repos()
	if err != nil || len(repos) != 0 {
		f.Errorf("repositories %v, %v; want none", repos, err)
	}
	f.must(f.Save(nil))
}

func (f *fixture) append() {
	repo := Repo(1)
	l := f.log(repo)
	f.save(replica.Save{Repo: repo, Entries: Entries(1, 1, 3), HardState: HardState(1, 2, 2)})
	if last, _ := l.LastIndex(); last != 3 {
		f.Errorf("a log that was open before ends at %d, want 3", last)
	}
	f.save(replica.Save{Repo: repo, HardState: HardState(1, 2, 3)})
	change := &pb.Entry{Term: new(uint64(2)), Index: new(uint64(4)), Type: pb.EntryConfChangeV2.Enum(), Data: []byte{9}}
	f.save(replica.Save{Repo: repo, Entries: []*pb.Entry{change}})
	f.expect(repo, `hard (1 2 3) conf [][] log 1 after term 0: 1:1:EntryNormal:"1/1" 2:1:EntryNormal:"1/2"`+
		` 3:1:EntryNormal:"1/3" 4:2:EntryConfChangeV2:"\t" table:`)
	l = f.log(repo)
	if _, err := l.Term(5); !errors.Is(err, raft.ErrUnavailable) {
		f.Errorf("term beyond the end: %v", err)
	}
	if _, err := l.Entries(4, 6, 100); !errors.Is(err, raft.ErrUnavailable) {
		f.Errorf("entries beyond the end: %v", err)
	}
	repos, err := f.Repos()
	if err != nil || !slices.Equal(repos, []identity.RepoID{repo}) {
		f.Errorf("repositories %v, %v", repos, err)
	}
}

func (f *fixture) maxSize() {
	repo := Repo(1)
	entries := Entries(1, 1, 10)
	f.save(replica.Save{Repo: repo, Entries: entries})
	one := uint64(proto.Size(entries[0]))
	for range 2 {
		l := f.log(repo)
		for _, c := range []struct {
			lo, hi, max uint64
			want        int
		}{
			{1, 11, 1 << 62, 10}, {1, 11, 0, 1}, {1, 11, one, 1}, {1, 11, 2*one - 1, 1}, {1, 11, 2 * one, 2},
			{9, 11, 1 << 62, 2}, {9, 10, 0, 1}, {3, 3, 0, 0},
		} {
			got, err := l.Entries(c.lo, c.hi, c.max)
			if err != nil || len(got) != c.want {
				f.Errorf("entries %d to %d of at most %d bytes: %d, %v; want %d", c.lo, c.hi-1, c.max, len(got), err, c.want)
			}
			for i, e := range got {
				if !proto.Equal(e, entries[c.lo-1+uint64(i)]) {
					f.Errorf("entry %v, want %v", e, entries[c.lo-1+uint64(i)])
				}
			}
		}
		got, _ := l.Entries(1, 11, 1<<62)
		_ = append(got[:5], Entries(9, 6, 6)...) // the slice is the caller's
		if again, _ := l.Entries(6, 7, 0); again[0].GetTerm() != 1 {
			f.Error("appending to a slice of entries changed the log")
		}
		f.reopen()
	}
}

func (f *fixture) truncate() {
	repo := Repo(1)
	f.save(replica.Save{Repo: repo, Entries: Entries(1, 1, 6), HardState: HardState(1, 0, 2)})
	f.save(replica.Save{Repo: repo, Entries: Entries(2, 4, 4)})
	f.expect(repo, `hard (1 0 2) conf [][] log 1 after term 0: 1:1:EntryNormal:"1/1" 2:1:EntryNormal:"1/2"`+
		` 3:1:EntryNormal:"1/3" 4:2:EntryNormal:"2/4" table:`)
	f.save(replica.Save{Repo: repo, Entries: Entries(3, 3, 5), HardState: HardState(3, 0, 5)})
	f.expect(repo, `hard (3 0 5) conf [][] log 1 after term 0: 1:1:EntryNormal:"1/1" 2:1:EntryNormal:"1/2"`+
		` 3:3:EntryNormal:"3/3" 4:3:EntryNormal:"3/4" 5:3:EntryNormal:"3/5" table:`)
}

func (f *fixture) table() {
	repo := Repo(1)
	big := make([]byte, 100<<10)
	f.save(replica.Save{Repo: repo, Table: []replica.Change{
		{Key: "b", Value: []byte("1")}, {Key: "a", Value: []byte{}}, {Key: "c", Value: []byte("2")},
		{Key: "", Value: []byte("empty")}, {Key: "\xff\x00", Value: big}, {Key: "c"},
	}})
	f.save(replica.Save{Repo: Repo(2), Table: []replica.Change{{Key: "other", Value: []byte("1")}}})
	f.expect(repo, `hard (0 0 0) conf [][] log 1 after term 0: table: ""="empty"/5 "a"=""/0 "b"="1"/1`+
		` "\xff\x00"="\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"/102400`)
	f.save(replica.Save{Repo: repo, Table: []replica.Change{
		{Key: "b"}, {Key: "a", Value: []byte("x")}, {Key: "\xff\x00"}, {Key: "never there"},
		{Key: "d"}, {Key: "d", Value: []byte("y")},
	}})
	f.expect(repo, `hard (0 0 0) conf [][] log 1 after term 0: table: ""="empty"/5 "a"="x"/1 "d"="y"/1`)
	stop := errors.New("stop")
	if err := f.Table(repo, func(string, []byte) error { return stop }); !errors.Is(err, stop) {
		f.Errorf("an error of the callback came back as %v", err)
	}
}

func (f *fixture) compact() {
	repo := Repo(1)
	f.save(replica.Save{Repo: repo, Entries: slices.Concat(Entries(1, 1, 4), Entries(2, 5, 6)), HardState: HardState(2, 0, 6)})
	f.save(replica.Save{Repo: repo, CompactTo: 5, Conf: &pb.ConfState{Voters: []uint64{1, 2}, Learners: []uint64{3}}})
	f.expect(repo, `hard (2 0 6) conf [1 2][3] log 6 after term 2: 6:2:EntryNormal:"2/6" table:`)
	l := f.log(repo)
	if _, err := l.Term(4); !errors.Is(err, raft.ErrCompacted) {
		f.Errorf("term of a forgotten entry: %v", err)
	}
	if _, err := l.Entries(5, 7, 100); !errors.Is(err, raft.ErrCompacted) {
		f.Errorf("forgotten entries: %v", err)
	}
	f.save(replica.Save{Repo: repo, CompactTo: 3}) // long gone
	f.save(replica.Save{Repo: repo, Entries: Entries(2, 7, 8), HardState: HardState(2, 0, 8), CompactTo: 8})
	f.expect(repo, `hard (2 0 8) conf [1 2][3] log 9 after term 2: table:`)
	f.save(replica.Save{Repo: repo, Entries: Entries(2, 7, 9)}) // two of them are forgotten
	f.expect(repo, `hard (2 0 8) conf [1 2][3] log 9 after term 2: 9:2:EntryNormal:"2/9" table:`)
}

func (f *fixture) install() {
	repo := Repo(1)
	f.save(replica.Save{ // how a group begins
		Repo: repo, Install: Position(1, 1, 1, 2, 3), HardState: HardState(1, 0, 1),
		Table: []replica.Change{{Key: "a", Value: []byte("1")}, {Key: "b"}},
	})
	f.expect(repo, `hard (1 0 1) conf [1 2 3][] log 2 after term 1: table: "a"="1"/1`)
	f.save(replica.Save{Repo: repo, Entries: Entries(1, 2, 20), Table: []replica.Change{{Key: "z", Value: []byte("old")}}})
	f.save(replica.Save{ // entries after it come along
		Repo: repo, Install: Position(10, 2, 4), HardState: HardState(3, 4, 11), Entries: Entries(3, 11, 12),
		Table: []replica.Change{{Key: "n", Value: []byte("2")}},
	})
	f.expect(repo, `hard (3 4 11) conf [4][] log 11 after term 2: 11:3:EntryNormal:"3/11" 12:3:EntryNormal:"3/12" table: "n"="2"/1`)
	f.save(replica.Save{Repo: repo, Install: Position(30, 3, 5)}) // the commit index comes along
	f.expect(repo, `hard (3 4 30) conf [5][] log 31 after term 3: table:`)
}

func (f *fixture) turn() {
	var turn []replica.Save
	for n := range byte(20) {
		turn = append(turn,
			replica.Save{Repo: Repo(n), Entries: Entries(1, 1, 3)},
			replica.Save{Repo: Repo(n), Entries: Entries(2, 3, 3), HardState: HardState(2, 0, 2), CompactTo: 1},
			replica.Save{Repo: Repo(n), Install: Position(3, 2, 1)},
			replica.Save{Repo: Repo(n), Entries: Entries(2, 4, 5), Table: []replica.Change{{Key: "k", Value: []byte{n}}}})
	}
	f.save(turn...)
	for n := range byte(20) {
		got, err := Describe(f.Backend, Repo(n))
		want := fmt.Sprintf(`hard (2 0 3) conf [1][] log 4 after term 2: 4:2:EntryNormal:"2/4" 5:2:EntryNormal:"2/5" table: "k"=%q/1`, []byte{n})
		if err != nil || got != want {
			f.Fatalf("\n got %s\nwant %s\nerror %v", got, want, err)
		}
	}
	if repos, err := f.Repos(); err != nil || len(repos) != 20 {
		f.Errorf("%d repositories, %v; want 20", len(repos), err)
	}
}
