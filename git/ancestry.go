package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// notAncestor is the exit code of merge-base for no.
const notAncestor = 1

// IsAncestor says whether old is an ancestor of new, or the same; tags count as
// the commits that they point at, and what is no commit is an ancestor of nothing.
// An error means that git can't tell, for want of an object perhaps.
func (r *Repo) IsAncestor(ctx context.Context, old, new OID) (bool, error) {
	return r.isAncestor(ctx, r.command, 0, old, new)
}

// IsAncestorIdly is IsAncestor for one who has time.
func (r *Repo) IsAncestorIdly(ctx context.Context, old, new OID) (bool, error) {
	return r.isAncestor(ctx, r.command, repackNice, old, new)
}

// IsAncestor does the same with the objects of the quarantine as well.
func (q *Quarantine) IsAncestor(ctx context.Context, old, new OID) (bool, error) {
	return q.repo.isAncestor(ctx, q.command, 0, old, new)
}

func (r *Repo) isAncestor(ctx context.Context, command func(...string) *Command, nice int, old, new OID) (bool, error) {
	c := command("merge-base", "--is-ancestor", "--end-of-options", old.String(), new.String())
	c.nice = nice
	err := c.Run(ctx)
	var exit *ExitError
	switch {
	case err == nil:
		return true, nil
	case context.Cause(ctx) == nil && errors.As(err, &exit) && exit.Code == notAncestor:
		return false, nil
	}
	objects, lerr := lookUp(ctx, command("cat-file", "--batch-check="+batchFormat), []OID{old, new})
	if lerr != nil {
		return false, fmt.Errorf("repository %s: %w", r.dir, errors.Join(err, lerr))
	}
	from, known := objects[old]
	to, known2 := objects[new]
	if known && known2 && (from.PeelTo != Commit || to.PeelTo != Commit) {
		return false, nil
	}
	return false, fmt.Errorf("repository %s: %w", r.dir, err)
}

// Borrow makes a quarantine of a pack and its index that lie elsewhere, on the same
// file system, and stay there.
func (r *Repo) Borrow(name, pack, idx string) (*Quarantine, error) {
	q, err := r.newQuarantine()
	if err != nil {
		return nil, err
	}
	for ext, file := range map[string]string{".pack": pack, ".idx": idx} {
		if err := os.Link(file, filepath.Join(q.dir, "pack", "pack-"+name+ext)); err != nil {
			return nil, errors.Join(fmt.Errorf("repository %s: quarantine: %w", r.dir, err), q.Discard())
		}
	}
	if err := q.fill(name); err != nil {
		return nil, errors.Join(fmt.Errorf("repository %s: quarantine: %w", r.dir, err), q.Discard())
	}
	return q, nil
}
