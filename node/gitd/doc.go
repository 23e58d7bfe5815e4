// Package gitd serves repositories over git:// and http:// to git clients that have
// no helper of ours.
//
// A [Server] takes connections, reads the one line with which a client says what
// it wants, and joins the client with a session that its [Backend] opens. To read
// is a tunnel: git's own bytes pass unchanged. To push is not, since what goes to
// a group is a signed transaction: the server speaks git's receive-pack itself
// and hands the backend a [Transaction], which goes the way of every other push.
//
// The request is one pkt-line:
//
//	git-upload-pack /OWNER/NAME\0host=HOST\0\0version=2\0
//
// OWNER is a did:key, a peer ID, or a petname of the home that serves. A client
// is refused with a pkt-line that begins with "ERR ", which every git prints.
//
// An [HTTPServer] serves git's smart HTTP protocol:
//
//	GET  /OWNER/NAME/info/refs?service=git-upload-pack
//	POST /OWNER/NAME/git-upload-pack
//
// Each request is a session of its own. It keeps web pages out, which a browser on
// the same machine could let in.
//
// Nothing here knows who a client is. That is why pushing is off unless
// Options.Push is set, and even then open only to connections whose both ends are
// loopback addresses.
//
// A git client writes each request in many small pieces. Its kernel holds all but
// the first back until that is acknowledged, and ours would put the acknowledgement
// off by 40 ms: so a connection acknowledges at once, around each read.
package gitd
