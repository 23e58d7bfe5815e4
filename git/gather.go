package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// gatherObjectsMin is how many objects a repository must have for a bitmap, which
// saves a clone most of its walk, to pay.
const gatherObjectsMin = 10_000

// Gathered is a pack of all that should stay, beside those that it makes
// superfluous. See [Repo.RemoveGathered].
type Gathered struct {
	Name    string   // of the new pack; empty where nothing was to be done
	Old     []string // names of the packs that may go
	Garbage int      // objects in these that nothing reaches
}

// Packs names the packs of the repository.
func (r *Repo) Packs() ([]string, error) {
	packs, err := r.packs()
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", r.dir, err)
	}
	names := make([]string, len(packs))
	for i, p := range packs {
		names[i] = p.name
	}
	return names, nil
}

// GatherPays says that clones would gain from a pack with a bitmap: there is none
// yet, or too much was added since.
func (r *Repo) GatherPays() (bool, error) {
	packs, err := r.packs()
	if err != nil {
		return false, fmt.Errorf("repository %s: %w", r.dir, err)
	}
	with, without := uint64(0), uint64(0)
	for _, p := range packs {
		if p.bitmap {
			with = max(with, uint64(p.objects))
		} else {
			without += uint64(p.objects)
		}
	}
	return with+without > gatherObjectsMin && without > with/2, nil
}

// Gather writes all that the tips and refs reach to one pack, with a bitmap
// where that pays, and a commit graph of it. old are the packs, as Packs named
// them before the tips were known; whatever came later is left alone. Unless always
// is set, it does nothing where nothing in them is garbage. It removes nothing. If
// anything that the tips reach is missing, that is the error, and no pack may go.
// Processes of low priority, one at a time; as much room on disk as old takes.
func (r *Repo) Gather(ctx context.Context, tips []OID, old []string, always bool) (Gathered, error) {
	g, err := r.gather(ctx, compactOIDs(tips), old, always)
	if err != nil {
		return Gathered{}, fmt.Errorf("repository %s: gather: %w", r.dir, err)
	}
	return g, nil
}

func (r *Repo) gather(ctx context.Context, tips []OID, old []string, always bool) (Gathered, error) {
	packs, err := r.reach(ctx, tips, old)
	if err != nil {
		return Gathered{}, err
	}
	g := Gathered{}
	objects := 0
	for _, p := range packs {
		objects += p.table.count()
		g.Garbage += p.table.count() - p.count
		g.Old = append(g.Old, p.name)
	}
	if g.Garbage == 0 && (!always || objects == 0) {
		return Gathered{}, nil
	}
	// NB: before anything goes. Git takes a commit in it for one that is here.
	if err := r.writeCommitGraph(ctx, tips); err != nil || len(tips) == 0 {
		return g, err
	}
	tmp, err := os.MkdirTemp(r.path("objects"), quarantinePrefix)
	if err != nil {
		return g, err
	}
	defer os.RemoveAll(tmp)
	if g.Name, err = r.packAll(ctx, tips, filepath.Join(tmp, "pack"), objects >= gatherObjectsMin); err != nil {
		return g, err
	}
	base := filepath.Join(tmp, "pack-"+g.Name)
	if err := r.InstallFiles(g.Name, base+".pack", base+".idx"); err != nil {
		return g, err
	}
	if err := r.installBeside(g.Name, base); err != nil {
		return g, err
	}
	return g, r.verifyGathered(g.Name, packs)
}

// Walk finds that all that the tips reach is here, and can be read as far as the
// way goes on from it. One process of low priority.
func (r *Repo) Walk(ctx context.Context, tips []OID) error {
	_, err := r.reach(ctx, compactOIDs(tips), nil)
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.dir, err)
	}
	return nil
}

