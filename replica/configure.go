package replica

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"peer/identity"
	"peer/wire"
)

// settingsMax bounds each list of the settings.
const settingsMax = 64

// configure replaces the settings. The leader then moves the members towards
// them; see [PlanMembers].
func (o *operation) configure(c *wire.Configure) *wire.Result {
	if r := o.before.needs(o.signer, asOwner, "change the settings of "+o.genesis.Name); r != nil {
		return r
	}
	if have := o.Settings().GetVersion(); c.GetOldVersion() != have {
		return refuse(wire.Code_CODE_STALE, fmt.Sprintf("the settings are of version %d, expected %d", have, c.GetOldVersion()))
	}
	if err := checkSettings(c.GetSettings()); err != nil {
		return refuse(wire.Code_CODE_MALFORMED, err.Error())
	}
	if n := len(c.GetConfiguration()); n != 0 && n != sha256.Size {
		return refuse(wire.Code_CODE_MALFORMED, fmt.Sprintf("the hash of a configuration has %d bytes, not %d", sha256.Size, n))
	}
	o.confirm(c.GetConfiguration())
	before, next := o.meta.GetSettings(), c.GetSettings()
	o.meta.Settings = &wire.Settings{
		Version: o.index, Replicas: next.GetReplicas(), GraceMs: next.GetGraceMs(), On: next.GetOn(), Off: next.GetOff(),
		Priorities: next.GetPriorities(), Stay: next.GetStay(),
	}
	o.undo = append(o.undo, func() { o.meta.Settings = before })
	return &wire.Result{}
}

// confirm has the lineage begin at the configuration in force, if that is what the
// owner names. One that the voters have left since confirms nothing.
func (o *operation) confirm(hash []byte) {
	before := o.members
	if last := before.Lineage.Last(); last.Body == nil || !bytes.Equal(hash, last.Hash[:]) {
		return
	}
	confirmed, err := before.Lineage.confirmed(o.signed, before.Lineage.Last(), o.meta.GetSuccessions())
	if err != nil {
		return // of an owner whom the genesis does not name: proofs begin there
	}
	set := func(ms *Membership) {
		o.members = ms
		o.mark(keyLineage, encode(ms.Lineage.Wire()))
	}
	now := *before
	now.Lineage = confirmed
	set(&now)
	o.undo = append(o.undo, func() { set(before) })
}

func checkSettings(s *wire.Settings) error {
	if s == nil {
		return errors.New("no settings")
	}
	if n := s.GetReplicas(); n > MembersMax || n != 0 && n%2 == 0 {
		return fmt.Errorf("%d replicas: want an odd number up to %d", n, MembersMax)
	}
	if len(s.GetOn()) > settingsMax || len(s.GetOff()) > settingsMax || len(s.GetPriorities()) > settingsMax {
		return fmt.Errorf("settings name more than %d nodes", settingsMax)
	}
	named := [][]byte{}
	for _, list := range [][][]byte{s.GetOn(), s.GetOff()} {
		for _, p := range list {
			if _, err := identity.PeerIDFromBytes(p); err != nil {
				return fmt.Errorf("settings: %w", err)
			}
			for _, other := range named {
				if bytes.Equal(p, other) {
					return fmt.Errorf("settings name %s twice", identity.PeerID(p))
				}
			}
			named = append(named, p)
		}
	}
	for _, p := range s.GetPriorities() {
		if _, err := identity.PeerIDFromBytes(p.GetPeer()); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
	}
	return nil
}

// remove ends the repository. The lock does not keep its owner from it.
func (o *operation) remove(*wire.Remove) *wire.Result {
	if r := o.before.needs(o.signer, asOwner, "remove "+o.genesis.Name); r != nil {
		return r
	}
	o.meta.Tombstone = &wire.Tombstone{Index: o.index, StampUnixMs: o.Stamp(), Transaction: o.signed}
	o.undo = append(o.undo, func() { o.meta.Tombstone = nil })
	return &wire.Result{}
}

// Priority is how much the owner prefers p as a leader; zero where nothing was said.
func (t *Table) Priority(p identity.PeerID) int32 {
	for _, at := range t.Settings().GetPriorities() {
		if string(at.GetPeer()) == string(p) {
			return at.GetPriority()
		}
	}
	return 0
}
