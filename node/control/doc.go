// Package control is the API of a node for its owner's programs: the command
// line, the remote helper, scripts and editors. [Serve] answers it, [Dial]
// reaches it; control.proto is its contract, and reflection is on, so that a
// program needs nothing else to speak it.
//
// There are two ways in. The unix socket is open to whoever may open the file
// (mode 0600). The TCP port is open to callers that show the home's token as
// "authorization: Bearer TOKEN"; calls that carry an Origin header come from a
// web page and are refused on both.
//
// A refusal is an [Error]. It crosses the wire as a wire.Failure among the
// details of the gRPC status, and comes out of a [Client] as it went in.
//
// Session carries the bytes of one session (wire/session.proto) to a replica.
// gRPC lets a client end its direction but not a server, so each side says with
// a message that has end set that it has written its last byte. The call itself
// ends when both have, when the client closes, or with an error.
package control

//go:generate protoc -I ../.. --go_out=../.. --go_opt=module=peer --go-grpc_out=../.. --go-grpc_opt=module=peer ../../node/control/control.proto
