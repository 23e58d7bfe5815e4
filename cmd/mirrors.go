package cmd

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"peer/git"
	"peer/identity"
)

const (
	mirrorsFile = "mirrors.json"
	// mirrorsDir of a home has, of each mirror: ID.git, what was fetched last; ID.json,
	// how it went; ID.lock, held by who runs it.
	mirrorsDir = "mirrors"

	mirrorEveryMin = 10 * time.Second
	mirrorEveryMax = 7 * 24 * time.Hour
	// mirrorPatternsMax bounds the refs of one mirror, which become a command line.
	mirrorPatternsMax = 100
)

// The two directions.
const (
	mirrorPull = "pull" // the repository follows a URL
	mirrorPush = "push" // a URL follows the repository
)

// mirror keeps a repository of the network and one elsewhere alike, as far as its refs go.
type mirror struct {
	ID        string   `json:"id"`
	Repo      string   `json:"repo"` // its URL, with a did:key
	URL       string   `json:"url"`  // may hold a password
	Direction string   `json:"direction"`
	EveryMs   int64    `json:"every_ms"`
	Refs      []string `json:"refs"` // of git's refspecs: full names with one * at most
	// Force has a pull mirror also move refs back, sideways and away. A push mirror always does.
	Force bool `json:"force,omitempty"`
}

func (m mirror) every() time.Duration { return time.Duration(m.EveryMs) * time.Millisecond }

func (m mirror) forced() bool { return m.Force || m.Direction == mirrorPush }

// ends are where refs come from, and where they go.
func (m mirror) ends() (from, to string) {
	if m.Direction == mirrorPush {
		return m.Repo, m.URL
	}
	return m.URL, m.Repo
}

// matches says whether a ref is one of the mirror's.
func (m mirror) matches(name string) bool {
	return slices.ContainsFunc(m.Refs, func(pattern string) bool {
		before, after, wild := strings.Cut(pattern, "*")
		if !wild {
			return name == pattern
		}
		return len(name) > len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
	})
}

// mirrorPattern is a pattern in full.
func mirrorPattern(pattern string) (string, error) {
	full := pattern
	if !strings.HasPrefix(full, "refs/") {
		full = "refs/heads/" + full
	}
	if err := git.CheckRefName(strings.Replace(full, "*", "x/x", 1)); err != nil {
		return "", usage("a branch, or a full name; * stands for anything, once: 'release/*', 'refs/tags/v*'", "--refs %.100q is no pattern of refs", pattern)
	}
	return full, nil
}

// mirrorState is how the runs of a mirror went.
type mirrorState struct {
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended"` // before Started: it runs, or broke off
	Succeeded time.Time `json:"succeeded"`
	Moved     int       `json:"moved"`           // refs, then
	Failures  int       `json:"failures"`        // in a row
	Error     string    `json:"error,omitempty"` // of the last run
	Skipped   int       `json:"skipped"`         // refs that peer does not take
}

// mirrors reads them; none where there is no such file.
func (h *Home) mirrors() ([]mirror, error) {
	var all struct{ Mirrors []mirror }
	if err := readJSON(h.path(mirrorsFile), &all); err != nil {
		return nil, fmt.Errorf("mirrors: %w", err)
	}
	return all.Mirrors, nil
}

// changeMirrors replaces them by what change makes of them.
func (h *Home) changeMirrors(change func([]mirror) ([]mirror, error)) error {
	if err := os.MkdirAll(h.path(mirrorsDir), 0o700); err != nil {
		return err
	}
	lock, err := flock(h.path(mirrorsDir+"/lock"), true)
	if err != nil {
		return err
	}
	defer lock.Close()
	now, err := h.mirrors()
	if err != nil {
		return err
	}
	if now, err = change(now); err != nil {
		return err
	}
	return writeJSON(h.path(mirrorsFile), map[string][]mirror{"mirrors": now})
}

// mirror finds the one whose ID begins with id.
func (h *Home) mirror(id string) (mirror, error) {
	all, err := h.mirrors()
	if err != nil {
		return mirror{}, err
	}
	all = slices.DeleteFunc(all, func(m mirror) bool { return !strings.HasPrefix(m.ID, id) })
	if id == "" || len(all) != 1 {
		why := "no mirror of this home is called %.80q"
		if id != "" && len(all) > 1 {
			why = "more than one mirror begins with %.80q"
		}
		return mirror{}, &fault{err: fmt.Errorf(why, id), hint: "list them: peer mirror ls", exit: exitNotFound}
	}
	return all[0], nil
}

func newMirrorID() string {
	id := make([]byte, 4)
	rand.Read(id)
	return hex.EncodeToString(id)
}

func (h *Home) mirrorPath(id, suffix string) string {
	return filepath.Join(h.path(mirrorsDir), id+suffix)
}

func (h *Home) mirrorState(id string) (s mirrorState, err error) {
	return s, readJSON(h.mirrorPath(id, ".json"), &s)
}

func (h *Home) saveMirrorState(id string, s mirrorState) error {
	return writeJSON(h.mirrorPath(id, ".json"), s)
}

// removeMirrorFiles removes what a mirror that is no more leaves. Nobody may run it.
func (h *Home) removeMirrorFiles(id string) error {
	var failed []error
	for _, suffix := range []string{".git", ".json", ".lock"} {
		failed = append(failed, os.RemoveAll(h.mirrorPath(id, suffix)))
	}
	return errors.Join(failed...)
}

// removeStaleLocks removes what a git left that was killed. The caller holds the
// mirror's own lock, so no other git is at work there.
func removeStaleLocks(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "objects":
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ".lock"):
			return os.Remove(path)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// mirrorURL is a URL as it is stored: valid wherever the node runs.
func (h *Home) mirrorURL(url string) (string, error) {
	if url == "" || url[0] == '-' {
		return "", usage("peer mirror add REPO https://example.org/project.git", "%.80q is no URL", url)
	}
	if strings.HasPrefix(url, identity.URLScheme) {
		address, err := h.ParseURL(url)
		return address.URL(), err
	}
	if before, _, _ := strings.Cut(url, "/"); strings.Contains(before, ":") {
		return url, nil
	}
	return filepath.Abs(url)
}
