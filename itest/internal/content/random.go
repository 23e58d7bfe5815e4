// Package content makes what is in files: the same on every run.
package content

import "math/rand/v2"

// Random bytes are incompressible, and the same for the same seed.
func Random(seed uint64, size int) []byte {
	data := make([]byte, size)
	Fill(seed, data)
	return data
}

// Fill fills data with what [Random] returns.
func Fill(seed uint64, data []byte) {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	_, _ = rand.NewChaCha8(key).Read(data) // never fails
}
