package cmd

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"peer/git"
)

// slipIn has the replica's git say more before it sends a pack.
func slipIn(section ...string) func(*fakeSession) {
	var more []byte
	for _, line := range section {
		more = git.AppendPkt(more, []byte(line+"\n"))
	}
	return func(s *fakeSession) {
		c := exec.CommandContext(s.t.Context(), "git", "upload-pack", s.dir)
		c.Env, c.Stdin = append(cleanEnv(), "GIT_PROTOCOL=version=2"), s.UnixConn
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			s.t.Error(err)
			return
		}
		for r := git.NewPktReader(out); ; {
			pkt, err := r.Next()
			if err != nil {
				break
			}
			if string(pkt.Payload()) == "packfile\n" {
				_, _ = s.Write(append(more, "0001"...))
			}
			_, _ = s.Write(pkt.Raw)
		}
		s.Close()
		_ = c.Wait()
	}
}

// TestHostileAnswers has a replica whose listing is proved slip something into the answer
// to a fetch that git did not ask for, and would take: another object for a ref, a URL to
// load, an end of the history.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	f, p := clonedOnce(t)
	first := p.ok("c", "rev-parse", "origin/main")
	second := p.commit("w", "a", "2")
	p.ok("w", "push")
	take := *p
	take.env = append(slices.Clone(p.env), unprovedEnv+"="+unprovedTake)
	var loads atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		loads.Add(1)
		http.NotFound(w, nil)
	}))
	t.Cleanup(web.Close)
	for name, c := range map[string]struct {
		section []string
		says    string
	}{
		"refs":  {[]string{"wanted-refs", first + " refs/heads/main"}, `the server answers a fetch with "wanted-refs", which git did not ask for`},
		"a URL": {[]string{"packfile-uris", strings.Repeat("1", 40) + " " + web.URL + "/pack"}, `"packfile-uris"`},
		"a cut": {[]string{"shallow-info", "shallow " + second}, `"shallow-info"`},
	} {
		f.hook(func() { f.speak = slipIn(c.section...) })
		p.run("c", "fetch").exits(128).says("peer: error: demo: the replica broke the protocol: ", c.says)
		if got := p.ok("c", "rev-parse", "origin/main"); got != first {
			t.Errorf("%s: origin/main went to %s", name, got)
		}
		p.run("", "clone", f.url(), "c2").exits(128).says(c.says)
		if _, err := os.Stat(p.dir + "/c2"); err == nil {
			t.Errorf("%s: there is a clone", name)
		}
		f.hook(func() { f.proves = false }) // and so where the listing is that of the replica
		take.run("", "clone", f.url(), "c2").exits(128).says(c.says)
		f.hook(func() { f.proves = true })
	}
	if n := loads.Load(); n > 0 {
		t.Errorf("git loaded the URL %d times", n)
	}
	// Who cut his own history has no more of it cut.
	f.hook(func() { f.speak = nil })
	p.ok("", "clone", "--quiet", "--depth=1", f.url(), "shallow")
	third := p.commit("w", "a", "3")
	p.ok("w", "push")
	f.hook(func() { f.speak = slipIn("shallow-info", "shallow "+third) })
	p.run("shallow", "fetch").exits(128).says("peer: error: demo: ")
	f.hook(func() { f.speak = nil })
	p.ok("shallow", "fetch")
	p.ok("c", "fetch")
	if got := p.ok("c", "rev-parse", "origin/main"); got != third {
		t.Errorf("fetched %s, want %s", got, third)
	}
}

// TestShallowFetches are all the ways to cut a history, as an honest replica answers them.
func TestShallowFetches(t *testing.T) {
	t.Parallel()
	f, p := started(t)
	p.ok("w", "tag", "v1")
	for _, text := range []string{"2", "3"} {
		p.commit("w", "a", text)
	}
	p.ok("w", "push", "origin", "main", "v1")
	count := func(want string) {
		t.Helper()
		if got := p.ok("c", "rev-list", "--count", "origin/main"); got != want {
			t.Errorf("%s commits, want %s", got, want)
		}
	}
	for _, how := range []struct{ flag, commits string }{{"--depth=2", "2"}, {"--shallow-exclude=v1", "2"}, {"--shallow-since=2001-01-01", "3"}} {
		p.ok("", "clone", "--quiet", "--no-tags", how.flag, f.url(), "c")
		count(how.commits)
		if err := os.RemoveAll(p.dir + "/c"); err != nil {
			t.Fatal(err)
		}
	}
	p.ok("", "clone", "--quiet", "--depth=1", f.url(), "c")
	p.commit("w", "a", "4")
	p.ok("w", "push")
	p.ok("c", "fetch", "--quiet")
	count("2")
	p.ok("c", "fetch", "--quiet", "--deepen=1")
	count("3")
	p.ok("c", "fetch", "--quiet", "--unshallow")
	count("4")
	p.ok("c", "fsck")
	p.ok("c", "fetch", "--negotiate-only", "--negotiation-tip=HEAD", "origin")
}
