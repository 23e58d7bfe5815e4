package itest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"

	"peer/itest/internal/content"
)

// history writes a stream for git fast-import: a long and mixed history, the
// same on every run. Everything that git keeps in a commit occurs.
type history struct {
	w      *bufio.Writer
	random *rand.Rand
	marks  int
	when   int64
}

// historyFiles are how many files the history edits, besides the odd ones.
const historyFiles = 400

func newHistory(w io.Writer) *history {
	return &history{w: bufio.NewWriterSize(w, 1<<20), random: rand.New(rand.NewPCG(20, 26)), when: 1_600_000_000}
}

// write writes commits, and every kind of tag.
func (h *history) write(commits int) error {
	h.printf("feature done\n")
	h.root()
	main := h.marks
	for i := 0; h.marks < commits; i++ {
		if i%20 == 19 {
			main = h.branchAndMerge(main)
		} else {
			main = h.commit("refs/heads/main", main, 0, func() { h.edit() })
		}
		if i%100 == 50 {
			h.tag(i, main)
		}
	}
	h.printf("reset refs/heads/release/1.x\nfrom :%d\n\n", main/2)
	h.printf("reset refs/notes/review\nfrom :%d\n\n", h.marks/3)
	h.printf("done\n")
	return h.w.Flush()
}

// packBlobBytes is the size of each of the blobs of writeBlobs.
const packBlobBytes = 2 << 20

// writeBlobs writes one commit with blobs that can't be compressed: packs of it
// are as large as they.
func (h *history) writeBlobs(blobs int) error {
	h.printf("feature done\n")
	h.commit("refs/heads/main", 0, 0, func() {
		for i := range blobs {
			h.file("100644", fmt.Sprintf("%d.bin", i), content.Random(uint64(1000+i), packBlobBytes))
		}
	})
	h.printf("done\n")
	return h.w.Flush()
}

func (h *history) printf(format string, args ...any) { fmt.Fprintf(h.w, format, args...) }

func (h *history) data(data []byte) {
	h.printf("data %d\n", len(data))
	_, _ = h.w.Write(data) // the writer keeps its error for Flush
	h.printf("\n")
}

// commit writes one commit on top of parent, and of merged if that is not 0.
func (h *history) commit(branch string, parent, merged int, change func()) int {
	h.marks++
	h.when += 60
	mark := h.marks
	h.printf("commit %s\nmark :%d\nauthor Zoë Ågren <zoe@example.org> %d +0545\ncommitter Ann <ann@example.org> %d -0330\n", branch, mark, h.when-30, h.when)
	h.data(fmt.Appendf(nil, "change %d: a line\n\nand a body, with ünïcödé\n", mark))
	if parent > 0 {
		h.printf("from :%d\n", parent)
	}
	if merged > 0 {
		h.printf("merge :%d\n", merged)
	}
	change()
	h.printf("\n")
	return mark
}

// root has all that is odd: empty and large files, modes, links, names.
func (h *history) root() {
	h.commit("refs/heads/main", 0, 0, func() {
		h.file("100644", "empty", nil)
		h.file("100644", "large.bin", content.Random(50, 50<<20))
		h.file("100755", "run.sh", []byte("#!/bin/sh\nexec true\n"))
		h.file("120000", "link", []byte("run.sh"))
		h.file("120000", "dangling", []byte("../nowhere/日本語"))
		h.file("100644", `"with spaces and ünïcödé/a file.txt"`, []byte("x\n"))
		h.file("100644", `"quotes \"and\" back\\slash"`, []byte("x\n"))
		h.file("100644", `"tab\tand newline\n"`, []byte("x\n"))
		h.file("100644", "crlf.txt", []byte("a\r\nb\r\n"))
		h.file("100644", ".gitmodules", []byte("[submodule \"lib\"]\n\tpath = lib\n\turl = https://example.org/lib.git\n"))
		// A submodule: a commit that is not here.
		h.printf("M 160000 %040x lib\n", 0x1234567890abcdef)
	})
	h.commit("refs/heads/main", h.marks, 0, func() {}) // an empty one
}

func (h *history) file(mode, path string, data []byte) {
	h.printf("M %s inline %s\n", mode, path)
	h.data(data)
}

func (h *history) path(i int) string { return fmt.Sprintf("src/%d/%d/file%d.txt", i%7, i%31, i) }

// edit changes a file or two, and now and then renames or deletes one.
func (h *history) edit() {
	i := h.random.IntN(historyFiles)
	h.file("100644", h.path(i), fmt.Appendf(nil, "file %d\nversion %d\n%s", i, h.marks, h.text()))
	switch h.random.IntN(40) {
	case 0:
		h.printf("R %s moved/%d.txt\n", h.path(i), i)
	case 1:
		h.printf("D %s\n", h.path(i))
	case 2:
		h.file("100755", h.path(i+1), h.text())
	}
}

func (h *history) text() []byte {
	var text []byte
	for range 5 + h.random.IntN(20) {
		text = fmt.Appendf(text, "line %d of this text\n", h.random.IntN(1000))
	}
	return text
}

// branchAndMerge makes a side branch of three commits, and one on the main
// branch beside it, and joins them.
func (h *history) branchAndMerge(base int) int {
	side := base
	for range 3 {
		side = h.commit("refs/heads/side", side, 0, func() { h.edit() })
	}
	main := h.commit("refs/heads/main", base, 0, func() { h.edit() })
	return h.commit("refs/heads/main", main, side, func() { h.edit() })
}

// tag writes a light tag, an annotated one, and one of that.
func (h *history) tag(i, mark int) {
	h.printf("reset refs/tags/light-%d\nfrom :%d\n\n", i, mark)
	h.marks++
	h.printf("tag v%d\nmark :%d\nfrom :%d\ntagger Ann <ann@example.org> %d +0000\n", i, h.marks, mark, h.when)
	h.data(fmt.Appendf(nil, "release %d\n", i))
}
