package cmd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"peer/identity"
)

const (
	// mirrorLook is how often a node looks whether mirrors were added or removed, or are due.
	mirrorLook = time.Second
	// mirrorQuiet is how long a repository is to have been quiet before it is pushed on.
	mirrorQuiet = time.Second
	// mirrorsAtOnce bounds how many a node runs at a time.
	mirrorsAtOnce = 2

	mirrorBackoffMin = 10 * time.Second
	mirrorBackoffMax = time.Hour
)

// mirrorKeeper runs the mirrors of a home as long as its node runs.
type mirrorKeeper struct {
	home   *Home
	log    *slog.Logger
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	changed map[identity.RepoID]time.Time // when a commit was applied here last
	began   time.Time                     // what was committed before is not known

	// Of the loop alone:
	stamp   os.FileInfo // of the file when it was read; nil: there was none
	mirrors []mirror
	states  map[string]mirrorState        // as of the last look
	rest    map[string]time.Time          // until then one that failed is left alone
	running map[string]context.CancelFunc // by ID
	ended   chan mirrorEnd                // has room for all that run
}

// mirrorEnd is how one run went.
type mirrorEnd struct {
	id    string
	state mirrorState
	err   error
}

func newMirrorKeeper(home *Home, log *slog.Logger) *mirrorKeeper {
	return &mirrorKeeper{
		home: home, log: log, changed: map[identity.RepoID]time.Time{}, began: time.Now(),
		states: map[string]mirrorState{}, rest: map[string]time.Time{},
		running: map[string]context.CancelFunc{}, ended: make(chan mirrorEnd, mirrorsAtOnce),
	}
}

// keepMirrors starts one. watch is [node.Node.WatchCommits].
func keepMirrors(home *Home, log *slog.Logger, watch func(context.Context, func(identity.RepoID)) error) *mirrorKeeper {
	k := newMirrorKeeper(home, log)
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	k.work.Go(func() { _ = watch(ctx, k.note) }) // it ends with ctx, or with the node
	k.work.Go(func() { k.loop(ctx) })
	return k
}

// Close stops all runs, and returns when they have ended.
func (k *mirrorKeeper) Close() error {
	k.cancel()
	k.work.Wait()
	return nil
}

// note remembers when a repository changed, by the clock of its mirrors' runs.
func (k *mirrorKeeper) note(repo identity.RepoID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changed[repo] = time.Now()
}

func (k *mirrorKeeper) loop(ctx context.Context) {
	ticker := time.NewTicker(mirrorLook)
	defer ticker.Stop()
	var runs sync.WaitGroup
	for {
		k.look(ctx, &runs)
		select {
		case end := <-k.ended:
			k.settle(end)
		case <-ticker.C:
		case <-ctx.Done():
			runs.Wait()
			return
		}
	}
}

// settle takes note of a run that has ended. NB: the pause after a failure must not rest
// on the file alone, which can't be written while the disk is full.
func (k *mirrorKeeper) settle(end mirrorEnd) {
	k.running[end.id]()
	delete(k.running, end.id)
	delete(k.states, end.id)
	delete(k.rest, end.id)
	switch {
	case errors.Is(end.err, errMirrorBusy):
		k.rest[end.id] = time.Now().Add(mirrorLook)
	case end.err != nil:
		k.rest[end.id] = time.Now().Add(mirrorBackoff(end.state.Failures))
	}
}

// look starts what is due, and stops what was removed.
func (k *mirrorKeeper) look(ctx context.Context, runs *sync.WaitGroup) {
	k.reload()
	now := time.Now()
	there := map[string]bool{}
	for _, m := range k.mirrors {
		there[m.ID] = true
		if k.running[m.ID] != nil || len(k.running) >= mirrorsAtOnce || k.rest[m.ID].After(now) || m.dueAt(k.states[m.ID], k.lastChange(m), now).After(now) {
			continue
		}
		// Somebody may have run it by hand meanwhile.
		if state, err := k.home.mirrorState(m.ID); err == nil {
			k.states[m.ID] = state
			if m.dueAt(state, k.lastChange(m), now).After(now) {
				continue
			}
		}
		one, cancel := context.WithCancel(ctx)
		k.running[m.ID] = cancel
		runs.Go(func() { k.run(one, m) })
	}
	for id, cancel := range k.running {
		if !there[id] {
			cancel()
		}
	}
}

// reload reads the file where it is another than before.
func (k *mirrorKeeper) reload() {
	info, err := os.Stat(k.home.path(mirrorsFile))
	if err != nil {
		k.stamp, k.mirrors = nil, nil
		return
	}
	if k.stamp != nil && os.SameFile(info, k.stamp) && info.ModTime().Equal(k.stamp.ModTime()) {
		return
	}
	k.stamp = info
	all, err := k.home.mirrors()
	if err != nil {
		k.log.Warn("the mirrors can't be read", "error", err)
		return
	}
	k.mirrors = all
}

// lastChange is when what a mirror pushes changed last.
func (k *mirrorKeeper) lastChange(m mirror) time.Time {
	address, err := identity.ParseURL(m.Repo, nil)
	if err != nil {
		return time.Time{} // the run will say so
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if at, ok := k.changed[address.RepoID()]; ok {
		return at
	}
	return k.began
}

// dueAt says when a mirror is to run again: after each time that it takes by itself;
// one that pushes also when its repository has changed and is quiet again; one that
// failed later and later.
func (m mirror) dueAt(s mirrorState, changed, now time.Time) time.Time {
	switch {
	case s.Ended.After(now), s.Ended.Before(s.Started): // the clock was set back; it broke off
		return now
	case s.Failures > 0:
		return s.Ended.Add(mirrorBackoff(s.Failures))
	}
	due := s.Ended.Add(m.every())
	if soon := changed.Add(mirrorQuiet); m.Direction == mirrorPush && changed.After(s.Started) && soon.Before(due) {
		return soon
	}
	return due
}

func mirrorBackoff(failures int) time.Duration {
	pause := mirrorBackoffMin
	for i := 1; i < failures && pause < mirrorBackoffMax; i++ {
		pause *= 2
	}
	return min(pause, mirrorBackoffMax)
}

func (k *mirrorKeeper) run(ctx context.Context, m mirror) {
	state, err := k.home.runMirror(ctx, m, true)
	said := []any{"mirror", m.ID, "repo", m.Repo, "url", publicURL(m.URL)}
	switch {
	case ctx.Err() != nil, errors.Is(err, errMirrorBusy):
	case err != nil:
		k.log.Warn("a mirror failed", append(said, "error", err, "failures", state.Failures)...)
	case state.Moved > 0:
		k.log.Info("a mirror moved refs", append(said, "refs", state.Moved)...)
	}
	k.ended <- mirrorEnd{m.ID, state, err}
}
