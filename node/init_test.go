package node_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// refusal is a failure's code, and that it says something to a person.
func refusal(t *testing.T, err error) wire.FailureCode {
	t.Helper()
	failed := new(node.FailureError)
	if !errors.As(err, &failed) {
		t.Errorf("no refusal: %v", err)
		return 0
	}
	if failed.F.GetMessage() == "" || failed.F.GetHint() == "" {
		t.Errorf("%s without a message or a hint: %q, %q", failed.F.GetCode(), failed.F.GetMessage(), failed.F.GetHint())
	}
	return failed.F.GetCode()
}

func TestInitRefusals(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	ids := c.IDs()
	g := c.Found(node.InitOptions{Name: "taken"})
	nobody := identity.KeyFromSeed([32]byte{77}).PeerID()
	const badRequest, noQuorum = wire.FailureCode_FAILURE_BAD_REQUEST, wire.FailureCode_FAILURE_NO_QUORUM
	for name, tt := range map[string]struct {
		o    node.InitOptions
		want wire.FailureCode
	}{
		"no name":              {node.InitOptions{}, badRequest},
		"a name that climbs":   {node.InitOptions{Name: "../x"}, badRequest},
		"a name that is taken": {node.InitOptions{Name: "taken"}, badRequest},
		"two replicas":         {node.InitOptions{Name: "x", Replicas: 2}, badRequest},
		"no replicas":          {node.InitOptions{Name: "x", Replicas: -1}, badRequest},
		"nine replicas":        {node.InitOptions{Name: "x", Replicas: 9}, badRequest},
		"on two nodes":         {node.InitOptions{Name: "x", On: ids[:2]}, badRequest},
		"three on one node":    {node.InitOptions{Name: "x", Replicas: 3, On: ids[:1]}, badRequest},
		"on one node thrice":   {node.InitOptions{Name: "x", On: []identity.PeerID{ids[0], ids[0], ids[0]}}, badRequest},
		"on nobody":            {node.InitOptions{Name: "x", On: []identity.PeerID{nobody}}, noQuorum},
		"on somebody silent":   {node.InitOptions{Name: "x", On: []identity.PeerID{ids[0], ids[1], nobody}}, noQuorum},
		"more than there are":  {node.InitOptions{Name: "x", Replicas: 5}, noQuorum},
		"an unknown format":    {node.InitOptions{Name: "x", ObjectFormat: "md5"}, badRequest},
		"a strange branch":     {node.InitOptions{Name: "x", DefaultBranch: "a..b"}, badRequest},
		"a tag as the branch":  {node.InitOptions{Name: "x", DefaultBranch: "refs/tags/v1"}, badRequest},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := c.Members[0].Node.Init(deadline(t), tt.o)
			if err == nil {
				t.Fatalf("created %v", info.Genesis)
			}
			if code := refusal(t, err); code != tt.want {
				t.Errorf("%s: %v; want %s", code, err, tt.want)
			}
		})
	}
	for _, m := range c.Members {
		list, err := m.Node.Repos(deadline(t))
		if err != nil || len(list) != 1 || list[0].Genesis.Hash != g.Hash {
			t.Errorf("a refused init left something behind: %v, %v", list, err)
		}
	}
}

// Strangers do not vote, unless the owner names them.
func TestInitInAnOpenNetwork(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.Closed = false })
	_, err := c.Members[0].Node.Init(deadline(t), node.InitOptions{Name: "x"})
	if code := refusal(t, err); code != wire.FailureCode_FAILURE_NOT_ALLOWED {
		t.Errorf("placed on strangers: %v", err)
	}
	one, err := c.Members[0].Node.Init(deadline(t), node.InitOptions{Name: "alone", Replicas: 1})
	if err != nil || len(one.Replicas) != 1 || one.Leader != c.Members[0].ID {
		t.Errorf("one replica at home: %v, %v", one, err)
	}
	c.Found(node.InitOptions{Name: "named"})
}

// Placement spreads repositories over the nodes, the same way for all who ask.
func TestPlacement(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 5, nil)
	held := map[identity.PeerID]int{}
	for _, name := range strings.Fields("a b c d e f g h") {
		info, err := c.Members[0].Node.Init(deadline(t), node.InitOptions{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Replicas) != 3 {
			t.Errorf("%s on %d nodes", name, len(info.Replicas))
		}
		for _, r := range info.Replicas {
			held[r.Peer]++
		}
	}
	if len(held) != 5 {
		t.Errorf("eight repositories lie on %d of five nodes", len(held))
	}
}

