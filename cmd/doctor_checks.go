package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"peer/git"
	"peer/node"
	"peer/node/control"
	"peer/node/control/pb"
	"peer/node/store"
)

// checks judge what examine found. They look at nothing themselves, so a test can make
// up any machine.
var checks = []struct {
	name string
	run  func(*examined) []finding
}{
	{"git", checkGit},
	{"helper", checkHelper},
	{"home", checkHome},
	{"key", checkKeys},
	{"files", checkFiles},
	{"node", checkNode},
	{"ports", checkPorts},
	{"peers", checkPeers},
	{"clock", checkClock},
	{"disk", checkDisk},
	{"limits", checkLimits},
	{"repos", checkRepos},
}

const (
	// clockSlack is how far apart the clocks of two machines may be.
	clockSlack = time.Minute
	// diskLowBytes is when a disk is nearly full: a large push may be what is too much.
	diskLowBytes = 1 << 30
	// A node has 512 sessions at most, each with a connection, a child and its pipes; beside
	// them the database and connections to other nodes. With fewer files than filesMin
	// it hardly starts.
	filesWanted = 4096
	filesMin    = 512
)

func checkGit(e *examined) []finding {
	switch {
	case e.gitErr != nil:
		return badError(e.gitErr, fmt.Sprintf("install git %s or newer, and put it into PATH", git.OldestVersion))
	case e.git.Less(git.TestedVersion):
		return odd(fmt.Sprintf("install git %s or newer", git.TestedVersion),
			"git %s has all that is needed, and peer is not tested with it", e.git)
	}
	return fine("git %s", e.git)
}

func checkHelper(e *examined) []finding {
	switch {
	case e.helper == "":
		return bad("peer setup, and see what it says about PATH", "git does not find peer:// repositories: no %s in PATH", helperName)
	case isTemporary(e.exe):
		return fine("git runs %s; this binary is temporary, and not compared", e.helper)
	case !e.helperSame:
		return odd("peer setup, and see what it says about PATH", "git runs another peer than this one: %s, not %s", e.helper, e.exe)
	}
	return fine("git runs %s", e.helper)
}

func checkHome(e *examined) []finding {
	switch {
	case errors.Is(e.homeErr, fs.ErrNotExist):
		return odd("--home DIR or PEER_HOME=DIR where you have one; it is made at first use", "there is no home at %s", e.dir)
	case e.homeErr != nil:
		return badError(e.homeErr, "choose another home: --home DIR")
	case e.writeErr != nil && e.homeOwner != "":
		return bad("as its user: sudo -u "+shellQuote(e.homeOwner)+" peer doctor", "home %s belongs to %s, and you can't write there", e.dir, e.homeOwner)
	case e.writeErr != nil:
		return bad("chmod u+rwx "+shellQuote(e.dir)+", or mount its disk for writing", "home %s: %v", e.dir, e.writeErr)
	case e.homeOwner != "":
		return odd("as its user: sudo -u "+shellQuote(e.homeOwner)+" peer …", "home %s belongs to %s: what you write there as another user, its node can't read", e.dir, e.homeOwner)
	}
	return fine("%s", e.dir)
}

func checkKeys(e *examined) (list []finding) {
	if len(e.keys) == 0 && e.used {
		return bad("put the key back from a backup: with another one this is another node",
			"the home has a node's database, and no key: %s is missing", e.keyPath)
	}
	for _, k := range e.keys {
		switch {
		case k.err != nil:
			list = append(list, bad("put it back from a backup; without it this home has another name", "%s: %v", k.path, k.err)...)
		case k.mode&0o077 != 0:
			list = append(list, bad("chmod 600 "+shellQuote(k.path), "%s can be read by others: its mode is %04o", k.path, k.mode)...)
		}
	}
	if len(list) > 0 {
		return list
	}
	if len(e.keys) == 0 {
		return fine("none yet; it is drawn at first use")
	}
	return fine("readable by you alone")
}

