package cmd

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"peer/git"
	"peer/wire"
)

// refNameBytesMax is the longest ref name: a path on somebody's disk.
const refNameBytesMax = 4096

// refs reads the listing of a PUSH session.
func (s *session) refs() ([]git.Ref, error) {
	var refs []git.Ref
	seen := map[string]bool{}
	for {
		frame, err := s.receive()
		if err != nil {
			return nil, err
		}
		list := frame.GetRefs()
		if list == nil {
			return nil, &protocolError{fmt.Sprintf("a %T instead of refs", frame.GetKind())}
		}
		for _, ref := range list.GetRefs() {
			if err := s.checkRef(ref, seen); err != nil {
				return nil, err
			}
			oid, err := git.FromBytes(ref.GetOid())
			if err != nil || oid.IsZero() {
				return nil, &protocolError{fmt.Sprintf("%.100q without an object", ref.GetName())}
			}
			seen[ref.GetName()] = true
			refs = append(refs, git.Ref{Name: ref.GetName(), OID: oid})
		}
		if list.GetDone() {
			// Replicas send them as they come, and git reports on a push in the order of the listing.
			slices.SortFunc(refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
			return refs, nil
		}
		if len(list.GetRefs()) == 0 {
			return nil, &protocolError{"an empty piece of a listing that goes on"}
		}
	}
}

// checkRef lets nothing through that could end up as a line of its own in the
// dialogue with git.
func (s *session) checkRef(ref *wire.Ref, seen map[string]bool) error {
	name := ref.GetName()
	switch {
	case !strings.HasPrefix(name, "refs/"), len(name) > refNameBytesMax, !utf8.ValidString(name),
		strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return &protocolError{fmt.Sprintf("a ref called %.100q", name)}
	case len(ref.GetOid()) != s.genesis.OIDBytes():
		return &protocolError{fmt.Sprintf("an object ID of %d bytes in a %s repository", len(ref.GetOid()), s.genesis.ObjectFormat)}
	case seen[name]:
		return &protocolError{fmt.Sprintf("%.100q listed twice", name)}
	case len(seen) >= refsMax:
		return &protocolError{fmt.Sprintf("more than %d refs", refsMax)}
	}
	return nil
}
