package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// side is where a row runs once: directories with the same names as on all sides,
// and a remote of its own kind.
type side struct {
	t    testing.TB
	n    *network
	name string
	dir  string
	env  []string
	// shown are texts that differ between the sides and mean the same, longest first, and
	// what stands for them when output is compared.
	shown [][2]string
	day   int // of the next line: all sides make the same commits
}

// outcome is what became of a line.
type outcome struct {
	line
	out, err string
	code     int
}

const lineTimeout = 5 * time.Minute

// firstDay is when the seed begins. A line takes a day.
const firstDay = 1704067200

// run runs one line and wants it to end as it says.
func (s *side) run(l line) outcome {
	s.t.Helper()
	o := s.sh(l.text)
	o.line = l
	if (o.code != 0) != l.fails || o.code < 0 {
		s.t.Fatalf("%s: %s: exit %d\n%s%s", s.name, l.text, o.code, o.out, o.err)
	}
	return o
}

// sh runs a line whatever becomes of it.
func (s *side) sh(text string) outcome {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), lineTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", text)
	date := fmt.Sprintf("%d +0000", firstDay+86400*s.day)
	s.day++
	cmd.Dir = s.dir
	cmd.Env = s.n.env(append(slices.Clone(s.env), "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	o := outcome{out: s.show(out.String()), err: s.show(heard(errs.String()))}
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		o.code = exit.ExitCode()
	} else if err != nil {
		s.t.Fatalf("%s: %s: %v", s.name, text, err)
	}
	return o
}

// heard leaves out what the other end says in its own words: git shows it behind
// "remote:", and programs don't read it; the hints of peer, which come on top; that
// no leader confirmed a listing in time, which happens on a machine that is busy; and that
// archives are not proved.
func heard(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "remote:") && !strings.HasPrefix(line, "peer: hint:") &&
			!strings.HasPrefix(line, "peer: warning: no leader confirmed this") && !strings.HasPrefix(line, "peer: warning: what git archive gets") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func (s *side) show(text string) string {
	for _, pair := range s.shown {
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return text
}

// remote gives the side a remote, under the name of a variable.
func (s *side) remote(variable, url string) {
	s.env = append(s.env, variable+"="+url)
	s.shown = append(s.shown, [2]string{url, variable})
	slices.SortStableFunc(s.shown, func(a, b [2]string) int { return len(b[0]) - len(a[0]) })
}

// make makes an empty remote of a name and returns its URL.
func (s *side) make(name, format string) string {
	s.t.Helper()
	if format == "" {
		format = "sha1"
	}
	if s.name == plain {
		dir := filepath.Join(s.dir, "..", "remotes", name)
		s.run(line{text: "git init -q --bare --object-format=" + format + " '" + dir + "' && cd '" + dir + "' &&" +
			" git config uploadpack.allowFilter true && git config receive.advertisePushOptions true"})
		return "file://" + filepath.Clean(dir)
	}
	var made struct{ URL string }
	s.n.peer(s.dir, &made, "init", name, "--object-format", format, "--json")
	return made.URL
}

// facts are everything that is in the repositories of a side, and what its remotes list.
func (s *side) facts() []outcome {
	s.t.Helper()
	var facts []outcome
	for _, variable := range []string{"URL", "OTHER"} {
		if slices.ContainsFunc(s.env, func(v string) bool { return strings.HasPrefix(v, variable+"=") }) {
			facts = append(facts, s.fact("git ls-remote --symref $"+variable))
		}
	}
	for _, dir := range s.repositories() {
		// In one shell, since to start processes is most of what the rows take.
		facts = append(facts, s.fact("cd '"+dir+"' && { "+strings.Join(questions, "; echo $?; ")+"; echo $?; }"))
	}
	return facts
}

func (s *side) fact(text string) outcome {
	o := s.sh(text)
	o.line = line{text: text}
	return o
}

// questions are asked of each repository. None fetches what a partial clone lacks.
var questions = []string{
	"git for-each-ref --format='%(refname) %(objectname) %(symref) %(upstream)' && (git symbolic-ref -q HEAD || git rev-parse HEAD)",
	"GIT_NO_LAZY_FETCH=1 git cat-file --batch-all-objects --batch-check",
	"GIT_NO_LAZY_FETCH=1 git fsck 2>&1 | sort",
	`cat "$(git rev-parse --git-path shallow)" 2>/dev/null || echo not shallow`,
	"git config --local --get-regexp '^(remote|branch|submodule|extensions)[.]' | sort",
	"git status --short --branch 2>/dev/null || echo bare",
}

// repositories are the work trees and bare repositories of a side, by name.
func (s *side) repositories() []string {
	s.t.Helper()
	var found []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == ".git" {
			found = append(found, filepath.Dir(path))
			return skip(d)
		}
		if _, err := os.Stat(filepath.Join(path, "objects")); err == nil {
			found = append(found, path)
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range found {
		if found[i], err = filepath.Rel(s.dir, found[i]); err != nil {
			s.t.Fatal(err)
		}
	}
	return found
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}
