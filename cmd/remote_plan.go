package cmd

import (
	"context"
	"fmt"

	"peer/git"
	"peer/wire"
)

// Reasons in git's own words. For the first four it prints an explanation of
// its own, and a hint.
const (
	whyFetchFirst     = "fetch first"
	whyNeedsForce     = "needs force"
	whyStaleInfo      = "stale info"
	whyNonFastForward = "non-fast forward"
	whyAtomic         = "atomic push failed"
	whyShallow        = "shallow update not allowed"
)

// refPush is one ref of a push: what git asked for, and what became of it.
type refPush struct {
	git.PushLine
	old, new git.OID
	lease    bool   // git promised that old is what the remote has
	why      string // why it was refused; empty if it was not
	settled  bool   // nothing is left to do
}

func (p *refPush) refuse(why string) { p.why, p.settled = why, true }

func (p *refPush) update() *wire.RefUpdate {
	return &wire.RefUpdate{Name: p.Dst, Old: p.old.Bytes(), New: p.new.Bytes()}
}

// pushPlan is a push before anything is sent.
type pushPlan struct {
	refs  []*refPush
	haves []git.OID // tips of the remote that exist here
}

// plan finds out what each line stands for and refuses what git leaves for the
// helper to refuse. One child process answers all questions.
func (r *remoteHelper) plan(ctx context.Context, lines []git.PushLine) (*pushPlan, error) {
	var exprs []string
	for _, line := range lines {
		if line.Src != "" {
			exprs = append(exprs, line.Src)
		}
	}
	plan := new(pushPlan)
	var found git.Resolved
	if len(exprs) > 0 {
		tips := r.listing.tips()
		var err error
		if found, err = r.local.ResolveAndHave(ctx, exprs, tips); err != nil {
			return nil, fmt.Errorf("look up what to push: %w", err)
		}
		for _, tip := range tips {
			if _, here := found.Have[tip]; here {
				plan.haves = append(plan.haves, tip)
			}
		}
	}
	for _, object := range found.Exprs {
		if string(object.OID.Format()) != r.listing.genesis.ObjectFormat {
			return nil, hinted(fmt.Errorf("the receiving end does not support this repository's hash algorithm: it has %s, this one %s",
				r.listing.genesis.ObjectFormat, object.OID.Format()), "push to a repository that was made with: peer init --object-format "+string(object.OID.Format()))
		}
	}
	seen := map[string]bool{}
	for i, next := 0, 0; i < len(lines); i++ {
		p := &refPush{PushLine: lines[i], old: r.listing.refs[lines[i].Dst]}
		var object git.Object
		if p.Src != "" {
			object, next = found.Exprs[next], next+1
			p.new = object.OID
		}
		if why := r.judge(p, object, found.Have); why != "" {
			p.refuse(why)
		} else if seen[p.Dst] {
			p.refuse("named twice in one push")
		}
		seen[p.Dst] = true
		p.settled = p.settled || p.old == p.new
		plan.refs = append(plan.refs, p)
	}
	if r.options.atomic {
		plan.refuseSiblings()
	}
	return plan, nil
}

// judge says why a ref can't be pushed, or nothing. Git itself has checked fast
// forwards of commits that it knows, leases, and existing tags.
func (r *remoteHelper) judge(p *refPush, object git.Object, have map[git.OID]git.Object) string {
	if err := git.CheckRefName(p.Dst); err != nil {
		return "funny refname: " + plainText(err.Error(), messageBytesMax)
	}
	if lease, ok := r.options.leases[p.Dst]; ok {
		p.lease = true
		if lease != p.old {
			return whyStaleInfo
		}
	}
	if p.Src == "" {
		if p.old.IsZero() {
			return "there is no such ref"
		}
		return ""
	}
	if isBranch(p.Dst) && object.Type != git.Commit {
		return fmt.Sprintf("a branch names a commit, and this is a %s", object.Type)
	}
	if p.Force || p.lease || p.old.IsZero() || p.old == p.new {
		return ""
	}
	old, known := have[p.old]
	switch {
	case !known:
		return whyFetchFirst
	case old.PeelTo != git.Commit || object.PeelTo != git.Commit:
		return whyNeedsForce
	}
	return ""
}

// refuseSiblings makes one refusal the end of all.
func (plan *pushPlan) refuseSiblings() {
	failed := false
	for _, p := range plan.refs {
		failed = failed || p.why != ""
	}
	for _, p := range plan.refs {
		if failed && p.why == "" {
			p.refuse(whyAtomic)
		}
	}
}

// pending are the refs that must go to the group.
func (plan *pushPlan) pending() []*refPush {
	var pending []*refPush
	for _, p := range plan.refs {
		if !p.settled {
			pending = append(pending, p)
		}
	}
	return pending
}

// tips are the objects that the remote's refs name, each once.
func (l *listing) tips() []git.OID {
	seen := make(map[git.OID]bool, len(l.refs))
	tips := make([]git.OID, 0, len(l.refs))
	for _, oid := range l.refs {
		if !seen[oid] {
			seen[oid] = true
			tips = append(tips, oid)
		}
	}
	return tips
}
