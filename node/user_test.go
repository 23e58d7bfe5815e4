package node_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// away is a user's key that can be out of reach.
type away struct {
	identity.Key
	locked atomic.Bool
}

func (a *away) TrySign(d identity.Domain, body []byte) ([]byte, error) {
	if a.locked.Load() {
		return nil, identity.Locked("its agent is gone")
	}
	return a.Key.TrySign(d, body)
}

// A node whose user has a key of their own acts in their name with it and with no
// other. While it is out of reach the node serves, leads and answers; it only
// signs nothing for its user, and says why.
func TestUserKey(t *testing.T) {
	t.Parallel()
	user := &away{Key: identity.KeyFromSeed([32]byte{77})}
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.User = user })
	g := c.Found(node.InitOptions{})
	if g.Owner != user.Public() {
		t.Errorf("the owner is %s, want %s", g.Owner.DID(), user.Public().DID())
	}
	c.Settle(g)
	m, bob := c.Members[0], identity.KeyFromSeed([32]byte{78})
	if err := allows(t, m, g, granting(bob, wire.Access_ACCESS_WRITER)); err != nil {
		t.Fatal(err)
	}
	user.locked.Store(true)
	for what, err := range map[string]error{
		"grant": allows(t, m, g, granting(bob, wire.Access_ACCESS_NONE)),
		"init": func() error {
			_, err := m.Node.Init(deadline(t), node.InitOptions{Name: "second", On: c.IDs()})
			return err
		}(),
		"rm": func() error {
			_, err := m.Node.Remove(deadline(t), g.Repo, "")
			return err
		}(),
	} {
		if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_ALLOWED || !strings.Contains(err.Error(), "its agent is gone") {
			t.Errorf("%s without the key: %v", what, err)
		}
	}
	if _, err := m.Node.Show(deadline(t), g.Repo); err != nil {
		t.Errorf("show without the key: %v", err)
	}
	client := c.ClientAs(bob, g)
	if got := codeOf(t, c, client, client.Sign(1, nil, nil, nodetest.Head("refs/heads/main", "refs/heads/next"))); got != wire.Code_CODE_OK {
		t.Errorf("a push by somebody else: %s", got)
	}
	user.locked.Store(false)
	if err := allows(t, m, g, granting(bob, wire.Access_ACCESS_NONE)); err != nil {
		t.Errorf("with the key again: %v", err)
	}
}
