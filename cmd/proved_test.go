package cmd

import (
	"bytes"
	"crypto/sha256"
	"os"
	"testing"
)

// TestTornProved: what is remembered of checked refs is not synced. A file that a power
// cut tore counts as none, whatever is left of it.
func TestTornProved(t *testing.T) {
	home, genesis := t.TempDir(), make([]byte, sha256.Size)
	elements := [][sha256.Size]byte{{1}, {2}, {3}}
	if err := writeProved(home, genesis, 7, elements); err != nil {
		t.Fatal(err)
	}
	whole := readProved(home, genesis)
	if whole.index != 7 || len(whole.elements) != 3 || !whole.elements[elements[2]] {
		t.Fatalf("read back %+v", whole)
	}
	path := provedPath(home, genesis)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := len(raw) - sha256.Size // a place in the last elements
	torn := map[string][]byte{
		"empty":     {},
		"short":     raw[:last],
		"a hole":    append(append(bytes.Clone(raw[:last-4]), 0, 0, 0, 0), raw[last:]...),
		"all holes": make([]byte, len(raw)),
	}
	for what, content := range torn {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readProved(home, genesis); got.index != 0 || len(got.elements) != 0 {
			t.Errorf("%s: read %+v", what, got)
		}
	}
}
