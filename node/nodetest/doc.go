// Package nodetest lets tests run several whole nodes in one process: over a
// network in memory that can be cut, on stores in memory that can lose power,
// with real git repositories below a temporary directory.
//
// # Vocabulary
//
// A [Network] connects [Host]s, each of which is one process: it implements
// node.Network. A connection between two hosts can be severed, which both of
// them hear of, or silenced in one direction, which nobody hears of: bytes wait
// until it is mended, as TCP's would. A fault looks at streams as they are
// opened and refuses or cuts some of them.
//
// A [Cluster] is a number of [Member]s: machines with a key, a disk, and at most
// one running node each. Members are numbered in the order of their peer IDs, so
// the last one should lead.
//
// A [Client] speaks the session protocol itself, so that it can also say what no
// honest client would. Its objects and packs are made here, without git.
package nodetest
