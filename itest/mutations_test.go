package itest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const mutationTimeout = 10 * time.Minute

// TestMutations breaks the product on purpose, one promise at a time, and wants a
// test to notice. The source stays as it is: the compiler is told to read other
// text in place of one file. PEER_MUTATIONS=1 runs all, PEER_MUTATIONS=A,B those
// whose name contains A or B; it takes some minutes, so no other run does it.
func TestMutations(t *testing.T) {
	wanted := os.Getenv("PEER_MUTATIONS")
	if wanted == "" {
		t.Skip("PEER_MUTATIONS=1 runs it")
	}
	var table []string
	for _, m := range mutations {
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
	for _, m := range mutations {
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
	// in is the package whose tests should notice: those that match tests. For
	// "itest" they run with the mutated binary.
	in, tests string
	args      []string
}

// text is the mutated file.
func (m mutation) text() (string, error) {
	raw, err := os.ReadFile(filepath.Join(sourceDir(), m.file))
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
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	raw, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(sourceDir(), m.file): file}})
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string]string{file: text, overlay: string(raw)} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said, err := m.test(t.Context(), dir, overlay)
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

func (m mutation) test(ctx context.Context, dir, overlay string) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, mutationTimeout)
	defer cancel()
	env := append(os.Environ(), "PEER_MUTATIONS=")
	args := []string{"test", "-count=1", "-timeout", "8m", "-run", "^(" + m.tests + ")$"}
	if m.in == "itest" {
		binary := filepath.Join(dir, "peer")
		if said, err := runGo(ctx, sourceDir(), env, "build", "-overlay", overlay, "-o", binary, "."); err != nil {
			return said + "[build failed]", err
		}
		env = append(env, "PEER_BIN="+binary)
		return runGo(ctx, filepath.Join(sourceDir(), "itest"), env, append(append(args, "."), m.args...)...)
	}
	args = append(args, "-overlay", overlay, "./"+m.in)
	return runGo(ctx, sourceDir(), env, append(args, m.args...)...)
}

func runGo(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, 10*time.Second
	said, err := cmd.CombinedOutput()
	return string(said), err
}
