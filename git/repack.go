package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	defaultPacksMax = 50
	defaultJoinMax  = 256 // in one go: seconds of work, so that nodes that die often get on
	repackFactor    = 2   // each pack holds at least so many times the objects of the next smaller
	repackNice      = 10  // pushes and fetches come first,
	repackUrgent    = 4   // but not where there are so many times MaxPacks: all git is slow there
)

// RepackOptions say when to repack, and what to leave alone.
type RepackOptions struct {
	MaxPacks int                    // more than these start a repack; 0: 50
	MaxJoin  int                    // no more than these are joined, the smallest first; 0: 256
	Keep     func(name string) bool // packs that must stay as they are; nil: none
}

// Repacked says what Repack did.
type Repacked struct {
	Name    string   // of the new pack; empty when nothing was done
	Removed []string // names of the packs that it replaced
}

// Repack joins the small packs of a repository that has many, so that sizes form
// a geometric progression and an object is rewritten a logarithmic number of
// times. It forgets nothing, reachable or not. The packs that it replaces are
// removed when the new one is durable and has been seen to hold every object of
// theirs that no remaining pack has. One process, of low priority while the packs
// are not very many. Where more packs than MaxJoin are in the way, several calls
// do it.
//
// The same as git repack --geometric, but for the order on disk: git removes the
// old packs without syncing the directory that names the new one.
func (r *Repo) Repack(ctx context.Context, o RepackOptions) (Repacked, error) {
	if o.MaxPacks <= 0 {
		o.MaxPacks = defaultPacksMax
	}
	if o.MaxJoin <= 0 {
		o.MaxJoin = defaultJoinMax
	}
	done, err := r.repack(ctx, o)
	if err != nil {
		return done, fmt.Errorf("repository %s: repack: %w", r.dir, err)
	}
	return done, nil
}

func (r *Repo) repack(ctx context.Context, o RepackOptions) (Repacked, error) {
	packs, err := r.packs()
	if err != nil || len(packs) <= o.MaxPacks {
		return Repacked{}, err
	}
	loose, kept := packs[:0:0], packs[:0:0]
	for _, p := range packs {
		if p.kept || p.bitmap || o.Keep != nil && o.Keep(p.name) {
			kept = append(kept, p)
		} else {
			loose = append(loose, p)
		}
	}
	split := min(geometricSplit(loose), max(2, o.MaxJoin))
	if split < 2 {
		return Repacked{}, nil
	}
	join, stay := loose[:split], append(loose[split:len(loose):len(loose)], kept...)

	tmp, err := os.MkdirTemp(r.path("objects"), quarantinePrefix)
	if err != nil {
		return Repacked{}, err
	}
	defer os.RemoveAll(tmp)
	nice := repackNice
	if len(packs) > repackUrgent*o.MaxPacks {
		nice = 0
	}
	name, err := r.join(ctx, join, stay, nice, filepath.Join(tmp, "pack"))
	if err != nil {
		return Repacked{}, err
	}
	if name != "" {
		base := filepath.Join(tmp, "pack-"+name)
		if err := r.InstallFiles(name, base+".pack", base+".idx"); err != nil {
			return Repacked{}, err
		}
	}
	if err := r.verifyJoined(name, join, stay); err != nil {
		return Repacked{Name: name}, err
	}
	return r.removePacks(Repacked{Name: name}, join)
}

// onePack is a pack with its index.
type onePack struct {
	name    string
	objects uint32
	kept    bool // an operator, or git, put a .keep file beside it
	bitmap  bool // it has a bitmap, which a repack would lose
}

// packs lists the packs, the smallest first.
func (r *Repo) packs() ([]onePack, error) {
	entries, err := os.ReadDir(r.path("objects", "pack"))
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.Name()] = true
	}
	var packs []onePack
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".idx")
		name := strings.TrimPrefix(base, "pack-")
		if !ok || checkPackName(name) != nil || !there[base+".pack"] {
			continue
		}
		n, err := idxCount(r.IdxPath(name))
		if err != nil {
			return nil, err
		}
		packs = append(packs, onePack{name: name, objects: n, kept: there[base+".keep"], bitmap: there[base+".bitmap"]})
	}
	slices.SortFunc(packs, func(a, b onePack) int {
		return cmp.Or(cmp.Compare(a.objects, b.objects), cmp.Compare(a.name, b.name))
	})
	return packs, nil
}

// geometricSplit says how many of the packs, the smallest first, must become one
// so that each of the rest holds at least twice the objects of the one before.
func geometricSplit(packs []onePack) int {
	split := 0
	for i := len(packs) - 1; i > 0; i-- {
		if uint64(packs[i].objects) < repackFactor*uint64(packs[i-1].objects) {
			split = i + 1
			break
		}
	}
	var total uint64
	for _, p := range packs[:split] {
		total += uint64(p.objects)
	}
	if split == 0 {
		return 0
	}
	for split < len(packs) && uint64(packs[split].objects) < repackFactor*total {
		total += uint64(packs[split].objects)
		split++
	}
	return split
}

// join writes the objects of some packs, without those that others have, to a
// new pack. Its name is empty if there was nothing to write.
func (r *Repo) join(ctx context.Context, packs, without []onePack, nice int, base string) (string, error) {
	var list strings.Builder
	for _, p := range packs {
		list.WriteString("pack-" + p.name + ".pack\n")
	}
	for _, p := range without {
		list.WriteString("^pack-" + p.name + ".pack\n")
	}
	c := r.command("pack-objects", "--stdin-packs", "--non-empty", "--delta-base-offset", "--threads=1", "-q", base)
	c.Stdin = strings.NewReader(list.String())
	c.nice = nice
	c.config = []string{"core.fsync=none"} // InstallFiles does that
	out, err := c.Output(ctx, 1<<10)
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(out))
	if name == "" {
		return "", nil
	}
	return name, checkPackName(name)
}

// verifyJoined makes sure that no object is lost with the packs that were joined.
func (r *Repo) verifyJoined(name string, joined, stay []onePack) error {
	var remaining []oidTable
	names := []string{name}
	for _, p := range stay {
		names = append(names, p.name)
	}
	for _, n := range names {
		if n == "" {
			continue
		}
		t, err := readOIDTable(r.IdxPath(n), r.format.RawLen())
		if err != nil {
			return err
		}
		remaining = append(remaining, t)
	}
	for _, p := range joined {
		t, err := readOIDTable(r.IdxPath(p.name), r.format.RawLen())
		if err != nil {
			return err
		}
		for i := range t.count() {
			oid := t.at(i)
			if !slices.ContainsFunc(remaining, func(t oidTable) bool { return t.has(oid) }) {
				return fmt.Errorf("object %x of pack %s is in no other pack: nothing was removed", oid, p.name)
			}
		}
	}
	return nil
}

// removePacks removes packs, each one's index first, so that git never finds an
// index without its pack.
func (r *Repo) removePacks(done Repacked, packs []onePack) (Repacked, error) {
	for _, p := range packs {
		if p.name == done.Name {
			continue
		}
		base := strings.TrimSuffix(r.PackPath(p.name), ".pack")
		for _, ext := range []string{".idx", ".bitmap", ".rev", ".pack"} {
			if err := os.Remove(base + ext); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return done, err
			}
		}
		done.Removed = append(done.Removed, p.name)
	}
	return done, nil
}
