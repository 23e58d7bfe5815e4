package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
)

// fsckBytesMax bounds what git may say about one repository, and fsckLinesMax
// how much of it is kept.
const (
	fsckBytesMax = 16 << 20
	fsckLinesMax = 100
)

// Fsck has git look for objects that are missing or damaged, at low priority:
// what it found, in git's words, nothing where all is well. Without deep it
// follows every link from the refs but opens no file's content; with it, git
// reads every byte and holds each pack's index against the pack.
func (r *Repo) Fsck(ctx context.Context, deep bool) ([]string, error) {
	args := []string{"fsck", "--no-dangling", "--no-progress", "--no-reflogs"}
	if deep {
		args = append(args, "--full")
	} else {
		args = append(args, "--connectivity-only")
	}
	c := r.command(args...)
	c.nice = repackNice
	c.limits.memoryBytes = -1 // what git could not look at for want of memory would pass for damage
	said := &limitedBuffer{max: fsckBytesMax}
	c.Stdout, c.Stderr = said, said
	err := c.Run(ctx)
	found := fsckLines(said.buf.Bytes())
	var exit *ExitError
	switch {
	case err == nil:
		return nil, nil // warnings about odd objects are no damage
	case context.Cause(ctx) != nil || !errors.As(err, &exit) || ourFault(said.buf.String()) != 0 && exit.Code < 0:
		return nil, fmt.Errorf("repository %s: %w", r.dir, err)
	case len(found) == 0:
		return []string{clip(err.Error(), 200)}, nil
	}
	return found, nil
}

// fsckLines keeps what is damage: git's warnings and its notices about roots are not.
func fsckLines(out []byte) []string {
	var list []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() && len(list) < fsckLinesMax {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "warning") || strings.HasPrefix(line, "notice") || strings.HasPrefix(line, "dangling") {
			continue
		}
		list = append(list, clip(line, 300))
	}
	return list
}
