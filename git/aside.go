package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// SetAside moves the packs that git can't read whole, or whose index is not
// theirs, into dir, which it makes, and names them. Nothing is deleted. What
// they held must then come from elsewhere.
func (r *Repo) SetAside(ctx context.Context, dir string) ([]string, error) {
	packs, err := r.packs()
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", r.dir, err)
	}
	var moved []string
	for _, p := range packs {
		c := r.command("verify-pack", "--", r.IdxPath(p.name))
		c.nice = repackNice
		err := c.Run(ctx)
		var exit *ExitError
		switch {
		case err == nil:
			continue
		case context.Cause(ctx) != nil || !errors.As(err, &exit) || exit.Code < 0:
			return moved, fmt.Errorf("repository %s: %w", r.dir, err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return moved, err
		}
		// The index first: without it nobody looks into the pack.
		for _, path := range []string{r.IdxPath(p.name), r.PackPath(p.name)} {
			if err := os.Rename(path, filepath.Join(dir, filepath.Base(path))); err != nil && !errors.Is(err, os.ErrNotExist) {
				return moved, err
			}
		}
		moved = append(moved, p.name)
	}
	return moved, errors.Join(syncDir(r.path("objects", "pack")))
}
