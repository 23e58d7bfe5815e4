package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"peer/git"
	"peer/replica"
)

// refsMax bounds one push and one listing.
const refsMax = replica.RefsMax

// commands reads git's side of the dialogue. What lies in its buffer after a
// connect belongs to the tunnel: read on from in, never from the source.
type commands struct{ in *bufio.Reader }

func newCommands(in io.Reader) commands {
	return commands{bufio.NewReaderSize(in, git.HelperLineBytesMax)}
}

// next returns one line without its end. A read from git can't be interrupted,
// so when ctx ends first the reading goroutine is left behind: the process is
// about to exit.
func (c commands) next(ctx context.Context) (string, error) {
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := c.readLine()
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (c commands) readLine() (string, error) {
	line, err := c.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("git sent a line longer than %d bytes", git.HelperLineBytesMax)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	return string(line[:len(line)-1]), nil
}
