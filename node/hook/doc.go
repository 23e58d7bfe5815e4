// Package hook tells receivers over HTTP what happens to repositories: it posts
// JSON, signed as GitHub signs its webhooks.
//
// A hook belongs to the node that it was configured on, which delivers what it
// applies itself, whether it leads or follows. It is kept in the node's store, under
// "hook/", with the index up to which it was told. Nothing is queued: what is to be
// delivered is read from the log, one page at a time, so a receiver that is away
// costs no memory, and a node that restarts goes on where it was. Deliveries of one
// hook are in order, one at a time, each at least once; one that was repeated, after a
// crash or a lost answer, has the same ID.
//
// What can't be delivered is tried again, with pauses that grow. After [GiveUpAfter]
// one delivery is given up and the next one's turn comes. That, and what the log
// forgot meanwhile, is said in the next delivery that succeeds ("missed").
//
// A receiver is whoever answers at a URL that a person chose, and it may be hostile,
// or lead elsewhere: see address.go and client.go.
package hook
