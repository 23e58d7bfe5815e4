package cmd

import (
	"fmt"
	"slices"
	"strconv"

	"peer/identity"
	"peer/node"
	"peer/node/control/pb"
	"peer/replica"
	"peer/wire"
)

// A wishError is a change of the replicas that makes no sense, and what to type instead.
type wishError struct{ f *wire.Failure }

func (e *wishError) Error() string          { return e.f.GetMessage() }
func (e *wishError) Failure() *wire.Failure { return e.f }

func wish(hint, format string, args ...any) error {
	return &wishError{&wire.Failure{Code: wire.FailureCode_FAILURE_BAD_REQUEST, Message: fmt.Sprintf(format, args...), Hint: hint}}
}

// parseWishes reads what the owner wants changed. What comes back changes the
// settings that are in force by then.
func parseWishes(r *pb.ConfigureRequest) (func(node.Info, *wire.Settings) error, error) {
	add, err := parsePeers(r.GetAdd())
	if err != nil {
		return nil, err
	}
	remove, err := parsePeers(r.GetRemove())
	if err != nil {
		return nil, err
	}
	prefer := map[identity.PeerID]int32{}
	for _, p := range r.GetPriorities() {
		id, err := identity.ParsePeerID(p.GetPeer())
		if err != nil {
			return nil, wish("", "%v", err)
		}
		prefer[id] = p.GetPriority()
	}
	return func(info node.Info, s *wire.Settings) error {
		if err := wishCount(r, info, s, add, remove); err != nil {
			return err
		}
		s.On = replaced(s.GetOn(), remove, add)
		s.Off = replaced(s.GetOff(), add, remove)
		if r.GetGraceMs() != 0 {
			s.GraceMs = r.GetGraceMs()
		}
		for id, n := range prefer {
			s.Priorities = slices.DeleteFunc(s.Priorities, func(p *wire.Priority) bool { return string(p.GetPeer()) == string(id) })
			if n != 0 {
				s.Priorities = append(s.Priorities, &wire.Priority{Peer: []byte(id), Priority: n})
			}
		}
		if r.Stay != nil {
			s.Stay = r.GetStay()
		}
		return nil
	}, nil
}

func parsePeers(list []string) (ids []identity.PeerID, err error) {
	for _, s := range list {
		id, err := identity.ParsePeerID(s)
		if err != nil {
			return nil, wish("", "%v", err)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// wishCount works out how many replicas there should be, and refuses what can't be.
func wishCount(r *pb.ConfigureRequest, info node.Info, s *wire.Settings, add, remove []identity.PeerID) error {
	votes := func(id identity.PeerID) bool {
		return slices.ContainsFunc(info.Replicas, func(m node.Replica) bool { return m.Peer == id && m.Role != replica.Learner })
	}
	count := wantedReplicas(info)
	// What was asked for before is not counted again, so that asking twice is safe.
	asked := func(list [][]byte, id identity.PeerID) bool {
		return slices.ContainsFunc(list, func(raw []byte) bool { return string(raw) == string(id) })
	}
	for _, id := range add {
		if !votes(id) && !asked(s.GetOn(), id) {
			count++
		}
	}
	for _, id := range remove {
		if asked(s.GetOff(), id) {
			continue
		}
		if !votes(id) {
			return wish("see who does: peer repo replicas "+info.Genesis.Name, "node %s holds no replica of %s", id, info.Genesis.Name)
		}
		if slices.Contains(add, id) {
			return wish("name it once", "node %s is to be added and removed", id)
		}
		count--
	}
	if n := int(r.GetCount()); n != 0 {
		if len(add) > n {
			return wish("", "%d nodes are named for %d replicas", len(add), n)
		}
		count = n
	}
	switch {
	case count < 1:
		return wish("to end the repository: peer repo rm "+info.Genesis.Name, "no replica would be left")
	case count > replica.MembersMax:
		return wish(fmt.Sprintf("use %d at most", replica.MembersMax), "%d replicas: a push would wait for too many", count)
	case count%2 == 0:
		return wish("add or remove one more node, or say --count "+strconv.Itoa(count-1)+" or "+strconv.Itoa(count+1),
			"%d replicas: an even number survives no more failures than one less", count)
	}
	if count != wantedReplicas(info) {
		s.Replicas = uint32(count)
	}
	return nil
}

func wantedReplicas(info node.Info) int {
	if n := int(info.Settings.GetReplicas()); n != 0 {
		return n
	}
	return len(info.Genesis.Members)
}

// replaced is the list without some, and with others.
func replaced(list [][]byte, without, with []identity.PeerID) [][]byte {
	has := func(ids []identity.PeerID, raw []byte) bool { return slices.Contains(ids, identity.PeerID(raw)) }
	list = slices.DeleteFunc(slices.Clone(list), func(raw []byte) bool { return has(without, raw) || has(with, raw) })
	for _, id := range with {
		list = append(list, []byte(id))
	}
	return list
}

func pbWanted(info node.Info) *pb.Wanted {
	s := info.Settings
	w := &pb.Wanted{Replicas: uint32(wantedReplicas(info)), GraceMs: s.GetGraceMs(), Stay: s.GetStay()}
	if w.GraceMs == 0 {
		w.GraceMs = replica.DefaultGraceMillis
	}
	for _, p := range s.GetOn() {
		w.On = append(w.On, identity.PeerID(p).String())
	}
	for _, p := range s.GetOff() {
		w.Off = append(w.Off, identity.PeerID(p).String())
	}
	for _, p := range s.GetPriorities() {
		w.Priorities = append(w.Priorities, &pb.Priority{Peer: identity.PeerID(p.GetPeer()).String(), Priority: p.GetPriority()})
	}
	return w
}
