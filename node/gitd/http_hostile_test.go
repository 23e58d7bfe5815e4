package gitd

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

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