// refuse makes the first so many requests of a kind fail at one node.
func refuse(net *nodetest.Network, to identity.PeerID, kind func(*wire.GroupRequest) bool) *nodetest.Fault {
	return net.Fault(func(o nodetest.Opening) int {
		if o.To == to && o.Request != nil && kind(o.Request) {
			return nodetest.Refuse
		}
		return nodetest.Pass
	})
}

func isPrepare(r *wire.GroupRequest) bool { return r.GetPrepare() != nil }
func isCreate(r *wire.GroupRequest) bool  { return r.GetCreate() != nil }

// One candidate that fails while seats are taken fails the whole, and nothing
// but seats stays behind; the same name can be tried again.
func TestInitWithAFailingPrepare(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	fault := refuse(c.Net, c.Members[2].ID, isPrepare)
	_, err := c.Members[0].Node.Init(deadline(t), node.InitOptions{Name: "demo", On: c.IDs()})
	if code := refusal(t, err); code != wire.FailureCode_FAILURE_NO_QUORUM || !strings.Contains(err.Error(), c.Members[2].ID.String()) {
		t.Errorf("a candidate failed: %v", err)
	}
	for _, m := range c.Members {
		if list, err := m.Node.Repos(deadline(t)); err != nil || len(list) > 0 {
			t.Errorf("left behind: %v, %v", list, err)
		}
	}
	fault.Mend()
	g := c.Found(node.InitOptions{})
	chain(t, c, c.Client(g), git.OID{}, 2)
	c.Converge(g)
}

// One candidate that misses the genesis fetches it when it hears of the group,
// and takes the seat that it has.
func TestInitWithAFailingCreate(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	late := c.Members[2]
	fault := refuse(c.Net, late.ID, isCreate)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	chain(t, c, client, git.OID{}, 2)
	c.Agree(g)
	fault.Mend()
	if leader := c.Settle(g); leader != late {
		t.Errorf("the highest member does not lead")
	}
	c.Converge(g)
}

// The founder dies after a majority has the genesis and before anybody else
// heard of it: the others go on, and so does he.
func TestFounderDies(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"seat", "founded"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			c := nodetest.New(t, 3, nil)
			death := c.Members[0].DieAt(point).Arm()
			for _, m := range c.Members {
				m.Start()
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				if info, err := c.Members[0].Node.Init(deadline(t), node.InitOptions{Name: "demo", On: c.IDs()}); err == nil {
					t.Errorf("the founder died and created %v", info.Genesis)
				}
			})
			<-death.Died
			_ = c.Members[0].Node.Close() // which ends the init, and not in order
			wg.Wait()
			death.Bury()
			c.Members[0].Start()
			// Either there is no repository, and the name is free, or there is one, with three replicas.
			info, err := c.Members[0].Node.Init(deadline(t), node.InitOptions{Name: "demo", On: c.IDs()})
			if err != nil {
				repo := identity.NewRepoID(c.Members[0].Key.Public(), "demo")
				if info, err = c.Members[0].Node.Show(deadline(t), repo); err != nil {
					t.Fatalf("neither free nor there: %v", err)
				}
			}
			chain(t, c, c.Client(info.Genesis), git.OID{}, 2)
			c.Converge(info.Genesis, c.Members...)
		})
	}
}

// A higher member that comes back is handed the leadership once it is in sync,
// and not while a push is under way.
func TestHandOver(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	highest := c.Settle(g)
	at := chain(t, c, client, git.OID{}, 2)
	c.Agree(g)
	highest.Kill()
	second := c.Settle(g)
	at = chain(t, c, client, at, 2)

	// A push that has begun to send its pack holds the leader.
	large := sha1.File(9, 1<<20, at)
	pack := large.Pack(sha1)
	s, err := client.Begin(deadline(t), second.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Request(client.Sign(1, pack, nil, nodetest.Move(main, at, large.OID))); err != nil {
		t.Fatal(err)
	}
	highest.Start()
	c.Eventually(func() string {
		if r := replicaState(second, highest, g); !r.GetInSync() {
			return "not in sync yet"
		}
		return ""
	})
	term := second.View(g).GetTerm()
	time.Sleep(60 * nodetest.Tick) // for three hand-overs that must not happen
	if now := second.View(g); now.GetTerm() != term {
		t.Errorf("handed over in the middle of a push: term %d, then %d", term, now.GetTerm())
	}
	if err := s.SendPack(pack); err != nil {
		t.Fatal(err)
	}
	if done, err := s.Done(); err != nil || done.GetOutcome().GetResult().GetCode() != wire.Code_CODE_OK {
		t.Errorf("the push that held the leader: %v, %v", done, err)
	}
	if leader := c.Settle(g); leader != highest {
		t.Error("not handed over after the push")
	}
	c.Converge(g)
}
