package itest

import (
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"peer/itest/internal/await"
)

// TestOrphansAreSeen makes sure that the end of every test would notice.
func TestOrphansAreSeen(t *testing.T) {
	t.Parallel()
	leader := exec.CommandContext(t.Context(), "sh", "-c", "sleep 100 & exec sleep 200")
	leader.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	await.Eventually(t, orphanTimeout, func() error { return wantSession(leader.Process.Pid, "sleep 100", "sleep 200") })
	if err := leader.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = leader.Wait() // it was killed
	err := wantSession(leader.Process.Pid, "sleep 100")
	_ = syscall.Kill(-leader.Process.Pid, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	await.Eventually(t, orphanTimeout, func() error { return wantSession(leader.Process.Pid) })
}

func wantSession(session int, want ...string) error {
	all, err := sessions()
	if err != nil {
		return err
	}
	have := all[session]
	slices.Sort(have)
	if !slices.Equal(have, want) {
		return fmt.Errorf("in the session run %q, want %q", have, want)
	}
	return nil
}
