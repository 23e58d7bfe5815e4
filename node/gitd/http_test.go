package gitd

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
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

func TestHostileHTTP(t *testing.T) {
	t.Parallel()
	b, s, _ := filledWeb(t, nil)
	v0 := pkt("want "+strings.Repeat("12", 20)+" ofs-delta\n") + "0000"
	bomb := func() string {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		zeros := make([]byte, 1<<20)
		for range fetchBytesMax>>20 + 1 {
			_, _ = z.Write(zeros)
		}
		_ = z.Close()
		return packed.String()
	}()
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		headers                  []string
	}{
		{"root", "GET", "/", "", 404, nil},
		{"a file", "GET", "/ann/demo/HEAD", "", 404, nil},
		{"an object", "GET", "/ann/demo/objects/info/packs", "", 404, nil},
		{"climbing", "GET", "/ann/../demo/info/refs?service=git-upload-pack", "", 404, nil},
		{"climbing in disguise", "GET", "/ann/%2e%2e/demo/info/refs?service=git-upload-pack", "", 404, nil},
		{"a slash in disguise", "GET", "/ann%2fdemo/info/refs?service=git-upload-pack", "", 404, nil},
		{"three parts", "GET", "/x/ann/demo/info/refs?service=git-upload-pack", "", 404, nil},
		{"no owner", "GET", "//demo/info/refs?service=git-upload-pack", "", 404, nil},
		{"another", "GET", "/bob/demo/info/refs?service=git-upload-pack", "", 404, nil},
		{"no service", "GET", "/ann/demo/info/refs", "", 403, nil},
		{"odd service", "GET", "/ann/demo/info/refs?service=git-upload-archive", "", 403, nil},
		{"shell", "GET", "/ann/demo/info/refs?service=sh", "", 403, nil},
		{"odd query", "GET", "/ann/demo/info/refs?service=%zz", "", 400, nil},
		{"GET of a service", "GET", fetchPath, "", 405, nil},
		{"POST of a listing", "POST", listing, "", 405, nil},
		{"push", "GET", "/ann/demo/info/refs?service=git-receive-pack", "", 403, nil},
		{"no type", "POST", fetchPath, v0, 415, nil},
		{"packed otherwise", "POST", fetchPath, v0, 415, []string{"Content-Type", fetchType, "Content-Encoding", "br"}},
		{"packed badly", "POST", fetchPath, v0, 400, []string{"Content-Type", fetchType, "Content-Encoding", "gzip"}},
		{"a bomb", "POST", fetchPath, bomb, 413, []string{"Content-Type", fetchType, "Content-Encoding", "gzip"}},
		{"a listing with a body", "GET", listing, "0000", 400, nil},
		{"nothing wanted", "POST", fetchPath, "0000", 200, []string{"Content-Type", fetchType}},
		{"nothing", "POST", fetchPath, "", 200, []string{"Content-Type", fetchType}},
		{"no request of git's", "POST", fetchPath, "hello", 400, []string{"Content-Type", fetchType}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if resp, body := ask(t, s, test.method, test.path, test.body, test.headers...); resp.StatusCode != test.status {
				t.Errorf("%s %.100q, want %d", resp.Status, body, test.status)
			}
		})
	}
	eventually(t, "no stream is left", func() bool { return b.openStreams() == 0 })
}

// An answer that breaks off is never taken for a whole one.
func TestHTTPBreaksOff(t *testing.T) {
	t.Parallel()
	b, s, p := filledWeb(t, func(o *Options) { o.IdleTimeout = 300 * time.Millisecond })
	b.set(func() { b.noListen = true })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+listing, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("a listing without an end looks whole")
	}
	if _, code := p.run("", "ls-remote", p.url); code == 0 {
		t.Error("git takes it for whole")
	}
	eventually(t, "its stream is closed", func() bool { return b.openStreams() == 0 })
}

func TestSilentOverHTTP(t *testing.T) {
	t.Parallel()
	b, s, _ := filledWeb(t, func(o *Options) { o.RequestTimeout, o.IdleTimeout = 300*time.Millisecond, 300*time.Millisecond })
	for name, sent := range map[string]string{
		"silent":      "",
		"half a head": "GET " + listing + " HTTP/1.1\r\nHost: lo",
		"half a body": "POST " + fetchPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + fetchType + "\r\nContent-Length: 100\r\n\r\n0000",
		// What nobody reads is dropped in the end, so that the connection can go on.
		"half a body, refused":        "POST " + fetchPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n0000",
		"half a body with a question": "GET " + listing + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n0000",
		"half a chunk":                "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n0000",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.DialTimeout("tcp", s.Addr(), 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			_, _ = io.WriteString(c, sent)
			if _, err := io.ReadAll(c); isTimeout(err) {
				t.Error("the client is not cut off")
			}
		})
	}
	if b.openStreams() > 0 {
		t.Error("a replica waits for a client that is not done")
	}
}

