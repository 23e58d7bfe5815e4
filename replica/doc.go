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
// # Policy
//
// Who may do what is judged when an entry is applied, by the policy as of the index
// before it: whatever a transaction does to the policy, all of it is judged by the
// one from before. So a push that was signed before its signer lost a role, and that
// commits after, is refused on every replica. Until the first ChangePolicy a policy
// means what it always did: the owner of the genesis, and its writers.
//
// That a ref moves forward is a fact about two objects, and tables know no objects:
// the leader finds it out ([Table.Forward]) and says so in the entry. All replicas
// take its word, and check it when they have the objects; see Applied.Ancestry.
//
// # What proves a listing
//
// A table keeps a [Root] over its refs, and the signed transactions that set them
// and that changed the policy (kept.go). A voter signs a [Claim] about its table after
// an entry that it applied; [ParseVouched] checks claims, [ParseKept] and
// [Vouched.Proves] hold each ref against the transaction that set it, and its signer
// against the policy of then. Readers need the genesis for it, and nothing else.
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
//	c            Lineage that certifies the voters
//	m            TableMeta: index, term, chain, stamp, HEAD, lock, and the policy of the genesis
//	p            Policy, once it was changed
//	r/NAME       Ref
//	o/INDEX      Outcome of the transaction at that index, 8 bytes big endian
//	t/INDEX POS  Retired tip: 8 bytes of index, 4 of its position in the entry, big endian
//	x/INDEX      Signed transaction that set a ref which nothing moved since
//	y/INDEX      Signed transaction that changed the policy
//
// # Who votes
//
// Each change of voters ends with an entry that carries its certificate: the new
// configuration, signed by a majority of the voters before it. A [Lineage] is these
// certificates from the genesis on. It convinces those who know nothing but the
// genesis: newcomers, clients, whoever stores or relays a hint.
//
// # Receipts
//
// A [Receipt] proves that a transaction is in the log at an index, to who knows the
// genesis: voters sign positions, of which the hash chain is part; see attest.go.
//
// # Consensus
//
// The guarantee is raft's (Ongaro and Ousterhout, 2014; PreVote and CheckQuorum
// as in Ongaro's thesis, §9.6 and §6.2) through go.etcd.io/raft; reads are
// confirmed by ReadIndex (§6.4). Who should lead is package election's.
package replica
