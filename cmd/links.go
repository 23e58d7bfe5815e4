package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// linkNames are the other names that this binary answers to.
func linkNames() []string { return []string{helperName, "git-peer"} }

// executable is the path of this binary, links resolved.
func executable() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this binary: %w", err)
	}
	return filepath.EvalSymlinks(exe)
}

// sameFile says whether two paths lead to one file, by symbolic or hard links.
func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// placeLink makes path a symbolic link to target, a path as seen from there. It
// replaces links that lead elsewhere, and refuses to replace anything else.
func placeLink(path, target string) error {
	full := target
	if !filepath.IsAbs(full) {
		full = filepath.Join(filepath.Dir(path), target)
	}
	if sameFile(path, full) {
		return nil
	}
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Type() != fs.ModeSymlink {
		return hinted(fmt.Errorf("%s is in the way: it is no link", path), "move it, or choose another directory: peer setup --dir DIR")
	}
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Symlink(target, tmp); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(fmt.Errorf("link %s: %w", path, err), os.Remove(tmp))
	}
	return nil
}

// installDev copies this binary into dir/bin, which outlives what `go run`
// builds, with its links, and writes dir/env.
func installDev(dir string, first *Home) (binary string, err error) {
	exe, err := executable()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	binary = filepath.Join(bin, "peer")
	if exe != binary {
		if err := copyExecutable(exe, binary); err != nil {
			return "", fmt.Errorf("copy this binary: %w", err)
		}
	}
	for _, name := range linkNames() {
		if err := placeLink(filepath.Join(bin, name), "peer"); err != nil {
			return "", err
		}
	}
	env := fmt.Sprintf("# For a shell that is to use this network: . %s\nexport PATH=%s:\"$PATH\"\nexport PEER_HOME=%s\n",
		shellQuote(filepath.Join(dir, "env")), shellQuote(bin), shellQuote(first.Dir))
	return binary, writeFile(filepath.Join(dir, "env"), []byte(env), 0o644)
}

// copyExecutable replaces to, even while it runs: whoever runs it keeps the old file.
func copyExecutable(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	tmp, err := os.CreateTemp(filepath.Dir(to), ".copy-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it has been renamed
	_, err = io.Copy(tmp, source)
	if err := errors.Join(err, tmp.Chmod(0o755), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}
