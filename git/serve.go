package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"
)

// Gate is the read side of the lock under which refs are published: while it is
// held, refs and HEAD belong to one index. It is never held while a client is
// waited for.
type Gate interface {
	RLock()
	RUnlock()
}

const (
	// listingTimeout bounds how long a listing may hold the gate. Git lists
	// 100,000 refs in a fraction of a second.
	listingTimeout = 30 * time.Second

	// lsRefsBytesMax bounds a request to list, which is held in memory: git itself
	// forgets prefixes beyond 65,536.
	lsRefsBytesMax = 8 << 20

	// commandBytesMax bounds what precedes the arguments of a request.
	commandBytesMax = 64 << 10
)

// UploadPack serves one fetch, clone or ls-remote by a git upload-pack, whose
// protocol passes through unchanged: version 0, 1 or 2, which is up to the
// caller. Each listing in it is of one index: the gate is held from before git
// may read a ref until it has written the last one, into a buffer.
//
// It returns when the child has ended. With versions 0 and 1 a goroutine reads
// from in until then; to end that, in should have a SetReadDeadline (as streams
// and connections have) or a Close, and must not be read any more. When the
// context ends git is killed; ending a Read or Write that hangs, and idle
// clients, is up to whoever owns the stream.
func (r *Repo) UploadPack(ctx context.Context, in io.Reader, out io.Writer, version int, gate Gate) error {
	c := &Command{Args: []string{"upload-pack", "--strict", r.dir}, Dir: r.dir}
	version = min(version, 2) // git takes what it doesn't know for version 0
	if version > 0 {
		c.Env = []string{"GIT_PROTOCOL=version=" + strconv.Itoa(version)}
	}
	s, err := startServer(ctx, c, gate, version < 2)
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.dir, err)
	}
	if version >= 2 {
		err = s.serveV2(in, out)
	} else {
		err = s.serveV0(in, out)
	}
	if err = s.finish(err); err != nil {
		return fmt.Errorf("repository %s: %w", r.dir, err)
	}
	return nil
}

// UploadArchive serves git archive --remote. It resolves one name, which is as
// atomic as the file that holds it, so the gate is only waited for.
func (r *Repo) UploadArchive(ctx context.Context, in io.Reader, out io.Writer, gate Gate) error {
	c := &Command{Args: []string{"upload-archive", r.dir}, Dir: r.dir}
	s, err := startServer(ctx, c, gate, true)
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.dir, err)
	}
	gate.RUnlock()
	if err := s.finish(s.tunnel(in, out)); err != nil {
		return fmt.Errorf("repository %s: %w", r.dir, err)
	}
	return nil
}

// server is a child that talks pkt-lines.
type server struct {
	p     *process
	stdin io.WriteCloser
	child *PktReader
	gate  Gate
}

// startServer starts the child, behind the gate if it reads refs as it starts.
// The gate stays held then.
func startServer(ctx context.Context, c *Command, gate Gate, gated bool) (s *server, err error) {
	if gated {
		gate.RLock()
		defer func() {
			if err != nil {
				gate.RUnlock()
			}
		}()
	}
	p, err := c.prepare(ctx)
	if err != nil {
		return nil, err
	}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.start(c); err != nil {
		return nil, err
	}
	return &server{p: p, stdin: stdin, child: NewPktReader(stdout), gate: gate}, nil
}

// errChildEnded stands for the error that the child's exit code tells better.
var errChildEnded = errors.New("git ended in the middle of an answer")

// finish waits for the child, killing it if serving failed.
func (s *server) finish(err error) error {
	ended := errors.Is(err, errChildEnded)
	if err != nil && !ended {
		s.p.kill()
	}
	_ = s.stdin.Close()
	werr := s.p.wait()
	if werr != nil && (err == nil || ended || context.Cause(s.p.ctx) != nil) {
		return werr
	}
	return err
}

var errListingTime = errors.New("git took too long to list the refs")

// list takes in one listing, up to the flush that ends it. If the child ends
// before that, what it said is kept and the error is errChildEnded. The gate is
// held on entry and released on return.
func (s *server) list(to *spool) error {
	defer s.gate.RUnlock()
	var late atomic.Bool
	timer := time.AfterFunc(listingTimeout, func() {
		late.Store(true)
		s.p.kill()
	})
	defer timer.Stop()
	for {
		pkt, err := s.child.Next()
		if late.Load() {
			return errListingTime
		}
		if errors.Is(err, io.EOF) {
			return errChildEnded
		}
		if err != nil {
			return fmt.Errorf("list refs: %w", err)
		}
		if _, err := to.Write(pkt.Raw); err != nil {
			return fmt.Errorf("list refs: %w", err)
		}
		if pkt.Kind == PktFlush {
			return nil
		}
	}
}

// passListing is list, and then on to the client without the gate.
func (s *server) passListing(out io.Writer) error {
	to := new(spool)
	defer to.Close()
	err := s.list(to)
	if err != nil && !errors.Is(err, errChildEnded) {
		return err
	}
	if _, werr := to.WriteTo(out); werr != nil {
		return fmt.Errorf("to client: %w", werr)
	}
	return err
}

// serveV0 is for versions 0 and 1: the listing comes first, and afterwards the
// two sides talk as they like.
func (s *server) serveV0(in io.Reader, out io.Writer) error {
	if err := s.passListing(out); err != nil {
		return err
	}
	return s.tunnel(in, out)
}

// tunnel copies both ways until the child has written its last byte.
func (s *server) tunnel(in io.Reader, out io.Writer) error {
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		// The child's exit code tells whether it got what it wanted.
		_, _ = io.Copy(s.stdin, in)
		_ = s.stdin.Close()
	}()
	_, err := io.Copy(out, s.child.rest())
	if err != nil {
		s.p.kill()
		err = fmt.Errorf("to client: %w", err)
	}
	unblock(in)
	<-fed
	return err
}

// unblock ends a Read that waits for a client who has nothing more to say.
func unblock(in io.Reader) {
	if d, ok := in.(interface{ SetReadDeadline(time.Time) error }); ok && d.SetReadDeadline(time.Unix(1, 0)) == nil {
		return
	}
	if c, ok := in.(io.Closer); ok {
		_ = c.Close()
	}
}
