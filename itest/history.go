package itest

import (
	"math/rand/v2"
)

// randomBytes are incompressible, and the same for the same seed.
func randomBytes(seed uint64, size int) []byte {
	data := make([]byte, size)
	var key [32]byte
	key[0], key[1], key[2], key[3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(seed>>24)
	_, _ = rand.NewChaCha8(key).Read(data) // never fails
	return data
}
