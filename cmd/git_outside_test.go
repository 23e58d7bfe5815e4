package cmd

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// While git asks a server that wants a password, no process of this machine shows it.
func TestPasswordsAreOnNoCommandLine(t *testing.T) {
	t.Parallel()
	const password = "w@rd:4 all" // as no command line of a test has it
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, word, ok := r.BasicAuth(); !ok || user != "ann/b" || word != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="peer"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		asked++
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil || len(lines) == 0 {
			t.Errorf("no processes: %v", err)
		}
		for _, file := range lines {
			line, _ := os.ReadFile(file) // one that has ended shows nothing
			for _, secret := range []string{password, "w%40rd", "w@rd"} {
				if bytes.Contains(line, []byte(secret)) {
					t.Errorf("%s shows the password: %q", file, line)
				}
			}
		}
		// The answer is empty: a repository without refs.
	}))
	defer server.Close()

	g, err := newUnattendedGit(t.Context(), &Home{Dir: t.TempDir()}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(server.URL, "://", "://ann%2Fb:w%40rd%3A4%20all@", 1) + "/p.git"
	if _, err := g.list(t.Context(), url); err != nil || asked == 0 {
		t.Errorf("git did not get in, asked %d times: %v", asked, err)
	}
}

func TestHTTPPassword(t *testing.T) {
	t.Parallel()
	for url, want := range map[string][3]string{
		"https://ann:word@example.org/p.git":   {"ann", "word", "https://example.org/p.git"},
		"http://a%40b:w%3Ard@example.org:80/p": {"a@b", "w:rd", "http://example.org:80/p"},
		"https://:word@[::1]/p":                {"", "word", "https://[::1]/p"},
	} {
		user, password, bare, ok := httpPassword(url)
		if got := [3]string{user, password, bare}; !ok || got != want {
			t.Errorf("%s: %q, %v", url, got, ok)
		}
	}
	for _, url := range []string{
		"https://example.org/p", "https://token@example.org/p", "ssh://ann:word@example.org/p", "ann:word@example.org/p",
		"https://ann:w%0ard@example.org/p", "https://ann:w%zz@example.org/p", "https://ann:word@a=b/p", "https://ann:word@example.org?x",
	} {
		if _, _, bare, ok := httpPassword(url); ok || bare != url {
			t.Errorf("%s was taken apart", url)
		}
	}
}
