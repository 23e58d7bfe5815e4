package itest

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"peer/itest/internal/binary"
)

// testName matches a whole name of a test or fuzz target and no prefix of one, or what
// may be the package of those that follow.
var testName = regexp.MustCompile("`([a-z/]+)`|" + `\b((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)(…|\b)`)

// TestDocsNameTests: each test that the documents lean on is there, in the package that
// they name last before it, in the same paragraph or row.
func TestDocsNameTests(t *testing.T) {
	defined := map[string]map[string]bool{} // by package; "" has all
	root := binary.SourceDir()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)\(`)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		pkg := strings.TrimPrefix(filepath.Dir(path), root+"/")
		for _, m := range declared.FindAllStringSubmatch(string(raw), -1) {
			for _, in := range []string{"", pkg} {
				if defined[in] == nil {
					defined[in] = map[string]bool{}
				}
				defined[in][m[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, doc := range append(docs, filepath.Join(root, "ARCHITECTURE.md"), filepath.Join(root, "README.md")) {
		raw, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		in := ""
		for line := range strings.Lines(string(raw)) {
			if line == "\n" || strings.HasPrefix(line, "|") {
				in = ""
			}
			for _, m := range testName.FindAllStringSubmatch(line, -1) {
				switch {
				case m[1] != "":
					if defined[m[1]] != nil {
						in = m[1]
					}
				case m[3] == "": // not a family of them
					if named++; !defined[in][m[2]] {
						t.Errorf("%s names %s, and there is no such test in %s", filepath.Base(doc), m[2], cmp.Or(in, "any package"))
					}
				}
			}
		}
	}
	if named < 100 {
		t.Errorf("only %d names of tests were found: the documents are spelled otherwise than this test thinks", named)
	}
}
