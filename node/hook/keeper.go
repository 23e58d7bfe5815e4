package hook

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// Limits of one node.
const (
	HooksMax       = 100
	urlBytesMax    = 2048
	SecretBytesMax = 1024
	// deliveriesMax is how many attempts are under way at a time.
	deliveriesMax = 8
)

const keyPrefix = "hook/"

// Store is where hooks are kept. Put is durable when it returns.
type Store interface {
	Put(key string, value []byte) error
	Delete(key string) error
	Scan(prefix string, f func(key string, value []byte) error) error
}

// Source knows what happened. Its methods are called on many goroutines.
type Source interface {
	// Next gives what happened after an index, and waits for something to happen.
	Next(ctx context.Context, repo identity.RepoID, after uint64) (Page, error)
	// At says where a repository is that has a replica here.
	At(repo identity.RepoID) (Repository, uint64, error)
	// Forced says whether a branch left something behind when it moved.
	Forced(ctx context.Context, repo identity.RepoID, r Ref) (bool, error)
}

// Page is a run of entries of one log.
type Page struct {
	Through uint64 // all up to this one were looked at
	// The log no longer has these entries, which come before the others. Zero: it has all.
	MissedFirst, MissedLast uint64
	Events                  []Event
}

// Clock is what pauses go by.
type Clock interface {
	Now() time.Time
	// Sleep returns early, with the cause, when ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
}

// Config is what a Keeper is made of. Store, Source and Log are required.
type Config struct {
	Store  Store
	Source Source
	Log    *slog.Logger
	// UserAgent is how the node introduces itself to receivers.
	UserAgent string
	// Clock is by default the machine's, Random a number in [0, 1) for jitter.
	Clock  Clock
	Random func() float64
	// Timeout bounds one attempt. Default 10 s.
	Timeout time.Duration
}

// View is a hook as its owner sees it.
type View struct {
	ID   string
	Repo identity.RepoID
	*wire.Hook
}

// NotFoundError says that no hook is called so.
type NotFoundError struct{ ID string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no hook, or more than one, begins with %.80q", e.ID)
}

// InvalidError says what is wrong with a hook that somebody asks for.
type InvalidError struct{ Why, Hint string }

func (e *InvalidError) Error() string { return e.Why }

// Keeper keeps the hooks of one node and delivers to them.
type Keeper struct {
	cfg            Config
	public, within *client // to public addresses alone, and to all
	places         chan struct{}

	ctx  context.Context
	stop context.CancelCauseFunc

	mu    sync.Mutex // over adding and removing
	hooks map[string]*hook
}

// ErrClosed is why the work of a closed keeper ends.
var ErrClosed = errors.New("hooks are closed")

// Open begins to deliver to all hooks that are in the store.
func Open(cfg Config) (*Keeper, error) {
	if cfg.Clock == nil {
		cfg.Clock = machineClock{}
	}
	if cfg.Random == nil {
		cfg.Random = mathrand.Float64
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, deliveryTimeout)
	k := &Keeper{
		cfg: cfg, places: make(chan struct{}, deliveriesMax), hooks: map[string]*hook{},
		public: newClient(cfg.UserAgent, cfg.Timeout, false), within: newClient(cfg.UserAgent, cfg.Timeout, true),
	}
	k.ctx, k.stop = context.WithCancelCause(context.Background())
	err := cfg.Store.Scan(keyPrefix, func(key string, value []byte) error {
		m := new(wire.Hook)
		id := key[len(keyPrefix):]
		repo, err := identity.RepoID{}, proto.Unmarshal(value, m)
		if err == nil {
			repo, err = identity.RepoIDFromBytes(m.GetRepo())
		}
		if err != nil {
			cfg.Log.Error("a hook can't be read, and gets nothing", "hook", id, "error", err)
			return nil
		}
		k.hooks[id] = &hook{k: k, id: id, repo: repo, m: m}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load hooks: %w", err)
	}
	for _, h := range k.hooks {
		h.start()
	}
	return k, nil
}

// Close stops delivering and waits for what is under way.
func (k *Keeper) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stop(ErrClosed)
	for _, h := range k.hooks {
		h.end()
	}
	return nil
}