func checkFiles(e *examined) (list []finding) {
	for _, err := range e.files {
		list = append(list, badError(err, "mend it, or move it away")...)
	}
	if len(list) == 0 {
		return fine("config, network settings, pins, petnames and mirrors can be read")
	}
	return list
}

func checkNode(e *examined) []finding {
	start := "peer node --home " + shellQuote(e.dir)
	switch {
	case e.node != nil && e.node.GetVersion() != e.version:
		return odd("restart it with this binary, or use its own", "the node runs version %s, and this is %s", e.node.GetVersion(), e.version)
	case e.node != nil:
		return fine("it runs, version %s", e.node.GetVersion())
	case e.locked && e.pid > 0:
		return bad(fmt.Sprintf("wait if it just starts; otherwise: kill %d, then %s", e.pid, start), "process %d has the home and does not answer", e.pid)
	case e.locked:
		return bad("stop it, then "+start, "another process has the home and does not answer")
	case e.pid > 0:
		return odd(start, "no node runs; process %d, which had the home, was killed, and what it left is in nobody's way", e.pid)
	case e.nodeErr != nil && !errors.Is(e.nodeErr, control.ErrNotRunning):
		return badError(e.nodeErr, start)
	}
	return odd("where this machine should hold repositories: "+start, "no node runs for this home; commands ask those of others")
}

func checkPorts(e *examined) (list []finding) {
	if e.node != nil || e.locked {
		return fine("the node has them")
	}
	for _, p := range e.ports {
		const other = "choose another in config.json, 0 for any that is free"
		switch {
		case p.err == nil:
		case errors.Is(p.err, syscall.EADDRINUSE):
			list = append(list, bad("see who has it: ss -lpn 'sport = :"+p.port+"'; stop that, or "+other, "%s is taken by another process", p.addr)...)
		case errors.Is(p.err, syscall.EADDRNOTAVAIL):
			list = append(list, bad("listen at one that `ip address` shows, or at 0.0.0.0", "this machine has no such address: %s", p.addr)...)
		case errors.Is(p.err, syscall.EACCES):
			list = append(list, bad(other+", above 1023", "%s is for root alone", p.addr)...)
		default:
			list = append(list, bad(other, "%s: %v", p.addr, p.err)...)
		}
	}
	if len(list) > 0 {
		return list
	}
	return fine("%d are configured, none is taken", len(e.ports))
}

func checkPeers(e *examined) (list []finding) {
	known := e.others()
	switch {
	case e.reachErr != nil:
		return badError(e.reachErr, "see the line of the files")
	case len(known) == 0 && e.node == nil && !e.locked:
		return bad("for a try: peer dev; with an invitation: peer join LINE; for a network of your own: peer node", "this home knows no other node, and runs none")
	case len(known) == 0 && len(e.connected) == 0:
		return odd("bring others: peer invite", "this node is the only one that it knows")
	case len(e.connected) == 0:
		return bad("start one of them, or name one that runs: peer node --peer ADDR (peer status there shows it); see that no firewall is between",
			"none of the %d other nodes that this home knows can be reached: %s", len(known), strings.Join(known[:min(2, len(known))], ", "))
	}
	for _, addr := range e.bootstrap {
		if id := peerOf(addr); e.node != nil && id != e.node.GetPeerId() && !slices.Contains(e.connected, id) {
			list = append(list, odd("see whether it runs there: peer status", "the node is not connected to %s, which config.json names", addr)...)
		}
	}
	if len(list) > 0 {
		return list
	}
	return fine("%d other nodes can be reached", len(e.connected))
}

// peerOf is whom an address leads to.
func peerOf(addr string) string { return addr[strings.LastIndexByte(addr, '/')+1:] }

// others are the addresses of other nodes that the home knows, one of each node.
func (e *examined) others() (addrs []string) {
	var ids []string
	for _, addr := range e.network.Peers {
		if id := peerOf(addr); id != e.self.String() && !slices.Contains(ids, id) {
			ids, addrs = append(ids, id), append(addrs, addr)
		}
	}
	return addrs
}

