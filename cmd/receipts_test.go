package cmd

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	control "peer/node/control/pb"
	"peer/replica"
	"peer/wire"
)

// fakeVoter is the key of a seat of the fake's group; the owner has the first one.
func fakeVoter(seat uint64) identity.Key {
	if seat == 1 {
		return identity.KeyFromSeed([32]byte{7})
	}
	return identity.KeyFromSeed([32]byte{50, byte(seat)})
}

// receiptFor is the receipt that seats give for an outcome, in a log whose chain was
// before. The transaction is the last one that came.
func (f *fakeReplica) receiptFor(o *wire.Outcome, before byte, seats ...uint64) *wire.Receipt {
	r, _ := f.receiptAfter(o, [32]byte{before}, seats...)
	return r
}

func (f *fakeReplica) receiptAfter(o *wire.Outcome, root [32]byte, seats ...uint64) (*wire.Receipt, [32]byte) {
	signed := f.requests[len(f.requests)-1].GetTransaction()
	link := replica.LinkOf(o.GetTerm(), pb.EntryNormal, []byte("entry"))
	link.Transaction = sha256.Sum256(signed.GetBody())
	chain := link.Extend(o.GetIndex(), root)
	position, err := proto.MarshalOptions{Deterministic: true}.Marshal(&wire.Position{
		Genesis: f.genesis.Hash[:], Configuration: f.genesis.Hash[:], Term: o.GetTerm(), Index: o.GetIndex(), Chain: chain[:],
	})
	if err != nil {
		f.t.Error(err)
	}
	r := &wire.Receipt{Index: o.GetIndex(), Before: root[:], Links: []*wire.Link{{Term: o.GetTerm(), Transaction: link.Transaction[:], Entry: link.Entry[:]}}}
	for _, seat := range seats {
		r.Signatures = append(r.Signatures, &wire.Signature{RaftId: seat, Index: o.GetIndex(), Signature: fakeVoter(seat).Sign(identity.DomainReceipt, position)})
	}
	return r, chain
}

// signing has the fake give receipts of that many voters.
func (f *fakeReplica) signing(seats ...uint64) {
	f.receipt = func(o *wire.Outcome) *wire.Receipt {
		r, chain := f.receiptAfter(o, f.chains[o.GetIndex()-1], seats...)
		f.chains[o.GetIndex()] = chain
		return r
	}
}

