package git

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// While a writer flips all refs and HEAD between two states, each listing shows
// one of them.
func TestListingsAreAtomic(t *testing.T) {
	const flips, refs = 200, 300
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	one := w.commit("a", "1")
	two := w.commit("a", "2")
	publish(t, r, w.pack(two), two)
	states := [2]Listing{{Head: "refs/heads/b000"}, {Head: "refs/heads/b001"}}
	for i := range refs {
		name := fmt.Sprintf("refs/heads/b%03d", i)
		states[0].Refs = append(states[0].Refs, Ref{Name: name, OID: one})
		states[1].Refs = append(states[1].Refs, Ref{Name: name, OID: two})
	}
	if err := r.WriteRefs(states[0]); err != nil {
		t.Fatal(err)
	}
	gate := new(countedGate)
	url := serveOn(t, r, gate)

	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		defer close(done)
		for i := range flips {
			gate.Lock()
			err := r.WriteRefs(states[i%2])
			gate.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			// Let git see both: no flip before some listing has begun since the last.
			_, before := gate.state()
			for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
				if _, now := gate.state(); now > before {
					break
				}
				time.Sleep(100 * time.Microsecond)
			}
		}
	})
	seen := make([]map[string]int, 3)
	for version := range seen {
		seen[version] = map[string]int{}
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				state, err := listed(w, version, url)
				if err != nil {
					t.Error(err)
					return
				}
				seen[version][state]++
			}
		})
	}
	all.Wait()
	for version, states := range seen {
		for state, n := range states {
			if state != one.String()+" refs/heads/b000" && state != two.String()+" refs/heads/b001" {
				t.Errorf("version %d: a listing that never was: %s", version, state)
			}
			t.Logf("version %d: %s listed %d times", version, state, n)
		}
		if len(states) < 2 {
			t.Errorf("version %d: only one of the states was ever seen", version)
		}
	}
}

// listed sums up what git ls-remote says: the distinct objects, and HEAD's branch.
func listed(w *work, version int, url string) (string, error) {
	cmd := w.cmd("-c", fmt.Sprintf("protocol.version=%d", version), "ls-remote", "--symref", url)
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	var ids []string
	head := ""
	for line := range strings.Lines(string(out)) {
		id, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if branch, ok := strings.CutPrefix(id, "ref: "); ok && name == "HEAD" {
			head = branch
		} else if len(ids) == 0 || ids[len(ids)-1] != id {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, " ") + " " + head, nil
}

// v2Request is a request to list refs.
func v2Request(lines ...string) []byte {
	var b []byte
	for _, l := range lines {
		if l == FlushPkt || l == "0001" {
			b = append(b, l...)
		} else {
			b = AppendPkt(b, []byte(l))
		}
	}
	return b
}

// A client that stops in the middle of a request to list, or that does not read
// the answer, must not hold the gate.
func TestSlowClientsDoNotHoldTheGate(t *testing.T) {
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	tip := w.commit("a", "1")
	publish(t, r, w.pack(tip), tip)
	l := Listing{Head: "refs/heads/main"}
	for i := range 50_000 { // more than pipes hold, and more than stays in memory
		l.Refs = append(l.Refs, Ref{Name: fmt.Sprintf("refs/heads/a-rather-long-name-for-a-branch-%06d", i), OID: tip})
	}
	if err := r.WriteRefs(l); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		version int
		send    []byte
	}{
		{"v2, half a request", 2, v2Request("command=ls-refs\n", "0001", "ref-prefix refs/\n")},
		{"v2, command behind a capability, answer not read", 2, v2Request("agent=x\n", "command=ls-refs", "0001", "peel\n", "0000")},
		{"v0, answer not read", 0, nil},
		{"v1, answer not read", 1, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			gate := new(countedGate)
			client, served := net.Pipe()
			stop := context.AfterFunc(ctx, func() { _ = served.Close() })
			defer stop()
			ended := make(chan error, 1)
			go func() { ended <- r.UploadPack(ctx, served, served, test.version, gate) }()
			if test.version == 2 {
				for in := NewPktReader(client); ; {
					if pkt, err := in.Next(); err != nil {
						t.Fatal(err)
					} else if pkt.Kind == PktFlush {
						break
					}
				}
				if held, taken := gate.state(); held != 0 || taken != 0 {
					t.Errorf("held %d, taken %d before anything was asked", held, taken)
				}
				if _, err := client.Write(test.send); err != nil {
					t.Fatal(err)
				}
			}
			wantTaken := 1
			if strings.Contains(test.name, "half") {
				wantTaken = 0
			}
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				held, taken := gate.state()
				if held == 0 && taken == wantTaken {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("gate held %d, taken %d", held, taken)
				}
			}
			if !gate.TryLock() {
				t.Fatal("a writer would wait for the client")
			}
			gate.Unlock()
			cancel()
			if err := <-ended; err == nil {
				t.Error("no error though it was cut off")
			}
		})
	}
}

// One connection may list twice. Git then trusts what it read of packed-refs
// the first time if the file's inode, size and time, in seconds, are the same.
func TestSecondListingIsNotOlder(t *testing.T) {
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	var tips []OID
	for i := range 8 {
		tips = append(tips, w.commit("a", fmt.Sprint(i)))
	}
	last := tips[len(tips)-1]
	publish(t, r, w.pack(last), last)
	ctx := testContext(t)
	client, served := net.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- r.UploadPack(ctx, served, served, 2, new(countedGate))
		_ = served.Close()
	}()
	in := NewPktReader(client)
	answer := func() string {
		var all strings.Builder
		for {
			pkt, err := in.Next()
			if err != nil {
				t.Fatal(err)
			}
			if pkt.Kind == PktFlush {
				return all.String()
			}
			all.Write(pkt.Payload())
		}
	}
	answer() // the capabilities
	for i := range 200 {
		tip := tips[i%len(tips)]
		for _, oid := range []OID{tips[(i+1)%len(tips)], tip} { // the second file may get the first one's inode
			if err := r.WriteRefs(Listing{Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/main", OID: oid}}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := client.Write(v2Request("command=ls-refs\n", FlushPkt)); err != nil {
			t.Fatal(err)
		}
		if got := answer(); !strings.Contains(got, tip.String()+" refs/heads/main") {
			t.Fatalf("listing %d: want %s, got %s", i, tip, got)
		}
	}
	if _, err := client.Write([]byte(FlushPkt)); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
