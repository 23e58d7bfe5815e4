// Package replica is one replica of one repository's group: the replicated
// table, and the raft member that orders what is applied to it.
//
// It is pure: no goroutine, clock, randomness, socket or file. Messages, ticks
// and proposals go in; a [Turn] comes out that says what to save, what to send,
// what was applied. The node drives it, and the simulation in this package's
// tests drives three of them through crashes and partitions.
//
// # Vocabulary
//
// An operation is a person's signed intent, a transaction one or more of them
// under one signature, an entry one transaction in the log. Applying an entry
// changes the [Table] and gives an outcome. Whether a compare-and-swap on a ref
// succeeds is decided here and nowhere else: by the entry and the table alone,
// so every replica decides the same.
//
// # The payload rule
//
// An entry in a durable log means that the objects it brings are durable on the
// same disk. [Group.Step] therefore cuts an append before the first entry whose
// payload is not held and reports a [Need]; the acknowledgement of that entry,
// and so its commit, waits for the bytes. Raft's majority then covers objects.
//
// # Table keys
//
//	g            the signed genesis
//	m            TableMeta: index, term, chain, stamp, HEAD, policy, lock
//	r/NAME       Ref
//	o/INDEX      Outcome of the transaction at that index, 8 bytes big endian
//
// # Consensus
//
// The guarantee is raft's (Ongaro and Ousterhout, 2014; PreVote and CheckQuorum
// as in Ongaro's thesis, §9.6 and §6.2) through go.etcd.io/raft; reads are
// confirmed by ReadIndex (§6.4). Who should lead is package election's.
package replica
