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
// # Objects leave in order
//
// A ref that moves or goes away leaves a retired tip in the table: the object it
// named, and the index of the entry. A Collect entry, which the leader proposes
// ([Group.Collect]), raises the floor; tips retired up to it are dropped, and a
// transaction whose base is below it is refused: list again.
//
// So whoever holds all that the refs and retired tips of a table at s reach, and
// the payloads of the entries after s, holds all that any of these may rely on.
// For a transaction with base b that applies at i rests on what refs named at b
// or later, before i. Each such tip is still named at i-1, or was retired at some
// j, b < j < i; and as floor(i) <= b < j it has not been dropped, nor at s, where
// the floor was no higher. Hence the three rules:
//
//   - A snapshot is held back until all its refs and retired tips reach is here.
//   - A leader lets a transaction rely on the refs and on tips retired after its
//     base, and on nothing else that happens to lie on its disk.
//   - A replica may remove what neither refs nor retired tips reach, nor what
//     entries of its log name: a member that lags may still have to get these. The
//     log is forgotten up to the floor, so that they don't stay for ever.
//
// # Table keys
//
//	g            the signed genesis
//	m            TableMeta: index, term, chain, stamp, HEAD, policy, lock
//	r/NAME       Ref
//	o/INDEX      Outcome of the transaction at that index, 8 bytes big endian
//	t/INDEX POS  Retired tip: 8 bytes of index, 4 of its position in the entry, big endian
//
// # Consensus
//
// The guarantee is raft's (Ongaro and Ousterhout, 2014; PreVote and CheckQuorum
// as in Ongaro's thesis, §9.6 and §6.2) through go.etcd.io/raft; reads are
// confirmed by ReadIndex (§6.4). Who should lead is package election's.
package replica
