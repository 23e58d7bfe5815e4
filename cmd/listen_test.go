package cmd

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestParsePort(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "-1": "", "0": "127.0.0.1:0", "8022": "127.0.0.1:8022",
		"0.0.0.0:8022": "0.0.0.0:8022", "[::1]:0": "[::1]:0", "localhost:1": "localhost:1",
	} {
		if got, err := parsePort(text); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"-2", "65536", "http", ":8022", "::1", "a:b", "1.5", " 1", "1:2:3"} {
		if got, err := parsePort(text); err == nil {
			t.Errorf("%q was taken for %q", text, got)
		}
	}
}

func FuzzParsePort(f *testing.F) {
	f.Add("0")
	f.Add("[::1]:8022")
	f.Fuzz(func(t *testing.T, text string) {
		addr, err := parsePort(text)
		if err != nil || addr == "" {
			return
		}
		host, port, err := net.SplitHostPort(addr)
		if n, bad := strconv.Atoi(port); err != nil || host == "" || bad != nil || n < 0 || n > 65535 {
			t.Fatalf("%q became %q", text, addr)
		}
		if again, err := parsePort(addr); again != addr || err != nil {
			t.Fatalf("%q became %q, and that %q, %v", text, addr, again, err)
		}
	})
}

func TestJoinOff(t *testing.T) {
	got := strings.Join(joinOff(strings.Fields("node --grpc-port -1 --git-port 0 -1 --x -1")), " ")
	if want := "node --grpc-port=-1 --git-port 0 -1 --x -1"; got != want {
		t.Fatalf("%q, want %q", got, want)
	}
}
