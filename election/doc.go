// Package election says who should lead a group, given one member's view of it.
//
// It is a preference, never the guarantee: raft's vote rule keeps a replica
// that lacks a committed entry from being elected, and its terms keep two
// leaders from committing. Within that, peer prefers as the bully algorithm
// does (Garcia-Molina, 1982): among the members in sync, the one with the
// highest priority and then the highest ID should lead.
//
// A [Pulse] tells when another node fell silent, and a [Pace] how often a leader
// may hand over. Both count ticks of their own process.
//
// [Decide] is a pure function of a [View], so a recorded view replays exactly.
package election
