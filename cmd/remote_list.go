package cmd

import (
	"context"
	"errors"
	"strings"

	"peer/git"
	"peer/replica"
	"peer/wire"
)

// listing is what git was told before a push, with the session that goes on
// from there.
type listing struct {
	session *session // nil once used
	genesis *replica.Genesis
	index   uint64
	refs    map[string]git.OID
	fresh   map[string]git.OID // read again after a refusal; nil until then
}

// list answers "list for-push". HEAD and peeled tags are left out: git would
// push to them with --mirror. The plain "list" comes only when fetching by
// connect was refused, which we never do.
func (r *remoteHelper) list(ctx context.Context, arg string) error {
	if arg != "for-push" {
		return errors.New("git asked for a list of refs where it should have connected; nothing was fetched")
	}
	r.dropListing()
	var refs []git.Ref
	s, err := r.open(ctx, wire.Intent_INTENT_PUSH, r.pushPatience, func(s *session) (err error) {
		refs, err = s.refs()
		return err
	})
	if err != nil {
		return err
	}
	r.listing = &listing{session: s, genesis: s.genesis, index: s.welcome.GetIndex(), refs: refMap(refs)}
	var b strings.Builder
	if r.options.formats && s.genesis.ObjectFormat != replica.SHA1 {
		b.WriteString(":object-format " + s.genesis.ObjectFormat + "\n")
	}
	for _, ref := range refs {
		if !reserved(ref.Name) {
			b.WriteString(ref.OID.String() + " " + ref.Name + "\n")
		}
	}
	b.WriteString("\n")
	return r.reply(b.String())
}

// reserved says that a ref belongs to peer itself.
func reserved(name string) bool { return strings.HasPrefix(name, "refs/peer/") }

func refMap(refs []git.Ref) map[string]git.OID {
	m := make(map[string]git.OID, len(refs))
	for _, ref := range refs {
		m[ref.Name] = ref.OID
	}
	return m
}

// takeSession gives the listing's session away; nil if it is used up.
func (l *listing) takeSession() *session {
	s := l.session
	l.session = nil
	return s
}

func (r *remoteHelper) dropListing() {
	if r.listing != nil {
		if s := r.listing.takeSession(); s != nil {
			s.close()
		}
		r.listing = nil
	}
}