// Add has a receiver told of what happens from now on.
func (k *Keeper) Add(m *wire.Hook) (View, error) {
	repo, err := identity.RepoIDFromBytes(m.GetRepo())
	if err != nil {
		return View{}, err
	}
	if err := check(m); err != nil {
		return View{}, err
	}
	_, index, err := k.cfg.Source.At(repo)
	if err != nil {
		return View{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil {
		return View{}, ErrClosed
	}
	if len(k.hooks) >= HooksMax {
		return View{}, &InvalidError{fmt.Sprintf("this node has %d hooks, and has no more", HooksMax), "see which may go: peer hook ls"}
	}
	for id, h := range k.hooks {
		if h.repo == repo && h.view().GetUrl() == m.GetUrl() {
			return View{}, &InvalidError{"this repository has a hook to that URL already: " + id, "to change it, drop it first: peer hook rm " + id}
		}
	}
	h := &hook{k: k, id: k.draw(), repo: repo, m: &wire.Hook{
		Repo: m.GetRepo(), Url: m.GetUrl(), Secret: m.GetSecret(), Events: m.GetEvents(), AllowPrivate: m.GetAllowPrivate(), Index: index,
	}}
	if err := h.save(); err != nil {
		return View{}, err
	}
	k.hooks[h.id] = h
	h.start()
	return h.view(), nil
}

// draw draws an ID that no hook has.
func (k *Keeper) draw() string {
	for {
		var raw [4]byte
		rand.Read(raw[:]) // never fails
		if id := hex.EncodeToString(raw[:]); k.hooks[id] == nil {
			return id
		}
	}
}

func check(m *wire.Hook) error {
	u, err := url.Parse(m.GetUrl())
	switch {
	case err != nil || len(m.GetUrl()) > urlBytesMax || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !isPort(u.Port()):
		return &InvalidError{fmt.Sprintf("%.80q is no URL that can be posted to", m.GetUrl()), "for example: https://ci.example.org/hook"}
	case u.User != nil:
		return &InvalidError{"a URL with a name or password in it is shown to whoever lists the hooks", "leave it out, and have the receiver check the signature: --secret-file FILE"}
	case u.Fragment != "":
		return &InvalidError{"what follows # in a URL is never sent", "leave it out"}
	case len(m.GetSecret()) > SecretBytesMax:
		return &InvalidError{fmt.Sprintf("a secret of %d bytes is too long; %d are enough", len(m.GetSecret()), SecretBytesMax), ""}
	case len(m.GetEvents()) == 0:
		return &InvalidError{"a hook without events is never told of anything", "its events are some of: " + strings.Join(Events, ", ")}
	}
	for _, e := range m.GetEvents() {
		if !slices.Contains(Events, e) {
			return &InvalidError{fmt.Sprintf("there is no event %.80q", e), "events are: " + strings.Join(Events, ", ")}
		}
	}
	// A name is judged by what it leads to, each time; these can be refused now.
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	addr, err := netip.ParseAddr(host)
	if !m.GetAllowPrivate() && (host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && !isPublic(addr)) {
		return &InvalidError{host + " is no public address", "if the receiver is meant to be there: --allow-private"}
	}
	return nil
}

// isPort says whether a port of a URL is none, or one.
func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// List are all hooks, in order of their IDs.
func (k *Keeper) List() []View {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []View
	for _, h := range k.hooks {
		all = append(all, h.view())
	}
	slices.SortFunc(all, func(a, b View) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// find is the hook whose ID begins with id; the caller holds mu.
func (k *Keeper) find(id string) (found *hook, err error) {
	for name, h := range k.hooks {
		if id != "" && strings.HasPrefix(name, id) {
			if found != nil {
				return nil, &NotFoundError{id}
			}
			found = h
		}
	}
	if found == nil {
		return nil, &NotFoundError{id}
	}
	return found, nil
}

// Remove drops the hook whose ID begins with id. It is told of nothing any more
// when this returns.
func (k *Keeper) Remove(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	h, err := k.find(id)
	if err != nil {
		return err
	}
	h.end()
	delete(k.hooks, h.id)
	return k.cfg.Store.Delete(keyPrefix + h.id)
}

// Test posts a [Ping] to a hook, once. What the receiver made of it is failed.
func (k *Keeper) Test(ctx context.Context, id string) (failed, err error) {
	k.mu.Lock()
	h, err := k.find(id)
	k.mu.Unlock()
	if err != nil {
		return nil, err
	}
	repository, index, err := k.cfg.Source.At(h.repo)
	if err != nil {
		return nil, err
	}
	v := h.view()
	v.ID += rand.Text() // a ping like no other
	d, err := k.deliveryOf(ctx, v, Event{Kind: Ping, Repository: repository, Index: index})
	if err != nil {
		return nil, err
	}
	return h.post(ctx, d), nil
}

// machineClock is the time of day.
type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

func (machineClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
