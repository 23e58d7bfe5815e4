// Package itest drives the built binary: real nodes, each an operating-system
// process of its own, on loopback, with people who run plain git. It imports
// nothing of peer, so it sees what a user sees: commands, exit codes, JSON, and
// the bare repositories on disk.
//
//	cluster.go   a closed network of nodes, ended with the test
//	process.go   one node: start, kill, stop, continue
//	person.go    where people work: here; internal/people has what they do
//	repo.go      a repository: what its replicas say, and what is on their disks
//	switchboard.go  a network of their own for nodes, with plugs to pull
//	history.go   generated histories, the same on every run
//
// Package container does the like in containers. What both need is below internal:
// people, the register that porcupine judges by, waiting, contents, the binary.
//
// The binary is built once for a run, outside the tree. PEER_BIN names one that
// is built already; PEER_RACE=1 builds it with the race detector.
package itest
