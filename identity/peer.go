package identity

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/mr-tron/base58"
)

// PeerID is the raw bytes of a libp2p peer ID. Only Ed25519 keys occur here, so
// it holds the key itself: an identity multihash of the key in its protobuf.
type PeerID string

var (
	peerIDPrefix = []byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}
	didPrefix    = []byte{0xed, 0x01} // multicodec ed25519-pub
)

const didScheme = "did:key:z"

// maxSpelling bounds what the parsers look at: every spelling is shorter.
const maxSpelling = 128

// PeerID is the peer ID of the holder of k.
func (k PublicKey) PeerID() PeerID { return PeerID(append(bytes.Clone(peerIDPrefix), k[:]...)) }

// DID is the did:key spelling of k.
func (k PublicKey) DID() string {
	return didScheme + base58.Encode(append(bytes.Clone(didPrefix), k[:]...))
}

// String is the usual spelling, 12D3KooW….
func (p PeerID) String() string { return base58.Encode([]byte(p)) }

// PublicKey is the key that p names.
func (p PeerID) PublicKey() (PublicKey, error) {
	key, ok := strings.CutPrefix(string(p), string(peerIDPrefix))
	if !ok || len(key) != PublicKeySize {
		return PublicKey{}, errors.New("peer ID does not hold an Ed25519 key")
	}
	return PublicKey([]byte(key)), nil
}

// PeerIDFromBytes checks raw bytes from outside.
func PeerIDFromBytes(raw []byte) (PeerID, error) {
	p := PeerID(raw)
	_, err := p.PublicKey()
	return p, err
}

// ParsePeerID reads the spelling that [PeerID.String] writes.
func ParsePeerID(s string) (PeerID, error) {
	raw, err := decode58(s)
	if err != nil {
		return "", fmt.Errorf("peer ID %.60q: %w", s, err)
	}
	p, err := PeerIDFromBytes(raw)
	if err != nil {
		return "", fmt.Errorf("peer ID %.60q: %w", s, err)
	}
	return p, nil
}

// ParseOwner reads a did:key or a peer ID. Petnames are the caller's to expand.
func ParseOwner(s string) (PublicKey, error) {
	encoded, isDID := strings.CutPrefix(s, didScheme)
	if !isDID && strings.HasPrefix(s, "did:") {
		return PublicKey{}, fmt.Errorf("%.80q: want a did:key of an Ed25519 key, which begins with did:key:z6Mk", s)
	}
	if !isDID {
		p, err := ParsePeerID(s)
		if err != nil {
			return PublicKey{}, err
		}
		return p.PublicKey()
	}
	raw, err := decode58(encoded)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%.80q: %w", s, err)
	}
	key, ok := bytes.CutPrefix(raw, didPrefix)
	if !ok {
		return PublicKey{}, fmt.Errorf("%.80q: not an Ed25519 did:key", s)
	}
	return ParsePublicKey(key)
}

func decode58(s string) ([]byte, error) {
	if len(s) > maxSpelling {
		return nil, errors.New("too long")
	}
	return base58.Decode(s)
}
