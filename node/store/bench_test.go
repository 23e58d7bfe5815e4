package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/replica"
)

// BenchmarkSave is one turn of one group: an entry, the hard state that commits
// the one before it, and what applying that one changed.
func BenchmarkSave(b *testing.B) {
	for _, size := range []int{300, 4 << 10, 100 << 10} {
		for _, groups := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dB-%dgroups", size, groups), func(b *testing.B) {
				s, err := Open(Options{Dir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				var took []time.Duration
				for index := uint64(1); b.Loop(); index++ {
					var turn []replica.Save
					for n := range groups {
						turn = append(turn, benchSave(identity.RepoID{byte(n)}, index, size))
					}
					began := time.Now()
					if err := s.Save(turn); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
			})
		}
	}
}

func benchSave(repo identity.RepoID, index uint64, size int) replica.Save {
	return replica.Save{
		Repo: repo, HardState: hardState(1, index-1),
		Entries: []*pb.Entry{{Term: new(uint64(1)), Index: new(index), Data: make([]byte, size)}},
		Table: []replica.Change{
			{Key: "applied", Value: fmt.Append(nil, index)},
			{Key: "refs/heads/main", Value: make([]byte, 60)},
			{Key: fmt.Sprint("outcome/", index), Value: make([]byte, 80)},
		},
	}
}
