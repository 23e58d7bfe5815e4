package cmd

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMirrorPattern(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"main": "refs/heads/main", "release/*": "refs/heads/release/*", "*": "refs/heads/*", "refs/*": "refs/*", "refs/tags/v*": "refs/tags/v*",
		"": "", "**": "", "a*b*": "", "refs/peer/*": "", "^main": "", "a:b": "", "a b": "", "refs/heads/": "", "-x": "", "a\nb": "",
	} {
		if got, err := mirrorPattern(pattern); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", pattern, got, err, want)
		}
	}
	m := mirror{Refs: []string{"refs/heads/main", "refs/tags/v*", "refs/heads/a*z"}}
	for name, want := range map[string]bool{
		"refs/heads/main": true, "refs/heads/main2": false, "refs/heads/x/main": false,
		"refs/tags/v1": true, "refs/tags/v/1": true, "refs/tags/x": false,
		"refs/heads/abz": true, "refs/heads/az": false, "refs/heads/abzc": false,
	} {
		if m.matches(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestMirrorDueAt(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	pull := mirror{Direction: mirrorPull, EveryMs: 300_000}
	push := mirror{Direction: mirrorPush, EveryMs: 300_000}
	done := mirrorState{Started: at(0), Ended: at(10)}
	now := at(60)
	for what, test := range map[string]struct {
		m       mirror
		s       mirrorState
		changed time.Time
		want    time.Time
	}{
		"each time":                     {pull, done, at(20), at(310)},
		"pushing without a change":      {push, done, at(-20), at(310)},
		"pushing after a change":        {push, done, at(20), at(21)},
		"a change while it ran":         {push, done, at(5), at(6)},
		"one that never rests":          {push, done, at(400), at(310)},
		"failed":                        {push, mirrorState{Started: at(0), Ended: at(10), Failures: 2}, at(20), at(30)},
		"failed for long":               {pull, mirrorState{Started: at(0), Ended: at(10), Failures: 1000}, at(20), at(3610)},
		"broken off":                    {pull, mirrorState{Started: at(50), Ended: at(10), Failures: 9}, at(0), now},
		"a clock that went back a year": {pull, mirrorState{Started: at(0), Ended: at(3e7)}, at(0), now},
	} {
		if got := test.m.dueAt(test.s, test.changed, now); !got.Equal(test.want) {
			t.Errorf("%s: after %s, want %s", what, got.Sub(start), test.want.Sub(start))
		}
	}
	if never := pull.dueAt(mirrorState{}, at(0), now); never.After(now) {
		t.Errorf("one that never ran waits until %s", never)
	}
}

func TestMirrorsShowNoSecrets(t *testing.T) {
	t.Parallel()
	shown, err := json.Marshal(mirrorOf(mirror{URL: "https://ann:word@example.org/p"}, mirrorState{}, false))
	if err != nil || strings.Contains(string(shown), "word") || strings.Contains(string(shown), "ann") {
		t.Errorf("%s, %v", shown, err)
	}
}

func TestBatchSSH(t *testing.T) {
	t.Parallel()
	for command, batch := range map[string]bool{"ssh": true, "/usr/bin/ssh -i key": true, "plink": false, "sh -c ssh": false} {
		if got := batchSSH(command); strings.Contains(got, "BatchMode=yes") != batch || !strings.HasPrefix(got, command) {
			t.Errorf("%s becomes %s", command, got)
		}
	}
}

func TestStaleLocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := removeStaleLocks(filepath.Join(dir, "nothing")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"refs/heads/main.lock", "refs/heads/main", "packed-refs.lock", "objects/x.lock"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeStaleLocks(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"refs/heads/main.lock": false, "refs/heads/main": true, "packed-refs.lock": false, "objects/x.lock": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One run at a time: whoever finds the mirror's lock taken leaves it alone.
func TestMirrorIsBusy(t *testing.T) {
	t.Parallel()
	home, err := OpenHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := mirror{ID: newMirrorID(), Direction: mirrorPull, URL: filepath.Join(home.Dir, "nowhere"), Repo: "peer://x/y", Refs: []string{"refs/heads/*"}}
	if err := home.changeMirrors(func(all []mirror) ([]mirror, error) { return append(all, m), nil }); err != nil {
		t.Fatal(err)
	}
	lock, err := flock(home.mirrorPath(m.ID, ".lock"), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := home.runMirror(t.Context(), m, true); !errors.Is(err, errMirrorBusy) {
		t.Errorf("it runs twice: %v", err)
	}
	lock.Close()
	for n := 1; n <= 2; n++ {
		state, err := home.runMirror(t.Context(), m, true)
		// A child that another test has forked, and that runs nothing yet, has the lock for a moment, too.
		for p := (patience{total: time.Minute}); errors.Is(err, errMirrorBusy) && p.wait(t.Context()); {
			state, err = home.runMirror(t.Context(), m, true)
		}
		if err == nil || state.Failures != n || !state.Succeeded.IsZero() {
			t.Errorf("from nowhere: %+v, %v", state, err)
		}
	}
}

// A run that can't even note how it went must not start again at once, for ever.
func TestMirrorRestsAfterFailure(t *testing.T) {
	t.Parallel()
	home, err := OpenHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := mirror{ID: newMirrorID(), Direction: mirrorPull, EveryMs: 10_000, URL: "x", Repo: "peer://x/y", Refs: []string{"refs/heads/*"}}
	if err := home.changeMirrors(func(all []mirror) ([]mirror, error) { return append(all, m), nil }); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(home.mirrorPath(m.ID, ".lock"), 0o700); err != nil { // nothing can be done with that
		t.Fatal(err)
	}
	k := newMirrorKeeper(home, slog.New(slog.DiscardHandler))
	var runs sync.WaitGroup
	k.look(t.Context(), &runs)
	if len(k.running) != 1 {
		t.Fatal("it did not start")
	}
	k.settle(<-k.ended)
	if k.look(t.Context(), &runs); len(k.running) != 0 {
		t.Error("it started again at once")
	}
	runs.Wait()
}
