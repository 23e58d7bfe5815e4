package cmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"peer/node/control/pb"
)

const (
	execGrace = 5 * time.Second // between asking a command to end and ending it
	// execLeftGrace is for what outlives its shell. It is short, since what is dead
	// and has no parent to notice looks the same: in a container without an init.
	execLeftGrace = time.Second
	execPoll      = 10 * time.Millisecond
)

// runner runs a person's command for each event, one run at a time. What an event
// says reaches the command in its environment and on its standard input alone, never
// as text that a shell reads.
type runner struct {
	app     *app
	command string
	timeout time.Duration // 0: none
	env     []string
}

func (c *watchCmd) runner(a *app) (*runner, error) {
	env, err := a.gitEnv()
	return &runner{app: a, command: *c.Exec, timeout: c.ExecTimeout, env: env}, err
}

// run runs the command once for each ref that moved, and once for an event without.
// What goes wrong with the command is said and is no error: the next event may do better.
func (r *runner) run(ctx context.Context, e *pb.Event) error {
	raw, err := json.Marshal(eventOf(e))
	if err != nil {
		return err
	}
	for i := range max(1, len(e.GetRefs())) {
		err := r.once(ctx, append(raw, '\n'), eventEnv(e, i))
		if ctx.Err() != nil {
			return context.Cause(ctx) // it counts as not run
		}
		if err != nil {
			about := cmp.Or(e.GetName(), e.GetRepo(), "this node")
			if len(e.GetRefs()) > 0 {
				about += " " + e.GetRefs()[i].GetName()
			}
			warn(r.app.errs, "the command failed for %s of %s, index %d: %v", e.GetKind(), about, e.GetIndex(), err)
		}
	}
	return nil
}

func (r *runner) once(ctx context.Context, stdin []byte, env []string) error {
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("it took longer than %s (--exec-timeout)", r.timeout))
		defer cancel()
	}
	c := exec.CommandContext(ctx, "sh", "-c", r.command)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(stdin), r.app.out, r.app.errs
	c.Env = append(append([]string{}, r.env...), env...)
	// A group of its own: whatever it started ends with it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = execGrace
	err := c.Run()
	if ctx.Err() != nil && c.Process != nil {
		endGroup(c.Process.Pid)
		return context.Cause(ctx)
	}
	return err
}

// endGroup ends what is left of a process group that was told to end: the shell may
// be gone before what it ran.
func endGroup(leader int) {
	for deadline := time.Now().Add(execLeftGrace); time.Now().Before(deadline); time.Sleep(execPoll) {
		if syscall.Kill(-leader, 0) != nil {
			return
		}
	}
	_ = syscall.Kill(-leader, syscall.SIGKILL)
}

// eventEnv is what the command finds in its environment of an event, about the i-th of its refs.
// All of it is always set, so that nothing is inherited. No flag of peer has one of
// these names, or the command's own calls of peer would take them for theirs.
func eventEnv(e *pb.Event, i int) []string {
	var ref pb.RefChange
	number := ""
	if i < len(e.GetRefs()) {
		r := e.GetRefs()[i]
		ref.Name, ref.Old, ref.New, number = r.GetName(), r.GetOld(), r.GetNew(), strconv.Itoa(i+1)
	}
	return []string{
		"PEER_EVENT=" + e.GetKind(),
		"PEER_REPO=" + e.GetRepo(),
		"PEER_REPO_NAME=" + e.GetName(),
		"PEER_REPO_URL=" + e.GetUrl(),
		"PEER_INDEX=" + strconv.FormatUint(e.GetIndex(), 10),
		"PEER_TERM=" + strconv.FormatUint(e.GetTerm(), 10),
		"PEER_TIME=" + time.UnixMilli(e.GetUnixMs()).UTC().Format(time.RFC3339),
		"PEER_LEADER=" + e.GetLeader(),
		"PEER_SIGNER=" + e.GetSigner(),
		"PEER_MEMBER=" + e.GetPeer(),
		"PEER_DETAIL=" + e.GetDetail(),
		"PEER_REF=" + ref.GetName(),
		"PEER_OLD=" + ref.GetOld(),
		"PEER_NEW=" + ref.GetNew(),
		"PEER_REF_COUNT=" + strconv.Itoa(len(e.GetRefs())),
		"PEER_REF_NUMBER=" + number,
	}
}
