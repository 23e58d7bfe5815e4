package people

import (
	"fmt"
	"strings"
	"time"
)

// Result is what became of a command.
type Result struct {
	Line     string // what was typed
	Out, Err string // what it printed
	Code     int    // -1: killed, or never begun
	Took     time.Duration
}

func (r Result) String() string {
	return fmt.Sprintf("%s: exit %d after %v\n%s%s", r.Line, r.Code, r.Took.Round(time.Millisecond), r.Out, r.Err)
}

// Stale says that a listing was served without a leader, and says so.
func (r Result) Stale() bool {
	return strings.Contains(r.Err, "no leader confirmed this")
}
