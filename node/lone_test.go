package node_test

import (
	"testing"
	"time"

	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/node/store/storetest"
	"peer/replica"
	"peer/wire"
)

// TestClientWithoutNode has a client do all that its user may, with no node of its own:
// what it signs is its user's, and every outcome comes with a receipt that it was asked about.
func TestClientWithoutNode(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	key := identity.KeyFromSeed([32]byte{91})
	admitted := 0
	alone := node.NewClient(key, c.ClientAs(key, nil).Net, discardLogger()).ForHome(true, func(*replica.Receipt) error { admitted++; return nil }, nil)
	ctx := deadline(t)

	if _, err := alone.Init(ctx, node.InitOptions{Name: "one", Replicas: 1}); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_BAD_REQUEST {
		t.Errorf("one replica that nobody names: %v", err)
	}
	info, err := alone.Init(ctx, node.InitOptions{Name: "one", On: c.IDs()})
	if err != nil || info.Leader == "" || info.Genesis.Owner != key.Public() {
		t.Fatalf("%+v, %v", info, err)
	}
	g := info.Genesis
	lock, done, err := alone.AcquireLock(ctx, g.Repo, time.Minute, "busy", 0)
	if err != nil || done.Receipt == nil || lock.GetToken() != done.Outcome.GetIndex() {
		t.Fatalf("lock %v: %+v, %v", lock, done, err)
	}
	if info, err = alone.Show(ctx, g.Repo); err != nil || info.Lock.GetToken() != lock.GetToken() || info.Dir != "" {
		t.Errorf("shown as %+v, %v", info, err)
	}
	other := identity.KeyFromSeed([32]byte{92}).Public()
	for name, do := range map[string]func() (*replica.Done, error){
		"unlock": func() (*replica.Done, error) { return alone.ReleaseLock(ctx, g.Repo, lock.GetToken()) },
		"allow": func() (*replica.Done, error) {
			_, done, err := alone.ChangePolicy(ctx, g.Repo, func(node.Info) (*wire.ChangePolicy, error) {
				return &wire.ChangePolicy{Set: []*wire.Grant{{Key: other[:], Access: wire.Access_ACCESS_WRITER}}}, nil
			})
			return done, err
		},
		"settings": func() (*replica.Done, error) {
			_, done, err := alone.Configure(ctx, g.Repo, func(_ node.Info, s *wire.Settings) error { s.Stay = true; return nil })
			return done, err
		},
		"default branch": func() (*replica.Done, error) {
			_, done, err := alone.SetHead(ctx, g.Repo, "refs/heads/next")
			return done, err
		},
	} {
		if done, err := do(); err != nil || done.Receipt == nil {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
	// Nobody else's key will do.
	stranger := node.NewClient(identity.KeyFromSeed([32]byte{93}), c.ClientAs(key, nil).Net, discardLogger())
	if _, _, err := stranger.AcquireLock(ctx, g.Repo, time.Minute, "", 0); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_ALLOWED {
		t.Errorf("a stranger's lock: %v", err)
	}
	if done, err := alone.Remove(ctx, g.Repo, "over"); err != nil || done.Receipt == nil {
		t.Errorf("remove: %+v, %v", done, err)
	}
	if admitted != 6 {
		t.Errorf("%d receipts were held against what is known, not 6", admitted)
	}
}

// TestClientThatCannotSign asks about a private repository for a user whose key is locked:
// that is why, and not the replicas.
func TestClientThatCannotSign(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	g := c.Found(node.InitOptions{Private: true})
	client := c.Client(g)
	user := &away{Key: client.Key}
	alone := node.NewClient(user, client.Net, discardLogger()).Remember(storetest.New())
	if _, err := alone.Show(deadline(t), g.Repo); err != nil {
		t.Fatal(err)
	}
	user.locked.Store(true)
	if _, err := alone.Show(deadline(t), g.Repo); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_ALLOWED {
		t.Errorf("%v", err)
	}
}
