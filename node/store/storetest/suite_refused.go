package storetest

import (
	"errors"
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/node/store"
	"peer/replica"
)

func (f *fixture) invalid() {
	repo := Repo(1)
	f.save(replica.Save{Repo: repo, Install: Position(4, 2, 1), HardState: HardState(2, 1, 4)})
	f.save(replica.Save{Repo: repo, Entries: Entries(3, 5, 8), HardState: HardState(3, 1, 6)})
	before, err := Describe(f.Backend, repo)
	f.must(err)
	for _, c := range []struct {
		name string
		save replica.Save
	}{
		{"gap", replica.Save{Entries: Entries(3, 10, 11)}},
		{"gap inside", replica.Save{Entries: slices.Concat(Entries(3, 9, 9), Entries(3, 11, 11))}},
		{"term goes back", replica.Save{Entries: Entries(2, 9, 9)}},
		{"term goes back inside", replica.Save{Entries: slices.Concat(Entries(4, 9, 9), Entries(3, 10, 10))}},
		{"replaces committed", replica.Save{Entries: Entries(4, 6, 9)}},
		{"commit beyond the end", replica.Save{HardState: HardState(3, 1, 9)}},
		{"commit goes back", replica.Save{HardState: HardState(3, 1, 5)}},
		{"hard state term goes back", replica.Save{HardState: HardState(2, 1, 6)}},
		{"compact beyond commit", replica.Save{CompactTo: 7}},
		{"compact beyond the end", replica.Save{CompactTo: 9}},
		{"install behind commit", replica.Save{Install: Position(5, 3, 1)}},
		{"install at zero", replica.Save{Install: Position(0, 0, 1)}},
	} {
		c.save.Repo = repo
		c.save.Table = []replica.Change{{Key: "k", Value: []byte("must not be saved")}}
		fine := replica.Save{Repo: repo, Table: c.save.Table}
		err := f.Save([]replica.Save{fine, c.save})
		if _, ok := errors.AsType[*store.InvalidSaveError](err); !ok {
			f.Errorf("%s: %v, want an InvalidSaveError", c.name, err)
		}
	}
	f.expect(repo, before)
}

func (f *fixture) tooLarge() {
	repo := Repo(1)
	bytesOf := func(n int) []byte { return make([]byte, n) }
	changes := func(n, size int) []replica.Change {
		all := make([]replica.Change, n)
		for i := range all {
			all[i] = replica.Change{Key: fmt.Sprintf("%06d", i), Value: bytesOf(size)}
		}
		return all
	}
	for _, c := range []struct {
		name string
		save replica.Save
	}{
		{"entry", replica.Save{Entries: []*pb.Entry{{Index: new(uint64(1)), Data: bytesOf(store.EntryBytesMax + 1)}}}},
		{"value", replica.Save{Table: []replica.Change{{Key: "k", Value: bytesOf(store.ValueBytesMax + 1)}}}},
		{"key", replica.Save{Table: []replica.Change{{Key: string(bytesOf(store.KeyBytesMax + 1)), Value: bytesOf(1)}}}},
		{"key of an install", replica.Save{Install: Position(1, 1),
			Table: []replica.Change{{Key: string(bytesOf(store.KeyBytesMax + 1)), Value: bytesOf(1)}}}},
		{"changes", replica.Save{Table: changes(store.TableChangesMax+1, 0)}},
		{"table", replica.Save{Table: changes(store.TableBytesMax>>10, 1<<10)}},
	} {
		c.save.Repo = repo
		if err, ok := errors.AsType[*store.TooLargeError](f.Save([]replica.Save{c.save})); !ok || err.Size <= err.Max {
			f.Errorf("%s: %v, want a TooLargeError", c.name, err)
		}
	}
	f.expect(repo, "hard (0 0 0) conf [][] log 1 after term 0: table:")
	// What is just not too large has to go.
	f.save(replica.Save{Repo: repo, Table: changes(store.TableChangesMax, 100)})
	f.save(replica.Save{Repo: repo, Table: changes(store.TableBytesMax/1006, 1000)})
	both := replica.Save{
		Repo: repo, Table: changes(store.TableChangesMax, store.TableBytesMax/store.TableChangesMax-6),
		Entries: Entries(1, 1, 1), HardState: HardState(1, 1, 1), Conf: Position(1, 1, 1, 2, 3, 4, 5, 6, 7).GetConfState(), CompactTo: 1,
	}
	f.save(both)
	f.must(f.DropRepo(repo))
	f.save(replica.Save{Repo: repo, Entries: []*pb.Entry{{Term: new(uint64(1)), Index: new(uint64(1)), Data: bytesOf(store.EntryBytesMax)}}})
}
