// Package identity names people, nodes and repositories, and signs for them.
//
// One Ed25519 key per home is both its node's and its user's identity, unless its
// user brought a key of their own: an OpenSSH one, or one in an ssh-agent. A
// [PeerID] and a did:key are two spellings of the same public key. A [RepoID]
// is a hash of the owner's key and the repository's name, so an address needs
// no registry; a [GenesisHash] names one signed creation of that repository.
//
// Signatures always cover a [Domain], a zero byte and the body, so that no body
// signed for one purpose can be used for another.
package identity
