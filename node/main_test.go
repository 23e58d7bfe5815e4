package node_test

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

// parallel is how many tests run at once where nobody says otherwise: they wait
// most of the time, for elections, timeouts and disks.
const parallel = 4

func TestMain(m *testing.M) {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// seed is what a test draws from: always the same, unless PEER_TEST_SEED says
// another.
func seed(t *testing.T) uint64 {
	t.Helper()
	said := os.Getenv("PEER_TEST_SEED")
	if said == "" {
		return 1
	}
	n, err := strconv.ParseUint(said, 10, 64)
	if err != nil {
		t.Fatalf("PEER_TEST_SEED: %v", err)
	}
	t.Logf("seed %d", n)
	return n
}
