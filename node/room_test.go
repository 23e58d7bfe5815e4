package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// A node takes replicas of those whom its owner accepts, and says who could change that.
func TestHosts(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 3, nil)
	friend, choosy := c.Members[0], c.Members[2]
	choosy.Configure = func(cfg *node.Config) {
		cfg.Hosts = func(owner identity.PublicKey) bool { return owner == friend.Key.Public() }
	}
	for _, m := range c.Members {
		m.Start()
	}
	g := c.Found(node.InitOptions{}) // the friend's
	c.Settle(g)
	_, err := c.Members[1].Node.Init(deadline(t), node.InitOptions{Name: "strange", Replicas: 3, On: c.IDs()})
	refused := new(node.FailureError)
	if !errors.As(err, &refused) || !strings.Contains(refused.F.GetMessage(), choosy.ID.String()+" takes no repositories of "+c.Members[1].Key.Public().DID()) {
		t.Errorf("a stranger's repository: %v", err)
	}
	if _, err := c.Members[1].Node.Init(deadline(t), node.InitOptions{Name: "alone", Replicas: 1}); err != nil {
		t.Errorf("elsewhere it is taken: %v", err)
	}
	// Whoever asks can't hide behind another owner.
	stranger := c.Members[1].Key.Public()
	id := identity.NewRepoID(stranger, "strange")
	for name, q := range map[string]*wire.Prepare{
		"says nothing":        {},
		"names somebody else": {Owner: g.Owner[:], Name: "strange"},
		"names another one":   {Owner: g.Owner[:], Name: g.Name},
		"names no key":        {Owner: []byte("x"), Name: "strange"},
		"is refused":          {Owner: stranger[:], Name: "strange"},
	} {
		q.Repo = id[:]
		answer, err := request(t, c.Client(g), choosy.ID, &wire.GroupRequest{Kind: &wire.GroupRequest_Prepare{Prepare: q}})
		if err != nil || answer.GetFailure() == nil {
			t.Errorf("who %s gets a seat: %v, %v", name, answer, err)
		}
	}
}

// Whoever draws seats that nobody claims has only so many, and learns by their number
// nothing about a private repository.
func TestSeatsThatNobodyClaims(t *testing.T) {
	t.Parallel()
	const most = 256
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{Name: "private", Private: true})
	c.Settle(g)
	at, owner := c.Members[2], c.Members[0]
	draw := func(from *nodetest.Client, name string) *wire.GroupReply {
		t.Helper()
		repo := identity.NewRepoID(g.Owner, name)
		answer, err := request(t, from, at.ID, &wire.GroupRequest{Kind: &wire.GroupRequest_Prepare{Prepare: &wire.Prepare{Repo: repo[:], Owner: g.Owner[:], Name: name}}})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for i, first := range []string{"private", "none"} {
		stranger := c.ClientAs(strangerKey(i), g)
		for j := range most {
			name := fmt.Sprint("repo", i, "-", j)
			if j == 0 {
				name = first
			}
			if draw(stranger, name).GetPrepare() == nil {
				t.Fatalf("seat %d is refused", j)
			}
		}
		if refused := draw(stranger, "more").GetFailure(); refused.GetCode() != wire.FailureCode_FAILURE_BUSY {
			t.Errorf("one seat too many, after that of %s: %v", first, refused)
		}
		if draw(stranger, first).GetPrepare() == nil {
			t.Error("a seat that it has is refused")
		}
		claimed := fmt.Sprint("repo", i, "-", 1)
		if _, err := owner.Node.Init(deadline(t), node.InitOptions{Name: claimed, Replicas: 3, On: c.IDs()}); err != nil {
			t.Fatalf("nobody can found a repository: %v", err)
		}
		if draw(stranger, "another"+first).GetPrepare() == nil {
			t.Error("a seat that was claimed still waits")
		}
		if draw(stranger, "more").GetFailure() == nil {
			t.Error("one more claimed, two more drawn")
		}
	}
}

// A node whose repositories take all that its owner gives them takes no pack and no
// new repository, though the disk has room.
func TestRoom(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 1, func(cfg *node.Config) { cfg.RoomBytes = 64 << 10 })
	m := c.Members[0]
	m.Start()
	g := c.Found(node.InitOptions{Replicas: 1})
	client := c.Client(g)
	c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)
	big := sha1.File(30, 100<<10, at)
	mustPush(t, c, client, client.Sign(1, big.Pack(sha1), nil, nodetest.Move(main, at, big.OID)))
	m.Stop() // what repositories take is looked at anew
	m.Start()
	c.Settle(g)
	next := sha1.File(31, 100, big.OID)
	done, err := client.Once(deadline(t), m.ID, client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, big.OID, next.OID)))
	wantFull(t, m, done, err)
	if err != nil && !strings.Contains(err.Error(), "gives repositories") {
		t.Errorf("it does not say whose wish that is: %v", err)
	}
	if _, err := m.Node.Init(deadline(t), node.InitOptions{Name: "more", Replicas: 1}); err == nil || !strings.Contains(err.Error(), "too little room") {
		t.Errorf("another repository: %v", err)
	}
	if h := m.Node.Hosting(); h.Left != 0 || h.Used < 100<<10 {
		t.Errorf("%+v", h)
	}
}
