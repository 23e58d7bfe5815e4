package git

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// orphanDir makes this test binary the parent of a git that waits in that
// repository for input on our own stdin.
const orphanDir = "GIT_TEST_ORPHAN_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(orphanDir); dir != "" {
		c := Command{Args: []string{"cat-file", "--batch"}, Dir: dir, Stdin: os.Stdin, Stdout: os.Stdout}
		_ = c.Run(context.Background())
		return
	}
	os.Exit(m.Run())
}

// A git child ends with a process that was killed, even if its pipes stay open.
func TestChildrenEndWithUs(t *testing.T) {
	r := newRepo(t, SHA1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	parent := exec.CommandContext(ctx, os.Args[0])
	parent.Env = append(os.Environ(), orphanDir+"="+r.Dir())
	input, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	said, output, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	parent.Stdin, parent.Stdout = input, output
	err = parent.Start()
	_ = input.Close()
	_ = output.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(feed, "x\n"); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(said)
	if line, err := lines.ReadString('\n'); line != "x missing\n" {
		t.Fatalf("%q, %v", line, err) // it runs now
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	if err := said.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := lines.ReadByte(); err != io.EOF {
		t.Fatalf("git goes on without its parent: %v", err)
	}
}
