package store

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"golang.org/x/sys/unix"
)

// memTableBytes sets the largest transaction: badger takes 15 % of it. The arena
// is allocated at once, but only what was written to it becomes resident.
const memTableBytes = 64 << 20

func badgerOptions(o Options, trip *tripwire) badger.Options {
	b := badger.DefaultOptions(o.Dir)
	b.SyncWrites = !o.NoSync
	b.Logger = trip
	b.MemTableSize = memTableBytes
	b.NumMemtables = 2
	b.ValueLogFileSize = 64 << 20
	b.ValueThreshold = valueThreshold
	b.BlockCacheSize = 8 << 20
	b.IndexCacheSize = 4 << 20
	b.NumCompactors = 2 // each wakes every 50 ms, for ever; one is refused
	b.NumLevelZeroTables = 2
	b.NumLevelZeroTablesStall = 4
	b.BaseTableSize = 2 << 20
	b.Compression = options.None
	b.MetricsEnabled = false
	b.DetectConflicts = false // every key has one writer at a time
	// A table that is found damaged fails the open, see tripwire.
	b.ChecksumVerificationMode = options.OnTableRead
	return b
}

// A tripwire is badger's logger. Badger logs some failures and carries on as if
// nothing had happened, a failed sync of the value log and a damaged table among
// them, so whatever it calls an error poisons the store.
type tripwire struct {
	log *slog.Logger

	mu    sync.Mutex
	first error
}

// Failures to read are left out: they show as a checksum that doesn't match.
var readFailures = []string{"Unable to read: Key", "Key: %v, Version", "Invalid read"}

func (t *tripwire) Errorf(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	t.log.Warn("badger failed", "error", text)
	for _, harmless := range readFailures {
		if strings.HasPrefix(format, harmless) {
			return
		}
	}
	t.trip(fmt.Errorf("badger: %s", text))
}

func (t *tripwire) Warningf(format string, args ...any) {
	t.log.Warn("badger warns", "warning", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (t *tripwire) Infof(format string, args ...any) { t.Debugf(format, args...) }

func (t *tripwire) Debugf(format string, args ...any) {
	if t.log.Enabled(nil, slog.LevelDebug) { //nolint:staticcheck // no context reaches a logger of badger's
		t.log.Debug("badger", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

// trip poisons the store, unless it is poisoned already.
func (t *tripwire) trip(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == nil {
		t.first = err
	}
}

// err is a *PoisonedError once tripped.
func (t *tripwire) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == nil {
		return nil
	}
	return &PoisonedError{First: t.first}
}

// lockHolder returns a *LockedError when another process has badger's lock on dir.
// Badger's own error can only be told from others by its text.
func lockHolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
	if unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB) != unix.EWOULDBLOCK {
		return nil
	}
	pid, _ := os.ReadFile(lockPath(dir))
	held := &LockedError{Dir: dir}
	if text := strings.TrimSpace(string(pid)); text != "" {
		held.PID = "process " + text
	}
	return held
}
