package node_test

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// someID is a transaction ID that tests use again.
var someID = []byte("sixteen bytes...")

func withSomeID(tx *wire.Transaction) { tx.Id = someID }

// hold stops the first ones that come to a persist point, until the test lets each go.
type hold struct {
	came chan chan<- struct{}
}

func holdAt(t *testing.T, point string, first int32) (*hold, func(*node.Config)) {
	h := &hold{came: make(chan chan<- struct{}, first)}
	var n atomic.Int32
	return h, func(cfg *node.Config) {
		fail := cfg.Fail
		cfg.Fail = func(at string) {
			if fail != nil {
				fail(at)
			}
			if at != point || n.Add(1) > first {
				return
			}
			leave := make(chan struct{})
			h.came <- leave
			select {
			case <-leave:
			case <-t.Context().Done():
			}
		}
	}
}

// next waits for one who came. Closing what it returns lets that one go on.
func (h *hold) next(t *testing.T) chan<- struct{} {
	t.Helper()
	select {
	case leave := <-h.came:
		return leave
	case <-deadline(t).Done():
		t.Fatal("nobody came to the persist point")
		return nil
	}
}

// passages counts how often nodes come to each persist point.
type passages struct{ counts sync.Map }

func (p *passages) configure(cfg *node.Config) {
	cfg.Fail = func(point string) { p.of(point).Add(1) }
}

func (p *passages) of(point string) *atomic.Int32 {
	n, _ := p.counts.LoadOrStore(point, new(atomic.Int32))
	return n.(*atomic.Int32)
}

// told is what a push beside the test ended with.
type told struct {
	done *wire.PushDone
	err  error
}

func (r told) is(want wire.Code) bool {
	return r.err == nil && r.done.GetOutcome().GetResult().GetCode() == want
}

// pushBeside pushes at one member, again and again until there is an outcome.
func pushBeside(t *testing.T, client *nodetest.Client, at *nodetest.Member, p nodetest.Push) <-chan told {
	ctx, result := deadline(t), make(chan told, 1)
	go func() {
		done, err := client.Send(ctx, p, at.ID)
		result <- told{done, err}
	}()
	return result
}

// An ID that was used is refused before the pack is taken, and all goes on.
func TestReusedID(t *testing.T) {
	t.Parallel()
	var passed passages
	c := nodetest.Start(t, 3, passed.configure)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	first := sha1.File(1, 100)
	mustPush(t, c, client, client.Sign(1, first.Pack(sha1), withSomeID, nodetest.Move(main, git.OID{}, first.OID)))
	c.Converge(g)

	fetches := countFetches(c)
	passed.counts.Clear()
	large := sha1.File(2, 200_000, first.OID)
	other := client.Sign(1, large.Pack(sha1), withSomeID, nodetest.Move("refs/heads/b", git.OID{}, large.OID))
	done, err := client.Send(deadline(t), other, c.IDs()...)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(other.Signed.GetBody())
	if o := done.GetOutcome(); o.GetResult().GetCode() != wire.Code_CODE_ID_REUSED || string(o.GetTxSha256()) != string(sum[:]) {
		t.Errorf("other bytes with an ID that was used: %v", o)
	}
	if indexed, proposed := passed.of("indexed").Load(), passed.of("proposed").Load(); indexed+proposed+fetches.Load() > 0 {
		t.Errorf("indexed %d times, proposed %d times, fetched %d times", indexed, proposed, fetches.Load())
	}

	mustPush(t, c, client, client.Sign(1, large.Pack(sha1), nil, nodetest.Move(main, first.OID, large.OID)))
	c.Converge(g)
}

