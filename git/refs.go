package git

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Ref is one ref of a listing.
type Ref struct {
	Name   string
	OID    OID
	Peeled OID // what an annotated tag finally points at; zero otherwise
}

// Listing is all refs and HEAD at one moment.
type Listing struct {
	Refs []Ref
	Head string // the full name of the branch that HEAD stands for
	// Peeled says that every ref that points at an annotated tag has its Peeled
	// set. Git need then open no object to list the refs.
	Peeled bool
}

// WriteRefs makes the repository's refs and HEAD equal to l: one rename for all
// refs, one for HEAD if it moved, and then everything else under refs/ is
// removed, whatever an operator or a torn write left there. The caller holds
// the write side of the Gate.
//
// Nothing is synced: refs are a projection, and a node that starts writes them
// again from the table that they come from.
func (r *Repo) WriteRefs(l Listing) error {
	r.refs.Lock()
	defer r.refs.Unlock()
	if err := r.writeRefs(l); err != nil {
		return fmt.Errorf("repository %s: write refs: %w", r.dir, err)
	}
	return nil
}

func (r *Repo) writeRefs(l Listing) error {
	refs, err := r.checkedRefs(l)
	if err != nil {
		return err
	}
	r.stamp = r.nextStamp(time.Now())
	err = replaceFile(r.path("packed-refs"), r.stamp, func(w *bufio.Writer) error {
		return writePacked(w, refs, l.Peeled)
	})
	if err != nil {
		return err
	}
	head := "ref: " + l.Head + "\n"
	if old, err := os.ReadFile(r.path("HEAD")); err != nil || string(old) != head {
		err := replaceFile(r.path("HEAD"), time.Now(), func(w *bufio.Writer) error {
			_, err := w.WriteString(head)
			return err
		})
		if err != nil {
			return err
		}
	}
	return r.removeLoose()
}

// checkedRefs is the refs in git's order, each one fit to be a line of the file.
func (r *Repo) checkedRefs(l Listing) ([]Ref, error) {
	byName := func(a, b Ref) int { return cmp.Compare(a.Name, b.Name) }
	refs := l.Refs
	if !slices.IsSortedFunc(refs, byName) {
		refs = slices.Clone(refs)
		slices.SortFunc(refs, byName)
	}
	if fault := refFormatFault(l.Head); fault != "" || !strings.HasPrefix(l.Head, "refs/heads/") {
		return nil, fmt.Errorf("HEAD cannot stand for %q", clip(l.Head, 120))
	}
	for i, ref := range refs {
		fault := refFormatFault(ref.Name)
		switch {
		case !strings.HasPrefix(ref.Name, "refs/"):
			fault = "does not begin with refs/"
		case ref.OID.Format() != r.format || !ref.Peeled.IsZero() && ref.Peeled.Format() != r.format:
			fault = "has an object id of another format"
		case i > 0 && refs[i-1].Name == ref.Name:
			fault = "is there twice"
		}
		if fault != "" {
			return nil, &RefNameError{Name: ref.Name, Reason: fault}
		}
	}
	return refs, nil
}

// writePacked writes the format of git-pack-refs. With "fully-peeled" git takes
// the absence of a ^ line to mean that there is nothing to peel.
func writePacked(w *bufio.Writer, refs []Ref, peeled bool) error {
	header := "# pack-refs with: sorted \n"
	if peeled {
		header = "# pack-refs with: peeled fully-peeled sorted \n"
	}
	if _, err := w.WriteString(header); err != nil {
		return err
	}
	var line []byte
	for _, ref := range refs {
		line = ref.OID.appendHex(line[:0])
		line = append(line, ' ')
		line = append(line, ref.Name...)
		line = append(line, '\n')
		if peeled && !ref.Peeled.IsZero() {
			line = append(line, '^')
			line = ref.Peeled.appendHex(line)
			line = append(line, '\n')
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// stampAheadMax bounds how far modification times may run ahead of the clock.
const stampAheadMax = 30 * 24 * time.Hour

// nextStamp is the modification time of the next packed-refs: never that of the
// one before. A git that lists twice (upload-pack) or for long (cat-file) takes
// the file for unchanged if inode, size and time in whole seconds are, and two
// renames within a second may well bring back the first inode.
func (r *Repo) nextStamp(now time.Time) time.Time {
	last := r.stamp
	if info, err := os.Stat(r.path("packed-refs")); last.IsZero() && err == nil {
		last = info.ModTime()
	}
	now = now.Truncate(time.Second)
	next := last.Truncate(time.Second).Add(time.Second)
	if next.Before(now) || next.Sub(now) > stampAheadMax {
		return now
	}
	return next
}

// removeLoose empties refs/ but for refs/heads and refs/tags, without which some
// versions of git take the directory for no repository.
func (r *Repo) removeLoose() error {
	root := r.path("refs")
	top, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range top {
		path := filepath.Join(root, e.Name())
		if !e.IsDir() || e.Name() != "heads" && e.Name() != "tags" {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			continue
		}
		inside, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range inside {
			if err := os.RemoveAll(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.MkdirAll(filepath.Join(root, "heads"), 0o755)
}

// refsBytesMax bounds the listing that ReadRefs takes.
const refsBytesMax = 1 << 30

// ReadRefs asks git for all refs, hidden ones included, and HEAD. It opens no
// object, so nothing is peeled.
func (r *Repo) ReadRefs(ctx context.Context) (Listing, error) {
	head, err := os.ReadFile(r.path("HEAD"))
	if err != nil {
		return Listing{}, fmt.Errorf("repository %s: read HEAD: %w", r.dir, err)
	}
	l := Listing{Head: strings.TrimPrefix(strings.TrimSpace(string(head)), "ref: ")}
	out, err := r.command("for-each-ref", "--format=%(objectname) %(refname)").Output(ctx, refsBytesMax)
	if err != nil {
		return Listing{}, fmt.Errorf("repository %s: list refs: %w", r.dir, err)
	}
	for line := range strings.Lines(string(out)) {
		id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		oid, err := ParseOID(id)
		if !ok || err != nil {
			return Listing{}, fmt.Errorf("repository %s: list refs: unexpected line %q", r.dir, clip(line, 120))
		}
		l.Refs = append(l.Refs, Ref{Name: name, OID: oid})
	}
	return l, nil
}
