package git

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestEnvironmentIsBuilt(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(home+"/.gitconfig", []byte("[user]\n\tname = somebody\n[core]\n\thooksPath = /evil\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("GIT_DIR", "/elsewhere")
	t.Setenv("GIT_OBJECT_DIRECTORY", "/elsewhere")
	t.Setenv("SECRET", "x")
	r := newRepo(t, SHA1)
	for query, want := range map[string]string{
		"config --get core.hooksPath":        os.DevNull,
		"config --get gc.auto":               "0",
		"config --get pack.windowMemory":     "128m",
		"config --get core.bigFileThreshold": "32m",
		"rev-parse --git-dir":                r.dir,
	} {
		out, err := r.command(strings.Fields(query)...).Output(testContext(t), 1<<10)
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("git %s: %q, %v", query, got, err)
		}
	}
	if out, err := r.command("config", "--get", "user.name").Output(testContext(t), 1<<10); err == nil {
		t.Errorf("the user's configuration was read: %s", out)
	}
	for _, v := range baseEnv() {
		if strings.HasPrefix(v, "SECRET=") || strings.HasPrefix(v, "GIT_DIR=") {
			t.Errorf("inherited %s", v)
		}
	}
	inherits := Command{Args: []string{"rev-parse", "--git-path", "x"}, Inherit: true}
	t.Setenv("GIT_DIR", r.dir)
	t.Setenv("GIT_OBJECT_DIRECTORY", r.path("objects"))
	if out, err := inherits.Output(testContext(t), 1<<10); err != nil || strings.TrimSpace(string(out)) != r.path("x") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestExitError(t *testing.T) {
	r := newRepo(t, SHA1)
	err := r.command("cat-file", "-t", "--end-of-options", "absent\x1b[31m").Run(testContext(t))
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 128 || exit.Command != "cat-file" || !strings.Contains(exit.Stderr, "absent") {
		t.Fatalf("got %#v", err)
	}
	if strings.ContainsRune(exit.Stderr, 0x1b) {
		t.Errorf("escape sequence kept: %q", exit.Stderr)
	}
}

func TestCommandEndsWithItsContext(t *testing.T) {
	r := newRepo(t, SHA1)
	cause := errors.New("leadership lost")
	ctx, cancel := context.WithCancelCause(testContext(t))
	c := r.command("cat-file", "--batch")
	pr, pw, err := os.Pipe() // never written to
	if err != nil {
		t.Fatal(err)
	}
	defer pw.Close()
	defer pr.Close()
	c.Stdin = pr
	time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
	if err := c.Run(ctx); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if err := r.command("version").Run(ctx); !errors.Is(err, cause) {
		t.Errorf("after the end: %v", err)
	}
}

func TestOutputLimit(t *testing.T) {
	c := Command{Args: []string{"version"}}
	if out, err := c.Output(testContext(t), 5); err == nil {
		t.Errorf("got %q", out)
	}
}

func TestExcerpt(t *testing.T) {
	var e excerpt
	for i := range 10_000 {
		if _, err := e.Write([]byte("line " + strings.Repeat("x", i%7) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Write([]byte("fatal: the reason\x00\x07\xff\n")); err != nil {
		t.Fatal(err)
	}
	s := e.String()
	if len(s) > excerptHeadBytes+excerptTailBytes+10 || !strings.HasPrefix(s, "line") || !strings.HasSuffix(s, "the reason") {
		t.Errorf("%d bytes: %q", len(s), s[len(s)-40:])
	}
}

// Deltas upon deltas that each make 64 MiB keep git busy out of all proportion.
func TestCPULimit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("limits of a child are set on Linux only")
	}
	p := newPackWriter(SHA1)
	base := make([]byte, 1<<20)
	at := p.object(packBlob, base)
	for i := range 400 {
		delta := append(varint(uint64(len(base))), varint(64<<20+2)...)
		for range 64 {
			delta = append(delta, 0x80|0x40, 0x10)
		}
		delta = append(delta, 2, byte(i), byte(i>>8))
		p.entry(packOfsDelta, len(delta), p.offset(at), delta)
	}
	q, err := newRepo(t, SHA1).newQuarantine()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Discard() }()
	c := q.command("index-pack", "--stdin")
	c.Stdin = bytes.NewReader(p.finish())
	c.limits = limits{cpuSeconds: 2}
	err = q.packError(testContext(t), c.Run(testContext(t)), IngestOptions{})
	var bad *BadPackError
	if !errors.As(err, &bad) || !strings.Contains(bad.Detail, "too long") {
		t.Errorf("got %v", err)
	}
}

// spool must give back what it took, from memory and from a file.
func TestSpool(t *testing.T) {
	for _, size := range []int{0, 100, spoolMemoryBytes, spoolMemoryBytes + 1, 3 * spoolMemoryBytes} {
		var s spool
		var want, got bytes.Buffer
		for want.Len() < size {
			line := bytes.Repeat([]byte{byte(want.Len() >> 10)}, min(60_000, size-want.Len()))
			want.Write(line)
			if _, err := s.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		if (s.file != nil) != (size > spoolMemoryBytes) {
			t.Errorf("%d bytes: file %v", size, s.file)
		}
		if _, err := s.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%d bytes became %d, %v", size, got.Len(), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
