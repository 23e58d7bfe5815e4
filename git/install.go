package git

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// checkPackName accepts what git calls a pack: a checksum in hex, lower case.
func checkPackName(name string) error {
	if len(name) != 40 && len(name) != 64 {
		return fmt.Errorf("pack name %q: not 40 or 64 hex digits", clip(name, 80))
	}
	for _, c := range []byte(name) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("pack name %q: not lower case hex", name)
		}
	}
	return nil
}

// PackPath is where the pack of this name is, or would be.
func (r *Repo) PackPath(name string) string { return r.path("objects", "pack", "pack-"+name+".pack") }

// IdxPath is where its index is, or would be.
func (r *Repo) IdxPath(name string) string { return r.path("objects", "pack", "pack-"+name+".idx") }

// HasPack says whether the pack and its index are published. A Repack may have
// put its objects into another pack since.
func (r *Repo) HasPack(name string) bool {
	if checkPackName(name) != nil {
		return false
	}
	for _, path := range []string{r.IdxPath(name), r.PackPath(name)} {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// InstallPack publishes a pack and its index from memory. When it returns
// without error both are durable, and so are their names; readers see the pack
// only once its index is there, which comes last. Installing again is harmless.
// The caller has verified the bytes: only their names for each other are checked.
func (r *Repo) InstallPack(name string, pack, idx []byte) error {
	src := bytesSource{pack, idx}
	return r.install(name, src)
}

// InstallFiles is InstallPack from files on any file system. They are linked if
// possible, copied otherwise, and stay where they are: until the caller has
// noted that the pack is published they are its only other copy.
func (r *Repo) InstallFiles(name, packPath, idxPath string) error {
	return r.install(name, filesSource{packPath, idxPath})
}

// packSource is where the two files of a payload come from.
type packSource interface {
	// size of file i: 0 is the pack, 1 the index.
	size(i int) (int64, error)
	// tail reads the last n bytes of file i.
	tail(i, n int) ([]byte, error)
	// put makes path, which does not exist, the same as file i, bytes on disk.
	put(i int, path string) error
}

func (r *Repo) install(name string, src packSource) error {
	if err := checkPackName(name); err != nil {
		return err
	}
	if err := checkPair(name, src, r.format.RawLen()); err != nil {
		return fmt.Errorf("install pack %s: %w", name, err)
	}
	for i, path := range []string{r.PackPath(name), r.IdxPath(name)} {
		if err := r.installOne(i, path, src); err != nil {
			return fmt.Errorf("install pack %s: %w", name, err)
		}
	}
	if err := syncDir(r.path("objects", "pack")); err != nil {
		return fmt.Errorf("install pack %s: %w", name, err)
	}
	return nil
}

// checkPair catches two files that do not belong together or to the name: a pack
// ends with its checksum, its index with that and one of its own.
func checkPair(name string, src packSource, hashLen int) error {
	want, err := hex.DecodeString(name)
	if err != nil {
		return err
	}
	packSum, err := src.tail(0, hashLen)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	idxSums, err := src.tail(1, 2*hashLen)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if !bytes.Equal(packSum, want) {
		return fmt.Errorf("the pack's checksum is %x", packSum)
	}
	if !bytes.Equal(idxSums[:hashLen], want) {
		return fmt.Errorf("the index is of pack %x", idxSums[:hashLen])
	}
	return nil
}

// installOne puts one file in place. One that is there with the right size is
// from an earlier attempt, which may have died before it was synced.
func (r *Repo) installOne(i int, path string, src packSource) error {
	want, err := src.size(i)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.Size() == want {
		return syncFile(path)
	}
	tmp := r.tempName()
	defer os.Remove(tmp)
	if err := src.put(i, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// tempName is a name beside the packs that nobody else has or will have: 128 random
// bits, behind the prefix that git's gc knows as litter.
func (r *Repo) tempName() string { return r.path("objects", "pack", "tmp_pack_"+rand.Text()) }

// packMode: nobody writes to a pack again.
const packMode = 0o444

type bytesSource [2][]byte

func (s bytesSource) size(i int) (int64, error) { return int64(len(s[i])), nil }

func (s bytesSource) tail(i, n int) ([]byte, error) {
	if len(s[i]) < n {
		return nil, io.ErrUnexpectedEOF
	}
	return s[i][len(s[i])-n:], nil
}

func (s bytesSource) put(i int, path string) error { return writeSynced(path, s[i], packMode) }

type filesSource [2]string

func (s filesSource) size(i int) (int64, error) {
	info, err := os.Stat(s[i])
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (s filesSource) tail(i, n int) ([]byte, error) {
	f, err := os.Open(s[i])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(int64(-n), io.SeekEnd); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	buf := make([]byte, n)
	_, err = io.ReadFull(f, buf)
	return buf, err
}

func (s filesSource) put(i int, path string) error {
	if err := os.Link(s[i], path); err == nil {
		if err := os.Chmod(path, packMode); err != nil {
			return err
		}
		return syncFile(path)
	}
	return copySynced(path, s[i])
}

func copySynced(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, packMode)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err == nil {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}
