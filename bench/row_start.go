package main

import (
	"context"
	"os"
	"path/filepath"
)

func startUp(ctx context.Context, b *bench, rounds int, out *result) error {
	out.Unit = "ms"
	empty, err := b.buildEmpty(ctx)
	if err != nil {
		return err
	}
	const us, nothing = "peer version", "empty Go program"
	err = race(ctx, out, rounds, warmRounds, b.starter(us, b.peer, "version"), b.starter(nothing, empty))
	out.more(us, nothing, atMost(10, "ms"))
	return err
}

// buildEmpty builds a program that does nothing, outside of any module.
func (b *bench) buildEmpty(ctx context.Context) (string, error) {
	source, to := filepath.Join(b.work, "empty.go"), filepath.Join(b.work, "empty")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return "", err
	}
	return to, b.build(ctx, source, to)
}

func (b *bench) starter(name string, args ...string) *contender {
	return &contender{name: name, round: func(ctx context.Context) (sample, error) {
		_, spent, err := b.run(ctx, command{dir: b.work, args: args})
		return sample{value: milliseconds(spent.wall), beside: map[string]float64{"CPU, ms": milliseconds(spent.cpu)}}, err
	}}
}
