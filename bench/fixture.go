package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// fixture is a test repository: bare, with one branch, main, in one pack. It is
// made once, outside the tree, and only read afterwards.
type fixture struct {
	name  string // of its directory in the cache: it changes with the contents
	write func(s *importStream)
	delta bool // worth a search for good deltas
}

// history is R: what lies below a small push, so that it is not one to an empty
// repository. Each commit changes a few lines of three of a thousand files.
func history(commits int) fixture {
	return fixture{
		name:  fmt.Sprintf("history-1-%d.git", commits),
		delta: true,
		write: func(s *importStream) {
			const dirs, filesPerDir, linesPerFile, changesPerCommit = 40, 25, 120, 3
			c := newCorpus("history")
			files := make([][][]byte, dirs*filesPerDir)
			put := func(i int) {
				var data []byte
				for _, line := range files[i] {
					data = append(data, line...)
				}
				s.file(fmt.Sprintf("dir%02d/file%02d.txt", i/filesPerDir, i%filesPerDir), data)
			}
			s.commit(0, "")
			for i := range files {
				for range linesPerFile {
					files[i] = append(files[i], c.line())
				}
				put(i)
			}
			for n := 1; n < commits; n++ {
				s.commit(n, "")
				for range changesPerCommit {
					i := c.rng.IntN(len(files))
					files[i][c.rng.IntN(linesPerFile)] = c.line()
					put(i)
				}
			}
		},
	}
}

// large is a repository of blobs random blobs of 1 MB, and 250 small texts for
// each: 120 of them make a pack of some 300 MB.
func large(blobs int) fixture {
	return fixture{
		name: fmt.Sprintf("large-1-%d.git", blobs),
		write: func(s *importStream) {
			const textsPerBlob, textBytes, blobBytes, dirsPerCommit = 250, 9_800, 1 << 20, 5
			c := newCorpus("large")
			for n := range blobs {
				if n%dirsPerCommit == 0 {
					s.commit(n/dirsPerCommit, "")
				}
				s.file(fmt.Sprintf("dir%03d/blob.bin", n), c.noise(blobBytes))
				for i := range textsPerBlob {
					s.file(fmt.Sprintf("dir%03d/text%03d.txt", n, i), c.text(textBytes))
				}
			}
		},
	}
}

// fixture returns the path of a test repository, which it makes if need be.
func (b *bench) fixture(ctx context.Context, f fixture) (string, error) {
	path := filepath.Join(b.cfg.cache, f.name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	b.say("making the test repository %s", path)
	if err := os.MkdirAll(b.cfg.cache, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(b.cfg.cache, "tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := b.makeFixture(ctx, f, tmp); err != nil {
		return "", fmt.Errorf("make the test repository %s: %w", f.name, err)
	}
	// Another bench may have made it meanwhile: then this one is not needed.
	if err := os.Rename(tmp, path); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return path, nil
}

func (b *bench) makeFixture(ctx context.Context, f fixture, dir string) error {
	if err := b.git(ctx, "", "init", "-q", "--bare", "-b", "main", dir); err != nil {
		return err
	}
	if err := b.fastImport(ctx, dir, f.write); err != nil {
		return err
	}
	if f.delta {
		return b.git(ctx, dir, "repack", "-a", "-d", "-f", "-q")
	}
	return nil
}

// fastImport feeds what write writes to git fast-import.
func (b *bench) fastImport(ctx context.Context, dir string, write func(*importStream)) error {
	read, pipe := io.Pipe()
	written := make(chan error, 1)
	go func() {
		s := newImportStream(pipe)
		write(s)
		err := s.finish()
		written <- errors.Join(err, pipe.CloseWithError(err))
	}()
	_, _, err := b.run(ctx, command{dir: dir, stdin: read, args: []string{"git", "fast-import", "--quiet", "--done"}})
	_ = read.CloseWithError(errors.New("git fast-import has ended")) // so that the writer ends
	if w := <-written; err == nil {
		err = w
	}
	return err
}
