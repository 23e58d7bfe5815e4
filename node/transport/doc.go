// Package transport is how a node or a client reaches others: one libp2p host
// with streams, a DHT and gossip, spoken of in the project's own types.
//
// A network is named by its rendezvous string. Every protocol ID begins with
// /peer/ and sixteen hexadecimal digits of the string's SHA-256, so hosts of
// two networks that meet have nothing to say to each other, and part. A secret
// closes a network: its hash is libp2p's pre-shared key, and whoever lacks it
// cannot even begin a handshake.
//
// # Connections
//
// TCP with TLS 1.3 and yamux comes first: a process that dies closes its
// sockets, and the others hear of it in milliseconds. QUIC is dialled only
// where TCP does not get through, because there a death is heard of after half
// a minute. Connections are made on demand by [Transport.Open], and kept to
// bootstrap nodes, to nodes of the address book and to a handful of others
// found under the rendezvous string.
//
// # Who said it
//
// The peer ID on a stream is authenticated. The one on a gossiped message is
// only that of the neighbour who passed it on: messages and records carry
// signatures of their own, and the callbacks that check them run before
// anything is stored, relayed or returned.
package transport
