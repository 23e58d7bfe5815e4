package container

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
)

// identity is a key, as a home has it, and what others call it.
type identity struct {
	pem    []byte
	public ed25519.PublicKey
	peerID string
}

// newIdentities draws keys in the order of their peer IDs, which is that of the
// public keys: the last one's node leads while all are in sync.
func newIdentities(n int) ([]*identity, error) {
	var all []*identity
	for range n {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return nil, err
		}
		// The identity multihash of a protobuf that says "Ed25519" and the key.
		id := append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, public...)
		all = append(all, &identity{pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), public, base58(id)})
	}
	slices.SortFunc(all, func(a, b *identity) int { return bytes.Compare(a.public, b.public) })
	return all, nil
}

// base58 is Bitcoin's: each zero byte in front becomes a 1.
func base58(data []byte) string {
	const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	var out []byte
	for n, base, digit := new(big.Int).SetBytes(data), big.NewInt(58), new(big.Int); n.Sign() > 0; {
		n.DivMod(n, base, digit)
		out = append(out, digits[digit.Int64()])
	}
	for _, b := range data {
		if b != 0 {
			break
		}
		out = append(out, digits[0])
	}
	slices.Reverse(out)
	return string(out)
}
