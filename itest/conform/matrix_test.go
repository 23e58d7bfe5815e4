package conform

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// seed is what a repository has at first.
const seed = `
	git init -q -b main seed
	commit seed a.txt one
	commit seed dir/b.txt two
	git -C seed tag light
	commit seed dir/deep/c.txt three
	git -C seed tag -a -m "first release" v1
	git -C seed switch -q -c dev
	commit seed dev.txt begun
	commit seed dev.txt done
	git -C seed switch -q main
	commit seed a.txt four
	git -C seed merge -q --no-ff -m "merge dev" dev
	commit seed a.txt five
	git -C seed tag -a -m "second release" v2
	git -C seed -c advice.nestedTag=false tag -a -m "a tag of a tag" again v2
	git -C seed tag blob HEAD:a.txt
	git -C seed switch -q -c topic/one v1
	commit seed t.txt one
	git -C seed switch -q -c topic/two v1
	commit seed t.txt two
	git -C seed switch -q main
	commit seed dir/deep/c.txt six
	git -C seed notes add -m "a note" v1^{commit}
`

// rowsBegin is the day on which every row begins: the seed is older.
const rowsBegin = 100

// commitScript is the command that the rows call commit.
const commitScript = `#!/bin/sh
dir=$1 file=$2; shift 2
mkdir -p "$(dirname "$dir/$file")" && printf '%s\n' "$*" >"$dir/$file" &&
git -C "$dir" add "$file" && git -C "$dir" commit -q -m "$file: $*"
`

// TestMatrix runs all rows; with -short not the long ones, and only some over git:// and http://.
func TestMatrix(t *testing.T) {
	n := startNetwork(t)
	if err := os.Mkdir(filepath.Join(n.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, "bin", "commit"), []byte(commitScript), 0o755); err != nil {
		t.Fatal(err)
	}
	m := &matrix{n: n, shared: map[string]string{}}
	sower := &side{t: t, n: n, name: plain, dir: n.dir}
	for _, l := range (row{script: seed}).lines() {
		sower.run(l)
	}
	for _, name := range []string{plain, peer} {
		if err := os.MkdirAll(filepath.Join(n.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		m.shared[name] = m.sow(&side{t: t, n: n, name: name, dir: filepath.Join(n.dir, name)}, "shared")
	}
	owner := strings.TrimPrefix(m.shared[peer], "peer://")
	m.shared[git], m.shared[http] = "git://"+n.git+"/"+owner, "http://"+n.http+"/"+owner
	t.Run("rows", func(t *testing.T) {
		for i, r := range rows() {
			t.Run(r.name, func(t *testing.T) {
				if testing.Short() && slices.Contains(longRows, r.name) {
					t.Skip("-short leaves it out, for the time it takes")
				}
				t.Parallel()
				m.compare(t, i, r)
			})
		}
	})
	n.checkDisks()
}

type matrix struct {
	n      *network
	shared map[string]string // URLs of the repository that all readers share, by side
}

// sow makes a remote that has what the seed has.
func (m *matrix) sow(s *side, name string) string {
	s.t.Helper()
	url := s.make(name, "")
	s.run(line{text: "git -C " + filepath.Join(m.n.dir, "seed") + " push -q --mirror '" + url + "'"})
	return url
}

// compare runs one row on all its sides.
func (m *matrix) compare(t *testing.T, number int, r row) {
	var first []outcome
	for _, name := range r.sides(testing.Short()) {
		s := m.begin(t, number, r, name)
		var got []outcome
		for _, l := range r.lines() {
			if l.only != "" && l.only != name {
				s.day++
				continue
			}
			if o := s.run(l); l.only == "" {
				got = append(got, o)
			}
		}
		got = append(got, s.facts()...)
		if first == nil {
			first = got
			continue
		}
		for i := range max(len(first), len(got)) {
			if i == len(first) || i == len(got) {
				t.Fatalf("%s has %d repositories and lines, and %s %d", plain, len(first), name, len(got))
			}
			differ(t, name, first[i], got[i])
		}
	}
}

func differ(t *testing.T, name string, want, got outcome) {
	t.Helper()
	if want.loose {
		want.err, got.err = "", ""
	}
	if want == got {
		return
	}
	t.Errorf("%s: exit %d on %s, %d on %s\nstdout:\n%sstderr:\n%s", want.text, want.code, plain, got.code, name,
		difference(want.out, got.out), difference(want.err, got.err))
}

// difference is the lines that only one side has, or that they have in another order.
func difference(want, got string) string {
	var text strings.Builder
	left, right := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i, l := range left {
		if !slices.Contains(right, l) || len(left) == len(right) && right[i] != l {
			fmt.Fprintf(&text, "- %s\n", l)
		}
	}
	for i, l := range right {
		if !slices.Contains(left, l) || len(left) == len(right) && left[i] != l {
			fmt.Fprintf(&text, "+ %s\n", l)
		}
	}
	return text.String()
}

// begin lays out a side for a row.
func (m *matrix) begin(t *testing.T, number int, r row, name string) *side {
	t.Helper()
	s := &side{t: t, n: m.n, name: name, dir: filepath.Join(m.n.dir, fmt.Sprintf("row%d", number), name), day: rowsBegin}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.remote("DIR", s.dir)
	s.remote("SEED", filepath.Join(m.n.dir, "seed"))
	remote := fmt.Sprintf("row%d", number)
	switch r.kind {
	case reads:
		remote = "shared"
		s.remote("URL", m.shared[name])
	case writes:
		s.remote("URL", m.sow(s, remote))
	case empty:
		s.remote("URL", s.make(remote, r.format))
	}
	s.env = append(s.env, "NAME="+remote)
	url := s.env[len(s.env)-2][len("URL="):]
	s.remote("NOWHERE", url+"-nowhere")
	if strings.Contains(r.script, "OTHER") {
		s.remote("OTHER", s.make(remote+"-other", r.format))
	}
	s.day = rowsBegin
	if r.kind == writes {
		s.run(line{text: "git clone -q $URL w"})
	}
	return s
}