// PackBytes is the room that the packs take.
func (r *Repo) PackBytes() (n int64) {
	entries, _ := os.ReadDir(r.path("objects", "pack")) // none: no room
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

// reached is a pack, and which of its objects the tips reach.
type reached struct {
	name  string
	table oidTable
	hit   []bool
	count int
}

// reach walks from the tips through everything.
func (r *Repo) reach(ctx context.Context, tips []OID, old []string) ([]*reached, error) {
	listed, err := r.packs()
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]bool, len(old))
	for _, name := range old {
		wanted[name] = true
	}
	var packs []*reached
	for _, p := range listed {
		if !wanted[p.name] || p.kept {
			continue
		}
		t, err := readOIDTable(r.IdxPath(p.name), r.format.RawLen())
		if err != nil {
			return nil, err
		}
		packs = append(packs, &reached{name: p.name, table: t, hit: make([]bool, t.count())})
	}
	out := &oidLines{each: func(oid []byte) bool {
		for _, p := range packs {
			if i, ok := p.table.find(oid); ok && !p.hit[i] {
				p.hit[i] = true
				p.count++
			}
		}
		return true
	}}
	return packs, r.revList(ctx, r.quiet, out, revisions(tips, nil))
}

// quiet is a command that lets pushes and fetches go first.
func (r *Repo) quiet(args ...string) *Command {
	c := r.command(args...)
	c.nice = repackNice
	return c
}

// packAll writes one pack of all that the tips and refs reach.
func (r *Repo) packAll(ctx context.Context, tips []OID, base string, bitmap bool) (string, error) {
	c := r.quiet("pack-objects", "--revs", "--delta-base-offset", "--threads=1", "-q")
	if bitmap { // which git only writes of all refs
		c.Args = append(c.Args, "--all", "--write-bitmap-index")
	}
	c.Args = append(c.Args, base)
	c.Stdin = strings.NewReader(revisions(tips, nil))
	c.config = []string{"core.fsync=none", "pack.writeReverseIndex=true"} // who installs it syncs it
	out, err := c.Output(ctx, 1<<10)
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(out))
	return name, checkPackName(name)
}

// installBeside puts the bitmap and the reverse index beside a pack. They speed up
// reading, and can be done without.
func (r *Repo) installBeside(name, base string) error {
	for _, ext := range []string{".rev", ".bitmap"} {
		if err := syncFile(base + ext); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := os.Rename(base+ext, strings.TrimSuffix(r.PackPath(name), ".pack")+ext); err != nil {
			return err
		}
	}
	return syncDir(r.path("objects", "pack"))
}

// verifyGathered makes sure that what the tips reach is in the new pack.
func (r *Repo) verifyGathered(name string, packs []*reached) error {
	all, err := readOIDTable(r.IdxPath(name), r.format.RawLen())
	if err != nil {
		return err
	}
	for _, p := range packs {
		for i, hit := range p.hit {
			if hit && !all.has(p.table.at(i)) {
				return fmt.Errorf("object %x of pack %s is not in the new one", p.table.at(i), p.name)
			}
		}
	}
	return nil
}

// writeCommitGraph replaces the commit graph by one of all that the tips reach.
func (r *Repo) writeCommitGraph(ctx context.Context, tips []OID) error {
	if len(tips) == 0 {
		if err := os.Remove(r.path("objects", "info", "commit-graph")); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	c := r.quiet("commit-graph", "write", "--stdin-commits", "--no-progress")
	c.Stdin = strings.NewReader(revisions(tips, nil))
	c.config = []string{"core.fsync=all"}
	return c.Run(ctx)
}

// RemoveGathered removes the packs that a gathered one made superfluous, but for
// those that must stay after all. The caller knows that nobody relies on what only
// they hold.
func (r *Repo) RemoveGathered(g Gathered, stay map[string]bool) error {
	var packs []onePack
	for _, name := range g.Old {
		if !stay[name] {
			packs = append(packs, onePack{name: name})
		}
	}
	if _, err := r.removePacks(Repacked{Name: g.Name}, packs); err != nil {
		return fmt.Errorf("repository %s: remove packs: %w", r.dir, err)
	}
	return nil
}
