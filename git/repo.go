package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Repo is a bare repository on this node's disk. Its methods may be called
// concurrently. One Repo of one process at a time may write to a directory.
type Repo struct {
	dir    string // absolute
	format Format

	refs  sync.Mutex // held by WriteRefs
	stamp time.Time  // of the packed-refs last written; guarded by refs
}

// Dir is the repository's directory, absolute.
func (r *Repo) Dir() string { return r.dir }

// Format is the hash that names its objects.
func (r *Repo) Format() Format { return r.format }

// Create makes an empty bare repository whose HEAD stands for head, or opens the
// one that is already there if it has the same format. It appears whole or not
// at all, and is on disk when Create returns.
func Create(ctx context.Context, dir string, format Format, head string) (*Repo, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := CheckRefName(head); err != nil {
		return nil, fmt.Errorf("create repository: HEAD: %w", err)
	}
	if format.RawLen() == 0 {
		return nil, fmt.Errorf("create repository: unknown object format %q", format)
	}
	if r, err := Open(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return sameFormat(r, err, format)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	parent := filepath.Dir(dir)
	if err := MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	tmp, err := os.MkdirTemp(parent, newPrefix(dir))
	if err != nil {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	defer os.RemoveAll(tmp) // no longer there once it is renamed
	if err := layOut(tmp, format, head); err != nil {
		return nil, fmt.Errorf("create repository %s: %w", dir, err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if r, oerr := Open(dir); oerr == nil { // somebody else was faster
			return sameFormat(r, nil, format)
		}
		return nil, fmt.Errorf("create repository: %w", err)
	}
	if err := syncDir(parent); err != nil {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	return Open(dir)
}

// newPrefix begins the names of the directories in which Create works.
func newPrefix(dir string) string { return ".new-" + filepath.Base(dir) + "-" }

func sameFormat(r *Repo, err error, want Format) (*Repo, error) {
	if err != nil {
		return nil, err
	}
	if r.format != want {
		return nil, fmt.Errorf("repository %s is there already, with %s, not %s", r.dir, r.format, want)
	}
	return r, nil
}

// repoConfig is what an operator's git, or ours, finds in the repository. Nobody
// pushes by receive-pack, so nothing is said about that.
const repoConfig = `[core]
	repositoryformatversion = %d
	filemode = true
	bare = true
	logAllRefUpdates = false
	hooksPath = /dev/null
[gc]
	auto = 0
[maintenance]
	auto = false
[repack]
	writeBitmaps = false
[transfer]
	fsckObjects = true
	hideRefs = refs/peer
[uploadpack]
	allowFilter = true
`

// layOut writes what gitrepository-layout(5) asks for. It needs no process, and
// no template or default of the installed git gets a say: refs must be files.
func layOut(dir string, format Format, head string) error {
	config := fmt.Sprintf(repoConfig, 0)
	if format != SHA1 {
		config = fmt.Sprintf(repoConfig, 1) + "[extensions]\n\tobjectFormat = " + string(format) + "\n"
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the directory of all repositories decides who gets here
		return err
	}
	for _, sub := range []string{"objects", "objects/info", "objects/pack", "refs", "refs/heads", "refs/tags"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"HEAD": "ref: " + head + "\n", "config": config} {
		if err := writeSynced(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, sub := range []string{"objects", "refs", "."} {
		if err := syncDir(filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	return nil
}

// Open opens a repository that Create made. The error is an fs.ErrNotExist when
// there is nothing at dir.
func Open(dir string) (*Repo, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	format, err := configuredFormat(filepath.Join(dir, "config"))
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	for _, part := range []string{"HEAD", "objects/pack", "refs"} {
		if _, err := os.Stat(filepath.Join(dir, part)); err != nil {
			return nil, fmt.Errorf("open repository: incomplete: %w", err)
		}
	}
	return &Repo{dir: dir, format: format}, nil
}

// configuredFormat finds extensions.objectFormat in a configuration like the one
// that Create writes: one key to a line.
func configuredFormat(path string) (Format, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	section := ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.ToLower(strings.TrimSpace(lines.Text()))
		if strings.HasPrefix(line, "[") {
			section = line
		}
		key, value, _ := strings.Cut(line, "=")
		if section == "[extensions]" && strings.TrimSpace(key) == "objectformat" {
			return ParseFormat(strings.TrimSpace(value))
		}
	}
	return SHA1, lines.Err()
}

// command is a run of git in this repository.
func (r *Repo) command(args ...string) *Command {
	return &Command{Args: args, Dir: r.dir, Env: []string{"GIT_DIR=" + r.dir}}
}

func (r *Repo) path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

// RemoveLeftovers clears what a crash left behind: quarantines, temporary files
// and locks. Call it before anything else uses the repository. Packs without an
// index stay: the bytes may be wanted, and git ignores them.
func (r *Repo) RemoveLeftovers() error {
	var errs []error
	for _, pattern := range []string{
		r.path("objects", quarantinePrefix+"*"),
		r.path("objects", "pack", "tmp_*"),
		r.path("objects", "pack", ".tmp-*"),
		r.path("objects", "info", "tmp_graph_*"),
		r.path("objects", "info", "*.lock"),
		r.path("packed-refs.*"),
		r.path("*.lock"),
		filepath.Join(filepath.Dir(r.dir), newPrefix(r.dir)+"*"),
	} {
		found, err := filepath.Glob(pattern)
		errs = append(errs, err)
		for _, path := range found {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("repository %s: remove leftovers: %w", r.dir, err)
	}
	return nil
}
