package container

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"testing"

	"peer/itest/internal/binary"
)

const noEngineHint = `itest: SKIPPED: all tests in containers.
itest: to get an engine: apt-get install docker.io iptables, or https://docs.docker.com/engine/install;
itest: it is ready when "docker info" works for this user. ITEST_REQUIRE=1 makes this a failure.
`

// soaking says that an interrupt is not to end the run: the soak ends by itself.
var soaking atomic.Bool

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	flag.Parse()
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run()
	}
	ctx, cancel := context.WithTimeout(context.Background(), imageTimeout)
	e, err := openEngine(ctx)
	cancel()
	defer binary.Remove()
	switch {
	case errors.Is(err, errNoEngine) && !required():
		fmt.Fprintf(os.Stderr, "itest: %v\n%s", err, noEngineHint)
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "itest: %v\n", err)
		if errors.Is(err, errNoEngine) {
			fmt.Fprint(os.Stderr, noEngineHint)
		}
		return 1
	}
	docker = e
	fmt.Printf("itest: image %s\n", e.image)
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range interrupted {
			if !soaking.Load() {
				e.makeNoMore()
				tidy(e)
				binary.Remove()
				os.Exit(130)
			}
		}
	}()
	code := m.Run()
	if !tidy(e) {
		return max(code, 1)
	}
	return code
}

// tidy leaves nothing behind but the image.
func tidy(e *engine) bool {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	err := e.sweep(ctx, "")
	if err == nil && e.passing != "" {
		err = e.removeImages(ctx, "", e.passing)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "itest: %v\n", err)
	}
	return err == nil
}
