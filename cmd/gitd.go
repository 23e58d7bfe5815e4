package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/gitd"
	"peer/wire"
)

// GitdKeyPath is the key under which the git daemon pushes. It is not the home's:
// whoever reaches the port could otherwise do what only the owner may.
func (h *Home) GitdKeyPath() string { return h.path("gitd.key") }

// serveGit starts the git daemon of a node. did is that of the key under which it
// pushes; empty if it does not.
func serveGit(ctx context.Context, cfg NodeConfig, n *node.Node) (server *gitd.Server, did string, err error) {
	b := &gitBackend{home: cfg.Home, reader: cfg.Key, dialer: nodeDialer{n}}
	if cfg.GitPush {
		if b.pusher, err = identity.LoadOrCreateKey(cfg.Home.GitdKeyPath()); err != nil {
			return nil, "", fmt.Errorf("key of the git daemon: %w", err)
		}
		did = b.pusher.Public().DID()
	}
	server, err = gitd.Serve(ctx, gitd.Options{
		Addr: cfg.GitAddr, Backend: b, Logger: cfg.Log, Push: cfg.GitPush,
		Agent: "peer/" + strings.ReplaceAll(Version(), " ", "."), TempDir: cfg.Home.Dir,
	})
	if err != nil {
		return nil, "", err
	}
	if cfg.GitPush {
		cfg.Log.Info("git daemon takes pushes under a key that owners must allow", "addr", server.Addr(), "did", did)
	} else {
		cfg.Log.Info("git daemon serves", "addr", server.Addr())
	}
	return server, did, nil
}

// gitBackend opens sessions for the git daemon as the remote helper does, but
// through the node in this process.
type gitBackend struct {
	home   *Home
	dialer dialer
	reader identity.Key
	pusher identity.Key // only with --git-push
}

// Owner implements [gitd.Backend].
func (b *gitBackend) Owner(petname string) (identity.PublicKey, error) {
	return b.home.ExpandOwner(petname)
}

func (b *gitBackend) client(repo identity.Address, key identity.Key) *client {
	return &client{
		address: repo, key: key, pins: pins{b.home.Dir},
		dial: func(context.Context) (dialer, error) { return b.dialer, nil },
	}
}

// Open implements [gitd.Backend].
func (b *gitBackend) Open(ctx context.Context, repo identity.Address, service gitd.Service, version int) (wire.Stream, error) {
	intent := wire.Intent_INTENT_FETCH
	if service == gitd.UploadArchive {
		intent = wire.Intent_INTENT_ARCHIVE
	}
	c := b.client(repo, b.reader)
	c.gitVersion = wire.GitVersionOf(version)
	s, err := openPatiently(ctx, c, intent, patience{total: fetchPatience}, c.wantConfirmed)
	if err != nil {
		return nil, gitRefusal(err)
	}
	return sessionStream{s.stream, s}, nil
}

// wantConfirmed refuses a session whose listing may be older than the last push: git
// would take it for the truth, since nothing in its protocol can say so.
func (c *client) wantConfirmed(s *session) error {
	if !s.welcome.GetStale() {
		return nil
	}
	return &control.Error{
		Code: wire.FailureCode_FAILURE_NO_QUORUM, Message: "no leader confirms what this replica has, which may be older than the last push",
		Hint: "try again in a moment, or read it as it is: git ls-remote or clone " + c.address.URL(),
	}
}

// openPatiently opens a session, and tries again while the group is between
// leaders.
func openPatiently(ctx context.Context, c *client, intent wire.Intent, p patience, then func(*session) error) (*session, error) {
	for {
		s, err := c.open(ctx, intent)
		if err == nil {
			if err = then(s); err == nil {
				return s, nil
			}
			s.abort()
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !temporary(err) || !p.wait(ctx) {
			return nil, err
		}
	}
}

// gitRefusal is an error in words for a person who sees only what git prints.
// What concerns nobody but the operator stays as it is.
func gitRefusal(err error) error {
	var said *control.Error
	var unknown *unknownOutcome
	var conflict *genesisConflict
	switch {
	case errors.As(err, &said) && said.Code == wire.FailureCode_FAILURE_NOT_FOUND:
		return fmt.Errorf("%w: %w", gitd.ErrNotFound, err)
	case errors.As(err, &unknown), errors.As(err, &conflict), errors.Is(err, errNobody), errors.Is(err, errSilent):
		return withHint(err.Error(), hintOf(err))
	case errors.As(err, &said) && said.Code != wire.FailureCode_FAILURE_INTERNAL:
		return withHint(said.Message, said.Hint)
	}
	return err
}

func withHint(text, hint string) error {
	if hint != "" {
		text += "; " + strings.TrimSpace(hint)
	}
	return &gitd.Refusal{Text: text}
}

// sessionStream is what is left of a session behind its welcome.
type sessionStream struct {
	wire.Stream
	s *session
}

func (s sessionStream) Close() error { s.s.close(); return nil }
func (s sessionStream) Reset() error { s.s.abort(); return nil }

// nodeDialer is the dialer of those who live in the node's own process.
type nodeDialer struct{ node *node.Node }

func (d nodeDialer) Session(ctx context.Context, repo string, push bool) (wire.Stream, error) {
	id, err := identity.ParseRepoID(repo)
	if err != nil {
		return nil, err
	}
	stream, err := d.node.Session(ctx, id, push)
	if err != nil {
		return nil, control.AsError(err)
	}
	return stream, nil
}

func (d nodeDialer) Close() error { return nil }
