package cmd

import (
	"strings"
	"testing"
)

func TestCloneSource(t *testing.T) {
	for line, want := range map[string]int{
		"":                           -1,
		"demo":                       0,
		"demo dir":                   0,
		"-q demo":                    1,
		"-b main demo":               2,
		"--branch=main demo":         1,
		"--depth 1 -j 4 demo dir":    4,
		"--recurse-submodules demo":  1,
		"-- -demo":                   1,
		"--":                         -1,
		"-b":                         -1,
		"--filter blob:none -n demo": 3,
	} {
		if got := cloneSource(strings.Fields(line)); got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
}

func TestIsElsewhere(t *testing.T) {
	for arg, want := range map[string]bool{
		"demo": false, "ann/demo": false, "peer://ann/demo": false, "did:key:z6Mk/demo": false, "me/demo.git": false,
		"./demo": true, "../demo": true, "/srv/demo": true, "~/demo": true, ".": true,
		"https://example.org/demo": true, "git@example.org:demo": true, "ext::sh -c x": true,
	} {
		if got := isElsewhere(arg); got != want {
			t.Errorf("%q: %v, want %v", arg, got, want)
		}
	}
}