// The same push comes twice, and the second time it is all here only after the first
// was published. It gets the first outcome, and leaves nothing behind.
func TestSamePushTwice(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"the same pack", "another pack"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var passed passages
			h, stop := holdAt(t, "indexed", 2)
			c := nodetest.Start(t, 3, func(cfg *node.Config) {
				passed.configure(cfg)
				stop(cfg)
			})
			g := c.Found(node.InitOptions{})
			client := c.Client(g)
			leader := c.Settle(g)
			large := sha1.File(1, 200_000)
			p := client.Sign(1, large.Pack(sha1), nil, nodetest.Move(main, git.OID{}, large.OID))
			again := p
			if name == "another pack" {
				slices.Reverse(large.Objects)
				again.Pack = large.Pack(sha1)
			}

			one := pushBeside(t, client, leader, p)
			goOnOne := h.next(t)
			two := pushBeside(t, client, leader, again)
			goOnTwo := h.next(t)
			close(goOnOne)
			first := <-one
			if !first.is(wire.Code_CODE_OK) {
				t.Fatalf("%v, %v", first.done, first.err)
			}
			c.Converge(g)
			passed.counts.Clear()
			close(goOnTwo)
			if second := <-two; second.err != nil || !proto.Equal(first.done.GetOutcome(), second.done.GetOutcome()) {
				t.Errorf("the same push ended with %v and then with %v, %v", first.done, second.done, second.err)
			}
			if n := passed.of("proposed").Load(); n > 0 {
				t.Errorf("proposed again")
			}
			next := sha1.File(2, 200_000, large.OID)
			mustPush(t, c, client, client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, large.OID, next.OID)))
			c.Converge(g)
			nothingStaged(t, c, g)
		})
	}
}

func nothingStaged(t *testing.T, c *nodetest.Cluster, g *replica.Genesis) {
	t.Helper()
	c.Eventually(func() string {
		for _, m := range c.Members {
			if staged := m.Staged(g); len(staged) > 0 {
				return "left in the staging area: " + staged[0]
			}
		}
		return ""
	})
}

// The log may all the same repeat a transaction long after it was published, or have
// its ID again: leaders differ. Whoever lacks the payload of such an entry gets it once.
func TestLateRepeatInTheLog(t *testing.T) {
	t.Parallel()
	for name, branch := range map[string]string{"the same bytes": main, "other bytes": "refs/heads/b"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := nodetest.Start(t, 3, nil)
			g := c.Found(node.InitOptions{})
			client := c.Client(g)
			leader := c.Settle(g)
			large := sha1.File(1, 200_000)
			p := client.Sign(1, large.Pack(sha1), withSomeID, nodetest.Move(main, git.OID{}, large.OID))
			mustPush(t, c, client, p)
			c.Converge(g)
			nothingStaged(t, c, g)

			repeat := client.Sign(1, nil, withSomeID, nodetest.Move(branch, git.OID{}, large.OID))
			payload, chunks := storedPack(t, leader, g)
			public := client.Key.Public()
			// Nobody knows for which bytes it is staged, so that the leader keeps it.
			answer, err := request(t, &nodetest.Client{Net: c.Members[0].Host}, leader.ID, &wire.GroupRequest{Kind: &wire.GroupRequest_StagePayload{
				StagePayload: &wire.StagePayload{Repo: g.Repo[:], Genesis: g.Hash[:], Signer: public[:], Id: someID},
			}}, chunks...)
			if err != nil || answer.GetDone() == nil {
				t.Fatalf("%v, %v", answer, err)
			}
			fetches := countFetches(c)
			if err := leader.Node.Propose(g.Repo, &wire.Entry{StampUnixMs: time.Now().UnixMilli(), Transaction: repeat.Signed, Payload: payload}); err != nil {
				t.Fatal(err)
			}
			next := sha1.File(2, 100, large.OID)
			mustPush(t, c, client, client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, large.OID, next.OID)))
			c.Converge(g)
			if n := fetches.Load(); n > 2 {
				t.Errorf("two followers fetched the payload %d times", n)
			}
			if branch == main {
				nothingStaged(t, c, g)
			}
		})
	}
}

// countFetches counts how often members ask each other for a payload from now on.
func countFetches(c *nodetest.Cluster) *atomic.Int32 {
	n := new(atomic.Int32)
	c.Net.Fault(func(o nodetest.Opening) int {
		if o.Request.GetGetPayload() != nil {
			n.Add(1)
		}
		return nodetest.Pass
	})
	return n
}

