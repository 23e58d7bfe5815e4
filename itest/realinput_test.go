package itest

import (
	"testing"
)

// TestRealInput pushes what people push, and clones it from every replica.
func TestRealInput(t *testing.T) {
	c := newCluster(t, options{})
	c.run(t, "SHA-256", func(t *testing.T) { testSHA256(t, c) })
}

func testSHA256(t *testing.T, c *cluster) {
	r := c.create("sha256", "--object-format", "sha256")
	ann := c.at(0)
	ann.git("", "init", "-q", "--object-format=sha256", "sha256")
	ann.commit("sha256", "a.txt", []byte("one\n"))
	ann.git("sha256", "tag", "-a", "-m", "first", "v1")
	if tip := ann.commit("sha256", "b.txt", []byte("two\n")); len(tip) != 64 {
		t.Fatalf("%s is no SHA-256", tip)
	}
	ann.git("sha256", "push", "-q", "--mirror", r.url)
	ann.commit("sha256", "c.txt", randomBytes(1, 2<<20)) // staged, not inline
	ann.git("sha256", "push", "-q", "--mirror", r.url)
	r.converge()
	r.checkDisks()
	r.cloneEverywhere(t, ann.path("sha256"))

	ann.git("", "init", "-q", "sha1")
	ann.commit("sha1", "a.txt", []byte("one\n"))
	ann.refuses("sha1", []string{"hash algorithm", "peer init --object-format sha1"}, "push", r.url, "HEAD:refs/heads/other")
}
