package gitd

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// startedWeb is started with the way over HTTP.
func startedWeb(t testing.TB, format string, tweak func(*Options)) (*fakeBackend, *HTTPServer, *person) {
	t.Helper()
	b := newFake(t, format)
	o := Options{Addr: ":0", Backend: b, Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)), TempDir: t.TempDir()}
	if tweak != nil {
		tweak(&o)
	}
	s, err := ServeHTTP(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	p := &person{t: t, dir: t.TempDir(), url: "http://" + s.Addr() + "/ann/demo"}
	p.ok("", "init", "--quiet", "--initial-branch=main", "--object-format="+format, "w")
	return b, s, p
}

func filledWeb(t testing.TB, tweak func(*Options)) (*fakeBackend, *HTTPServer, *person) {
	t.Helper()
	b, s, p := startedWeb(t, "sha1", tweak)
	p.commit("w", "a", "1")
	p.ok("w", "push", "--quiet", b.dir, "main")
	return b, s, p
}

func TestReadOverHTTP(t *testing.T) {
	for _, version := range []int{0, 1, 2} {
		for name, test := range readTests(version) {
			if name == "archive" {
				continue // git has no way for it
			}
			t.Run(fmt.Sprintf("version %d/%s", version, name), func(t *testing.T) {
				t.Parallel()
				b, s, p := filledWeb(t, nil)
				test(t, b, p.speaking(version))
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if n := b.openStreams(); n > 0 {
					t.Errorf("%d streams are open at the end", n)
				}
			})
		}
	}
}

func TestPushOverHTTP(t *testing.T) {
	for name, test := range pushTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s, p := filledWeb(t, withPush)
			test(t, b, p)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("in chunks", func(t *testing.T) {
		t.Parallel()
		b, _, p := filledWeb(t, withPush)
		p.config = append(p.config, "http.postBuffer=1024")
		oid := p.commit("w", "big", noise(300<<10))
		p.ok("w", "push", p.url, "main")
		wantRef(t, b, "refs/heads/main", oid)
	})
	t.Run("to nothing", func(t *testing.T) {
		t.Parallel()
		for _, format := range []string{"sha1", "sha256"} {
			b, _, p := startedWeb(t, format, withPush)
			oid := p.commit("w", "a", "1")
			p.ok("w", "push", p.url, "main")
			wantRef(t, b, "refs/heads/main", oid)
		}
	})
}

func TestCloneLargeOverHTTP(t *testing.T) {
	t.Parallel()
	b, _, p := filledWeb(t, nil)
	p.commit("w", "big", noise(20<<20))
	p.ok("w", "push", "--quiet", b.dir, "main")
	for _, version := range []int{0, 2} {
		dir := fmt.Sprint("c", version)
		p.speaking(version).ok("", "clone", "--quiet", p.url, dir)
		p.ok(dir, "fsck")
	}
}

func TestHTTPSaysWhy(t *testing.T) {
	t.Parallel()
	b, _, p := filledWeb(t, nil)
	p.fails("not found", "", "ls-remote", p.url+"s")
	p.fails("no such repository, or it is not yours to read", "", "ls-remote", p.url+"s")
	p.fails("this port is read-only: push to peer://", "w", "push", p.url, "main:x")
	b.set(func() { b.fail = &Refusal{"no leader confirms what this replica has"} })
	p.fails("peer: no leader confirms", "", "ls-remote", p.url)
	b.set(func() { b.fail = io.ErrClosedPipe })
	p.fails("its log says why", "", "ls-remote", p.url)
}

// page is what comes back, but for the body.
type page struct {
	Status     string
	StatusCode int
	Header     http.Header
}

// ask sends one request.
func ask(t *testing.T, s *HTTPServer, method, path, body string, headers ...string) (page, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return page{resp.Status, resp.StatusCode, resp.Header}, string(raw)
}

const (
	listing   = "/ann/demo/info/refs?service=git-upload-pack"
	fetchPath = "/ann/demo/git-upload-pack"
	fetchType = "application/x-git-upload-pack-request"
)

func TestHTTPHeaders(t *testing.T) {
	t.Parallel()
	_, s, _ := filledWeb(t, nil)
	for _, test := range []struct{ version, begins string }{{"", "001e# service=git-upload-pack\n0000"}, {"version=2", "000eversion 2\n"}, {"version=1", "001e# service=git-upload-pack\n0000000eversion 1\n"}} {
		resp, body := ask(t, s, "GET", listing, "", "Git-Protocol", test.version)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-git-upload-pack-advertisement" || !strings.HasPrefix(body, test.begins) {
			t.Errorf("version %q: %s, %v, %.80q", test.version, resp.Status, resp.Header, body)
		}
		if !strings.Contains(resp.Header.Get("Cache-Control"), "no-cache") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("headers %v", resp.Header)
		}
	}
	// A request may be packed.
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, pkt("command=ls-refs\n")+"0001"+pkt("peel\n")+"0000")
	_ = z.Close()
	resp, body := ask(t, s, "POST", fetchPath, packed.String(), "Content-Type", fetchType, "Content-Encoding", "gzip", "Git-Protocol", "version=2")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-git-upload-pack-result" || !strings.Contains(body, "refs/heads/main\n") {
		t.Errorf("%s, %v, %.80q", resp.Status, resp.Header, body)
	}
}

