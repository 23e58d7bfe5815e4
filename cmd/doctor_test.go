package cmd

import (
	"errors"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"peer/git"
	"peer/node/control"
	"peer/node/control/pb"
)

// healthy is a machine on which nothing is wrong.
func healthy() *examined {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return &examined{
		now: now, built: now.Add(-time.Hour), version: "v1.2.3",
		git: git.Version{Major: 2, Minor: 39}, exe: "/usr/local/bin/peer", helper: "/usr/local/bin/git-remote-peer", helperSame: true,
		dir: "/h", keyPath: "/h/key", keys: []keyFound{{path: "/h/key", mode: 0o600}}, used: true,
		node: &pb.StatusReply{PeerId: "12D3A", Version: "v1.2.3", Accept: "all", LeftBytes: 1 << 40, Repos: []*pb.Repo{repoOfThree()}},
		pid:  7, connected: []string{"12D3B"}, network: Network{Peers: []string{"/ip4/192.0.2.2/tcp/4001/p2p/12D3B"}},
		bootstrap: []string{"/ip4/192.0.2.2/tcp/4001/p2p/12D3B", "/ip4/192.0.2.1/tcp/4001/p2p/12D3A"},
		newest:    now, newestIn: "demo",
		disks: []diskFound{{"/h", 1 << 40}}, filesMax: 65536, reasons: map[string][]*pb.Reason{},
	}
}

func repoOfThree() *pb.Repo {
	return &pb.Repo{Id: "id", Name: "demo", Url: "peer://o/demo", Leader: "12D3A", Replicas: []*pb.Replica{
		{Peer: "12D3A", InSync: true, Alive: true}, {Peer: "12D3B", InSync: true, Alive: true}, {Peer: "12D3C", InSync: true, Alive: true},
	}}
}

// stopped is the same machine without its node.
func stopped(e *examined) {
	e.node, e.nodeErr, e.pid = nil, control.ErrNotRunning, 0
}

func TestDoctorFindsNothing(t *testing.T) {
	t.Parallel()
	for _, l := range diagnose(healthy()).Checks {
		if l.Result != isFine || l.Fix != "" {
			t.Errorf("on a healthy machine: %+v", l)
		}
	}
}

