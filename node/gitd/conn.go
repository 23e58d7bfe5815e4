package gitd

import (
	"io"
	"net"
	"syscall"
	"time"

	"peer/git"
)

// conn is a client's connection. A read of it acknowledges at once what comes.
type conn struct {
	net.Conn // NB: not a *net.TCPConn, whose ReadFrom and WriteTo would get round ours
	tcp      *net.TCPConn
	raw      syscall.RawConn // nil if there is none; then acknowledgements are the kernel's
	idle     time.Duration   // 0: deadlines are set by hand
}

func newConn(tcp *net.TCPConn) *conn {
	_ = tcp.SetNoDelay(true) // Go's default, and what this package lives by
	c := &conn{Conn: tcp, tcp: tcp}
	c.raw, _ = tcp.SyscallConn()
	return c
}

// Read acknowledges twice: the kernel forgets the wish whenever it takes the
// connection for an interactive one, which it does as soon as we answer.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.moved(); err != nil {
		return 0, err
	}
	c.acknowledge()
	n, err := c.Conn.Read(p)
	c.acknowledge()
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.moved(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// moved grants the time until the next byte. A client that only reads is not
// idle, so one deadline stands for both directions.
func (c *conn) moved() error {
	if c.idle == 0 {
		return nil
	}
	return c.SetDeadline(time.Now().Add(c.idle))
}

func (c *conn) acknowledge() {
	if c.raw != nil {
		quickAck(c.raw)
	}
}

// local says that both ends are on this machine, and that nobody else's could be.
func (c *conn) local() bool { return isLoopback(c.LocalAddr()) && isLoopback(c.RemoteAddr()) }

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// refuse says why, and then waits until the client has heard it.
func (c *conn) refuse(text string) {
	c.idle = 0
	_ = c.SetDeadline(time.Now().Add(lingerTimeout))
	if _, err := c.Write(git.AppendPkt(nil, []byte("ERR peer: "+plainLine(text)))); err == nil {
		c.linger()
	}
}

// linger ends our side and reads until the client ends its own: closing with
// bytes unread would make the kernel take back what was sent.
func (c *conn) linger() {
	c.idle = 0
	_ = c.SetDeadline(time.Now().Add(lingerTimeout))
	if c.tcp.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c, lingerBytesMax)
	}
}