// storedPack is the only pack in a member's store, as a payload and as the chunks that
// stage it.
func storedPack(t *testing.T, m *nodetest.Member, g *replica.Genesis) (*wire.Payload, []proto.Message) {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(m.RepoDir(g), "objects", "pack", "*.pack"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	pack, err1 := os.ReadFile(packs[0])
	idx, err2 := os.ReadFile(strings.TrimSuffix(packs[0], ".pack") + ".idx")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	packSum, idxSum := sha256.Sum256(pack), sha256.Sum256(idx)
	p := &wire.Payload{
		Name:     strings.TrimSuffix(strings.TrimPrefix(filepath.Base(packs[0]), "pack-"), ".pack"),
		PackSize: uint64(len(pack)), PackSha256: packSum[:], IdxSize: uint64(len(idx)), IdxSha256: idxSum[:],
	}
	var chunks []proto.Message
	for part := range slices.Chunk(pack, wire.ChunkBytes) {
		chunks = append(chunks, &wire.StageChunk{Kind: &wire.StageChunk_Data{Data: part}})
	}
	for part := range slices.Chunk(idx, wire.ChunkBytes) {
		chunks = append(chunks, &wire.StageChunk{Kind: &wire.StageChunk_Idx{Idx: part}})
	}
	return p, append(chunks, &wire.StageChunk{Kind: &wire.StageChunk_Finish{Finish: p}})
}

// Two transactions have one ID and are both in the log before the first is published.
// The second is refused, and its payload stays for a member that was away.
func TestPayloadOfAReusedIDStays(t *testing.T) {
	t.Parallel()
	h, stop := holdAt(t, "replicated", 2)
	var unpublished atomic.Bool
	publish := make(chan struct{})
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		cfg.Fail = func(point string) {
			if point == "publish-before" && unpublished.Load() {
				select {
				case <-publish:
				case <-t.Context().Done():
				}
			}
		}
		stop(cfg)
	})
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	away, here := c.Members[0], c.Members[1]
	away.Stop()

	var pushes [2]nodetest.Push
	for i, branch := range []string{"refs/heads/a", "refs/heads/b"} {
		large := sha1.File(uint64(i), 200_000)
		pushes[i] = client.Sign(1, large.Pack(sha1), withSomeID, nodetest.Move(branch, git.OID{}, large.OID))
	}
	refused := pushBeside(t, client, leader, pushes[1])
	goOnRefused := h.next(t)
	payload := stagedPayload(t, leader, g)
	first := pushBeside(t, client, leader, pushes[0])
	goOnFirst := h.next(t)
	unpublished.Store(true)
	close(goOnFirst)
	r := <-first
	if !r.is(wire.Code_CODE_OK) {
		t.Fatalf("%v, %v", r.done, r.err)
	}
	// Another leader might not have applied the first one yet.
	if err := leader.Node.Propose(g.Repo, &wire.Entry{StampUnixMs: time.Now().UnixMilli(), Transaction: pushes[1].Signed, Payload: payload}); err != nil {
		t.Fatal(err)
	}
	c.Eventually(func() string {
		for _, m := range []*nodetest.Member{here, leader} {
			if m.Node.Applied(g.Repo) <= r.done.GetOutcome().GetIndex() {
				return "the second one is not applied"
			}
		}
		return ""
	})
	close(publish)
	c.Converge(g, here, leader)
	close(goOnRefused)
	if r := <-refused; !r.is(wire.Code_CODE_ID_REUSED) {
		t.Errorf("other bytes with an ID that was used: %v, %v", r.done, r.err)
	}
	away.Start()
	c.Converge(g)
}

// stagedPayload is the only payload that is staged at a member.
func stagedPayload(t *testing.T, m *nodetest.Member, g *replica.Genesis) *wire.Payload {
	t.Helper()
	records, err := filepath.Glob(filepath.Join(m.RepoDir(g), "peer", "staging", "*", "payload"))
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	raw, err := os.ReadFile(records[0])
	p := new(wire.Payload)
	if err := errors.Join(err, proto.Unmarshal(raw, p)); err != nil {
		t.Fatal(err)
	}
	return p
}
