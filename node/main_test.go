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