func TestHTTPCrowd(t *testing.T) {
	t.Parallel()
	_, s, p := filledWeb(t, func(o *Options) { o.ConnectionsMax = 2 })
	var held []net.Conn
	for range 2 {
		c, err := net.DialTimeout("tcp", s.Addr(), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	eventually(t, "a third is turned away", func() bool {
		out, code := p.run("", "ls-remote", p.url)
		return code != 0 && strings.Contains(out, "503")
	})
	for _, c := range held {
		_ = c.Close()
	}
	eventually(t, "a place is free again", func() bool { _, code := p.run("", "ls-remote", p.url); return code == 0 })
}

func TestHTTPClose(t *testing.T) {
	t.Parallel()
	b, s, _ := filledWeb(t, nil)
	b.set(func() { b.noListen = true })
	silent, err := net.DialTimeout("tcp", s.Addr(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	reading, err := net.DialTimeout("tcp", s.Addr(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	_, _ = io.WriteString(reading, "GET "+listing+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	eventually(t, "one is served", func() bool { return b.openStreams() == 1 })
	done := make(chan error, 1)
	go func() { done <- s.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Close hangs")
	}
	if n := b.openStreams(); n > 0 {
		t.Errorf("%d streams outlived the server", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// FuzzParseWeb: what is understood holds nothing but what a path may, and says the same
// when it is written again.
func FuzzParseWeb(f *testing.F) {
	f.Add("GET", listing, "version=2", "")
	f.Add("POST", fetchPath, "version=1", fetchType)
	f.Add("POST", "/did%3Akey:z6Mk/demo.git/git-receive-pack", "", "application/x-git-receive-pack-request")
	f.Add("GET", "/ann/%2e%2e/info/refs?service=git-receive-pack&service=x", "version=9:version=2", "")
	f.Fuzz(func(t *testing.T, method, target, protocol, kind string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{"Git-Protocol": {protocol}, "Content-Type": {kind}}}
		q, err := parseWeb(r)
		if err != nil {
			if e := new(httpError); !errors.As(err, &e) || e.status < 400 || e.status > 499 {
				t.Fatalf("%v", err)
			}
			return
		}
		if strings.ContainsFunc(q.path, odd) || strings.Count(q.path, "/") != 1 || strings.HasPrefix(q.path, "/") || q.version < 0 || q.version > newestVersion {
			t.Fatalf("%+v of %q", q, target)
		}
		again := "/" + q.path + "/info/refs?service=" + string(q.service)
		r2 := &http.Request{Method: http.MethodGet, Header: http.Header{"Git-Protocol": {fmt.Sprintf("version=%d", q.version)}}}
		if r2.URL, err = url.ParseRequestURI(again); err != nil {
			t.Fatal(err)
		}
		if q2, err := parseWeb(r2); err != nil || q2.path != q.path || q2.service != q.service || q2.version != q.version {
			t.Fatalf("%+v is %+v when written again (%v)", q, q2, err)
		}
	})
}

// FuzzAsks: whatever a request says, it is known where the answer ends, or that only
// git knows.
func FuzzAsks(f *testing.F) {
	want := pkt("want " + strings.Repeat("12", 20) + " multi_ack_detailed\n")
	have := pkt("have " + strings.Repeat("34", 20) + "\n")
	f.Add([]byte(want + "0000" + have + "0000"))
	f.Add([]byte(want + pkt("deepen 1\n") + "0000"))
	f.Add([]byte(want + "0000" + have + "0000" + pkt("done\n")))
	f.Add([]byte("0000"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a := &asks{end: -1}
		if err := a.read(bytes.NewReader(raw)); err != nil {
			return
		}
		if flushes := bytes.Count(raw, []byte("0000")); a.end >= flushes && a.end > 0 {
			t.Fatalf("%d rounds in a request with %d flushes", a.end, flushes)
		}
		var out bytes.Buffer
		if err := a.copyAnswer(&out, strings.NewReader(strings.Repeat(pkt("NAK\n"), 3)+"0000")); err == nil && a.end > 3 {
			t.Fatal("an answer that is too short looks whole")
		}
	})
}
