package gitd

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"peer/git"
)

// dial connects without git.
func dial(t *testing.T, s *Server) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.Addr(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func pkt(text string) string { return string(git.AppendPkt(nil, []byte(text))) }

const goodRequest = "git-upload-pack /ann/demo\x00host=localhost\x00\x00version=2\x00"

func TestHostileRequests(t *testing.T) {
	t.Parallel()
	_, s, _ := filled(t, nil)
	for _, test := range []struct{ name, sent, answer string }{
		{"http", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", ""},
		{"tls", "\x16\x03\x01\x02\x00\x01\x00", ""},
		{"nothing", "", ""},
		{"half a header", "00", ""},
		{"half a line", "0030git-upload", ""},
		{"flush", "0000", ""},
		{"delimiter", "0001", ""},
		{"length 3", "0003", ""},
		{"no payload", "0004", ""},
		{"signed length", "-001", ""},
		{"spaced length", " 01f", ""},
		{"largest length", "ffff" + strings.Repeat("x", 70_000), ""},
		{"over the limit", pkt("git-upload-pack /ann/demo\x00host=" + strings.Repeat("x", requestBytesMax)), ""},
		{"no service", pkt("/ann/demo"), ""},
		{"unknown service", pkt("git-shell /ann/demo\x00host=x\x00"), ""},
		{"upper case", pkt("GIT-UPLOAD-PACK /ann/demo\x00host=x\x00"), ""},
		{"no path", pkt("git-upload-pack\x00host=x\x00"), ""},
		{"empty path", pkt("git-upload-pack \x00host=x\x00"), "ERR peer: want git://"},
		{"relative path", pkt("git-upload-pack ann/demo\x00host=x\x00"), "ERR peer: want git://"},
		{"percent", pkt("git-upload-pack /ann/de%6Do\x00host=x\x00"), "ERR peer: want git://"},
		{"home", pkt("git-upload-pack /~ann/demo\x00host=x\x00"), "ERR peer: want git://"},
		{"climbing", pkt("git-upload-pack /ann/../demo\x00host=x\x00"), "ERR peer: want git://"},
		{"climbing out", pkt("git-upload-pack /../demo\x00host=x\x00"), "ERR peer: no such repository"},
		{"option", pkt("git-upload-pack /ann/--upload-pack=x\x00host=x\x00"), "ERR peer: want git://"},
		{"dashes", pkt("git-upload-pack /ann/--strict\x00host=x\x00"), "ERR peer: no such repository"},
		{"invalid UTF-8", pkt("git-upload-pack /ann/de\xffmo\x00host=x\x00"), "ERR peer: want git://"},
		{"newline within", pkt("git-upload-pack /ann/de\nmo\x00host=x\x00"), "ERR peer: want git://"},
		{"push", pkt("git-receive-pack /ann/demo\x00host=x\x00"), "ERR peer: this port is read-only"},
		{"push to nowhere", pkt("git-receive-pack /bob/demo\x00host=x\x00"), "ERR peer: no such repository"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, s)
			_, _ = io.WriteString(c, test.sent) // the server may have hung up on the beginning
			_ = c.CloseWrite()
			raw, _ := io.ReadAll(c) // likewise
			got := string(raw)
			switch {
			case test.answer == "" && got != "":
				t.Errorf("answers %q", got)
			case test.answer != "" && (len(got) < pktHeaderBytes || !strings.HasPrefix(got[pktHeaderBytes:], test.answer)):
				t.Errorf("answers %q, want %q", got, test.answer)
			}
		})
	}
}

func TestSilentAndSlow(t *testing.T) {
	t.Parallel()
	_, s, _ := filled(t, func(o *Options) { o.RequestTimeout = 300 * time.Millisecond })
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		c := dial(t, s)
		if _, err := io.ReadAll(c); isTimeout(err) {
			t.Error("a client that says nothing is not cut off")
		}
	})
	t.Run("a byte at a time", func(t *testing.T) {
		t.Parallel()
		c := dial(t, s)
		cut := make(chan struct{})
		go func() {
			defer close(cut)
			_, _ = io.ReadAll(c)
		}()
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for _, b := range []byte(pkt(goodRequest)) {
			select {
			case <-cut:
				return
			case <-ticker.C:
				_, _ = c.Write([]byte{b})
			}
		}
		t.Error("a client that dribbles is served all the same")
	})
}

