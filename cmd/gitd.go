package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/gitd"
	"peer/wire"
)

// GitdKeyPath is the key under which the git daemon reads and pushes. It is not the
// home's: whoever reaches the port could otherwise do what only the owner may.
func (h *Home) GitdKeyPath() string { return h.path("gitd.key") }

// serveGit starts the git daemon of a node, over git:// and over HTTP, as far as it is
// to have one, and tells the backend where it is and in whose name it speaks.
func serveGit(ctx context.Context, cfg NodeConfig, p *nodeParts, told *backend) error {
	if p.node == nil || cfg.GitAddr == "" && cfg.HTTPAddr == "" {
		return nil
	}
	key, err := identity.LoadOrCreateKey(cfg.Home.GitdKeyPath())
	if err != nil {
		return fmt.Errorf("key of the git daemon: %w", err)
	}
	cache, err := openGitdCache(p.store, gitdGenesesMax)
	if err != nil {
		return fmt.Errorf("what the git daemon remembers: %w", err)
	}
	// NB: what this home knows of repositories is not the daemon's to know, not even by
	// how long an answer takes.
	as := node.NewClient(key, p.transport, cfg.Log).Remember(cache)
	o := gitd.Options{
		Backend: &gitBackend{home: cfg.Home, key: key, dialer: nodeDialer{p.node, as}}, Logger: cfg.Log,
		Agent: "peer/" + strings.ReplaceAll(Version(), " ", "."), TempDir: cfg.Home.Dir,
	}
	told.gitDID = key.Public().DID()
	if cfg.GitAddr != "" {
		o.Addr, o.Push = cfg.GitAddr, cfg.GitPush
		if p.git, err = gitd.Serve(ctx, o); err != nil {
			return err
		}
		told.git = p.git.Addr()
		sayGit(cfg.Log, "git://"+told.git, o.Push, told.gitDID)
	}
	if cfg.HTTPAddr != "" {
		o.Addr, o.Push, o.Names = cfg.HTTPAddr, cfg.HTTPPush, cfg.HTTPNames
		if p.http, err = gitd.ServeHTTP(ctx, o); err != nil {
			return err
		}
		told.http = p.http.Addr()
		sayGit(cfg.Log, "http://"+told.http, o.Push, told.gitDID)
	}
	return nil
}

func sayGit(log *slog.Logger, addr string, push bool, did string) {
	if push {
		log.Info("git daemon takes pushes under a key that owners must allow", "addr", addr, "did", did, "hint", "peer repo allow NAME "+did)
	} else {
		log.Info("git daemon serves", "addr", addr, "did", did)
	}
}

// gitBackend opens sessions for the git daemon as the remote helper does, but
// through the node in this process.
type gitBackend struct {
	home   *Home
	dialer dialer
	key    identity.Key
	pins   gitdPins // of what the home has not met
}

// Owner implements [gitd.Backend].
func (b *gitBackend) Owner(petname string) (identity.PublicKey, error) {
	return b.home.ExpandOwner(petname)
}

func (b *gitBackend) client(repo identity.Address) *client {
	return &client{
		address: repo, user: b.key, pins: pins{b.home.Dir}, unpinned: &b.pins,
		dial: func(context.Context) (dialer, error) { return b.dialer, nil },
	}
}

// Open implements [gitd.Backend].
func (b *gitBackend) Open(ctx context.Context, repo identity.Address, service gitd.Service, version int) (wire.Stream, error) {
	intent := wire.Intent_INTENT_FETCH
	if service == gitd.UploadArchive {
		intent = wire.Intent_INTENT_ARCHIVE
	}
	c := b.client(repo)
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

// nodeDialer is the dialer of those who live in the node's own process and speak under
// a key of their own.
type nodeDialer struct {
	node *node.Node
	as   *node.Client
}

func (d nodeDialer) Session(ctx context.Context, repo string, push bool) (wire.Session, error) {
	id, err := identity.ParseRepoID(repo)
	if err != nil {
		return wire.Session{}, err
	}
	stream, err := d.node.SessionFor(ctx, d.as, id, push)
	if err != nil {
		return wire.Session{}, control.AsError(err)
	}
	return stream, nil
}

func (d nodeDialer) Close() error { return nil }
