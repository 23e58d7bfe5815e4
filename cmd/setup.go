package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

type setupCmd struct {
	Dir string `help:"Directory for the links; by default the one that this binary is in." placeholder:"DIR"`
}

// Run makes the links by which git finds this binary, and says what is missing.
func (c *setupCmd) Run(a *app) error {
	exe, err := executable()
	if err != nil {
		return err
	}
	if isTemporary(exe) {
		return hinted(fmt.Errorf("this binary is temporary: %s", exe), "build one that stays, then set it up: go build -o peer . && ./peer setup")
	}
	dir, target := filepath.Dir(exe), filepath.Base(exe)
	if c.Dir != "" {
		if dir, err = filepath.Abs(c.Dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("setup: %w", err)
		}
		target = exe
	}
	for _, name := range linkNames() {
		if err := placeLink(filepath.Join(dir, name), target); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%s -> %s\n", filepath.Join(dir, name), exe)
	}
	return c.checkPath(a, dir, exe)
}

// checkPath says what to add to PATH, if anything.
func (c *setupCmd) checkPath(a *app, dir, exe string) error {
	found, same := findHelper(exe)
	if found == "" {
		line := "export PATH=" + shellQuote(dir) + `:"$PATH"`
		warn(a.errs, "git will not find %s: %s is not in PATH", helperName, dir)
		fmt.Fprintf(a.errs, "peer: hint: add this line to the start-up file of your shell: %s\n", line)
		return nil
	}
	if !same {
		warn(a.errs, "git will run another peer: %s comes first in PATH", found)
		return nil
	}
	fmt.Fprintln(a.out, "git finds peer:// repositories")
	return nil
}

// findHelper is what git would start for peer:// URLs, empty where PATH has nothing, and
// whether that is exe.
func findHelper(exe string) (path string, same bool) {
	path, err := exec.LookPath(helperName)
	if err != nil {
		return "", false
	}
	return path, sameFile(path, exe)
}

// isTemporary says whether exe is what `go run` made, and removes in the end.
func isTemporary(exe string) bool {
	return slices.ContainsFunc(strings.Split(filepath.ToSlash(filepath.Dir(exe)), "/"), func(part string) bool {
		return strings.HasPrefix(part, "go-build") && len(part) > len("go-build")
	})
}
