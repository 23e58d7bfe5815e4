// Package wire holds what leaves a process: the messages (*.proto and the code
// generated from them), their framing, and the limit of each.
//
// A frame is four bytes of length, big endian, then the protobuf. A reader
// names the largest frame it will take before it allocates anything, so a
// length from a stranger costs nothing.
//
// log.proto is the log of a repository and lives for ever; session.proto is
// what clients and replicas say; group.proto what nodes say to each other;
// invite.proto how somebody joins a network; hook.proto what a node
// keeps of its webhooks.
package wire
