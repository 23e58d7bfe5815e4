package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Domain separates what signatures are for. It ends up in every signature,
// so the strings never change.
type Domain string

// All domains that exist.
const (
	DomainGenesis     Domain = "peer/genesis/1"
	DomainTransaction Domain = "peer/transaction/1"
	DomainHello       Domain = "peer/hello/1"
	DomainHint        Domain = "peer/hint/1"
	// DomainIntroduction is for seats that a member gave to another node.
	DomainIntroduction Domain = "peer/introduction/1"
	// DomainConfiguration is for who votes from an entry on.
	DomainConfiguration Domain = "peer/configuration/1"
	// DomainSuccession is for a key that agrees to take the place of another.
	DomainSuccession Domain = "peer/succession/1"
	// DomainReceipt is for what a member's disk holds.
	DomainReceipt Domain = "peer/receipt/1"
	// DomainClaim is for what a member's table is.
	DomainClaim Domain = "peer/claim/1"
)

// PublicKeySize is the size of a [PublicKey] in bytes.
const PublicKeySize = ed25519.PublicKeySize

// PublicKey is an Ed25519 public key. Being an array it can be compared and used as a map key.
type PublicKey [PublicKeySize]byte

// ParsePublicKey takes the raw bytes of a public key from outside.
func ParsePublicKey(raw []byte) (PublicKey, error) {
	if len(raw) != PublicKeySize {
		return PublicKey{}, fmt.Errorf("public key of %d bytes, want %d", len(raw), PublicKeySize)
	}
	return PublicKey(raw), nil
}

// Verify says whether signature is k's over body in domain d.
func (k PublicKey) Verify(d Domain, body, signature []byte) bool {
	return len(signature) == ed25519.SignatureSize && ed25519.Verify(k[:], message(d, body), signature)
}

// Key is a private key.
type Key struct{ private ed25519.PrivateKey }

// NewKey draws a key.
func NewKey() (Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return Key{private}, err
}

// KeyFromSeed makes the key of a 32-byte seed. Only tests want the same key twice.
func KeyFromSeed(seed [ed25519.SeedSize]byte) Key { return Key{ed25519.NewKeyFromSeed(seed[:])} }

// Public is the key that verifies what k signs.
func (k Key) Public() PublicKey { return PublicKey(k.private.Public().(ed25519.PublicKey)) }

// PeerID is the peer ID of k.
func (k Key) PeerID() PeerID { return k.Public().PeerID() }

// Private is the key as the standard library spells it, for handing to the transport.
func (k Key) Private() ed25519.PrivateKey { return k.private }

// Sign signs body in domain d.
func (k Key) Sign(d Domain, body []byte) []byte { return ed25519.Sign(k.private, message(d, body)) }

// TrySign implements [Signer]. It does not fail.
func (k Key) TrySign(d Domain, body []byte) ([]byte, error) { return k.Sign(d, body), nil }

func message(d Domain, body []byte) []byte {
	m := make([]byte, 0, len(d)+1+len(body))
	m = append(m, d...)
	m = append(m, 0)
	return append(m, body...)
}

const pemType = "PRIVATE KEY"

// LoadKey reads a key file: PKCS #8 in PEM.
func LoadKey(path string) (Key, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Key{}, err
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != pemType {
		return Key{}, fmt.Errorf("%s: not a PEM private key", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", path, err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return Key{}, fmt.Errorf("%s: not an Ed25519 key", path)
	}
	return Key{private}, nil
}

// LoadOrCreateKey reads the key file at path, or draws a key and writes it,
// readable by its owner alone. Two processes that race end up with one key.
func LoadOrCreateKey(path string) (Key, error) {
	key, err := LoadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = NewKey(); err != nil {
		return Key{}, err
	}
	if err := writeKey(path, key); err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("write key: %w", err)
	}
	return LoadKey(path)
}

// writeKey refuses to replace a key: the file appears whole or not at all.
func writeKey(path string, key Key) error {
	der, err := x509.MarshalPKCS8PrivateKey(key.private)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := pem.Encode(tmp, &pem.Block{Type: pemType, Bytes: der}); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the name of a new key durable: seats are taken under it.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
