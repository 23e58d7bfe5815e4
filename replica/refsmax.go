package replica

import (
	"fmt"

	"peer/wire"
)

// Limits on the refs of a repository: clients list no more of them, and all must
// fit into a snapshot (wire.SnapshotBytesMax).
const (
	RefsMax = 1_000_000
	// refNameBytesMean is how long their names may be on average, where there are as many.
	refNameBytesMean = 64
)

func (r Rules) refsMax() int {
	if r.RefsMax > 0 {
		return r.RefsMax
	}
	return RefsMax
}

// roomForRef refuses a ref that is not there yet and for which there is no room. One
// that is there may always move, also in a table of before this limit.
func (t *Table) roomForRef(name string) *wire.Result {
	most := t.rules.refsMax()
	switch {
	case t.refs[name] != nil:
		return nil
	case len(t.refs) >= most:
		return refuse(wire.Code_CODE_TOO_MANY_REFS, fmt.Sprintf("%s has %d refs, and %d is the most: delete some first", t.genesis.Name, len(t.refs), most))
	case t.refNameBytes+len(name) > most*refNameBytesMean:
		return refuse(wire.Code_CODE_TOO_MANY_REFS, fmt.Sprintf("the names of all refs of %s would take more than %d bytes: delete some first", t.genesis.Name, most*refNameBytesMean))
	}
	return nil
}
