package itest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"peer/itest/internal/binary"
)

const mutationTimeout = 10 * time.Minute

// TestMutations breaks the product on purpose, one promise at a time, and wants a
// test to notice. The source stays as it is: the compiler is told to read other
// text in place of one file, and what is no code is changed in a copy. PEER_MUTATIONS=1 runs all, PEER_MUTATIONS=A,B those
// whose name contains A or B; it takes some minutes, so no other run does it.
func TestMutations(t *testing.T) {
	wanted := os.Getenv("PEER_MUTATIONS")
	if wanted == "" {
		t.Skip("PEER_MUTATIONS=1 runs it")
	}
	var table []string
	for _, m := range slices.Concat(mutations, memberMutations, accessMutations, containerMutations, proofMutations, limitMutations) {
		named := func(part string) bool { return strings.Contains(m.name, part) }
		if wanted != "1" && !slices.ContainsFunc(strings.Split(wanted, ","), named) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			begin := time.Now()
			noticed := m.try(t)
			if len(noticed) == 0 {
				t.Errorf("no test noticed: %s", m.name)
				noticed = []string{"**nothing**"}
			}
			table = append(table, fmt.Sprintf("| %s | %s | `%s` | %s | %d s |", m.promise, m.name, m.file, strings.Join(noticed, ", "), int(time.Since(begin).Seconds())))
		})
	}
	t.Logf("\n| promise | mutation | file | noticed by | after |\n|---|---|---|---|---|\n%s", strings.Join(table, "\n"))
}

// The sources are as the mutations expect them: who changes such a place must
// change the mutation with it.
func TestMutationsApply(t *testing.T) {
	t.Parallel()
	for _, m := range slices.Concat(mutations, memberMutations, accessMutations, containerMutations, proofMutations, limitMutations) {
		if _, err := m.text(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// mutation is one way to break the product.
type mutation struct {
	promise, name string
	file          string
	// edits are pairs of a text that occurs once in the file, and what replaces it.
	edits []string
	// in is the package whose tests should notice: those that match tests. In
	// "itest" and "itest/container" they run with the mutated binary.
	in, tests string
	args      []string
}

// text is the mutated file.
func (m mutation) text() (string, error) {
	raw, err := os.ReadFile(filepath.Join(binary.SourceDir(), m.file))
	if err != nil {
		return "", err
	}
	text := string(raw)
	for pair := range slices.Chunk(m.edits, 2) {
		if n := strings.Count(text, pair[0]); n != 1 {
			return "", fmt.Errorf("%s has %d times, and should have once:\n%s", m.file, n, pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text, nil
}

var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// try runs the tests against the mutated product, and says which failed.
func (m mutation) try(t *testing.T) []string {
	t.Helper()
	text, err := m.text()
	if err != nil {
		t.Fatal(err)
	}
	said, err := m.test(t.Context(), t.TempDir(), text)
	if err == nil {
		return nil
	}
	if strings.Contains(said, "[build failed]") || strings.Contains(said, "[setup failed]") || strings.Contains(said, "no test files") {
		t.Fatalf("it doesn't build: %s", said)
	}
	var noticed []string
	for _, found := range failedTest.FindAllStringSubmatch(said, -1) {
		noticed = append(noticed, found[1])
	}
	if len(noticed) == 0 { // a panic ends the run before it names a test
		running := regexp.MustCompile(`(?m)^panic: .*`).FindString(said)
		if running == "" {
			t.Fatalf("the tests failed, and it doesn't say which: %s", said)
		}
		noticed = []string{m.tests + ", by a panic"}
	}
	t.Logf("%v", noticed)
	slices.Sort(noticed)
	return slices.Compact(noticed)
}

// test runs the tests with text in place of the file.
func (m mutation) test(ctx context.Context, dir, text string) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, mutationTimeout)
	defer cancel()
	env := append(os.Environ(), "PEER_MUTATIONS=")
	test := func(in string, env []string, args ...string) (string, error) {
		args = append([]string{"test", "-count=1", "-timeout", "8m", "-run", "^(" + m.tests + ")$"}, args...)
		return runGo(ctx, in, env, append(args, m.args...)...) // those of the tests after the package
	}
	in := filepath.Join(binary.SourceDir(), m.in)
	if filepath.Ext(m.file) != ".go" { // no compiler reads it
		source := filepath.Join(dir, "source")
		if err := os.CopyFS(source, os.DirFS(binary.SourceDir())); err != nil {
			return "[setup failed]", err
		}
		if err := os.WriteFile(filepath.Join(source, m.file), []byte(text), 0o600); err != nil {
			return "[setup failed]", err
		}
		return test(filepath.Join(source, m.in), append(env, "ITEST_REQUIRE=1"), ".")
	}
	overlay, err := overlay(dir, filepath.Join(binary.SourceDir(), m.file), text)
	switch {
	case err != nil:
		return "[setup failed]", err
	case strings.HasPrefix(m.file, "itest/"): // the fault is broken, not the product
		return test(in, append(env, "ITEST_REQUIRE=1"), "-overlay", overlay, ".")
	case !strings.HasPrefix(m.in, "itest"):
		return test(in, env, "-overlay", overlay, ".")
	}
	peer := filepath.Join(dir, "peer")
	if said, err := runGo(ctx, binary.SourceDir(), env, "build", "-overlay", overlay, "-o", peer, "."); err != nil {
		return said + "[build failed]", err
	}
	return test(in, append(env, "PEER_BIN="+peer, "ITEST_REQUIRE=1"), ".")
}

// overlay tells the compiler to read text in place of a file.
func overlay(dir, path, text string) (string, error) {
	mutated, overlay := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	raw, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutated}})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(os.WriteFile(mutated, []byte(text), 0o600), os.WriteFile(overlay, raw, 0o600))
}

func runGo(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, 10*time.Second
	said, err := cmd.CombinedOutput()
	return string(said), err
}