// checkClock can't know whose clock is wrong: entries bear the time of their leader.
func checkClock(e *examined) []finding {
	const fix = "set the clock, and let it be kept: timedatectl set-ntp true"
	shown := e.now.UTC().Format(time.DateTime)
	switch {
	case e.now.Before(e.built):
		return bad(fix, "this clock says %s UTC, and the source of this program is of %s", shown, e.built.UTC().Format(time.DateTime))
	case e.newest.Sub(e.now) > clockSlack:
		return odd(fix+"; or its leader's machine is the one that is ahead", "this clock says %s UTC, and %s has an entry of %s",
			shown, e.newestIn, e.newest.UTC().Format(time.DateTime))
	case e.newest.IsZero():
		return fine("%s UTC; not older than this program, and nothing else to hold it against", shown)
	}
	return fine("%s UTC; no entry of a repository is later", shown)
}

func checkDisk(e *examined) (list []finding) {
	const fix = "make room there"
	least := int64(-1)
	for _, d := range e.disks {
		switch free := d.free >> 20; {
		case d.free < 0: // nobody can tell
			continue
		case d.free < store.FreeBytesMin:
			list = append(list, bad(fix, "%s: %d MiB are left, and a node needs %d to start", d.dir, free, store.FreeBytesMin>>20)...)
		case d.free < node.DefaultFreeBytes:
			list = append(list, bad(fix, "%s: %d MiB are left, and a node keeps %d free: it takes no pushes", d.dir, free, node.DefaultFreeBytes>>20)...)
		case d.free < diskLowBytes:
			list = append(list, odd(fix, "%s is nearly full: %d MiB are left", d.dir, free)...)
		}
		if least < 0 || d.free < least {
			least = d.free
		}
	}
	if e.node.GetAccept() != "" && e.node.GetLeftBytes() == 0 && len(list) == 0 { // a bootstrap node accepts nothing
		list = bad("give it more: peer node --room SIZE", "repositories take %d MiB, all that this node gives them: it takes no pushes", e.node.GetUsedBytes()>>20)
	}
	if len(list) > 0 {
		return list
	}
	return fine("%d MiB are left", max(least, 0)>>20)
}

func checkLimits(e *examined) []finding {
	const fix = "in the unit: LimitNOFILE=65536; in a shell, as root: ulimit -n 65536"
	switch {
	case e.filesMax < filesMin:
		return bad(fix, "a node may open %d files, and needs at least %d", e.filesMax, filesMin)
	case e.filesMax < filesWanted:
		return odd(fix, "a node may open %d files; with many people at once it needs %d", e.filesMax, filesWanted)
	}
	return fine("%d open files", e.filesMax)
}

func checkRepos(e *examined) (list []finding) {
	for _, r := range e.node.GetRepos() {
		if !ailing(r) {
			continue
		}
		what, fix := r.GetName()+": "+healthOf(r), "peer why "+r.GetUrl()
		for _, reason := range e.reasons[r.GetId()] {
			if reason.GetHint() != "" {
				what, fix = what+": "+reason.GetWhat(), reason.GetHint()+"; more: "+fix
				break
			}
		}
		if r.GetProblem() != "" || r.GetLeader() == "" {
			list = append(list, bad(fix, "%s", what)...)
		} else {
			list = append(list, odd(fix, "%s", what)...)
		}
	}
	switch {
	case len(list) > 0:
		return list
	case e.node == nil:
		return fine("no node runs that would hold any")
	}
	return fine("%d, all replicas in sync", len(e.node.GetRepos()))
}

// ailing says whether peer why has something to say about a repository.
func ailing(r *pb.Repo) bool {
	if r.GetRemovedUnixMs() != 0 {
		return false
	}
	return r.GetProblem() != "" || r.GetLeader() == "" ||
		slices.ContainsFunc(r.GetReplicas(), func(p *pb.Replica) bool { return !p.GetInSync() })
}
