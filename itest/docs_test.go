package itest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"peer/itest/internal/binary"
)

// testName matches a whole name of a test or fuzz target, and no prefix of one.
var testName = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z][A-Za-z0-9]*(…|\b)`)

// TestDocsNameTests: each test that the documents lean on is there.
func TestDocsNameTests(t *testing.T) {
	defined := map[string]bool{}
	root := binary.SourceDir()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)\(`)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(raw), -1) {
			defined[m[1]] = true
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
		for _, name := range testName.FindAllString(string(raw), -1) {
			if strings.HasSuffix(name, "…") {
				continue // a family of them
			}
			if named++; !defined[name] {
				t.Errorf("%s names %s, and there is no such test", filepath.Base(doc), name)
			}
		}
	}
	if named < 100 {
		t.Errorf("only %d names of tests were found: the documents are spelled otherwise than this test thinks", named)
	}
}
