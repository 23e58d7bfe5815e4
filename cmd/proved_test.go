package cmd

import (
	"bytes"
	"os"
	"testing"

	"peer/identity"
	"peer/wire"
)

// TestTornProved: what is remembered of checked refs is not synced. A file that a power
// cut tore counts as none, whatever is left of it.
func TestTornProved(t *testing.T) {
	home, known := t.TempDir(), pin{Genesis: identity.GenesisHash{1}.String(), Vouched: &vouchedPin{Index: 7}}
	at := func(name string, oid byte, index uint64) *wire.ListedRef {
		return &wire.ListedRef{Name: name, Oid: bytes.Repeat([]byte{oid}, 20), Index: index}
	}
	refs := []*wire.ListedRef{at("refs/heads/a", 1, 2), at("refs/heads/b", 2, 7), at("refs/heads/c", 3, 7)}
	if err := writeProved(home, known.hash(), 7, refs); err != nil {
		t.Fatal(err)
	}
	whole := readProved(home, known)
	if whole.index != 7 || len(whole.refs) != 3 || !whole.has(refs[1]) || whole.check(refs) != nil {
		t.Fatalf("read back %+v", whole)
	}
	for _, other := range []*wire.ListedRef{at("refs/heads/a", 1, 3), at("refs/heads/a", 2, 2), at("refs/heads/d", 1, 2)} {
		if whole.has(other) || whole.check([]*wire.ListedRef{other}) == nil {
			t.Errorf("has %v", other)
		}
	}
	path := provedPath(home, known.hash())
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := len(raw) - 20 // a place in the last ref
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
		if got := readProved(home, known); got.index != 0 || len(got.refs) != 0 || got.check(refs) != nil {
			t.Errorf("%s: read %+v", what, got)
		}
	}
}

// TestProvedBeyondThePin: a person who takes the pin of a repository back takes all back
// that was seen of it.
func TestProvedBeyondThePin(t *testing.T) {
	home, known := t.TempDir(), pin{Genesis: identity.GenesisHash{1}.String(), Vouched: &vouchedPin{Index: 6}}
	if err := writeProved(home, known.hash(), 7, []*wire.ListedRef{{Name: "refs/heads/a", Oid: make([]byte, 20), Index: 2}}); err != nil {
		t.Fatal(err)
	}
	if got := readProved(home, known); got.index != 0 || len(got.refs) != 0 {
		t.Errorf("with the pin at 6, what was seen at %d counts", got.index)
	}
	known.Vouched = nil
	if got := readProved(home, known); got.index != 0 || len(got.refs) != 0 {
		t.Errorf("without a pin, what was seen at %d counts", got.index)
	}
	known.Vouched = &vouchedPin{Index: 8}
	if got := readProved(home, known); got.index != 7 {
		t.Errorf("with the pin at 8, index %d is remembered", got.index)
	}
}
