// Package replicatest holds what tests of package replica need: a simulation of
// a whole group, and the table written a second time.
//
// # The simulation
//
// A [Sim] drives the members of one group, the clients that push to it, its
// network and its disks through one seeded run. It has one goroutine and a
// virtual clock: what happens is a queue of events, so a seed replays exactly.
// (Raft draws its election timeouts from crypto/rand; the test must seed that
// too, with testing/cryptotest.)
//
// Each member is driven as package node drives it: messages and requests wait
// while a turn is being saved; Early messages leave before the save, all others
// after it; payloads arrive on the disk by themselves or because the group
// needs them; what was applied is published later; members beat each other, and
// one that drops, falls silent or was started again starts an election by
// preference; a group with nothing to do sleeps. A crash falls before a save, after it, or at any
// other instant, and takes all that is not on the simulated disk.
//
// [Faults] says how bad the run is: lost, doubled, late and overtaking
// messages, cuts in both directions or in one, crashes of one member or of all,
// processes that stop for seconds, disks that never come back, clocks that
// disagree and jump, clients that give up and send the same transaction elsewhere.
//
// In most runs there are nodes to spare. The owner keeps changing its mind about
// how many replicas there should be, and where; nodes stay away for longer than
// the grace, or come back with an empty disk; leaders carry out what
// [replica.PlanMembers] says, and crash in the middle of it. A disk is taken away
// only as long as every configuration that may be in force has a majority left.
//
// # What is checked
//
// While it runs, at every event that could break it: one leader in a term, one
// vote of a member in a term, no acknowledgement of an entry that is not
// durable, the payload rule at every save, one log, one result of every entry,
// each transaction applied at most once, the outcome that a client gets is the
// table's and was durable at a majority, no answer older than what was
// acknowledged before the question; one membership of every entry, which is also
// what raft will find on the disk; no seat given twice; nothing heard from a seat
// whose disk is gone. "A majority" is that of the configuration in force, of both
// halves of a joint one, and learners are no part of it. After the storm: as many
// members as the owner wants, none of them lost; nodes that were replaced know it;
// all members come to one table, equal to what their disks hold, under the
// preferred leader, and fall asleep; they take a push, get over members that wake
// alone, a leader that was started again unseen and one that stopped; then all of
// them crash, and any majority still knows all that was acknowledged.
// [Sim.CheckHistory] gives what the clients saw to a linearizability checker.
//
// # The twin
//
// A [Twin] is the rules of the table in the plainest words: copies instead of
// undo, searches instead of counters. Whatever the table does to refs, the twin
// must do too.
package replicatest
