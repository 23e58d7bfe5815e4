package git

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Check verifies that all that news reach is in the quarantine or the
// repository, and says what each of news is. The error is a *MissingError where
// it is not. Two processes run side by side.
func (q *Quarantine) Check(ctx context.Context, news []OID) (map[OID]Object, error) {
	return q.repo.check(ctx, q.command, news, nil, q.repo.walkHere(q.command, news))
}

// Check does the same without a quarantine.
func (r *Repo) Check(ctx context.Context, news []OID) (map[OID]Object, error) {
	return r.check(ctx, r.command, news, nil, r.walkHere(r.command, news))
}

// walkHere walks from news to what refs reach, and finds that all is there.
func (r *Repo) walkHere(command func(...string) *Command, news []OID) func(context.Context) error {
	return func(ctx context.Context) error {
		// Without --alternate-refs, which native receive-pack has: the repository
		// is an alternate of its own quarantine, so git would list its refs twice.
		c := command("rev-list", "--objects", "--stdin", "--not", "--all", "--quiet")
		c.Stdin = strings.NewReader(strings.Join(hexLines(compactOIDs(news)), "\n") + "\n")
		return r.connectivityError(ctx, c.Run(ctx))
	}
}

func (r *Repo) check(ctx context.Context, command func(...string) *Command, news, shallow []OID, walk func(context.Context) error) (map[OID]Object, error) {
	news = compactOIDs(news)
	if len(news) == 0 {
		return map[OID]Object{}, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	connected := make(chan error, 1)
	go func() { connected <- walk(ctx) }()
	objects, err := lookUp(ctx, command("cat-file", "--batch-check="+batchFormat), news)
	if err != nil {
		cancel()
	}
	cerr := <-connected
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", r.dir, err)
	}
	var absent []OID
	for _, o := range news {
		if _, ok := objects[o]; !ok {
			absent = append(absent, o)
		}
	}
	if len(absent) == 0 && cerr == nil {
		return objects, nil
	}
	if err := r.checkShallow(ctx, shallow); err != nil {
		return nil, err
	}
	if len(absent) > 0 {
		return nil, &MissingError{OIDs: absent}
	}
	return nil, cerr
}

// revListDead is the exit code with which rev-list gives up over an object.
const revListDead = 128

func (r *Repo) connectivityError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var exit *ExitError
	if context.Cause(ctx) != nil || !errors.As(err, &exit) || exit.Code != revListDead ||
		ourFault(exit.Stderr) != 0 || strings.Contains(exit.Stderr, "Out of memory") { // index-pack had as much for the same objects
		return fmt.Errorf("repository %s: %w", r.dir, err)
	}
	return &MissingError{Detail: clip(exit.Stderr, badPackDetailBytesMax)}
}

// checkShallow is asked when a push failed: were the pusher's roots published
// here, then what lies below them would be too, and the failure has another
// reason.
func (r *Repo) checkShallow(ctx context.Context, shallow []OID) error {
	if len(shallow) == 0 {
		return nil
	}
	have, err := r.Objects(ctx, shallow)
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.dir, err)
	}
	var roots []OID
	for _, o := range shallow {
		if _, ok := have[o]; !ok {
			roots = append(roots, o)
		}
	}
	if len(roots) == 0 {
		return nil
	}
	return &ShallowError{Roots: roots}
}

// compactOIDs drops zero and repeated IDs.
func compactOIDs(oids []OID) []OID {
	seen := make(map[OID]bool, len(oids))
	return slices.DeleteFunc(slices.Clone(oids), func(o OID) bool {
		drop := o.IsZero() || seen[o]
		seen[o] = true
		return drop
	})
}
