package itest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// switchboard gives every node a network namespace of its own, all of them plugged
// into one bridge, so that a test can pull the plugs. A pulled one is silent: what
// is sent vanishes, and connections stay. The nodes' sockets in their homes are
// files, and work all the same.
type switchboard struct {
	prefix string // of the namespaces' names; they don't outlive the test
	ports  int    // of nodes; people have one more
}

// switchboardPrefix begins the names of all namespaces of tests; the process ID
// follows, so that those of a test that died can be told.
const switchboardPrefix = "peer-it-"

// newSwitchboard makes one for some nodes. It returns nil, and the reason, where
// that can't be done: it needs root, and the ip command.
func newSwitchboard(t testing.TB, nodes int) (*switchboard, error) {
	t.Helper()
	sweepSwitchboards()
	s := &switchboard{prefix: fmt.Sprintf("%s%d-%d-", switchboardPrefix, os.Getpid(), freePort(t)), ports: nodes}
	t.Cleanup(s.remove)
	if err := s.build(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *switchboard) name(port string) string { return s.prefix + port }

// host is the address of node i.
func (s *switchboard) host(i int) string { return fmt.Sprintf("10.77.0.%d", i+1) }

// within is what runs a command in the namespace of node i, or in that of people
// for -1.
func (s *switchboard) within(i int) []string {
	return []string{"nsenter", "--net=/run/netns/" + s.name(portName(i)), "--"}
}

func portName(i int) string {
	if i < 0 {
		return "people"
	}
	return fmt.Sprint("node", i+1)
}

func (s *switchboard) build() error {
	board := s.name("board")
	if err := ip("netns", "add", board); err != nil {
		return err
	}
	if err := ip("-n", board, "link", "add", "bridge", "type", "bridge"); err != nil {
		return err
	}
	if err := ip("-n", board, "link", "set", "bridge", "up"); err != nil {
		return err
	}
	for i := -1; i < s.ports; i++ {
		if err := s.plug(board, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *switchboard) plug(board string, i int) error {
	address := s.host(i) + "/24"
	if i < 0 {
		address = "10.77.0.200/24"
	}
	port, space := portName(i), s.name(portName(i))
	for _, args := range [][]string{
		{"netns", "add", space},
		{"-n", board, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space},
		{"-n", board, "link", "set", port, "master", "bridge"},
		{"-n", board, "link", "set", port, "up"},
		{"-n", space, "addr", "add", address, "dev", "eth0"},
		{"-n", space, "link", "set", "eth0", "up"},
		{"-n", space, "link", "set", "lo", "up"},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// apart keeps the named nodes from each other, and lets them reach all others. No
// nodes at all: everybody reaches everybody.
func (s *switchboard) apart(nodes ...int) error {
	for i := range s.ports {
		state := "off"
		for _, n := range nodes {
			if n == i {
				state = "on"
			}
		}
		if err := ip("-n", s.name("board"), "link", "set", "dev", portName(i), "type", "bridge_slave", "isolated", state); err != nil {
			return err
		}
	}
	return nil
}

// pull keeps node i from everybody; plugIn is the contrary.
func (s *switchboard) pull(i int) error   { return s.portState(i, "0") }
func (s *switchboard) plugIn(i int) error { return s.portState(i, "3") }

func (s *switchboard) portState(i int, state string) error {
	return ip("-n", s.name("board"), "link", "set", "dev", portName(i), "type", "bridge_slave", "state", state)
}

func (s *switchboard) remove() {
	removeSpaces(s.prefix)
}

// sweepSwitchboards removes what tests left that were killed.
func sweepSwitchboards() {
	found, _ := filepath.Glob("/run/netns/" + switchboardPrefix + "*-board")
	for _, path := range found {
		name := strings.TrimSuffix(filepath.Base(path), "board")
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, switchboardPrefix), "-")
		if number, err := strconv.Atoi(pid); err == nil && syscall.Kill(number, 0) == syscall.ESRCH {
			removeSpaces(name)
		}
	}
}

func removeSpaces(prefix string) {
	found, _ := filepath.Glob("/run/netns/" + prefix + "*")
	for _, path := range found {
		_ = ip("netns", "del", filepath.Base(path))
	}
}

func ip(args ...string) error {
	//nolint:noctx // it returns at once
	if said, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, said)
	}
	return nil
}
