package cmd

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"peer/git"
	"peer/wire"
)

// What a person wants done about a listing that is not proved: PEER_UNPROVED.
const (
	unprovedEnv    = "PEER_UNPROVED"
	unprovedTake   = "take"   // it is taken, with a warning
	unprovedRefuse = "refuse" // it never is
)

// An unprovedError says that a replica proves less than this home has seen proved.
type unprovedError struct {
	why  string
	soon bool // it may have more in a moment
}

func (e *unprovedError) Error() string { return e.why }

// prove reads the listing of a session and decides whether to believe it. What is wrong is
// refused. What lacks a proof is refused where this home has had a majority's word for
// the repository before; at first contact a warning must do. Nil: git is to get the
// listing of the replica's git, as it is.
func (r *remoteHelper) prove(ctx context.Context, s *session) (*git.Listing, error) {
	c := r.client
	pinned, err := c.pins.lookup(s.genesis.Repo)
	if err != nil {
		return nil, err
	}
	if !s.welcome.GetProves() {
		return nil, r.unproved(pinned, false, "this replica is of an older peer, which can't prove what it lists: "+c.address.Name+" is believed as it shows it",
			"upgrade that node")
	}
	l, err := s.proved(c.known)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(pinned.Vouched.check(l.Vouched), l.known.check(l.listed)); err != nil {
		return nil, hinted(err, fmt.Sprintf("fetch from another replica, and ask the owner what happened; if the repository was set back, take \"vouched\" of %s out of %s",
			s.genesis.Repo, c.pins.path()))
	}
	if l.Majority() {
		if len(l.unsigned) > 0 {
			why := l.bare(pinned.Vouched.keptSince(l.keptSince)) + ": a majority of the voters vouches for them"
			if r.onUnproved == unprovedRefuse {
				return nil, r.unproved(pinned, false, why, "fetch from another replica, which may keep more")
			}
			warn(r.errs, "%s", why)
		}
		if err := c.pins.vouch(ctx, s.genesis.Repo, l.Vouched, l.keptSince); err != nil {
			return nil, err
		}
		if err := l.remember(c.pins.dir, s.genesis.Hash[:]); err != nil {
			warn(r.errs, "what was checked is not remembered, and will be checked again: %v", err)
		}
	} else if err := r.halfProved(pinned, s, l); err != nil {
		return nil, err
	}
	if r.options.verbosity > 1 {
		r.say.line(fmt.Sprintf("index %d, signed by %d of %d voters; %d refs are new here, %d transactions prove them",
			l.Index, len(l.Signers), len(l.Lineage.Last().Voters), l.checked, l.proofs))
	}
	return &l.Listing, nil
}

// bare says of which refs there is no signature, though a majority vouches for them, and
// why that may be. since is the first entry of which one was seen, if any.
func (l *provedListing) bare(since uint64) string {
	var late []string
	for _, ref := range l.unkept {
		if since > 0 && ref.GetIndex() >= since {
			late = append(late, ref.GetName())
		}
	}
	few := fmt.Sprintf("of %d refs no signature is kept", len(l.unsigned))
	if len(late) == 0 {
		return few + ", since they were set before it was, or by who has no role any more"
	}
	return fmt.Sprintf("%s, though signatures are kept here since index %d, and that is before %s: there are too many to keep, or this replica has its table from an older peer, or nobody signed",
		few, since, some(late))
}

// halfProved judges a listing for which too few voters vouch: somebody signed where its
// refs are, and yet some may be missing, or have moved on.
func (r *remoteHelper) halfProved(pinned pin, s *session, l *provedListing) error {
	few := fmt.Sprintf("%d of %d voters vouch for this listing", len(l.Signers), len(l.Lineage.Last().Voters))
	switch n := len(l.unsigned); {
	case n > 0:
		return r.unproved(pinned, true, fmt.Sprintf("%s, and no signature is kept of %d of its refs: they are believed as this replica shows them", few, n),
			"start the other replicas: peer repo show "+r.client.address.URL())
	case len(l.earlier) > 0:
		return r.unproved(pinned, true, fmt.Sprintf("%s, and what is signed for %s was signed before index %d, which is known here, and does not start from what it was then: it may be an older state",
			few, some(l.earlier), l.known.index), "start the other replicas: peer repo show "+r.client.address.URL())
	case s.welcome.GetStale() && r.onUnproved != unprovedRefuse: // its own word
		warn(r.errs, "%s: each ref was signed for by who might, and it may have moved on, or others be missing", few)
		if gone := l.known.gone(l.listed); len(gone) > 0 {
			warn(r.errs, "deleted since index %d, or left out: %s", l.known.index, some(gone))
		}
		return nil
	}
	return r.unproved(pinned, true, few+": refs may be missing, or have moved on", "start the other replicas: peer repo show "+r.client.address.URL())
}

// unproved warns, or refuses.
func (r *remoteHelper) unproved(pinned pin, soon bool, why, hint string) error {
	if r.onUnproved == unprovedTake || r.onUnproved == "" && pinned.Vouched == nil {
		warn(r.errs, "%s", why)
		return nil
	}
	reason := "before, a majority of the voters vouched for this repository"
	if r.onUnproved == unprovedRefuse {
		reason = unprovedEnv + "=" + unprovedRefuse + " is set"
	}
	return hinted(&unprovedError{why + ". It is not taken, since " + reason, soon}, hint+"; or take it as it is: "+unprovedEnv+"="+unprovedTake)
}

// some names the first of a list, which is not empty.
func some(names []string) string {
	first := slices.Min(names)
	if len(names) == 1 {
		return fmt.Sprintf("%.100s", first)
	}
	return fmt.Sprintf("%.100s and %d more", first, len(names)-1)
}

// wantsProof says whether a session of this kind is to prove its listing. What git
// archive gets is one tree, by whatever name.
func wantsProof(intent wire.Intent) bool { return intent == wire.Intent_INTENT_FETCH }
