package gitd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peer/git"
	"peer/identity"
	"peer/wire"
)

// fakeBackend has one repository, ann/demo, and lets git serve it.
type fakeBackend struct {
	t     testing.TB
	owner identity.PublicKey
	dir   string // bare
	work  sync.WaitGroup

	mu       sync.Mutex
	opened   []int // versions asked for
	fail     error // instead of opening
	streams  map[*testStream]bool
	pushes   []*Transaction
	deliver  func(*Transaction) ([]Verdict, error) // instead of git; may be nil
	closed   int                                   // push sessions
	noListen bool                                  // open streams on which nothing happens
}

// testStream is one end of a socket pair.
type testStream struct {
	*net.UnixConn
	b *fakeBackend
}

func (s *testStream) Close() error {
	s.b.mu.Lock()
	delete(s.b.streams, s)
	s.b.mu.Unlock()
	return s.UnixConn.Close()
}

func (s *testStream) Reset() error { return s.Close() }

var _ wire.Stream = (*testStream)(nil)

func newFake(t testing.TB, format string) *fakeBackend {
	t.Helper()
	b := &fakeBackend{
		t: t, dir: filepath.Join(t.TempDir(), "repo.git"),
		owner:   identity.KeyFromSeed([32]byte{7}).Public(),
		streams: map[*testStream]bool{},
	}
	b.git(nil, "init", "--quiet", "--bare", "--object-format="+format, "--initial-branch=main", b.dir)
	for _, setting := range []string{"uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"} {
		b.git(nil, "-C", b.dir, "config", setting, "true")
	}
	t.Cleanup(b.work.Wait)
	return b
}

func (b *fakeBackend) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func (b *fakeBackend) check(repo identity.Address) error {
	if b.fail != nil {
		return b.fail
	}
	if repo != (identity.Address{Owner: b.owner, Name: "demo"}) {
		return ErrNotFound
	}
	return nil
}

func (b *fakeBackend) Owner(petname string) (identity.PublicKey, error) {
	if petname != "ann" {
		return identity.PublicKey{}, errors.New("nobody is called that")
	}
	return b.owner, nil
}

func (b *fakeBackend) Open(ctx context.Context, repo identity.Address, service Service, version int) (wire.Stream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.check(repo); err != nil {
		return nil, err
	}
	b.opened = append(b.opened, version)
	near, far, err := socketPair()
	if err != nil {
		return nil, err
	}
	stream := &testStream{near, b}
	b.streams[stream] = true
	context.AfterFunc(ctx, func() { _ = stream.Reset() })
	if b.noListen {
		b.work.Go(func() {
			defer far.Close()
			_, _ = io.Copy(io.Discard, far)
		})
		return stream, nil
	}
	c := exec.Command("git", strings.TrimPrefix(string(service), "git-"), b.dir)
	c.Env, c.Stdin, c.Stdout = cleanEnv(), far, far
	if version > 0 {
		c.Env = append(c.Env, "GIT_PROTOCOL=version="+strconv.Itoa(version))
	}
	b.work.Go(func() {
		defer far.Close()
		file, err := far.File()
		if err != nil {
			return
		}
		c.Stdin, c.Stdout = file, file
		if err := c.Start(); err == nil {
			_ = file.Close()
			_ = c.Wait()
		}
	})
	return stream, nil
}

func socketPair() (a, b *net.UnixConn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		ends[i], err = net.FileConn(f)
		_ = f.Close()
		if err != nil {
			return nil, nil, err
		}
	}
	return ends[0].(*net.UnixConn), ends[1].(*net.UnixConn), nil
}

// fakePush applies a transaction with git, ref by ref.
type fakePush struct {
	b      *fakeBackend
	refs   []git.Ref
	format git.Format
}

func (b *fakeBackend) OpenPush(_ context.Context, repo identity.Address) (Push, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.check(repo); err != nil {
		return nil, err
	}
	p := &fakePush{b: b, format: git.Format(strings.TrimSpace(b.git(nil, "-C", b.dir, "rev-parse", "--show-object-format")))}
	for line := range strings.Lines(b.git(nil, "-C", b.dir, "for-each-ref", "--format=%(objectname) %(refname)")) {
		hex, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		oid, err := git.ParseOID(hex)
		if err != nil {
			return nil, err
		}
		p.refs = append(p.refs, git.Ref{Name: name, OID: oid})
	}
	return p, nil
}

