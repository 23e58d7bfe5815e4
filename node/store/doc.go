// Package store keeps what a node must not forget, in one badger: the log, the
// vote and the table of every repository, its seats, and small things of its own.
//
// # What a Save promises
//
// [Store.Save] makes one turn of the node's loop durable and returns when it is.
// A turn is one transaction and one sync unless it is larger than badger allows;
// then it is cut, and after a crash between two pieces the following holds:
//
//   - a log is contiguous, and terms in it never go back;
//   - the hard state is there only with the entries that it commits;
//   - a Save's changes to the table, its hard state, its configuration and its
//     compaction are there together or not at all, and only with its entries;
//   - an Install is there whole or not at all.
//
// After a write or a sync failed the store is poisoned: nobody can know what is
// on disk, so every later write gets the first error until the process restarts.
//
// # On-disk format 1
//
// A repository's log and table live under a generation, a number that this store
// never uses twice. Installing a snapshot writes a new generation beside the old
// one and then switches over, in one transaction, by writing the head. Integers
// are big endian, so keys sort by index.
//
//	00 "format"              u64 version
//	01 repository            head: u64 generation, u64 index, u64 term
//	02 repository            hard state: u64 term, u64 vote, u64 commit
//	03 repository            raft's ConfState as of the applied index, protobuf
//	04 repository            seat: i64 nanoseconds since 1970, nonce
//	05 generation            u64 index: entries up to it have been deleted
//	06 generation            nothing: a generation that is garbage
//	07 generation 01 u64     entry: u64 term, u8 raft entry type, data
//	07 generation 02 key     value of the table
//	08 key                   value of the node; node/doc.go lists them
//
// A head's index and term are those of the last entry that the log has forgotten,
// be it compacted or covered by an installed snapshot. Garbage is named durably
// before it comes into being, and a sweeper deletes it in pieces.
//
// Every value begins with a CRC-32C of its key and the rest. Badger does not check
// all it reads, and answers with an empty value where its value log is unreadable.
package store