// Each check is seen to fire, and says what to type.
func TestDoctorChecks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		check string
		want  grade
		says  string // in what it says, or in the fix
		spoil func(*examined)
	}{
		{"git", isBad, "not installed", func(e *examined) { e.gitErr = &git.VersionError{Err: errors.New("gone")} }},
		{"git", isBad, "git 2.30.2 is too old", func(e *examined) { e.gitErr = &git.VersionError{Have: git.Version{Major: 2, Minor: 30, Patch: 2}} }},
		{"git", isOdd, "not tested", func(e *examined) { e.git = git.Version{Major: 2, Minor: 36} }},
		{"helper", isBad, "peer setup", func(e *examined) { e.helper = "" }},
		{"helper", isOdd, "another peer", func(e *examined) { e.helperSame = false }},
		{"home", isOdd, "no home at /h", func(e *examined) { e.homeErr = fs.ErrNotExist }},
		{"home", isBad, "--home DIR", func(e *examined) { e.homeErr = syscall.ENOTDIR }},
		{"home", isBad, "chmod u+rwx /h", func(e *examined) { e.writeErr = syscall.EACCES }},
		{"home", isBad, "sudo -u ann peer doctor", func(e *examined) { e.writeErr, e.homeOwner = syscall.EACCES, "ann" }},
		{"home", isOdd, "its node can't read", func(e *examined) { e.homeOwner = "peer" }},
		{"key", isBad, "from a backup", func(e *examined) { e.keys = nil }},
		{"key", isBad, "chmod 600 /h/key", func(e *examined) { e.keys[0].mode = 0o640 }},
		{"key", isBad, "not a PEM private key", func(e *examined) { e.keys[0].err = errors.New("/h/key: not a PEM private key") }},
		{"files", isBad, "mend it", func(e *examined) { e.files = []error{errors.New("petnames: unexpected end of JSON input")} }},
		{"node", isOdd, "runs version v1.0.0, and this is v1.2.3", func(e *examined) { e.node.Version = "v1.0.0" }},
		{"node", isOdd, "peer node --home /h", stopped},
		{"node", isOdd, "process 7, which had the home, was killed", func(e *examined) { stopped(e); e.pid = 7 }},
		{"node", isBad, "kill 7, then peer node --home /h", func(e *examined) { stopped(e); e.pid, e.locked = 7, true }},
		{"node", isBad, "another process has the home", func(e *examined) { stopped(e); e.locked = true }},
		{"node", isBad, "permission denied", func(e *examined) { stopped(e); e.nodeErr = syscall.EACCES }},
		{"ports", isBad, "ss -lpn 'sport = :4001'", func(e *examined) {
			stopped(e)
			e.ports = []portTried{{"tcp 0.0.0.0:4001", "4001", syscall.EADDRINUSE}}
		}},
		{"ports", isBad, "no such address", func(e *examined) {
			stopped(e)
			e.ports = []portTried{{"tcp 192.0.2.9:4001", "4001", syscall.EADDRNOTAVAIL}}
		}},
		{"ports", isBad, "above 1023", func(e *examined) { stopped(e); e.ports = []portTried{{"tcp 0.0.0.0:80", "80", syscall.EACCES}} }},
		{"ports", isBad, "no buffer", func(e *examined) { stopped(e); e.ports = []portTried{{"tcp x:1", "1", syscall.ENOBUFS}} }},
		{"peers", isBad, "none of the 1 other nodes", func(e *examined) { e.connected = nil }},
		{"peers", isBad, "none of the 1 other nodes", func(e *examined) { stopped(e); e.connected = nil }},
		{"peers", isBad, "peer join LINE", func(e *examined) { stopped(e); e.connected, e.network.Peers = nil, nil }},
		{"peers", isOdd, "peer invite", func(e *examined) { e.connected, e.network.Peers = nil, nil }},
		{"peers", isOdd, "/p2p/12D3X, which config.json names", func(e *examined) { e.bootstrap = append(e.bootstrap, "/ip4/192.0.2.7/tcp/1/p2p/12D3X") }},
		{"peers", isBad, "damaged secret", func(e *examined) { stopped(e); e.reachErr = errors.New("damaged secret") }},
		{"clock", isBad, "timedatectl", func(e *examined) { e.now = e.built.Add(-time.Second) }},
		{"clock", isOdd, "demo has an entry of 2026-11-21 12:01:01", func(e *examined) { e.newest = e.now.Add(clockSlack + time.Second) }},
		{"disk", isBad, "128 to start", func(e *examined) { e.disks[0].free = 1 << 20 }},
		{"disk", isBad, "takes no pushes", func(e *examined) { e.disks = append(e.disks, diskFound{"/repos", 200 << 20}) }},
		{"disk", isOdd, "nearly full", func(e *examined) { e.disks[0].free = 600 << 20 }},
		{"disk", isBad, "--room SIZE", func(e *examined) { e.node.LeftBytes = 0 }},
		{"limits", isBad, "LimitNOFILE", func(e *examined) { e.filesMax = 256 }},
		{"limits", isOdd, "LimitNOFILE", func(e *examined) { e.filesMax = 1024 }},
		{"repos", isBad, "demo: 3 of 3 in sync, no leader -> peer why peer://o/demo", func(e *examined) { e.node.Repos[0].Leader = "" }},
		{"repos", isBad, "its table is damaged", func(e *examined) { e.node.Repos[0].Problem = "its table is damaged" }},
		{"repos", isOdd, "12D3C does not answer -> start it; more: peer why", func(e *examined) {
			e.node.Repos[0].Replicas[2].InSync = false
			e.reasons["id"] = []*pb.Reason{{What: "12D3A leads"}, {What: "12D3C does not answer", Hint: "start it"}}
		}},
	}
	fired := map[string]bool{}
	for _, test := range tests {
		e := healthy()
		test.spoil(e)
		found := false
		for _, l := range diagnose(e).Checks {
			if l.Check != test.check || l.Result != test.want {
				continue
			}
			found = found || strings.Contains(l.What+" -> "+l.Fix, test.says)
			if l.Fix == "" {
				t.Errorf("%s says no fix: %+v", test.check, l)
			}
		}
		if !found {
			t.Errorf("no %s of %s with %q in %+v", test.want, test.check, test.says, diagnose(e).Checks)
		}
		if diagnose(e).OK && test.want == isBad {
			t.Errorf("%s failed, and all is said to be well", test.check)
		}
		fired[test.check] = true
	}
	for _, c := range checks {
		if !fired[c.name] {
			t.Errorf("no case has %s fire", c.name)
		}
	}
}

// A removed repository, and a bootstrap node that takes none, are no mistakes.
func TestDoctorLeavesAlone(t *testing.T) {
	t.Parallel()
	e := healthy()
	e.node.Repos[0].Leader, e.node.Repos[0].RemovedUnixMs = "", 1
	e.node.Accept, e.node.LeftBytes = "", 0
	if d := diagnose(e); !d.OK {
		t.Errorf("%+v", d)
	}
}

func TestTriedPorts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	_, tcpPort, _ := net.SplitHostPort(taken.Addr().String())
	_, udpPort, _ := net.SplitHostPort(udp.LocalAddr().String())
	flags := &nodeCmd{GrpcPort: portFlag(taken.Addr().String()), GitPort: "127.0.0.1:0"}
	flags.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/" + udpPort + "/quic-v1"}
	flags.InvitePort = tcpPort // on the TCP address of --listen
	got := map[string]error{}
	for _, p := range tryPorts(t.Context(), flags) {
		got[p.addr] = p.err
	}
	for _, addr := range []string{"tcp 127.0.0.1:" + tcpPort, "udp 127.0.0.1:" + udpPort} {
		if err, tried := got[addr]; !tried || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s, which this test has: tried %v, %v", addr, tried, err)
		}
	}
	if len(got) != 2 {
		t.Errorf("port 0 is any that is free, and was tried: %v", got)
	}
	if tried := tryPort(t.Context(), "tcp", "192.0.2.1:4001"); len(tried) != 1 || !errors.Is(tried[0].err, syscall.EADDRNOTAVAIL) {
		t.Errorf("an address of no machine: %+v", tried)
	}
}

func TestParseLimits(t *testing.T) {
	t.Parallel()
	const text = "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \n"
	if n, ok := parseLimits(text); n != 1024 || !ok {
		t.Errorf("%d, %v", n, ok)
	}
	if n, ok := parseLimits("Max open files\n"); ok {
		t.Errorf("half a line is %d", n)
	}
}
