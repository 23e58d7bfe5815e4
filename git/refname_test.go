package git

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

func TestCheckRefName(t *testing.T) {
	for name, ok := range map[string]bool{
		"refs/heads/main":          true,
		"refs/heads/a/b":           true,
		"refs/tags/v1.0":           true,
		"refs/tags/-x":             true,
		"refs/heads/ümläut/日本":     true,
		"refs/heads/@":             true,
		"refs/notes/commits":       true,
		"refs/changes/01/1/meta":   true,
		"refs/heads/peer":          true,
		"refs/peering/x":           true,
		"refs/heads/HEAD/x":        true,
		"":                         false,
		"HEAD":                     false,
		"main":                     false,
		"refs":                     false,
		"refs/":                    false,
		"refs/x":                   false,
		"refs/heads/":              false,
		"refs//heads/x":            false,
		"/refs/heads/x":            false,
		"heads/main":               false,
		"refs/heads/HEAD":          false,
		"refs/heads/-x":            false,
		"refs/peer":                false,
		"refs/peer/x":              false,
		"refs/heads/a..b":          false,
		"refs/heads/../../config":  false,
		"refs/heads/.a":            false,
		"refs/heads/a.lock":        false,
		"refs/heads/a.lock/b":      false,
		"refs/heads/a.":            false,
		"refs/heads/a b":           false,
		"refs/heads/a\nb":          false,
		"refs/heads/a\x00b":        false,
		"refs/heads/a\x7fb":        false,
		"refs/heads/a~b":           false,
		"refs/heads/a^b":           false,
		"refs/heads/a:b":           false,
		"refs/heads/a?b":           false,
		"refs/heads/a*b":           false,
		"refs/heads/a[b":           false,
		"refs/heads/a\\b":          false,
		"refs/heads/a@{b":          false,
		"refs/heads/\xff":          false,
		"refs/heads/" + long(250):  true,
		"refs/heads/" + long(251):  false,
		"refs/" + longPath(1024-5): true,
		"refs/" + longPath(1025-5): false,
	} {
		err := CheckRefName(name)
		if (err == nil) != ok {
			t.Errorf("%.60q: %v", name, err)
		}
		var fault *RefNameError
		if err != nil && (!errors.As(err, &fault) || fault.Name != name || fault.Reason == "") {
			t.Errorf("%.60q: %#v", name, err)
		}
	}
}

func long(n int) string { return strings.Repeat("a", n) }

// longPath is a name of n bytes with parts of 100.
func longPath(n int) string { return strings.Repeat(long(99)+"/", n/100+1)[:n-1] + "x" }

// gitAccepts asks the real thing.
func gitAccepts(name string) bool {
	return exec.Command("git", "check-ref-format", name).Run() == nil
}

// randomName draws a name in which what the rules are about is likely.
func randomName(r *rand.Rand) string {
	pieces := []string{"refs", "heads", "a", "b", ".", "..", ".lock", "lock", "/", "/", "/", "//", "@", "@{", "{", "}", "-", "~",
		"^", ":", "?", "*", "[", "]", "\\", " ", "\t", "\x01", "\x1f", "\x7f", "\x80", "\xff", "é", "HEAD", "\n", "A", "!", "\""}
	var b strings.Builder
	if r.IntN(2) == 0 {
		b.WriteString("refs/heads/")
	}
	for range 1 + r.IntN(6) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

func TestRefFormatAgreesWithGit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 1500 {
		name := randomName(r)
		fault := refFormatFault(name)
		if want := gitAccepts(name); want != (fault == "") {
			t.Errorf("%q: git says %v, we say %q", name, want, fault)
		}
		if fault == "" {
			accepted++
		}
	}
	if accepted < 100 {
		t.Errorf("only %d of the names were good ones", accepted)
	}
}

func FuzzCheckRefName(f *testing.F) {
	for _, s := range []string{"refs/heads/main", "refs/heads/a.lock", "refs/heads/@{", "refs/peer/x", "refs/heads/a//b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) > 4096 || strings.ContainsRune(name, 0) {
			return // can't be an argument
		}
		if want := gitAccepts(name); want != (refFormatFault(name) == "") {
			t.Errorf("%q: git says %v, we say %q", name, want, refFormatFault(name))
		}
		if CheckRefName(name) == nil && refFormatFault(name) != "" {
			t.Errorf("%q: pushed, but not a ref name", name)
		}
	})
}
