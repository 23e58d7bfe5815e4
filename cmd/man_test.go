package cmd

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func manOfGrammar(t *testing.T) (*kong.Node, map[string]string) {
	t.Helper()
	parser, err := newParser(new(grammar), io.Discard, io.Discard, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model.Node, manPages(parser.Model.Node, "v1.2.3", time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
}

// Every command and flag of the grammar is in its page, and what is hidden in none.
func TestManualIsComplete(t *testing.T) {
	t.Parallel()
	root, pages := manOfGrammar(t)
	for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"} {
		for name, page := range pages {
			if !strings.Contains(page, "\n.SH \""+section+"\"\n") {
				t.Errorf("%s has no %s", name, section)
			}
		}
	}
	flags := 0
	var walk func(node *kong.Node, page string)
	walk = func(node *kong.Node, page string) {
		if !node.Hidden && !strings.Contains(pages[page], troffText(node.FullPath())) {
			t.Errorf("%s does not name %s", page, node.FullPath())
		}
		for _, flag := range node.Flags {
			term := regexp.MustCompile(`\n\.B "[^"\n]*` + regexp.QuoteMeta(troffText(flag.Name)) + `["=]`)
			if there := term.MatchString(pages[page]); there == flag.Hidden {
				t.Errorf("%s: --%s of %s is there: %v", page, flag.Name, node.FullPath(), there)
			}
			flags++
		}
		for _, child := range node.Children {
			of := page
			if node == root {
				of = "peer-" + child.Name + ".1"
			}
			if child.Hidden {
				if pages[of] != "" && node == root {
					t.Errorf("%s is hidden, and has a page", child.FullPath())
				}
				continue
			}
			walk(child, of)
		}
	}
	walk(root, "peer.1")
	if flags < 50 || len(pages) < 20 {
		t.Errorf("%d flags, %d pages: that is not the grammar", flags, len(pages))
	}
}

// The tables in peer(1) are those of docs/cli.md.
func TestManualAgreesWithTheDocs(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := func(heading string) (found [][]string) {
		_, rest, ok := strings.Cut(string(raw), "\n## "+heading+"\n")
		if !ok {
			t.Fatalf("docs/cli.md has no %q", heading)
		}
		rest, _, _ = strings.Cut(rest, "\n## ")
		return regexp.MustCompile("(?m)^\\| (`?[^-|]\\S*.*?) \\| (.*) \\|$").FindAllStringSubmatch(rest, -1)[1:]
	}
	codes := rows("Exit codes")
	if len(codes) != len(exitMeanings) {
		t.Errorf("docs/cli.md has %d exit codes, peer(1) %d", len(codes), len(exitMeanings))
	}
	for i, row := range codes[:min(len(codes), len(exitMeanings))] {
		if e := exitMeanings[i]; row[1] != strconv.Itoa(e.code) || row[2] != e.meaning {
			t.Errorf("peer(1) has %d: %s; docs/cli.md %s: %s", e.code, e.meaning, row[1], row[2])
		}
	}
	inPage := map[string]bool{}
	for _, f := range homeFiles {
		inPage[f.name] = true
	}
	for _, row := range rows("The home") {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			if !inPage[m[1]] {
				t.Errorf("peer(1) lacks %s", m[1])
			}
			delete(inPage, m[1])
		}
	}
	for name := range inPage {
		t.Errorf("docs/cli.md lacks %s", name)
	}
}

// What troff would read as its own is printed as it is.
const nasty = `.SH fake \fBbold\fP 'br "quoted" back\slash a-b ~x^y ` + "`z`" + ` did:key:… ü`

func TestTroffText(t *testing.T) {
	t.Parallel()
	const want = `\&.SH fake \efBbold\efP \(aqbr \(dqquoted\(dq back\eslash a\-b \(tix\(hay \(gaz\(ga did:key:\[u2026] \[u00FC]`
	if got := troffText(nasty); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := troffText("two\n.lines"); got != "two .lines" {
		t.Errorf("%q", got)
	}
}

// Programs that show manual pages take ours without a warning.
func TestManualParses(t *testing.T) {
	t.Parallel()
	_, pages := manOfGrammar(t)
	page := new(troff)
	page.macro("TH", "NASTY", "1", "2026-11-21", nasty, nasty)
	page.macro("SH", "NAME")
	page.line("nasty - a page")
	page.line(nasty)
	page.item(nasty, nasty)
	pages["nasty.1"] = page.String()
	dir := t.TempDir()
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.1"))
	for _, tool := range [][]string{{"groff", "-man", "-ww", "-z", "-Tutf8"}, {"mandoc", "-T", "lint", "-W", "warning"}} {
		path, err := exec.LookPath(tool[0])
		if err != nil {
			t.Logf("not tried, since it is not installed: %s", tool[0])
			continue
		}
		said, err := exec.CommandContext(t.Context(), path, append(tool[1:], files...)...).CombinedOutput()
		if err != nil || len(said) > 0 {
			t.Errorf("%s: %v\n%s", tool[0], err, said)
		}
	}
	if path, err := exec.LookPath("groff"); err == nil {
		shown, err := exec.CommandContext(t.Context(), path, "-man", "-Tutf8", "-P-cbou", "-rLL=300n", filepath.Join(dir, "nasty.1")).Output()
		if err != nil || !strings.Contains(string(shown), nasty) {
			t.Errorf("%v: shown as\n%s\nand not\n%s", err, shown, nasty)
		}
	} else {
		t.Skip("groff is not installed: nobody looked how pages are shown")
	}
}
