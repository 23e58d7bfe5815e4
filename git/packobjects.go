package git

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// PackObjects writes a thin pack of all that wants reach and haves don't. Haves
// that are not here are left out; a want that isn't is a *MissingError, before
// anything is written. It runs two processes, one after the other.
func (r *Repo) PackObjects(ctx context.Context, wants, haves []OID, w io.Writer) error {
	wants, haves = compactOIDs(wants), compactOIDs(haves)
	have, err := r.Objects(ctx, append(wants[:len(wants):len(wants)], haves...))
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.dir, err)
	}
	var absent []OID
	for _, o := range wants {
		if _, ok := have[o]; !ok {
			absent = append(absent, o)
		}
	}
	if len(absent) > 0 {
		return &MissingError{OIDs: absent}
	}
	known := haves[:0]
	for _, o := range haves {
		if _, ok := have[o]; ok {
			known = append(known, o)
		}
	}
	c := r.command("pack-objects", "--revs", "--stdout", "--thin", "--delta-base-offset", "-q")
	c.Stdin = strings.NewReader(revisions(wants, known))
	c.Stdout = w
	if err := c.Run(ctx); err != nil {
		return fmt.Errorf("repository %s: %w", r.dir, err)
	}
	return nil
}

// revisions is the input of pack-objects --revs.
func revisions(wants, haves []OID) string {
	var b strings.Builder
	for _, o := range wants {
		b.WriteString(o.String() + "\n")
	}
	for _, o := range haves {
		b.WriteString("^" + o.String() + "\n")
	}
	return b.String()
}
