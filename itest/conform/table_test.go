package conform

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peer/itest/internal/binary"
)

const (
	tableBegins = "<!-- the table begins: PEER_WRITE=1 go -C itest test ./conform -run TestTable writes it -->\n"
	tableEnds   = "<!-- the table ends -->\n"
)

// TestTable holds docs/git.md to the rows.
func TestTable(t *testing.T) {
	path := filepath.Join(binary.SourceDir(), "docs", "git.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), tableBegins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		t.Fatalf("%s does not say where the table is", path)
	}
	page := before + tableBegins + table() + tableEnds + after
	if page == string(raw) {
		return
	}
	if os.Getenv("PEER_WRITE") == "" {
		t.Fatal("docs/git.md does not have the rows of this test: PEER_WRITE=1 go -C itest test ./conform -run TestTable")
	}
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

func table() string {
	var text strings.Builder
	for _, group := range groups {
		fmt.Fprintf(&text, "\n### %s\n\n| row | goes through | over | differs |\n|---|---|---|---|\n", group.title)
		for _, r := range group.rows {
			differs := r.differs
			if differs == "" {
				differs = "no"
			}
			fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", r.name, r.what, over(r), differs)
		}
	}
	return text.String() + "\n"
}

func over(r row) string {
	var list []string
	for _, name := range r.sides(false) {
		if name != plain {
			list = append(list, "`"+name+"://`")
		}
	}
	return strings.Join(list, " ")
}
