package gitd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"peer/identity"
)

// HTTPServer serves git's smart HTTP protocol.
//
// A request of HTTP is a conversation of its own: what a client learned in one it
// repeats in the next. So each is a session with a replica, which begins when all of
// the request is here, and ends with the answer.
type HTTPServer struct {
	service
	listener *webListener
	web      *http.Server

	ctx    context.Context // ends, with its cause, when the server closes
	cancel context.CancelCauseFunc
	work   sync.WaitGroup
}

// Limits of a request over HTTP.
const (
	headerBytesMax = 16 << 10
	fetchBytesMax  = 8 << 20 // of what a client has and wants, unpacked: 160,000 objects
	keepAliveMax   = 30 * time.Second
)

// ServeHTTP begins to listen and returns at once. The server ends with ctx, or with
// Close.
func ServeHTTP(ctx context.Context, o Options) (*HTTPServer, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	listener, err := o.listen(ctx)
	if err != nil {
		return nil, err
	}
	s := &HTTPServer{service: service{o, o.Logger}}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.listener = &webListener{
		Listener: listener, s: s,
		crowd: crowd{most: o.ConnectionsMax, each: o.AddressMax, of: map[netip.Addr]int{}},
	}
	s.web = &http.Server{
		Handler: s, ReadHeaderTimeout: o.RequestTimeout, IdleTimeout: keepAliveMax, MaxHeaderBytes: headerBytesMax,
		DisableGeneralOptionsHandler: true, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn), BaseContext: func(net.Listener) context.Context { return s.ctx },
	}
	s.work.Go(func() { _ = s.web.Serve(s.listener) }) // ends when the listener does
	context.AfterFunc(s.ctx, func() { _ = listener.Close() })
	return s, nil
}

// Addr is where the server listens, as host:port.
func (s *HTTPServer) Addr() string { return s.listener.Addr().String() }

// Close ends all connections and waits for them.
func (s *HTTPServer) Close() error {
	s.cancel(ErrClosed) // which closes each connection
	err := s.web.Shutdown(context.Background())
	s.work.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// ServeHTTP implements [http.Handler].
func (s *HTTPServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	log := s.log.With("from", r.RemoteAddr, "path", r.URL.Path)
	for name, value := range map[string]string{
		"Cache-Control": "no-cache, max-age=0, must-revalidate", "Pragma": "no-cache", "Expires": "Fri, 01 Jan 1980 00:00:00 GMT",
		"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		w.Header().Set(name, value)
	}
	err := admitPage(r, s.o.Names)
	var q webRequest
	if err == nil {
		q, err = parseWeb(r)
	}
	if err == nil {
		err = s.answer(w, r, q)
	}
	var said *httpError
	if errors.As(err, &said) {
		log.Debug("git client not served", "status", said.status, "error", err)
	} else {
		s.report(s.ctx, log.With("service", q.service), time.Since(start), err)
	}
	s.end(w, r, err)
}

// end tells a client of an error, if it can still be told.
func (s *HTTPServer) end(w http.ResponseWriter, r *http.Request, err error) {
	var broken *brokenError
	if errors.As(err, &broken) {
		panic(http.ErrAbortHandler) // so that half an answer is not taken for a whole one
	}
	if err == nil {
		return
	}
	e := webError(err)
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(lingerTimeout))
	_ = rc.SetReadDeadline(time.Now().Add(lingerTimeout)) // for what is left of the request, which is read after us
	w.Header().Set("Connection", "close")                 // what else it sends is of no use
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(e.status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, "peer: "+plainLine(e.text)+"\n")
	}
}

// answer serves one request. Errors come before git has spoken, unless they are a
// *brokenError.
func (s *HTTPServer) answer(w http.ResponseWriter, r *http.Request, q webRequest) error {
	repo, err := q.address(s.o.Backend.Owner)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	out := &webWriter{w: w, rc: http.NewResponseController(w), idle: s.o.IdleTimeout}
	if q.service == ReceivePack {
		return s.push(ctx, cancel, out, r, q, repo)
	}
	return s.read(ctx, cancel, out, r, q, repo)
}

// mayPush refuses pushes from elsewhere.
func (s *HTTPServer) mayPush(r *http.Request, repo identity.Address) error {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	switch {
	case !s.o.Push:
		return &httpError{http.StatusForbidden, "this port is read-only: push to " + repo.URL()}
	case !ok || err != nil || !isLoopback(local) || !remote.Addr().Unmap().IsLoopback() || forwarded(r.Header):
		return &httpError{http.StatusForbidden, "this port takes pushes from its own machine only: push to " + repo.URL()}
	}
	return nil
}

// push lists for a push, or takes one.
func (s *HTTPServer) push(ctx context.Context, cancel context.CancelCauseFunc, out *webWriter, r *http.Request, q webRequest, repo identity.Address) error {
	if err := s.mayPush(r, repo); err != nil {
		return err
	}
	var body *spool
	if !q.listing {
		var err error
		if body, err = s.takeBody(out, r, s.o.PackBytesMax, false); err != nil {
			return err
		}
		defer body.Close()
	}
	push, err := opening(cancel, func() (Push, error) { return s.o.Backend.OpenPush(ctx, repo) })
	if err != nil {
		return err
	}
	defer push.Close()
	out.begin(q)
	if q.listing {
		if err := s.advertise(out, min(q.version, 1), push); err != nil {
			return &brokenError{err}
		}
		return nil
	}
	_, err = s.receive(ctx, body.open(), out, push)
	if err != nil && out.wrote { // the client has the report, and the whole of it
		s.log.Debug("push not read", "error", err)
		return nil
	}
	return err
}