func (p *person) receipts() []string {
	found, err := filepath.Glob(filepath.Join(p.home, receiptsDir, "*"+receiptSuffix))
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

// TestPushKeepsItsReceipt pushes to a replica that proves what it says.
func TestPushKeepsItsReceipt(t *testing.T) {
	f, p := started(t)
	if r := p.run("w", "push", "origin", "main:refs/heads/x").exits(0); !strings.Contains(r.stderr, "on 2 of 3 replicas, says the leader: no receipt from a fake") || len(p.receipts()) != 0 {
		t.Errorf("without a receipt git says\n%s", r.stderr)
	}
	for _, seats := range [][]uint64{{1, 3}, {1, 2, 3}} {
		f.hook(func() { f.signing(seats...) })
		p.commit("w", "a", string(rune('0'+len(seats))))
		want := "committed at index 4 on 2 of 3 replicas\n"
		if len(seats) == 3 {
			want = "committed at index 5 on 3 of 3 replicas\n"
		}
		p.run("w", "push").exits(0).says(want)
	}
	files := p.receipts()
	if len(files) != 2 {
		t.Fatalf("the home holds %v", files)
	}
	for _, file := range files {
		if r, err := readReceipt(file); err != nil || r.Genesis.Hash != f.genesis.Hash {
			t.Errorf("%s: %v", file, err)
		}
	}
	var out bytes.Buffer
	if err := verifyReceipts(&out, files, false); err != nil || !strings.Contains(out.String(), "on the disks of 3 of 3 voters") ||
		!strings.Contains(out.String(), "asked for refs/heads/main") || !strings.HasSuffix(out.String(), "they are of one log\n") {
		t.Errorf("verified: %v\n%s", err, &out)
	}
	r, err := readReceipt(files[0])
	if err != nil {
		t.Fatal(err)
	}
	entry := &control.LogEntry{Index: r.Index, Term: r.Term, Signer: r.Signer.DID()}
	if at := checkLogReceipt(files[0], f.genesis.Hash[:], entry); at.Error != "" || at.Signed != 2 || at.Voters != 3 {
		t.Errorf("in the log: %+v", at)
	}
	entry.Term++
	if at := checkLogReceipt(files[0], f.genesis.Hash[:], entry); at.Error == "" {
		t.Error("another entry has the receipt of this one")
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw { // no byte of it can be changed without notice, but for encodings of the same
		bad := bytes.Clone(raw)
		bad[i] ^= 0x20
		if err := os.WriteFile(files[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if other, err := readReceipt(files[0]); err == nil && (other.Index != r.Index || other.Term != r.Term || !bytes.Equal(other.Transaction.GetId(), r.Transaction.GetId())) {
			t.Errorf("byte %d changed: another receipt holds", i)
		}
	}
}

// TestBadReceipt pushes to replicas whose proof is none: nothing is called committed.
func TestBadReceipt(t *testing.T) {
	for name, forge := range map[string]func(f *fakeReplica, o *wire.Outcome) *wire.Receipt{
		"a minority": func(f *fakeReplica, o *wire.Outcome) *wire.Receipt { return f.receiptFor(o, 1, 1) },
		"one twice":  func(f *fakeReplica, o *wire.Outcome) *wire.Receipt { return f.receiptFor(o, 1, 1, 1) },
		"a stranger": func(f *fakeReplica, o *wire.Outcome) *wire.Receipt { return f.receiptFor(o, 1, 1, 4) },
		"nobody":     func(f *fakeReplica, o *wire.Outcome) *wire.Receipt { return f.receiptFor(o, 1) },
		"empty":      func(*fakeReplica, *wire.Outcome) *wire.Receipt { return &wire.Receipt{} },
		"another index": func(f *fakeReplica, o *wire.Outcome) *wire.Receipt {
			o.Index++
			r := f.receiptFor(o, 1, 1, 2)
			o.Index--
			return r
		},
		"another term": func(f *fakeReplica, o *wire.Outcome) *wire.Receipt {
			o.Term++
			r := f.receiptFor(o, 1, 1, 2)
			o.Term--
			return r
		},
		"the last one's": func(f *fakeReplica, o *wire.Outcome) *wire.Receipt {
			last := f.requests
			f.requests = f.requests[:1]
			r := f.receiptFor(o, 1, 1, 2)
			f.requests = last
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := started(t)
			p.env = append(p.env, "PEER_PUSH_TIMEOUT=300ms")
			f.hook(func() { f.receipt = func(o *wire.Outcome) *wire.Receipt { return forge(f, o) } })
			p.commit("w", "a", "2")
			p.run("w", "push").exits(1).says("is not known", "receipt").doesNotSay("committed at index")
			if files := p.receipts(); len(files) != 0 {
				t.Errorf("the home keeps %v", files)
			}
		})
	}
}

// TestContradictingReceipt pushes to voters who sign two logs: it is noticed, and the
// proof is kept.
func TestContradictingReceipt(t *testing.T) {
	f, p := started(t)
	p.env = append(p.env, "PEER_PUSH_TIMEOUT=300ms")
	f.hook(func() { f.signing(1, 2) })
	p.commit("w", "a", "2")
	p.run("w", "push").exits(0).says("committed at index 3 on 2 of 3 replicas\n")
	f.hook(func() { // the next entry follows another log than the one that was signed
		f.receipt = func(o *wire.Outcome) *wire.Receipt { return f.receiptFor(o, 9, 1, 2, 3) }
	})
	p.commit("w", "a", "3")
	p.run("w", "push").exits(1).says("is not known", "contradicts the one for entry 3").doesNotSay("committed at index")
	files := p.receipts()
	if len(files) != 2 {
		t.Fatalf("the home keeps %v", files)
	}
	var out bytes.Buffer
	if err := verifyReceipts(&out, files, false); !errors.Is(err, errContradiction) || !strings.Contains(out.String(), "two logs at index 3\n  both signed by "+fakeVoter(1).PeerID().String()) {
		t.Errorf("compared: %v\n%s", err, &out)
	}
}

// TestReceiptsAreBounded fills a home with receipts: the oldest go first.
func TestReceiptsAreBounded(t *testing.T) {
	s := receiptsOf(t.TempDir())
	var g identity.GenesisHash
	begin := time.Now().Add(-time.Hour)
	for i := range 10 {
		name := receiptName(g, uint64(i+1))
		if err := s.keepAs(name, &wire.Receipt{Before: bytes.Repeat([]byte{1}, 1000)}); err != nil {
			t.Fatal(err)
		}
		at := begin.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(filepath.Join(s.dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		files int
		bytes int64
		want  int
	}{{10, 1 << 20, 10}, {8, 1 << 20, 8}, {8, 5500, 5}, {8, 10, 0}} {
		names, err := s.names()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.sweep(names, c.files, c.bytes); err != nil {
			t.Fatal(err)
		}
		left, err := s.of(g)
		if err != nil || len(left) != c.want {
			t.Errorf("%d receipts are left, want %d: %v", len(left), c.want, err)
		}
		if c.want > 0 && left[10] == "" {
			t.Error("the newest one went")
		}
	}
}
