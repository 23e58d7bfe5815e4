// Package node is a running peer: the groups in which it has a seat, and what it
// serves to clients and other nodes.
//
// # One loop
//
// One goroutine steps all groups (loop.go). It takes messages, ticks and
// proposals from its inbox, makes what the groups ask for durable in one write
// per turn, and only then sends, answers and publishes. It never waits for git or
// the network: those work on goroutines of their own and report back by posting
// to the inbox. Fields said to belong to the loop are touched nowhere else.
//
// # Who is alive, and who leads
//
//	neighbour.go  nodes that share groups beat each other; the round trip; silence
//	liveness.go   what follows from it: campaigns, hand-over, how fast raft's clock goes
//	sleep.go      groups that have nothing to do don't tick
//
// # The way of a push
//
//	session.go     the client says hello
//	relay.go       a follower relays the session to the leader
//	push.go        the leader lists, takes the signed transaction, judges it, answers
//	receive.go     the pack is indexed in quarantine and checked
//	resume.go      or it is here since an earlier attempt, and is checked all the same
//	fanout.go      the same bytes stream to the followers meanwhile
//	groupserve.go  where a follower takes them
//	arrival.go     and writes them
//	staging.go     each replica keeps them, hashed and fsynced, until they are published
//	propose.go     the entry is proposed, and its outcome awaited
//	loop.go        it is saved, replicated, committed, applied to the table
//	catchup.go     what a follower's log needs first: a payload, a snapshot's objects
//	publish.go     objects move into the store (install.go), then git's refs follow the table
//
// # The way of a fetch
//
//	session.go  an index is confirmed, and waited for; git upload-pack does the rest
//	prove.go    before it: the listing, and the transactions that prove its refs
//	vouch.go    who vouches for it: claims, signed by a majority
//
// # What a person asks for
//
//	client.go   whom to ask about a repository; a client needs no node of its own
//	locate.go   what a node adds: its own replicas are asked first
//	init.go     a repository is founded, on nodes that place.go chooses
//	operate.go  one signed operation, until its outcome is known: lock.go, policy.go, …
//	log.go      reading it back; why.go, verify.go: asking every member
//
// # Members
//
//	repair.go  who is away, lost or missing, and what the leader does about it
//	seats.go   a node takes a seat: whether it has room, and the nonce that it draws
//	join.go    a newcomer's replica, founded from the genesis and who votes now
//	found.go   the first ones
//	leave.go   a replica that its group gave up
//	loss.go    one that gives itself up
//
// # On disk
//
//	REPOS/OWNER/NAME.git                ordinary bare repositories; refs in packed-refs only
//	REPOS/OWNER/NAME.git/peer/staging   payloads that are not yet published
//
// The table in the store is the truth, git's refs are its projection: at start
// they are forced to it, after the payloads of applied entries were installed again.
//
// Logs, tables and seats are the store's own (node/store/doc.go). What else is kept
// there, by this package and others, integers big endian:
//
//	genesis/REPO       signed genesis of a repository that was looked for and found
//	joined/REPO        WhereReply: who had seats when a newcomer's replica joined
//	published/REPO     u64 index: a start publishes again what is after it
//	left/REPO          why this replica may not take part any more; empty: it may
//	scrubbed/REPO      u64 seconds since 1970: when it was last checked
//	decoy/REPO         u64 milliseconds since 1970, nonce: see private.go
//	absent/PEER        u64 nanoseconds for which a node has been away
//	gitd/genesis/REPO  as genesis/, for the client of the git daemon (cmd)
//	addr/PEER          its addresses, one a line (cmd)
//	door-port          where guests knock (cmd)
//	hook/ID            Hook (node/hook)
//	invite/HASH        Invited (node/invite)
package node
