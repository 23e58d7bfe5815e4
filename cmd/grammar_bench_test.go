package cmd

import (
	"io"
	"testing"
)

// BenchmarkGrammar is what every command pays before it begins.
func BenchmarkGrammar(b *testing.B) {
	b.Setenv("PEER_HOME", b.TempDir())
	for b.Loop() {
		a := app{out: io.Discard, errs: io.Discard}
		if err := a.dispatch(b.Context(), []string{"version"}); err != nil {
			b.Fatal(err)
		}
	}
}
