package replica

import (
	"bytes"
	"fmt"
	"strings"

	"peer/identity"
	"peer/wire"
)

// AncestryMax is how many refs one transaction may move forward that rules let go
// nowhere else. For each the leader asks git.
const AncestryMax = 256

// Forward lists what a leader must find out before it proposes a transaction of
// signer: for each update of a ref that a rule lets move forward only, whether its
// old object is an ancestor of its new one. Empty while no rule says so.
func (t *Table) Forward(signer identity.PublicKey, tx *wire.Transaction) (list []*wire.Ancestry) {
	if len(t.policy.rules) == 0 {
		return nil
	}
	for _, op := range tx.GetOperations() {
		u := op.GetRefUpdate()
		if u == nil || isTag(u.GetName()) || t.policy.mustForward(u) == nil || t.policy.mayUpdate(signer, u) != nil {
			continue
		}
		if list = append(list, &wire.Ancestry{Old: u.GetOld(), New: u.GetNew()}); len(list) == AncestryMax {
			break
		}
	}
	return list
}

// isTag: tags have no forward. As git has it, whoever moves one forces it.
func isTag(name string) bool { return strings.HasPrefix(name, "refs/tags/") }

// forward refuses an update that a rule lets go forward only, unless the entry says
// that it does.
func (o *operation) forward(u *wire.RefUpdate) *wire.Result {
	r := o.before.mustForward(u)
	if r == nil {
		return nil
	}
	if !isTag(u.GetName()) {
		for _, a := range o.ancestry {
			if bytes.Equal(a.GetOld(), u.GetOld()) && bytes.Equal(a.GetNew(), u.GetNew()) {
				o.used = append(o.used, a)
				return nil
			}
		}
	}
	return refuse(wire.Code_CODE_NOT_FORWARD, fmt.Sprintf("not known to be a fast-forward, and nobody may force it: %s is protected by the rule %s", u.GetName(), r.GetPattern()))
}
