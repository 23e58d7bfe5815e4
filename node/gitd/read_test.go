package gitd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"peer/identity"
)

// readTests are what a reader does in a version of git's protocol, whatever the way.
func readTests(version int) map[string]func(*testing.T, *fakeBackend, *person) {
	return map[string]func(*testing.T, *fakeBackend, *person){
		"ls-remote": func(t *testing.T, b *fakeBackend, p *person) {
			oid := p.ok("w", "rev-parse", "HEAD")
			if got, want := p.ok("", "ls-remote", p.url), oid+"\tHEAD\n"+oid+"\trefs/heads/main"; got != want {
				t.Errorf("ls-remote prints %q, want %q", got, want)
			}
			if !slices.Contains(b.opened, version) {
				t.Errorf("asked for versions %v, want %d", b.opened, version)
			}
		},
		"clone, then fetch": func(t *testing.T, b *fakeBackend, p *person) {
			p.ok("", "clone", "--quiet", p.url, "c")
			oid := p.commit("w", "a", "2")
			p.ok("w", "push", "--quiet", b.dir, "main")
			p.ok("c", "fetch", "--quiet")
			if got := p.ok("c", "rev-parse", "origin/main"); got != oid {
				t.Errorf("fetched %s, want %s", got, oid)
			}
			p.ok("c", "fetch", "--quiet") // nothing new
		},
		"many haves": func(t *testing.T, b *fakeBackend, p *person) {
			p.ok("", "clone", "--quiet", p.url, "c")
			for i := range 40 {
				p.ok("c", "commit", "--quiet", "--allow-empty", "-m", fmt.Sprint("ours ", i))
			}
			oid := p.commit("w", "a", "2")
			p.ok("w", "push", "--quiet", b.dir, "main")
			p.ok("c", "fetch", "--quiet")
			if got := p.ok("c", "rev-parse", "origin/main"); got != oid {
				t.Errorf("fetched %s, want %s", got, oid)
			}
		},
		"shallow, then unshallow": func(t *testing.T, b *fakeBackend, p *person) {
			p.commit("w", "a", "2")
			p.ok("w", "push", "--quiet", b.dir, "main")
			p.ok("", "clone", "--quiet", "--depth=1", p.url, "c")
			if got := p.ok("c", "rev-list", "--count", "HEAD"); got != "1" {
				t.Errorf("%s commits in a clone of depth 1", got)
			}
			p.ok("c", "fetch", "--quiet", "--unshallow")
			p.ok("c", "fsck")
		},
		"without blobs": func(t *testing.T, b *fakeBackend, p *person) {
			p.ok("", "clone", "--quiet", "--filter=blob:none", "--no-checkout", p.url, "c")
			p.ok("c", "checkout", "--quiet", "main")
			if raw, err := os.ReadFile(filepath.Join(p.dir, "c", "a")); err != nil || string(raw) != "1" {
				t.Errorf("checked out %q, %v", raw, err)
			}
		},
		"archive": func(t *testing.T, b *fakeBackend, p *person) {
			if got := p.ok("", "archive", "--remote="+p.url, "main"); !strings.Contains(got, "change") && !strings.Contains(got, "1") {
				t.Error("no file in the archive")
			}
			p.fails("", "", "archive", "--remote="+p.url, "nothing")
		},
		"what git itself refuses": func(t *testing.T, b *fakeBackend, p *person) {
			b.git(nil, "-C", b.dir, "config", "--unset", "uploadpack.allowAnySHA1InWant")
			says := "not our ref"
			if version < 2 { // where the client knows all that may be asked for
				says = "unadvertised object"
			}
			p.fails(says, "w", "fetch", p.url, strings.Repeat("1234", 10))
		},
	}
}

func TestRead(t *testing.T) {
	for _, version := range []int{0, 1, 2} {
		for name, test := range readTests(version) {
			t.Run(fmt.Sprintf("version %d/%s", version, name), func(t *testing.T) {
				t.Parallel()
				b, s, p := filled(t, nil)
				test(t, b, p.speaking(version))
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				b.mu.Lock()
				defer b.mu.Unlock()
				if len(b.streams) > 0 {
					t.Errorf("%d streams are open at the end", len(b.streams))
				}
			})
		}
	}
}

func TestCloneLarge(t *testing.T) {
	t.Parallel()
	b, _, p := filled(t, nil)
	p.commit("w", "big", noise(20<<20))
	p.ok("w", "push", "--quiet", b.dir, "main")
	p.ok("", "clone", "--quiet", p.url, "c")
	p.ok("c", "fsck")
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"sha1", "sha256"} {
		b, _, p := started(t, format, nil)
		p.ok("", "clone", "--quiet", p.url, "empty")
		oid := p.commit("w", "a", "1")
		p.ok("w", "push", "--quiet", b.dir, "main")
		p.ok("", "clone", "--quiet", p.url, "c")
		if got := p.ok("c", "rev-parse", "HEAD"); got != oid {
			t.Errorf("cloned %s, want %s", got, oid)
		}
	}
}

// TestNames says in how many ways a repository can be asked for.
func TestNames(t *testing.T) {
	t.Parallel()
	b, s, p := filled(t, nil)
	for _, path := range []string{
		"ann/demo", "ann/demo.git", "ann/demo/", b.owner.DID() + "/demo", b.owner.PeerID().String() + "/demo",
	} {
		p.ok("", "ls-remote", "git://"+s.Addr()+"/"+path)
	}
	const unknown = "remote error: peer: no such repository, or it is not yours to read"
	other := identity.KeyFromSeed([32]byte{8}).Public()
	for _, path := range []string{
		"ann/other", "bob/demo", other.DID() + "/demo", "did:key:zzz/demo", "ann/-x", "ann/.git", "ann/demo.lock", "ann/..",
	} {
		p.fails(unknown, "", "ls-remote", "git://"+s.Addr()+"/"+path)
	}
	for _, path := range []string{"demo", "ann/demo/x", "ann/de%2520mo", "ann/demo%25", "ann\\demo", "ann/demo?x", "ann/dämo", "ann/de mo"} {
		p.fails("remote error: peer: want git://HOST/OWNER/NAME", "", "ls-remote", "git://"+s.Addr()+"/"+path)
	}
	p.fails("no such repository", "", "archive", "--remote=git://"+s.Addr()+"/bob/demo", "main")
}

func TestBackendFailures(t *testing.T) {
	t.Parallel()
	b, _, p := filled(t, func(o *Options) { o.Push = true })
	for _, test := range []struct {
		err  error
		says string
	}{
		{&Refusal{"no leader: try\x1b[31m\nagain"}, "remote error: peer: no leader: try [31m again"},
		{fmt.Errorf("wrapped: %w", ErrNotFound), "remote error: peer: no such repository"},
		{os.ErrPermission, "remote error: peer: this node could not serve the repository: its log says why"},
	} {
		b.set(func() { b.fail = test.err })
		p.fails(test.says, "", "ls-remote", p.url)
		p.fails(test.says, "w", "push", p.url, "main")
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	b, _, p := filled(t, nil)
	p.fails("remote error: peer: this port is read-only: push to peer://"+b.owner.DID()+"/demo", "w", "push", p.url, "main")
	if len(b.pushes) > 0 {
		t.Error("a push reached the backend")
	}
}

// noise is text that does not compress.
func noise(size int) string {
	state, raw := uint64(1), make([]byte, size)
	for i := range raw {
		state = state*6364136223846793005 + 1442695040888963407
		raw[i] = byte(state >> 56)
	}
	return string(raw)
}
