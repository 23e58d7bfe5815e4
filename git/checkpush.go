package git

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// borrowedMax bounds the objects that a push relies on and that a walk up to the
// tips does not already account for: a tree put back as it once was, say. Git
// sends most of these again.
const borrowedMax = 1 << 20

// CheckPush is Check for a push that may rely on what tips reach, and on nothing
// else that happens to be in the repository: other objects may be on their way
// out, and gone elsewhere. shallow are the roots of the pusher's clone, if that is
// shallow; the error is a *ShallowError where they are what is missing.
func (q *Quarantine) CheckPush(ctx context.Context, news, shallow, tips []OID) (map[OID]Object, error) {
	brought, err := readOIDTable(q.IdxPath, q.repo.format.RawLen())
	if err != nil {
		return nil, fmt.Errorf("repository %s: quarantine: %w", q.repo.dir, err)
	}
	return q.repo.check(ctx, q.command, news, shallow, q.repo.walkPush(q.command, news, tips, brought))
}

// CheckPush does the same for a push that brings no pack.
func (r *Repo) CheckPush(ctx context.Context, news, shallow, tips []OID) (map[OID]Object, error) {
	return r.check(ctx, r.command, news, shallow, r.walkPush(r.command, news, tips, oidTable{len: r.format.RawLen()}))
}

// walkPush walks from news to the tips. What it passes must be in the pack or,
// where the tips hide it from such a walk, be reached by them after all: git looks
// for that only at the edge, so it takes a walk through everything to find out.
func (r *Repo) walkPush(command func(...string) *Command, news, tips []OID, brought oidTable) func(context.Context) error {
	return func(ctx context.Context) error {
		borrowed := map[string]bool{}
		out := &oidLines{each: func(oid []byte) bool {
			if !brought.has(oid) {
				borrowed[string(oid)] = true
			}
			return len(borrowed) <= borrowedMax
		}}
		err := r.revList(ctx, command, out, revisions(compactOIDs(news), compactOIDs(tips)))
		switch {
		case len(borrowed) > borrowedMax:
			return &MissingError{Detail: fmt.Sprintf("the pack leaves out more than %d objects that are not known to be here", borrowedMax)}
		case err != nil:
			return r.connectivityError(ctx, err)
		case len(borrowed) == 0:
			return nil
		}
		return r.findBorrowed(ctx, borrowed, tips)
	}
}

// findBorrowed looks for objects among all that tips reach.
func (r *Repo) findBorrowed(ctx context.Context, borrowed map[string]bool, tips []OID) error {
	out := &oidLines{each: func(oid []byte) bool {
		delete(borrowed, string(oid))
		return len(borrowed) > 0
	}}
	if len(tips) > 0 {
		err := r.revList(ctx, r.command, out, revisions(compactOIDs(tips), nil), "--use-bitmap-index")
		if err != nil && !(out.enough && len(borrowed) == 0) {
			return fmt.Errorf("repository %s: %w", r.dir, err)
		}
	}
	if len(borrowed) == 0 {
		return nil
	}
	missing := &MissingError{}
	for _, raw := range slices.Sorted(maps.Keys(borrowed)) {
		if missing.OIDs = append(missing.OIDs, OID{raw}); len(missing.OIDs) == 10 {
			break
		}
	}
	return missing
}

// revList writes the raw names of all objects that some revisions reach and
// others don't, until out has enough.
func (r *Repo) revList(ctx context.Context, command func(...string) *Command, out *oidLines, revisions string, options ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out.stop = cancel
	c := command(append([]string{"rev-list", "--objects", "--no-object-names", "--stdin"}, options...)...)
	c.Stdin = strings.NewReader(revisions)
	c.Stdout = out
	err := c.Run(ctx)
	if err == nil && len(out.rest) > 0 {
		err = errors.New("git rev-list: unfinished line")
	}
	return errors.Join(out.err, err)
}

// oidLines takes lines of object names in hex, as git writes them.
type oidLines struct {
	each   func(oid []byte) bool // false: that was enough
	stop   func()
	rest   []byte
	enough bool
	err    error
	raw    [32]byte
}

func (l *oidLines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for !l.enough && l.err == nil {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 {
			break
		}
		n, err := hex.Decode(l.raw[:], l.rest[:min(end, 2*len(l.raw))])
		if err != nil || 2*n != end {
			l.err = fmt.Errorf("git named no object: %q", clip(string(l.rest[:end]), 80))
		} else {
			l.enough = !l.each(l.raw[:n])
		}
		l.rest = l.rest[end+1:]
	}
	if l.enough || l.err != nil {
		l.rest = nil
		l.stop()
	}
	return len(p), nil
}
