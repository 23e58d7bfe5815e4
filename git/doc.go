// Package git runs the git binary and parses what it says.
//
// Everything that touches objects is a child process: one per call, bound to a
// context, with an environment built from nothing, and with limits on what it
// may use where its input comes from outside. What is pure text (object IDs,
// ref names, pkt-lines, the lines of the remote helper protocol) is parsed here.
//
// # Vocabulary
//
// A Repo is a bare repository on a replica, written by one node alone. A Local
// is the repository of a person who runs git, seen from the remote helper. A
// quarantine holds the objects of a push that is not accepted yet; no reader
// sees them. A listing is all refs and HEAD at one moment.
//
// # On disk
//
// Objects live in packs under objects/pack. A pack comes into being with its
// index last, so a pack without an index is the trace of a crash, and git
// ignores it. Repack forgets no object: it removes a pack only when another one,
// already durable, holds all that was in it. Gather with RemoveGathered does the
// same for all that some tips reach, and forgets the rest.
//
// Refs live in the file packed-refs only, with HEAD beside it, and both are
// replaced by rename. They are the projection of a table that is kept
// elsewhere, and are forced to it when a node starts; therefore they are not
// synced to disk, and whatever else is found below refs/ is removed.
//
// # Children
//
// A push costs two processes in the leader's repository one after the other
// (index-pack, then rev-list with a cat-file beside it) and two in the client's
// (cat-file, pack-objects). A replica that installs a payload runs none, and
// neither does one that moves refs. On Linux they are killed with a node that
// is; elsewhere they end at their next read or write.
package git
