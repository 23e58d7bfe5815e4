package cmd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"peer/git"
	"peer/node/control"
	"peer/wire"
)

// magicReasons are the words on which git acts when a helper gives them as the
// reason of an error: it prints something else, or even takes the ref for
// pushed. Only our own decisions may use them.
var magicReasons = []string{
	"up to date", "no match", "expecting report", "forced update",
	"already exists", "remote ref updated since checkout",
	whyFetchFirst, whyNeedsForce, whyStaleInfo, whyNonFastForward, "non-fast-forward",
}

// foreignReason makes a reason out of a text that a replica chose.
func foreignReason(text string) string {
	text = plainText(text, messageBytesMax)
	if text == "" {
		return "refused"
	}
	// Git takes a leading quote for the beginning of a quoted reason.
	if strings.HasPrefix(text, `"`) || slices.Contains(magicReasons, strings.ToLower(text)) {
		return "peer: " + text
	}
	return text
}

// report is the answer to a batch: one line for each ref, then a blank one.
func (plan *pushPlan) report() string {
	var b strings.Builder
	for _, p := range plan.refs {
		if p.why == "" {
			b.WriteString("ok " + p.Dst + "\n")
		} else {
			b.WriteString("error " + p.Dst + " " + p.why + "\n")
		}
	}
	return b.String() + "\n"
}

// refusalReason says, for every ref of a push, why a replica took none.
func refusalReason(err error) string {
	var said *control.Error
	if !errors.As(err, &said) {
		return foreignReason(err.Error())
	}
	if said.Code == wire.FailureCode_FAILURE_BAD_PACK && !strings.HasPrefix(said.Message, whyShallow) {
		return foreignReason("unpacker error: " + said.Message)
	}
	return foreignReason(said.Message)
}

// codeReasons are git's own words where it has some.
var codeReasons = map[wire.Code]string{
	wire.Code_CODE_NOT_ALLOWED:   "not allowed",
	wire.Code_CODE_BAD_NAME:      "funny refname",
	wire.Code_CODE_NAME_CONFLICT: "name conflict",
	wire.Code_CODE_TOO_MANY_REFS: "too many refs",
	wire.Code_CODE_DELETES_HEAD:  "deletion of the current branch prohibited",
	wire.Code_CODE_LOCKED:        "locked",
	wire.Code_CODE_SIBLING:       whyAtomic,
	wire.Code_CODE_EXPIRED:       "too much has happened since this push was signed, push again",
	wire.Code_CODE_LIST_AGAIN:    "this push rests on a listing that is too old, push again",
	wire.Code_CODE_ID_REUSED:     "the ID of this push was used before, push again",
	wire.Code_CODE_MALFORMED:     "malformed transaction",
	wire.Code_CODE_NOT_FORWARD:   "protected: it moves forward only, fetch first",
}

// explain says why the log refused a ref.
func (r *remoteHelper) explain(ctx context.Context, p *refPush, result *wire.Result) string {
	switch result.GetCode() {
	case wire.Code_CODE_STALE:
		return r.explainStale(ctx, p)
	case wire.Code_CODE_SIBLING:
		return whyAtomic
	default:
		return reasonOf(result)
	}
}

// reasonOf says in words why the log refused a ref.
func reasonOf(result *wire.Result) string {
	code := result.GetCode()
	reason, ok := codeReasons[code]
	if !ok {
		reason = "refused with code " + code.String()
	}
	detail := plainText(result.GetDetail(), messageBytesMax)
	if detail != "" && code != wire.Code_CODE_DELETES_HEAD { // scripts know git's own line, which names the branch as well
		reason += ": " + detail
	}
	return reason
}

// explainStale finds out what a ref that moved under a push means for the
// person: the words that make git print the right advice.
func (r *remoteHelper) explainStale(ctx context.Context, p *refPush) string {
	const moved = "moved by somebody else meanwhile, push again"
	if p.lease {
		return whyStaleInfo
	}
	refs, err := r.currentRefs(ctx)
	if err != nil {
		return moved
	}
	now := refs[p.Dst]
	if now.IsZero() {
		return "deleted by somebody else meanwhile, push again"
	}
	found, err := r.local.ResolveAndHave(ctx, nil, []git.OID{now})
	if err != nil {
		return moved
	}
	if _, known := found.Have[now]; !known {
		return whyFetchFirst
	}
	if !p.Force && !p.new.IsZero() && !isAncestor(ctx, now, p.new) {
		return whyNonFastForward
	}
	return moved
}

// currentRefs lists again, once for all refs of a push.
func (r *remoteHelper) currentRefs(ctx context.Context) (map[string]git.OID, error) {
	if r.listing.fresh != nil {
		return r.listing.fresh, nil
	}
	s, err := r.client.open(ctx, wire.Intent_INTENT_PUSH)
	if err != nil {
		return nil, err
	}
	defer s.close()
	refs, err := s.refs()
	if err != nil {
		return nil, err
	}
	r.listing.fresh = refMap(refs)
	return r.listing.fresh, nil
}

// isAncestor asks git; no answer counts as no.
func isAncestor(ctx context.Context, old, new git.OID) bool {
	c := git.Command{Args: []string{"merge-base", "--is-ancestor", old.String(), new.String()}, Inherit: true}
	return c.Run(ctx) == nil
}

func isBranch(name string) bool { return strings.HasPrefix(name, "refs/heads/") }
