package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
)

// corpus draws test data: the same for the same seed, so that a cached
// repository and one made again have the same object IDs.
type corpus struct {
	source *rand.ChaCha8
	rng    *rand.Rand
	words  []string
}

const wordCount = 30_000

func newCorpus(seed string) *corpus {
	var key [32]byte
	copy(key[:], seed)
	c := &corpus{source: rand.NewChaCha8(key)}
	c.rng = rand.New(c.source)
	for range wordCount {
		word := make([]byte, 3+c.rng.IntN(9))
		for i := range word {
			word[i] = byte('a' + c.rng.IntN(26))
		}
		c.words = append(c.words, string(word))
	}
	return c
}

// line is a line of text of some 70 bytes, which deflate to some 35.
func (c *corpus) line() []byte {
	var line []byte
	for len(line) < 60 {
		line = append(line, c.words[c.rng.IntN(len(c.words))]...)
		line = append(line, ' ')
	}
	line[len(line)-1] = '\n'
	return line
}

func (c *corpus) text(bytes int) []byte {
	var text []byte
	for len(text) < bytes {
		text = append(text, c.line()...)
	}
	return text
}

// noise is what no compression makes smaller.
func (c *corpus) noise(bytes int) []byte {
	data := make([]byte, bytes)
	_, _ = c.source.Read(data) // never fails
	return data
}

// importStream writes the input of git fast-import. The first error stays.
type importStream struct {
	w   *bufio.Writer
	err error
}

func newImportStream(w io.Writer) *importStream {
	return &importStream{w: bufio.NewWriterSize(w, 1<<20)}
}

// epoch is the date of every first commit; each later one is a second younger.
const epoch = 1_700_000_000

// commit begins a commit on main; its files follow. from may be empty, for one
// whose parent is the commit before it in the stream, or none.
func (s *importStream) commit(number int, from string) {
	s.printf("commit refs/heads/main\ncommitter bench <bench@example.org> %d +0000\n", epoch+number)
	message := fmt.Sprintf("change %d\n", number)
	s.printf("data %d\n%s", len(message), message)
	if from != "" {
		s.printf("from %s\n", from)
	}
}

func (s *importStream) file(path string, data []byte) {
	s.printf("M 100644 inline %s\ndata %d\n", path, len(data))
	if s.err == nil {
		_, s.err = s.w.Write(data)
	}
	s.printf("\n")
}

func (s *importStream) printf(format string, args ...any) {
	if s.err == nil {
		_, s.err = fmt.Fprintf(s.w, format, args...)
	}
}

func (s *importStream) finish() error {
	s.printf("done\n")
	if s.err == nil {
		s.err = s.w.Flush()
	}
	return s.err
}
