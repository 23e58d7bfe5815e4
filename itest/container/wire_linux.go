package container

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// wire carries packets between machines in this process, so that they can be late
// or get lost without the kernel's help. Each machine gets a device whose other
// end is here, and routes through it to all others; addresses stay as they are,
// and so do connections. A machine's end goes with its run.
type wire struct {
	mu    sync.Mutex
	link  link
	ports map[netip.Addr]*port
	all   sync.WaitGroup

	plugging sync.Mutex // held while a machine is plugged in: several may want it at once
}

// port is a machine's end.
type port struct {
	pid    int // of the machine's run
	device *os.File
	in     chan packet // to the machine
	closed chan struct{}
}

type packet struct {
	due  time.Time
	data []byte
}

const (
	wireDevice  = "wire0"
	wireQueue   = 16384 // packets; more are lost
	packetBytes = 1 << 16
)

// newWire checks that there can be one.
func newWire() (*wire, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	if os.Geteuid() != 0 {
		err = errors.New("not root")
	}
	return &wire{ports: map[netip.Addr]*port{}}, errors.Join(err, unix.Close(fd))
}

func (w *wire) set(l link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.link = l
}

// attach plugs a machine in, unless it is, and has all others route to it.
func (w *wire) attach(m *machine) error {
	w.plugging.Lock()
	defer w.plugging.Unlock()
	state, err := m.ctr.State(m.c.t.Context())
	if err != nil {
		return err
	}
	w.mu.Lock()
	old := w.ports[m.ip]
	w.mu.Unlock()
	if old != nil {
		if old.pid == state.Pid {
			return w.route(m)
		}
		_ = old.device.Close() // of an earlier run: its namespace goes when it likes
	}
	device, err := openTun(state.Pid)
	if err != nil {
		return fmt.Errorf("device for %s: %w", m.name, err)
	}
	p := &port{pid: state.Pid, device: device, in: make(chan packet, wireQueue), closed: make(chan struct{})}
	w.mu.Lock()
	w.ports[m.ip] = p
	w.mu.Unlock()
	w.all.Go(func() { w.carry(p) })
	w.all.Go(p.deliver)
	if err := m.root("", "ip", "link", "set", wireDevice, "mtu", "1400", "up"); err != nil {
		return err
	}
	return w.route(m)
}

// route sends what goes from m to all others through the wire. Those that are not
// plugged in yet do the same when they are.
func (w *wire) route(m *machine) error {
	var script strings.Builder
	for _, other := range m.c.everybody() {
		if other != m {
			fmt.Fprintf(&script, "ip route replace %s/32 dev %s src %s\n", other.ip, wireDevice, m.ip)
		}
	}
	return m.root(script.String(), "sh", "-e", "-s")
}

// openTun makes a device in the network namespace of a process.
func openTun(pid int) (*os.File, error) {
	type made struct {
		file *os.File
		err  error
	}
	done := make(chan made)
	go func() {
		// The thread is not given back: it ends with this goroutine, wherever it is.
		runtime.LockOSThread()
		file, err := openTunHere(pid)
		done <- made{file, err}
	}()
	m := <-done
	return m.file, m.err
}

func openTunHere(pid int) (*os.File, error) {
	space, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	defer space.Close()
	if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	// Only now: a device belongs to the namespace in which the file was opened.
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(wireDevice)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), wireDevice), nil // only now: the poller takes it as it is
}

// carry takes what a machine sends to those it is for.
func (w *wire) carry(p *port) {
	defer close(p.closed)
	defer p.device.Close()
	for {
		data := make([]byte, packetBytes)
		n, err := p.device.Read(data)
		if err != nil { // the machine ended, or the test
			return
		}
		if to, late := w.target(data[:n]); to != nil {
			select {
			case to.in <- packet{time.Now().Add(late), data[:n:n]}:
			default: // as any router does
			}
		}
	}
}

// target is where a packet goes, and how late; nil, and it is lost.
func (w *wire) target(data []byte) (*port, time.Duration) {
	if len(data) < 20 || data[0]>>4 != 4 || int(binary.BigEndian.Uint16(data[2:])) != len(data) {
		return nil, 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if rand.Float64() < w.link.loss {
		return nil, 0
	}
	return w.ports[netip.AddrFrom4([4]byte(data[16:20]))], w.link.delay
}

// deliver hands packets to the machine, each when it is due, in order.
func (p *port) deliver() {
	for {
		select {
		case next := <-p.in:
			time.Sleep(time.Until(next.due))
			if _, err := p.device.Write(next.data); err != nil && errors.Is(err, os.ErrClosed) {
				return
			}
		case <-p.closed:
			return
		}
	}
}

// close ends all carrying.
func (w *wire) close() {
	w.mu.Lock()
	for _, p := range w.ports {
		_ = p.device.Close()
	}
	w.mu.Unlock()
	w.all.Wait()
}
