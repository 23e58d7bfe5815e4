package container

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"peer/itest/internal/binary"
)

// step is a block of docs/deploy.md: what is typed, and on which machines.
type step struct {
	heading string
	on      []string
	script  string
}

func (s step) String() string {
	return fmt.Sprintf("%s: on %s:\n%s", s.heading, strings.Join(s.on, ", "), s.script)
}

// guide is docs/deploy.md, as somebody types it who follows it to the letter. What
// it prints is pasted where it says so.
type guide struct {
	t     *testing.T
	steps []step
	paste map[string]string // values of NAME= on a line of its own
}

var blocks = regexp.MustCompile("(?ms)^##+ ([^\n]*)$|^```sh\n# on ([^\n]*)\n(.*?)^```$|^```sh\n")

// readGuide takes the blocks below the headings of second rank that are named, all
// of which must say where they are typed.
func readGuide(t *testing.T, sections ...string) *guide {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(binary.SourceDir(), "docs", "deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	g := &guide{t: t, paste: map[string]string{}}
	found, heading, wanted := 0, "", false
	for _, m := range blocks.FindAllStringSubmatch(string(raw), -1) {
		switch {
		case m[1] != "":
			heading = m[1]
			if strings.HasPrefix(m[0], "## ") {
				wanted = false
				for _, s := range sections {
					wanted = wanted || s == heading
				}
				if wanted {
					found++
				}
			}
		case m[2] == "":
			t.Fatalf("docs/deploy.md, %q: a block of shell does not say where it is typed", heading)
		case wanted:
			where, _, _ := strings.Cut(m[2], ", as ")
			where, _, _ = strings.Cut(where, ", beside ")
			g.steps = append(g.steps, step{heading, strings.Split(where, ", "), m[3]})
		}
	}
	if found != len(sections) || len(g.steps) == 0 {
		t.Fatalf("docs/deploy.md has %d of the sections %q, and %d blocks of shell in them", found, sections, len(g.steps))
	}
	return g
}

// filled is a script with what is to be pasted.
func (g *guide) filled(s step) string {
	var lines []string
	for line := range strings.Lines(s.script) {
		name, isPaste := strings.CutSuffix(line, "=\n")
		if isPaste && name == strings.ToUpper(name) && !strings.HasPrefix(name, "PEER_") {
			if g.paste[name] == "" {
				g.t.Fatalf("nobody printed what to paste for %s: %v", name, s)
			}
			line = name + "='" + g.paste[name] + "'\n"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

// heard notes what was printed that is to be pasted later, and what the stand-ins
// left out.
func (g *guide) heard(said string) {
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "peer-invite-") {
			g.paste["INVITATION"] = line
		}
		if strings.HasPrefix(line, "left out, ") && g.paste[line] == "" {
			g.paste[line] = line
			g.t.Log(line)
		}
	}
}
