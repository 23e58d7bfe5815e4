package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/node/store"
	"peer/replica"
)

func (f *fixture) drop() {
	save := replica.Save{
		Repo: Repo(1), Entries: Entries(1, 1, 5), HardState: HardState(1, 1, 4), CompactTo: 2,
		Conf: &pb.ConfState{Voters: []uint64{1}}, Table: []replica.Change{{Key: "a", Value: []byte("1")}},
	}
	f.save(save)
	save.Repo = Repo(2)
	f.save(save)
	kept, err := Describe(f.Backend, Repo(2))
	f.must(err)
	f.must(f.PutSeat(Repo(1), []byte("nonce"), time.Now()))
	f.must(f.DropRepo(Repo(1)))
	f.must(f.DropRepo(Repo(3))) // never there
	f.expect(Repo(1), "hard (0 0 0) conf [][] log 1 after term 0: table:")
	if _, ok, err := f.Seat(Repo(1)); ok || err != nil {
		f.Errorf("the seat is still there, %v", err)
	}
	repos, err := f.Repos()
	if err != nil || !slices.Equal(repos, []identity.RepoID{Repo(2)}) {
		f.Errorf("repositories %v, %v", repos, err)
	}
	f.save(replica.Save{Repo: Repo(1), Entries: Entries(7, 1, 1)}) // begins anew
	f.expect(Repo(1), `hard (0 0 0) conf [][] log 1 after term 0: 1:7:EntryNormal:"7/1" table:`)
	f.expect(Repo(2), kept)
}

func (f *fixture) seats() {
	at := time.Unix(1_700_000_000, 123)
	f.must(f.PutSeat(Repo(2), []byte("two"), at))
	f.must(f.PutSeat(Repo(1), []byte("one"), at.Add(time.Second)))
	f.must(f.PutSeat(Repo(3), nil, at))
	f.must(f.PutSeat(Repo(1), []byte("once more"), at))
	f.must(f.DropSeat(Repo(3)))
	f.must(f.DropSeat(Repo(4)))
	for range 2 {
		var all []string
		f.must(f.Seats(func(repo identity.RepoID, nonce []byte, at time.Time) error {
			all = append(all, fmt.Sprintf("%d %s %d", repo[0], nonce, at.UnixNano()))
			return nil
		}))
		want := []string{"1 once more 1700000000000000123", "2 two 1700000000000000123"}
		if !slices.Equal(all, want) {
			f.Errorf("seats %q, want %q", all, want)
		}
		nonce, ok, err := f.Seat(Repo(2))
		if string(nonce) != "two" || !ok || err != nil {
			f.Errorf("seat %q, %v, %v", nonce, ok, err)
		}
		f.reopen()
	}
	if repos, _ := f.Repos(); len(repos) != 0 {
		f.Errorf("a seat makes no log, but there are %v", repos)
	}
	if err := f.PutSeat(Repo(1), make([]byte, store.NonceBytesMax+1), at); err == nil {
		f.Error("a nonce that is too large was taken")
	}
}

func (f *fixture) nodeValues() {
	for _, key := range []string{"addr/b", "addr/a", "cache/x", ""} {
		f.must(f.Put(key, []byte("v "+key)))
	}
	f.must(f.Put("addr/c", nil))
	f.must(f.Delete("cache/x"))
	f.must(f.Delete("never there"))
	for range 2 {
		var all []string
		f.must(f.Scan("addr/", func(key string, value []byte) error {
			all = append(all, key+"="+string(value))
			return nil
		}))
		if want := []string{"addr/a=v addr/a", "addr/b=v addr/b", "addr/c="}; !slices.Equal(all, want) {
			f.Errorf("scan gave %q, want %q", all, want)
		}
		if v, ok, err := f.Get(""); string(v) != "v " || !ok || err != nil {
			f.Errorf("value %q, %v, %v", v, ok, err)
		}
		if v, ok, err := f.Get("cache/x"); ok || err != nil {
			f.Errorf("deleted value %q, %v, %v", v, ok, err)
		}
		f.reopen()
	}
	if err := f.Put("k", make([]byte, store.ValueBytesMax+1)); err == nil {
		f.Error("a value that is too large was taken")
	}
}

func (f *fixture) snapshot() {
	l := f.log(Repo(1))
	if _, err := l.Snapshot(); !errors.Is(err, raft.ErrSnapshotTemporarilyUnavailable) {
		f.Errorf("snapshot without a source: %v", err)
	}
	l.SetSnapshotFunc(func() (*pb.Snapshot, error) {
		return &pb.Snapshot{Metadata: Position(7, 1)}, nil
	})
	if s, err := f.log(Repo(1)).Snapshot(); err != nil || s.GetMetadata().GetIndex() != 7 {
		f.Errorf("snapshot %v, %v", s, err)
	}
}

func (f *fixture) closed() {
	f.must(f.Close())
	f.must(f.Close())
	_, logErr := f.Log(Repo(1))
	_, reposErr := f.Repos()
	_, _, getErr := f.Get("k")
	_, _, seatErr := f.Seat(Repo(1))
	for i, err := range []error{
		logErr, reposErr, getErr, seatErr, f.Save([]replica.Save{{Repo: Repo(1)}}), f.DropRepo(Repo(1)),
		f.Put("k", nil), f.Delete("k"), f.DropSeat(Repo(1)), f.Table(Repo(1), nil), f.Scan("", nil), f.Seats(nil),
	} {
		if !errors.Is(err, store.ErrClosed) {
			f.Errorf("call %d on a closed store: %v", i, err)
		}
	}
}
