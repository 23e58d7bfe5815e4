package replica_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/replica/replicatest"
	"peer/wire"
)

// tape is a source that plays back bytes. What follows them is drawn: whoever
// draws again until a number suits would never come to an end.
type tape struct {
	rest  []byte
	after *rand.PCG
}

func (s *tape) Uint64() uint64 {
	if len(s.rest) == 0 {
		return s.after.Uint64()
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return uint64(b) * 0x0101010101010101
}

// FuzzPolicy lets the fuzzer choose who changes the policy, whose key is replaced and who pushes, and
// holds the table against its twin.
func FuzzPolicy(f *testing.F) {
	for n := range uint64(8) {
		rng := rand.New(rand.NewPCG(n, 3))
		data := make([]byte, 400)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRig(t, 1, replica.SHA1)
		played := &tape{data, rand.NewPCG(1, 1)}
		r.rng = rand.New(played)
		r.draw.Rand, r.draw.Odd = r.rng, 0.05
		for step := 0; step < 40 && len(played.rest) > 0; step++ {
			by := r.keys[r.rng.IntN(len(r.keys))]
			seen := replicatest.List(r.table)
			tx := r.draw.Transaction(by.Public(), seen)
			if r.rng.IntN(3) > 0 {
				tx.Operations = append(tx.Operations, r.draw.ChangePolicy(seen))
			}
			if r.rng.IntN(4) == 0 {
				tx.Operations = append(tx.Operations, r.draw.ReplaceKey(seen))
			}
			tx.Id[0] = byte(step) // the tape may repeat itself
			signed, err := replica.Seal(by, identity.DomainTransaction, tx)
			if err != nil {
				t.Fatal(err)
			}
			data, err := proto.Marshal(&wire.Entry{Version: replica.VersionOf(tx), StampUnixMs: r.stamp, Transaction: signed, Ancestry: r.draw.Ancestry(tx)})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.apply(1, data); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzPattern holds the matcher against regular expressions, and has it never take
// long: a pattern with a name of any length looks at each byte of it once.
func FuzzPattern(f *testing.F) {
	for _, pattern := range append(replicatest.Patterns, "refs/heads/**/x", "refs/*/a*b/**", "refs/heads/ü*") {
		for _, name := range append(replicatest.Names, "refs/heads/x/y/x", "refs/heads/ü") {
			f.Add(pattern, name)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(name) || replicatest.Rules.CheckRefName(name) != nil {
			return
		}
		for part := range strings.SplitSeq(name, "/") {
			if part == "" {
				return
			}
		}
		if replica.CheckPattern(pattern, replicatest.Rules) != nil {
			return
		}
		if got, want := replica.Matches(pattern, name), replicatest.Matches(pattern, name); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}