func (p *fakePush) Refs() ([]git.Ref, git.Format) { return p.refs, p.format }

func (p *fakePush) Close() { p.b.set(func() { p.b.closed++ }) }

func (p *fakePush) Deliver(_ context.Context, t *Transaction) ([]Verdict, error) {
	b := p.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pushes = append(b.pushes, t)
	if b.deliver != nil {
		return b.deliver(t)
	}
	if t.Pack != nil {
		for range 2 { // as a delivery that has to try again
			pack := t.Pack()
			b.git(pack, "-C", b.dir, "index-pack", "--stdin", "--fix-thin")
			_ = pack.Close()
		}
	}
	_, _ = io.WriteString(t.Progress, "checking\n")
	var verdicts []Verdict
	for _, u := range t.Updates {
		null := p.format.Null()
		before, after := null, null
		if !u.Old.IsZero() {
			before = u.Old.String()
		}
		if !u.New.IsZero() {
			after = u.New.String()
		}
		c := exec.Command("git", "-C", b.dir, "update-ref", u.Name, after, before)
		c.Env = cleanEnv()
		verdict := Verdict("")
		if c.Run() != nil {
			verdict = "moved"
		}
		verdicts = append(verdicts, verdict)
	}
	t.Say("committed")
	return verdicts, nil
}

// git runs git and returns what it prints.
func (b *fakeBackend) git(in io.Reader, args ...string) string {
	c := exec.Command("git", args...)
	var out, stderr bytes.Buffer
	c.Env, c.Stdin, c.Stdout, c.Stderr = cleanEnv(), in, &out, &stderr
	if err := c.Run(); err != nil {
		b.t.Errorf("git %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out.String()
}

func cleanEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org", "GIT_COMMITTER_DATE=1700000000 +0000",
	}
}

// started is a server of a fake with its defaults changed by tweak, and a person
// with a work tree "w".
func started(t testing.TB, format string, tweak func(*Options)) (*fakeBackend, *Server, *person) {
	t.Helper()
	b := newFake(t, format)
	o := Options{Addr: ":0", Backend: b, Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)), TempDir: t.TempDir()}
	if tweak != nil {
		tweak(&o)
	}
	s, err := Serve(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	p := &person{t: t, dir: t.TempDir(), url: "git://" + s.Addr() + "/ann/demo"}
	p.ok("", "init", "--quiet", "--initial-branch=main", "--object-format="+format, "w")
	return b, s, p
}

// filled is started with one commit in the repository.
func filled(t testing.TB, tweak func(*Options)) (*fakeBackend, *Server, *person) {
	t.Helper()
	b, s, p := started(t, "sha1", tweak)
	p.commit("w", "a", "1")
	p.ok("w", "push", "--quiet", b.dir, "main")
	return b, s, p
}

type testLog struct{ t testing.TB }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// person runs git in directories of their own.
type person struct {
	t      testing.TB
	dir    string
	url    string
	config []string // key=value, for every command
}

// speaking is p with a version of git's protocol.
func (p *person) speaking(version int) *person {
	q := *p
	q.config = append(slices.Clone(p.config), "protocol.version="+strconv.Itoa(version))
	return &q
}

func (p *person) run(dir string, args ...string) (out string, code int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var all []string
	for _, setting := range p.config {
		all = append(all, "-c", setting)
	}
	c := exec.CommandContext(ctx, "git", append(all, args...)...)
	c.Dir, c.Env = filepath.Join(p.dir, dir), cleanEnv()
	raw, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("git %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(raw)), c.ProcessState.ExitCode()
}

func (p *person) ok(dir string, args ...string) string {
	p.t.Helper()
	out, code := p.run(dir, args...)
	if code != 0 {
		p.t.Fatalf("git %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// fails wants git to fail and to say something.
func (p *person) fails(says string, dir string, args ...string) {
	p.t.Helper()
	out, code := p.run(dir, args...)
	if code == 0 || !strings.Contains(out, says) {
		p.t.Fatalf("git %s: exit code %d, want a failure that says %q\n%s", strings.Join(args, " "), code, says, out)
	}
}

func (p *person) commit(dir, file, text string) string {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, dir, file), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.ok(dir, "add", file)
	p.ok(dir, "commit", "--quiet", "-m", "change "+file)
	return p.ok(dir, "rev-parse", "HEAD")
}

// eventually polls until a condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !condition(); {
		if time.Now().After(until) {
			t.Fatalf("not so after 20 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
