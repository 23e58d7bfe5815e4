package git

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// Version is a release of git.
type Version struct{ Major, Minor, Patch int }

// OldestVersion is the first release that has all that is used here: core.fsync
// came with it, pack-objects --stdin-packs and cat-file's formats before.
var OldestVersion = Version{2, 36, 0}

// TestedVersion is the oldest release that the tests run with.
var TestedVersion = Version{2, 39, 0}

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Less says that v was released before w.
func (v Version) Less(w Version) bool {
	if v.Major != w.Major {
		return v.Major < w.Major
	}
	if v.Minor != w.Minor {
		return v.Minor < w.Minor
	}
	return v.Patch < w.Patch
}

// InstalledVersion asks the git in PATH for its version. A VersionError says
// that there is none, or that it is older than OldestVersion.
func InstalledVersion(ctx context.Context) (Version, error) {
	c := Command{Args: []string{"version"}}
	out, err := c.Output(ctx, 1<<10)
	if errors.Is(err, exec.ErrNotFound) {
		return Version{}, &VersionError{Err: err}
	}
	if err != nil {
		return Version{}, err
	}
	v, err := parseVersion(string(out))
	if err != nil {
		return Version{}, err
	}
	if v.Less(OldestVersion) {
		return v, &VersionError{Have: v}
	}
	return v, nil
}

// parseVersion reads "git version 2.39.5", whatever a vendor put behind it.
func parseVersion(s string) (Version, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), "git version ")
	if !ok {
		return Version{}, fmt.Errorf("not a version of git: %q", clip(s, 80))
	}
	word, _, _ := strings.Cut(rest, " ")
	parts := strings.SplitN(word, ".", 4)
	var n [3]int
	for i := range min(len(parts), len(n)) {
		v, err := strconv.Atoi(parts[i])
		if err != nil && i < 2 {
			return Version{}, fmt.Errorf("not a version of git: %q", clip(s, 80))
		}
		if err != nil { // as in 2.46.rc1
			break
		}
		n[i] = v
	}
	if len(parts) < 2 {
		return Version{}, fmt.Errorf("not a version of git: %q", clip(s, 80))
	}
	return Version{n[0], n[1], n[2]}, nil
}
