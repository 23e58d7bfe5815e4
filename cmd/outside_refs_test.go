package cmd

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"peer/git"
)

func TestNameFromURL(t *testing.T) {
	for url, want := range map[string]string{
		"https://example.org/group/project.git":   "project",
		"https://example.org/group/project.git/":  "project",
		"https://u:p@example.org/project?depth=1": "project",
		"git@example.org:group/project.git":       "project",
		"example.org:project":                     "project",
		"ssh://git@example.org:22/~ann/project":   "project",
		"/srv/git/project.git":                    "project",
		"../work/.git":                            "work",
		"peer://ann/project":                      "project",
	} {
		if got := nameFromURL(url); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
	dir := filepath.Join(t.TempDir(), "here.git")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if got := nameFromURL("."); got != "here" {
		t.Errorf("where we are: %q", got)
	}
}

const (
	oidA = "1111111111111111111111111111111111111111"
	oidB = "2222222222222222222222222222222222222222"
)

func TestDefaultBranch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ listed, want string }{
		{"", "refs/heads/main"},
		{"ref: refs/heads/x\tHEAD\n" + oidA + "\tHEAD\n" + oidA + "\trefs/heads/main\n" + oidA + "\trefs/heads/x\n", "refs/heads/x"},
		{oidB + "\tHEAD\n" + oidA + "\trefs/heads/main\n" + oidB + "\trefs/heads/x\n", "refs/heads/x"},
		{oidB + "\tHEAD\n" + oidB + "\trefs/heads/a\n" + oidB + "\trefs/heads/master\n", "refs/heads/master"},
		{oidA + "\trefs/heads/a\n" + oidA + "\trefs/heads/b\n", "refs/heads/a"},
		{oidA + "\trefs/tags/a\n", "refs/heads/main"},
	} {
		l, err := parseLsRemote(test.listed)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.defaultBranch(); got != test.want {
			t.Errorf("%q: %s, want %s", test.listed, got, test.want)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	l, err := parseLsRemote(strings.Join([]string{
		oidA + "\tHEAD", oidA + "\trefs/heads/main", oidA + "\trefs/pull/1/head", oidA + "\trefs/pull/2/head", oidA + "\trefs/remotes/origin/x",
		oidA + "\trefs/heads/-x", oidA + "\trefs/heads/a..b", oidA + "\trefs/peer/x", oidB + "\trefs/tags/v1", oidA + "\trefs/tags/v1^{}",
	}, "\n") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	c := l.choose(false)
	if got := slices.Sorted(maps.Keys(c.take)); !slices.Equal(got, []string{"refs/heads/main", "refs/tags/v1"}) {
		t.Errorf("took %v", got)
	}
	if c.hidden["refs/pull/"] != 2 || c.hidden["refs/remotes/"] != 1 || len(c.skipped) != 3 {
		t.Errorf("hidden %v, skipped %v", c.hidden, c.skipped)
	}
	specs := c.refspecs()
	slices.Sort(specs)
	// Git would call a name that is none an invalid refspec.
	if want := []string{"+refs/*:refs/*", "^refs/heads/-x", "^refs/peer/x", "^refs/pull/*", "^refs/remotes/*"}; !slices.Equal(specs, want) {
		t.Errorf("fetches %v, want %v", specs, want)
	}
	if all := l.choose(true); len(all.take) != 5 || len(all.hidden) != 0 {
		t.Errorf("of all: %v, %v", all.take, all.hidden)
	}
}

func TestParsePushed(t *testing.T) {
	t.Parallel()
	got := parsePushed("To peer://x/y\n*\trefs/heads/a:refs/heads/a\t[new branch]\n=\trefs/heads/b:refs/heads/b\t[up to date]\n" +
		"-\t:refs/heads/c\t[deleted]\n!\trefs/heads/d:refs/heads/d\t[rejected] (fetch first)\nDone\n")
	want := []pushed{{"refs/heads/a", '*', "[new branch]"}, {"refs/heads/b", '=', "[up to date]"}, {"refs/heads/c", '-', "[deleted]"}, {"refs/heads/d", '!', "[rejected] (fetch first)"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzParseLsRemote(f *testing.F) {
	f.Add("ref: refs/heads/x\tHEAD\n" + oidA + "\tHEAD\n" + oidA + "\trefs/heads/x\n" + oidA + "\trefs/tags/v^{}\n")
	f.Add(oidA + oidA[:24] + "\trefs/heads/main")
	f.Fuzz(func(t *testing.T, out string) {
		l, err := parseLsRemote(out)
		if err != nil {
			return
		}
		c := l.choose(true)
		for name := range c.take {
			if git.CheckRefName(name) != nil {
				t.Errorf("took %q", name)
			}
		}
		for _, spec := range c.refspecs()[1:] {
			if !git.IsRefName(strings.TrimPrefix(spec, "^")) {
				t.Errorf("refspec %q", spec)
			}
		}
	})
}
