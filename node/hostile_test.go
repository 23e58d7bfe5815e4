package node_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// target is a group that things are thrown at. After each of them its tables,
// refs and staging areas are what they were, and a good push goes through.
type target struct {
	*nodetest.Cluster
	g      *replica.Genesis
	owner  *nodetest.Client
	leader *nodetest.Member
	member *nodetest.Client // speaks from a host with a member's peer ID
	main   git.OID
	pushes uint64
}

// newTarget makes a group of three of which the lowest member does not run: its
// peer ID is the attacker's, so that he has a seat.
func newTarget(t *testing.T, configure func(*node.Config)) *target {
	t.Helper()
	c := nodetest.Start(t, 3, configure)
	g := c.Found(node.InitOptions{})
	x := &target{Cluster: c, g: g, owner: c.Client(g), leader: c.Settle(g)}
	x.main = chain(t, c, x.owner, git.OID{}, 1)
	c.Converge(g)
	evil := c.Members[0]
	evil.Stop()
	host := c.Net.Host(evil.ID)
	t.Cleanup(host.Close)
	x.member = &nodetest.Client{Key: evil.Key, Genesis: g, Net: host}
	t.Cleanup(func() {
		if !t.Failed() {
			x.Converge(g, c.Members[1:]...)
		}
	})
	return x
}

// state is what nothing hostile may change.
func (x *target) state(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	for _, m := range x.Members[1:] {
		table, err := m.Table(x.g)
		if err != nil {
			t.Fatal(err)
		}
		refs, err := m.ListRefs(x.g)
		if err != nil {
			t.Fatal(err)
		}
		packs, err := os.ReadDir(m.RepoDir(x.g) + "/objects")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "index %d chain %x\n%s\n%v %v\n", table.Index(), table.Chain(), refs, packs, m.Staged(x.g))
	}
	return b.String()
}

// unharmed compares, and pushes.
func (x *target) unharmed(t *testing.T, before string) {
	t.Helper()
	nodetest.Eventually(t, func() string {
		if now := x.state(t); now != before {
			return fmt.Sprintf("was\n%s\nis\n%s", before, now)
		}
		return ""
	})
	x.pushes++
	next := sha1.File(1000+x.pushes, 100, x.main)
	mustPush(t, x.Cluster, x.owner, x.owner.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, x.main, next.OID)))
	x.main = next.OID
	x.Agree(x.g, x.Members[1:]...)
	for _, m := range x.Members[1:] {
		if problem := m.View(x.g).GetProblem(); problem != "" {
			t.Errorf("a replica left its group: %s", problem)
		}
	}
}

// raw opens a stream as somebody and says these bytes; it returns what comes back
// until the other side ends the stream.
func raw(t *testing.T, from *nodetest.Client, to identity.PeerID, protocol string, say []byte) []byte {
	t.Helper()
	s, err := from.Net.Open(deadline(t), to, protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetDeadline(time.Now().Add(nodetest.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(say); err != nil {
		return nil // it had enough
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	back, err := io.ReadAll(s)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%s: no end after %x", protocol, say)
	}
	return back
}

// Bytes that are no message of any protocol.
func TestGarbage(t *testing.T) {
	t.Parallel()
	x := newTarget(t, nil)
	frame := func(size uint32, body []byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, size), body...)
	}
	garbage := bytes.Repeat([]byte("garbage "), 1000)
	for name, say := range map[string][]byte{
		"nothing":       nil,
		"no frame":      garbage,
		"huge length":   frame(1<<32-1, garbage),
		"long length":   frame(2<<20, garbage),
		"short header":  {0, 0},
		"cut frame":     frame(1000, garbage[:10]),
		"no protobuf":   frame(8000, garbage),
		"empty frame":   frame(0, nil),
		"wrong message": encodeFrame(t, &wire.PushGo{SkipPack: true}),
		"many empty":    bytes.Repeat(frame(0, nil), 100),
	} {
		t.Run(name, func(t *testing.T) {
			before := x.state(t)
			for _, protocol := range []string{"raft/1", "group/1", "session/1"} {
				for _, from := range []*nodetest.Client{x.owner, x.member} {
					raw(t, from, x.leader.ID, protocol, say)
				}
			}
			x.unharmed(t, before)
		})
	}
}

func encodeFrame(t *testing.T, m proto.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := wire.WriteFrame(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
