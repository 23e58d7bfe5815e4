package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// KeyBytesMax is the size of the largest key file that is looked at.
const KeyBytesMax = 64 << 10

// ErrPassphrase says that a passphrase opens another key than this.
var ErrPassphrase = errors.New("the passphrase is wrong")

// KeyTypeError says that a key is sound, but none of ours.
type KeyTypeError struct{ Type string }

func (e *KeyTypeError) Error() string { return "a key of type " + e.Type + ", not an Ed25519 key" }

// EncryptedError says that a private key takes a passphrase. Public is whose it
// is; only OpenSSH's own format tells.
type EncryptedError struct{ Public *PublicKey }

func (e *EncryptedError) Error() string { return "the private key is encrypted with a passphrase" }

// ParsePrivateKey reads an Ed25519 key: PKCS #8 in PEM, or OpenSSH's format. A
// nil passphrase is none: then an encrypted key is an [*EncryptedError].
func ParsePrivateKey(raw, passphrase []byte) (Key, error) {
	if len(raw) > KeyBytesMax {
		return Key{}, fmt.Errorf("a key file of more than %d bytes", KeyBytesMax)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		if _, _, err := ParseAuthorizedKey(raw); err == nil {
			return Key{}, errors.New("a public key: the private one is in the file without .pub")
		}
		return Key{}, errors.New("not a private key in PEM")
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		return Key{}, errors.New("an encrypted PKCS #8 key, which is not read here")
	}
	parsed, err := parseOpenSSH(raw, passphrase)
	if err != nil {
		return Key{}, err
	}
	switch k := parsed.(type) {
	case ed25519.PrivateKey:
		return keyOf(k)
	case *ed25519.PrivateKey:
		return keyOf(*k)
	}
	return Key{}, &KeyTypeError{typeName(parsed)}
}

func parseOpenSSH(raw, passphrase []byte) (any, error) {
	parsed, err := ssh.ParseRawPrivateKey(raw)
	var encrypted *ssh.PassphraseMissingError
	if !errors.As(err, &encrypted) {
		return parsed, explainOpenSSH(err)
	}
	sealed := &EncryptedError{}
	if encrypted.PublicKey != nil {
		public, err := fromSSH(encrypted.PublicKey)
		if err != nil {
			return nil, err
		}
		sealed.Public = &public
	}
	switch {
	case passphrase == nil:
		return nil, sealed
	case len(passphrase) == 0:
		return nil, ErrPassphrase
	}
	parsed, err = ssh.ParseRawPrivateKeyWithPassphrase(raw, passphrase)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, ErrPassphrase
	}
	return parsed, explainOpenSSH(err)
}

// explainOpenSSH: keys that live in a token have types that the library has no words for.
func explainOpenSSH(err error) error {
	if err != nil && strings.Contains(err.Error(), "unhandled key type") {
		return &KeyTypeError{"that a hardware token has"}
	}
	return err
}

// keyOf refuses a key whose halves do not belong together: signatures of one
// that lies about its public half give the private one away.
func keyOf(k ed25519.PrivateKey) (Key, error) {
	if len(k) != ed25519.PrivateKeySize || !k.Equal(ed25519.NewKeyFromSeed(k.Seed())) {
		return Key{}, errors.New("a damaged Ed25519 key: its halves do not belong together")
	}
	return Key{k}, nil
}

func typeName(k any) string {
	switch k := k.(type) {
	case *rsa.PrivateKey:
		return "RSA"
	case *ecdsa.PrivateKey:
		return "ECDSA"
	default:
		return strings.TrimPrefix(fmt.Sprintf("%T", k), "*")
	}
}

// MarshalPrivateKey spells k in OpenSSH's format, encrypted with passphrase unless
// that is empty. ssh-keygen and ssh-add read it.
func MarshalPrivateKey(k Key, comment string, passphrase []byte) ([]byte, error) {
	var block *pem.Block
	var err error
	if len(passphrase) == 0 {
		block, err = ssh.MarshalPrivateKey(k.private, comment)
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(k.private, comment, passphrase)
	}
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}

// ParseAuthorizedKey reads a public key as .pub files and agents spell it.
func ParseAuthorizedKey(raw []byte) (PublicKey, string, error) {
	if len(raw) > KeyBytesMax {
		return PublicKey{}, "", fmt.Errorf("a key file of more than %d bytes", KeyBytesMax)
	}
	parsed, comment, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return PublicKey{}, "", errors.New("not an OpenSSH public key")
	}
	public, err := fromSSH(parsed)
	return public, comment, err
}

// AuthorizedKey is the spelling that [ParseAuthorizedKey] reads, with a newline.
func (k PublicKey) AuthorizedKey(comment string) string {
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(k.ssh())), "\n")
	if comment != "" {
		line += " " + comment
	}
	return line + "\n"
}

// Fingerprint is what ssh-keygen -l and ssh-add -l show of k.
func (k PublicKey) Fingerprint() string { return ssh.FingerprintSHA256(k.ssh()) }

func (k PublicKey) ssh() ssh.PublicKey {
	public, err := ssh.NewPublicKey(ed25519.PublicKey(k[:]))
	if err != nil {
		panic(err) // it is an Ed25519 key of the right size
	}
	return public
}

func fromSSH(public ssh.PublicKey) (PublicKey, error) {
	if public.Type() != ssh.KeyAlgoED25519 {
		return PublicKey{}, &KeyTypeError{public.Type()}
	}
	wrapped, ok := public.(ssh.CryptoPublicKey)
	if !ok {
		return PublicKey{}, &KeyTypeError{public.Type()}
	}
	raw, ok := wrapped.CryptoPublicKey().(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, &KeyTypeError{public.Type()}
	}
	return ParsePublicKey(raw)
}
