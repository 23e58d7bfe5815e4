package conform

import (
	"slices"
	"strings"
	"testing"
)

// row is one line of the table.
type row struct {
	name string // in words, for the table
	what string // the options and commands that it goes through
	kind kind
	// script is what is typed, a line each, in sh. The environment has URL, the
	// repository; OTHER, an empty one beside it; NAME, the last part of URL; NOWHERE, a
	// URL that leads nowhere; and SEED, a copy of what the repository had at first. `commit
	// DIR FILE TEXT` commits. In front of a line may stand
	//
	//	!         it fails, with the same code on all sides
	//	~         its messages on stderr may differ
	//	peer:     it runs on this side only; so do "plain:", "git:" and "http:"
	//
	// All but the first ask for a reason in differs.
	script  string
	differs string
	format  string // of the objects: SHA-1 unless said otherwise
	// ways are where else a row of readers runs: over git:// and http:// unless said otherwise.
	ways []string
}

type kind int

const (
	reads  kind = iota // all such rows share one repository
	writes             // a repository of its own, and a clone of it in w
	empty              // likewise, with nothing in it, and no clone
)

const (
	plain = "plain" // git alone: a bare repository on disk
	peer  = "peer"
	git   = "git" // the node's git daemon
	http  = "http"
)

// line is one of a script.
type line struct {
	text  string
	fails bool
	loose bool   // stderr is not compared
	only  string // side; empty: all
}

func (r row) lines() []line {
	var lines []line
	for text := range strings.Lines(r.script) {
		l := line{text: strings.TrimSpace(text)}
		if l.text == "" {
			continue
		}
		for _, side := range []string{plain, peer, git, http} {
			if rest, ok := strings.CutPrefix(l.text, side+":"); ok {
				l.only, l.text = side, strings.TrimSpace(rest)
			}
		}
		if rest, ok := strings.CutPrefix(l.text, "~"); ok {
			l.loose, l.text = true, strings.TrimSpace(rest)
		}
		if rest, ok := strings.CutPrefix(l.text, "!"); ok {
			l.fails, l.text = true, strings.TrimSpace(rest)
		}
		lines = append(lines, l)
	}
	return lines
}

// shortWays are the readers that go every way also with -short; others go to peer alone.
var shortWays = []string{"protocol versions", "without blobs", "no such repository"}

// longRows do not run with -short: they take long for what they go through that others do not.
var longRows = []string{"borrowed objects", "large and not thin", "many refs", "submodules", "worktrees", "bundles", "another home's work"}

// sides are where a row runs.
func (r row) sides(short bool) []string {
	if r.kind != reads || short && !slices.Contains(shortWays, r.name) {
		return []string{plain, peer}
	}
	if r.ways != nil {
		return append([]string{plain, peer}, r.ways...)
	}
	return []string{plain, peer, git, http}
}

// TestRows: what differs has a reason, what has a reason differs, and no row tests nothing.
func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows() {
		if seen[r.name] || r.what == "" || len(r.lines()) == 0 || strings.ContainsAny(r.name+r.what+r.differs, "|\n") {
			t.Errorf("row %q: its name is taken, it says or does nothing, or it breaks the table", r.name)
		}
		seen[r.name] = true
		differs := false
		for _, l := range r.lines() {
			differs = differs || l.loose || l.only != ""
		}
		if differs != (r.differs != "") {
			t.Errorf("row %q: lines that differ: %v; reason given: %q", r.name, differs, r.differs)
		}
	}
	for _, name := range slices.Concat(shortWays, longRows) {
		if !seen[name] {
			t.Errorf("no row is called %q", name)
		}
	}
}

func rows() []row {
	var all []row
	for _, group := range groups {
		all = append(all, group.rows...)
	}
	return all
}

// groups are the parts of the table.
var groups = []struct {
	title string
	rows  []row
}{
	{"Cloning", cloning},
	{"Shallow, partial, sparse", partly},
	{"Listing and fetching", fetching},
	{"Pushing", pushing},
	{"Refusing", refusing},
	{"Refs and names", naming},
	{"Submodules, worktrees, bundles", around},
	{"Empty repositories and object formats", founding},
}