func TestIdle(t *testing.T) {
	t.Parallel()
	b, s, p := filled(t, func(o *Options) { o.IdleTimeout = 300 * time.Millisecond })
	t.Run("after the listing", func(t *testing.T) {
		c := dial(t, s)
		_, _ = io.WriteString(c, pkt(goodRequest))
		if _, err := io.ReadAll(c); isTimeout(err) {
			t.Error("a client that asks for nothing is not cut off")
		}
	})
	t.Run("in the middle of a pack", func(t *testing.T) {
		p.commit("w", "big", noise(30<<20)) // more than the socket buffers hold
		p.ok("w", "push", "--quiet", b.dir, "main")
		c := dial(t, s)
		oid := p.ok("w", "rev-parse", "HEAD")
		_, _ = io.WriteString(c, pkt("git-upload-pack /ann/demo\x00host=x\x00")+pkt("want "+oid+" ofs-delta\n")+"0000"+pkt("done\n"))
		eventually(t, "a stream is open", func() bool { return b.openStreams() > 0 })
		eventually(t, "a client that reads nothing is cut off", func() bool { return b.openStreams() == 0 })
	})
	t.Run("a replica that says nothing", func(t *testing.T) {
		b.set(func() { b.noListen = true })
		c := dial(t, s)
		_, _ = io.WriteString(c, pkt(goodRequest))
		if _, err := io.ReadAll(c); isTimeout(err) {
			t.Error("the client waits for ever")
		}
		eventually(t, "its stream is closed", func() bool { return b.openStreams() == 0 })
	})
}

func (b *fakeBackend) openStreams() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.streams)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	b, s, p := filled(t, func(o *Options) { o.ConnectionsMax = 2 })
	var held []net.Conn
	for range 2 {
		c := dial(t, s)
		_, _ = io.WriteString(c, pkt(goodRequest))
		held = append(held, c)
	}
	eventually(t, "both are served", func() bool { return b.openStreams() == 2 })
	p.fails("remote error: peer: this port is busy: it serves 2 connections already", "", "ls-remote", p.url)
	p.fails("remote error: peer: this port is busy: it serves 2 connections already", "w", "push", p.url, "main")
	// Those who are one too many and silent get no more than their share either.
	for range refusalsMax + 10 {
		dial(t, s)
	}
	for _, c := range held {
		_ = c.Close()
	}
	eventually(t, "a place is free again", func() bool { _, code := p.run("", "ls-remote", p.url); return code == 0 })
}

// One address gets no more than its share.
func TestOneAddressDoesNotTakeAllConnections(t *testing.T) {
	t.Parallel()
	b, s, _ := filled(t, func(o *Options) { o.ConnectionsMax, o.AddressMax = 6, 2 })
	from := func(address string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		c, err := d.DialContext(t.Context(), "tcp", s.Addr())
		if err != nil {
			t.Skipf("this machine has one loopback address only: %v", err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, pkt(goodRequest)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	from("127.0.0.1")
	first := from("127.0.0.1")
	eventually(t, "two are served", func() bool { return b.openStreams() == 2 })
	refused, _ := io.ReadAll(from("127.0.0.1")) // it ends as it likes
	if !strings.Contains(string(refused), "busy: it serves 2 connections of your address already") {
		t.Errorf("one too many reads %q", refused)
	}
	from("127.0.0.2")
	eventually(t, "another address is served", func() bool { return b.openStreams() == 3 })
	_ = first.Close()
	eventually(t, "a place is free again", func() bool { return b.openStreams() == 2 })
	eventually(t, "the first address is served again", func() bool { from("127.0.0.1"); return b.openStreams() == 3 })
}

func TestAddressOf(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%lo": "fe80::",
	} {
		addr := netip.MustParseAddr(text)
		c := addressed{from: net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 1))}
		if got := addressOf(c).String(); got != want {
			t.Errorf("%s counts for %s, want %s", text, got, want)
		}
	}
}

type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

// TestClose ends connections in each state, and waits for them.
func TestClose(t *testing.T) {
	t.Parallel()
	b, s, _ := filled(t, nil)
	silent, reading := dial(t, s), dial(t, s)
	_, _ = io.WriteString(reading, pkt(goodRequest))
	eventually(t, "one is served", func() bool { return b.openStreams() == 1 })
	done := make(chan error, 1)
	go func() { done <- s.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Close hangs")
	}
	for _, c := range []net.Conn{silent, reading} {
		if _, err := io.ReadAll(c); isTimeout(err) {
			t.Error("a connection outlived the server")
		}
	}
	if n := b.openStreams(); n > 0 {
		t.Errorf("%d streams outlived the server", n)
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("it still listens")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	_, s, _ := filled(t, nil)
	if _, err := Serve(t.Context(), Options{Addr: s.Addr(), Backend: newFake(t, "sha1")}); err == nil {
		t.Error("two servers on one port")
	}
	if _, err := Serve(t.Context(), Options{Addr: ":0"}); err == nil {
		t.Error("a server without a backend")
	}
	if !strings.HasPrefix(s.Addr(), "127.0.0.1:") {
		t.Errorf(`":0" listens on %s`, s.Addr())
	}
}