// A listing does not travel line by line.
func TestHTTPListingIsDense(t *testing.T) {
	t.Parallel()
	b, s, p := filledWeb(t, nil)
	for i := range 200 {
		p.ok("w", "tag", fmt.Sprint("t", i))
	}
	p.ok("w", "push", "--quiet", "--tags", b.dir)
	c, err := net.DialTimeout("tcp", s.Addr(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, "GET "+listing+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	raw, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	chunks := regexp.MustCompile(`\r\n[0-9a-f]+\r\n`).FindAll(raw, -1)
	if refs := bytes.Count(raw, []byte(" refs/tags/t")); refs != 200 || len(chunks) > 20 {
		t.Errorf("%d refs in %d chunks", refs, len(chunks))
	}
}

// A web page must not get at a port of the machine on which its browser runs.
func TestWebPagesAreKeptOut(t *testing.T) {
	t.Parallel()
	_, s, _ := filledWeb(t, func(o *Options) { o.Push, o.Names = true, []string{"forge.example"} })
	_, port, _ := net.SplitHostPort(s.Addr())
	for _, test := range []struct {
		status  int
		headers []string
	}{
		{200, nil},
		{200, []string{"Host", "localhost:" + port}},
		{200, []string{"Host", "LOCALHOST"}},
		{200, []string{"Host", "[::1]:" + port}},
		{200, []string{"Host", "192.0.2.1"}},
		{200, []string{"Host", "forge.example:" + port}},
		{200, []string{"Sec-Fetch-Site", "none"}},
		{421, []string{"Host", "evil.example:" + port}}, // a name that leads here for a moment
		{421, []string{"Host", "127.0.0.1.evil.example"}},
		{421, []string{"Host", "localhost.evil.example:" + port}},
		{403, []string{"Origin", "http://evil.example"}},
		{403, []string{"Origin", "null"}},
		{403, []string{"Sec-Fetch-Site", "cross-site"}},
		{403, []string{"Sec-Fetch-Site", "same-site"}}, // another port of localhost
	} {
		resp, _ := ask(t, s, "GET", listing, "", test.headers...)
		if resp.StatusCode != test.status || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%v: %s, %v; want %d", test.headers, resp.Status, resp.Header, test.status)
		}
	}
	// What a form may send, and a question whether more is allowed.
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", ""} {
		if resp, _ := ask(t, s, "POST", "/ann/demo/git-receive-pack", "0000", "Content-Type", kind); resp.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("a push as %q: %s", kind, resp.Status)
		}
	}
	if resp, _ := ask(t, s, "OPTIONS", "/ann/demo/git-receive-pack", ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("OPTIONS: %s", resp.Status)
	}
}

func TestHTTPPushIsLocal(t *testing.T) {
	t.Parallel()
	b, s, _ := filledWeb(t, withPush)
	const path = "/ann/demo/info/refs?service=git-receive-pack"
	if resp, _ := ask(t, s, "GET", path, ""); resp.StatusCode != http.StatusOK {
		t.Errorf("from here: %s", resp.Status)
	}
	for _, header := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Via", "X-Real-IP", "X-Client-IP"} { // a proxy in front
		if resp, body := ask(t, s, "GET", path, "", header, "192.0.2.7"); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "its own machine only") {
			t.Errorf("%s: %s %s", header, resp.Status, body)
		}
	}
	// The service that counts is the one of the path, whatever the query says.
	resp, _ := ask(t, s, "POST", "/ann/demo/git-receive-pack?service=git-upload-pack", "0000", "Content-Type", "application/x-git-receive-pack-request", "Via", "1.1 proxy")
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a push in disguise: %s", resp.Status)
	}
	addr := outward(t)
	s2, err := ServeHTTP(t.Context(), Options{Addr: net.JoinHostPort(addr, "0"), Backend: b, Push: true, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s2.Close()
	if resp, body := ask(t, s2, "GET", path, ""); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "its own machine only") {
		t.Errorf("from %s: %s %s", addr, resp.Status, body)
	}
}

// outward is an address of this machine that is not loopback.
func outward(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	t.Skip("this machine has loopback addresses only")
	return ""
}
