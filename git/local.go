package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Local is the repository in which a person runs git, as seen by the remote
// helper: git told us about it in the environment, which its commands keep.
type Local struct{}

// Resolved answers one query.
type Resolved struct {
	Exprs []Object       // one for each expression, in order
	Have  map[OID]Object // those of the IDs that exist here
}

// ResolveAndHave resolves the sources of a push, which are whatever the person
// typed, and looks up the tips of the other side, in one process. An expression
// is not peeled: a tag stays a tag. One that names no single object makes the
// error an *UnresolvedError.
func (l *Local) ResolveAndHave(ctx context.Context, exprs []string, oids []OID) (Resolved, error) {
	for _, e := range exprs {
		if e == "" || strings.ContainsAny(e, "\n\x00") {
			return Resolved{}, &UnresolvedError{Expr: e}
		}
	}
	c := l.command("cat-file", "--batch-check="+batchFormat)
	// In a partial clone each unknown tip would otherwise be fetched.
	c.Env = []string{"GIT_NO_LAZY_FETCH=1", "GIT_NO_REPLACE_OBJECTS=1"}
	oids = compactOIDs(oids)
	answer := Resolved{Have: make(map[OID]Object, len(oids))}
	if len(exprs)+len(oids) == 0 {
		return answer, nil
	}
	b, err := startBatch(ctx, c)
	if err != nil {
		return Resolved{}, err
	}
	lines := append(exprs[:len(exprs):len(exprs)], hexLines(oids)...)
	found, err := b.objects(lines)
	if err := b.finish(err); err != nil {
		return Resolved{}, err
	}
	answer.Exprs = found[:len(exprs)]
	for i, o := range answer.Exprs {
		if o.OID.IsZero() {
			return Resolved{}, &UnresolvedError{Expr: exprs[i]}
		}
	}
	for _, o := range found[len(exprs):] {
		if !o.OID.IsZero() {
			answer.Have[o.OID] = o
		}
	}
	return answer, nil
}

// PackForPush starts packing what news reach and haves don't. Every one of haves
// must exist here: git dies over an unknown one. Git's progress, and what it has
// to say if it fails, goes to stderr as it comes; with nil it is in the error.
//
// Read ends with io.EOF only if git succeeded. Close kills a git that is still
// at it, and must be called.
func (l *Local) PackForPush(ctx context.Context, news, haves []OID, progress bool, stderr io.Writer) (io.ReadCloser, error) {
	c := l.command("pack-objects", "--all-progress-implied", "--revs", "--stdout", "--thin", "--delta-base-offset")
	if progress {
		c.Args = append(c.Args, "--progress")
	} else {
		c.Args = append(c.Args, "-q")
	}
	roots, err := l.Shallow()
	if err != nil {
		return nil, err
	}
	if len(roots) > 0 {
		c.Args = append(c.Args, "--shallow")
	}
	c.Stdin = strings.NewReader(revisions(compactOIDs(news), compactOIDs(haves)))
	c.Stderr = stderr
	p, err := c.prepare(ctx)
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("git pack-objects: %w", err)
	}
	if err := p.start(c); err != nil {
		return nil, err
	}
	return &packStream{p: p, out: out}, nil
}

// packStream is the output of a process, with its failure in place of io.EOF.
type packStream struct {
	p    *process
	out  io.Reader
	done bool  // the process has been waited for
	end  error // what Read returns then
}

func (s *packStream) Read(b []byte) (int, error) {
	if s.done {
		return 0, s.end
	}
	n, err := s.out.Read(b)
	if err == nil || n > 0 {
		return n, nil
	}
	s.done, s.end = true, s.p.wait()
	if s.end == nil {
		s.end = io.EOF
	}
	return 0, s.end
}

func (s *packStream) Close() error {
	if s.done {
		return nil
	}
	s.p.kill()
	_ = s.p.wait()
	s.done, s.end = true, fs.ErrClosed
	return nil
}

// Shallow lists the roots of a shallow clone; none if it isn't one. It runs no
// process.
func (l *Local) Shallow() ([]OID, error) {
	path := os.Getenv("GIT_SHALLOW_FILE")
	if path == "" {
		dir, err := commonDir(os.Getenv("GIT_DIR"))
		if err != nil {
			return nil, fmt.Errorf("read shallow roots: %w", err)
		}
		path = filepath.Join(dir, "shallow")
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read shallow roots: %w", err)
	}
	defer f.Close()
	var roots []OID
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		oid, err := ParseOID(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("read shallow roots: %w", err)
		}
		roots = append(roots, oid)
	}
	return roots, lines.Err()
}

// commonDir is what the work trees of a repository share: gitDir itself, unless
// it is that of an added work tree.
func commonDir(gitDir string) (string, error) {
	if gitDir == "" {
		gitDir = ".git"
	}
	text, err := os.ReadFile(filepath.Join(gitDir, "commondir"))
	if errors.Is(err, fs.ErrNotExist) {
		return gitDir, nil
	}
	if err != nil {
		return "", err
	}
	dir := strings.TrimSpace(string(text))
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(gitDir, dir)
	}
	return dir, nil
}

// ObjectFormat asks git for the repository's format.
func (l *Local) ObjectFormat(ctx context.Context) (Format, error) {
	out, err := l.command("rev-parse", "--show-object-format").Output(ctx, 1<<10)
	if err != nil {
		return "", err
	}
	return ParseFormat(strings.TrimSpace(string(out)))
}

func (l *Local) command(args ...string) *Command { return &Command{Args: args, Inherit: true} }
