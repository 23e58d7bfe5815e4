package nodetest

import (
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/node/store/storetest"
	"peer/replica"
)

// LosePower is Kill, and tears what a node does not sync: git's refs and HEAD.
func (m *Member) LosePower(random *rand.Rand) {
	m.Kill()
	err := filepath.WalkDir(m.Repos, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		unsynced := d.Name() == "packed-refs" || d.Name() == "HEAD"
		if !unsynced || random.IntN(2) == 0 {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Truncate(path, random.Int64N(info.Size()+1))
	})
	if err != nil {
		m.t.Errorf("tear files: %v", err)
	}
}

// Wipe replaces the disk by an empty one. The key stays.
func (m *Member) Wipe() {
	m.Kill()
	m.Store = storetest.New()
	if err := os.RemoveAll(m.Repos); err != nil {
		m.t.Errorf("wipe: %v", err)
	}
}

// Copy is an image of a disk.
type Copy struct {
	Store *storetest.Store
	Repos string
}

// Backup takes an image of the disk of a member that does not run.
func (m *Member) Backup() Copy {
	m.t.Helper()
	if m.Node != nil {
		m.t.Fatal("backup of a running node")
	}
	c := Copy{cloneStore(m.t, m.Store), filepath.Join(m.t.TempDir(), "repos")}
	if err := os.CopyFS(c.Repos, os.DirFS(m.Repos)); err != nil {
		m.t.Fatalf("backup: %v", err)
	}
	return c
}

// Restore puts an image back.
func (m *Member) Restore(c Copy) {
	m.t.Helper()
	m.Wipe()
	m.Store = cloneStore(m.t, c.Store)
	if err := os.CopyFS(m.Repos, os.DirFS(c.Repos)); err != nil {
		m.t.Fatalf("restore: %v", err)
	}
}

// copyTree copies files that others may be removing.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if err := copyFile(target, path); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	})
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// cloneStore copies a store through its own methods.
func cloneStore(t testing.TB, from *storetest.Store) *storetest.Store {
	t.Helper()
	to := storetest.New()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("clone store: %v", err)
		}
	}
	repos, err := from.Repos()
	must(err)
	for _, repo := range repos {
		save, err := wholeSave(from, repo)
		must(err)
		must(to.Save([]replica.Save{save}))
	}
	must(from.Seats(func(repo identity.RepoID, nonce []byte, at time.Time) error { return to.PutSeat(repo, nonce, at) }))
	must(from.Scan("", to.Put))
	return to
}

// wholeSave is the save that makes an empty store equal to from.
func wholeSave(from *storetest.Store, repo identity.RepoID) (save replica.Save, err error) {
	log, err := from.Log(repo)
	if err != nil {
		return save, err
	}
	hard, conf, err := log.InitialState()
	if err != nil {
		return save, err
	}
	first, err := log.FirstIndex()
	if err != nil {
		return save, err
	}
	last, err := log.LastIndex()
	if err != nil {
		return save, err
	}
	term, err := log.Term(first - 1)
	if err != nil {
		return save, err
	}
	save = replica.Save{
		Repo: repo, HardState: hard,
		Install: &pb.SnapshotMetadata{Index: new(first - 1), Term: new(term), ConfState: conf},
	}
	if last >= first {
		if save.Entries, err = log.Entries(first, last+1, 1<<30); err != nil {
			return save, err
		}
	}
	return save, from.Table(repo, func(key string, value []byte) error {
		save.Table = append(save.Table, replica.Change{Key: key, Value: value})
		return nil
	})
}
