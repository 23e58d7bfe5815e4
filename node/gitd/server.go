package gitd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// ErrClosed is why the connections of a closed server end.
var ErrClosed = errors.New("git daemon is closed")

// service is what there is to serve, whatever the way.
type service struct {
	o   Options
	log *slog.Logger
}

// Server is a git daemon that listens.
type Server struct {
	service
	listener net.Listener

	ctx    context.Context // ends, with its cause, when the server closes
	cancel context.CancelCauseFunc
	work   sync.WaitGroup // every goroutine of the server

	crowd    crowd
	refusals chan struct{}
}

// Serve begins to listen and returns at once. The server ends with ctx, or with
// Close.
func Serve(ctx context.Context, o Options) (*Server, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	listener, err := o.listen(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{
		service: service{o, o.Logger}, listener: listener,
		crowd:    crowd{most: o.ConnectionsMax, each: o.AddressMax, of: map[netip.Addr]int{}},
		refusals: make(chan struct{}, refusalsMax),
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	context.AfterFunc(s.ctx, func() { _ = listener.Close() })
	s.work.Go(s.accept)
	return s, nil
}

// listen opens the port, and sets what depends on where it is.
func (o *Options) listen(ctx context.Context) (net.Listener, error) {
	addr := o.Addr
	if strings.HasPrefix(addr, ":") {
		addr = "127.0.0.1" + addr
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve git: %w", err)
	}
	if listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		setDefault(&o.AddressMax, o.ConnectionsMax)
	}
	setDefault(&o.AddressMax, addressMax)
	return listener, nil
}

// Addr is where the server listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends all connections and waits for them.
func (s *Server) Close() error {
	s.cancel(ErrClosed)
	_ = s.listener.Close() // it may have been closed already
	s.work.Wait()
	return nil
}

// accept goes on after a failure: most are a client that left early, or too many
// open files for the moment.
func (s *Server) accept() {
	pause := time.Millisecond
	for {
		tcp, err := s.listener.Accept()
		if s.ctx.Err() != nil {
			if err == nil {
				_ = tcp.Close()
			}
			return
		}
		if err != nil {
			s.log.Warn("git daemon can't accept", "error", err)
			s.sleep(pause)
			pause = min(2*pause, acceptPauseMax)
			continue
		}
		pause = time.Millisecond
		s.admit(newConn(tcp.(*net.TCPConn)))
	}
}

func (s *Server) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

// admit starts to serve a connection, or to refuse it.
func (s *Server) admit(c *conn) {
	from := addressOf(c)
	serve, leave := s.serve, func() { s.crowd.leave(from) }
	if full := s.crowd.enter(from); full != "" {
		select {
		case s.refusals <- struct{}{}:
		default:
			_ = c.Close()
			return
		}
		serve, leave = func(c *conn) { s.turnAway(c, full) }, func() { <-s.refusals }
	}
	s.work.Go(func() {
		defer leave()
		stop := context.AfterFunc(s.ctx, func() { _ = c.Close() })
		defer stop()
		defer c.Close()
		serve(c)
	})
}

// turnAway reads the request first: a client that still writes while we close
// would lose what we said.
func (s *Server) turnAway(c *conn, full string) {
	_ = c.SetDeadline(time.Now().Add(refuseTimeout))
	if _, err := readRequest(c); err != nil && !errors.Is(err, errBadPath) {
		return
	}
	c.refuse(full)
}

// serve reads what one client wants, and gives it.
func (s *Server) serve(c *conn) {
	start := time.Now()
	log := s.log.With("from", c.RemoteAddr())
	_ = c.SetDeadline(start.Add(s.o.RequestTimeout))
	q, err := readRequest(c)
	if err != nil && !errors.Is(err, errBadPath) {
		log.Debug("no git client", "error", err)
		return
	}
	_ = c.SetDeadline(time.Time{})
	log = log.With("service", q.service, "path", q.path)
	if err == nil {
		err = s.answer(c, q)
	}
	s.report(s.ctx, log, time.Since(start), err)
	if text := refusalText(err); text != "" && s.ctx.Err() == nil {
		c.refuse(text)
	}
}

// report logs how a request ended. Only what is wrong with this node is worth
// an operator's attention.
func (s *service) report(ctx context.Context, log *slog.Logger, took time.Duration, err error) {
	var broken *brokenError
	switch {
	case err == nil:
		log.Debug("git client served", "took", took)
	case ctx.Err() != nil, errors.As(err, &broken), errors.Is(err, ErrNotFound), refused(err):
		log.Debug("git client not served", "took", took, "error", err)
	default:
		log.Warn("git client not served", "took", took, "error", err)
	}
}
