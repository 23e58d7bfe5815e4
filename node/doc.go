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
//	session.go   the client says hello; a follower relays it to the leader
//	push.go      the leader lists, takes the signed transaction, proposes, answers
//	receive.go   the pack is indexed in quarantine and checked
//	fanout.go    the same bytes stream to the followers meanwhile
//	staging.go   each replica keeps them, hashed and fsynced, until they are published
//	loop.go      the entry is saved, replicated, committed, applied to the table
//	publish.go   objects move into the store, then git's refs follow the table
//
// # On disk
//
//	REPOS/OWNER/NAME.git                ordinary bare repositories; refs in packed-refs only
//	REPOS/OWNER/NAME.git/peer/staging   payloads that are not yet published
//
// The table in the store is the truth, git's refs are its projection: at start
// they are forced to it, after the payloads of applied entries were installed again.
package node
