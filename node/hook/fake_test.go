package hook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peer/identity"
	"peer/wire"
)

var repo = identity.RepoID{1, 2, 3}

const (
	patience = 40 * time.Second
	secret   = "it's a secret"
)

// disk is a store in memory. What a crash leaves is a copy.
type disk struct {
	mu sync.Mutex
	m  map[string][]byte
}

func newDisk() *disk { return &disk{m: map[string][]byte{}} }

func (d *disk) Put(key string, value []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.m[key] = value
	return nil
}

func (d *disk) Delete(key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.m, key)
	return nil
}

func (d *disk) Scan(prefix string, f func(string, []byte) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(d.m)) {
		if strings.HasPrefix(key, prefix) {
			if err := f(key, d.m[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *disk) crash() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &disk{m: maps.Clone(d.m)}
}

// source is a log that grows, of which the beginning may be forgotten.
type source struct {
	mu      sync.Mutex
	events  []Event
	index   uint64
	first   uint64
	changed chan struct{}
}

func newSource() *source { return &source{index: 1, first: 2, changed: make(chan struct{})} }

func (s *source) add(kind string, refs ...Ref) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	s.events = append(s.events, Event{
		Kind: kind, Index: s.index, Term: 1, Repository: s.repository(), Pusher: "did:key:ann", Leader: "bob",
		Time: time.UnixMilli(1_700_000_000_000), Refs: refs,
	})
	close(s.changed)
	s.changed = make(chan struct{})
	return s.index
}

// push moves a branch of its own.
func (s *source) push() uint64 {
	return s.add(Push, Ref{Name: "refs/heads/main", Old: "aa", New: "bb"})
}

func (s *source) forget(before uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = before
}

func (*source) repository() Repository {
	return Repository{ID: repo.String(), Name: "demo", Owner: "did:key:ann", URL: "peer://did:key:ann/demo"}
}

func (s *source) At(id identity.RepoID) (Repository, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != repo {
		return Repository{}, 0, errors.New("no replica here")
	}
	return s.repository(), s.index, nil
}

func (s *source) Next(ctx context.Context, _ identity.RepoID, after uint64) (Page, error) {
	for {
		s.mu.Lock()
		changed, p := s.changed, Page{Through: s.index}
		if s.first > after+1 && s.index > after {
			p.MissedFirst, p.MissedLast = after+1, s.first-1
		}
		for _, e := range s.events {
			if e.Index > after && e.Index >= s.first && len(p.Events) < 3 {
				p.Events, p.Through = append(p.Events, e), e.Index
			}
		}
		grown := s.index > after
		s.mu.Unlock()
		if grown {
			return p, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Page{}, context.Cause(ctx)
		}
	}
}

func (s *source) Forced(_ context.Context, _ identity.RepoID, r Ref) (bool, error) {
	if r.Old == "gone" {
		return false, errors.New("no such object")
	}
	return r.Old > r.New, nil
}

// clock goes on by itself while somebody sleeps.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	pauses []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.pauses = c.now.Add(d), append(c.pauses, d)
	return context.Cause(ctx)
}

// got is one request as a receiver of GitHub's takes it.
type got struct {
	payload
	id, event string
}

// receiver is a real one, on loopback. answer says with what code.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []got
	answer func(got) int
}

func receive(t *testing.T, answer func(got) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return // the sender is gone
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); !hmac.Equal([]byte(q.Header.Get("X-Peer-Signature-256")), []byte(want)) {
			t.Errorf("signature %q, want %q", q.Header.Get("X-Peer-Signature-256"), want)
		}
		one := got{id: q.Header.Get("X-Peer-Delivery"), event: q.Header.Get("X-Peer-Event")}
		if err := json.Unmarshal(body, &one.payload); err != nil {
			t.Errorf("payload: %v", err)
		}
		if q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json" || one.Delivery != one.id || one.Event != one.event {
			t.Errorf("%s %v: %+v", q.Method, q.Header, one)
		}
		code := http.StatusOK
		if r.answer != nil {
			code = r.answer(one)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if code < 300 {
			r.got = append(r.got, one)
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(r.Close)
	return r
}

// indexes are those of what was taken.
func (r *receiver) indexes() (list []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.got {
		list = append(list, g.Index)
	}
	return list
}

func open(t *testing.T, s *source, d *disk, edit func(*Config)) (*Keeper, *clock) {
	t.Helper()
	c := &clock{now: time.UnixMilli(1_700_000_000_000)}
	cfg := Config{Store: d, Source: s, Log: slog.New(slog.DiscardHandler), Clock: c, Random: func() float64 { return 0.5 }, UserAgent: "test"}
	if edit != nil {
		edit(&cfg)
	}
	k, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k, c
}

func add(t *testing.T, k *Keeper, url string, events ...string) View {
	t.Helper()
	v, err := k.Add(&wire.Hook{Repo: repo[:], Url: url, Secret: []byte(secret), Events: events, AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// eventually polls until ok says nothing.
func eventually(t *testing.T, ok func() string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if last = ok(); last == "" {
			return
		}
	}
	t.Fatalf("not within %s: %s", patience, last)
}

func (r *receiver) awaits(t *testing.T, want ...uint64) {
	t.Helper()
	eventually(t, func() string {
		if have := r.indexes(); !slices.Equal(have, want) {
			return fmt.Sprintf("it was told of %v, want %v", have, want)
		}
		return ""
	})
}
