package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	key, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("key file has mode %o, want 600", mode)
	}
	for _, load := range []func(string) (Key, error){LoadKey, LoadOrCreateKey} {
		if again, err := load(path); err != nil || again.Public() != key.Public() {
			t.Errorf("loaded %s, %v, want %s", again.Public().DID(), err, key.Public().DID())
		}
	}
	if other, err := LoadOrCreateKey(path + "2"); err != nil || other.Public() == key.Public() {
		t.Errorf("two files hold one key, or: %v", err)
	}
	onlyFiles(t, filepath.Dir(path), "key", "key2")
}

// onlyFiles checks that nothing is left behind.
func onlyFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("files %q, want %q", names, want)
	}
}

// TestKeyRace has many create the key of one home at once.
func TestKeyRace(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "key")
		keys := make([]Key, 8)
		errs := make([]error, len(keys))
		start := make(chan struct{})
		var all sync.WaitGroup
		for i := range keys {
			all.Go(func() {
				<-start
				keys[i], errs[i] = LoadOrCreateKey(path)
			})
		}
		close(start)
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if k.Public() != keys[0].Public() {
				t.Fatal("two who raced have two keys")
			}
		}
		onlyFiles(t, filepath.Dir(path), "key")
	}
}

// TestKeyNeverReplaced checks that what is not understood is left alone.
func TestKeyNeverReplaced(t *testing.T) {
	otherKind, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(otherKind)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty":         "",
		"text":          "not a key\n",
		"public key":    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
		"torn":          opensslKey[:60],
		"other content": string(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: []byte("x")})),
		"another kind":  string(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})),
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreateKey(path); err == nil {
			t.Errorf("%s: taken as a key", name)
		}
		if now, _ := os.ReadFile(path); string(now) != content {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := LoadKey(filepath.Join(t.TempDir(), "key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := LoadOrCreateKey(filepath.Join(t.TempDir(), "absent", "key")); err == nil {
		t.Error("a key was written into no directory")
	}
}

// opensslKey is the key of RFC 8032, 7.1, test 1, as openssl writes it.
const opensslKey = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
`

// TestKeyFormat reads the file that others write, and writes the same.
func TestKeyFormat(t *testing.T) {
	dir := t.TempDir()
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	if err := os.WriteFile(theirs, []byte(opensslKey), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := LoadKey(theirs)
	if err != nil || key.Public() != vectors[0].key(t).Public() {
		t.Fatalf("loaded %s, %v", key.Public().DID(), err)
	}
	if err := writeKey(ours, key); err != nil {
		t.Fatal(err)
	}
	if raw, _ := os.ReadFile(ours); !bytes.Equal(raw, []byte(opensslKey)) {
		t.Errorf("wrote\n%s", raw)
	}
	if err := writeKey(ours, key); !errors.Is(err, fs.ErrExist) {
		t.Errorf("wrote over a key: %v", err)
	}
}

// TestDomains checks that a signature serves one purpose, one body and one key.
func TestDomains(t *testing.T) {
	domains := []Domain{DomainGenesis, DomainTransaction, DomainHello, DomainHint, DomainIntroduction, DomainConfiguration, DomainReceipt, DomainSuccession, DomainClaim}
	k, body := vectors[0].key(t), []byte("body")
	other := vectors[1].key(t).Public()
	for _, d := range domains {
		signature := k.Sign(d, body)
		for _, as := range domains {
			if got := k.Public().Verify(as, body, signature); got != (as == d) {
				t.Errorf("signed for %s, verified for %s: %v", d, as, got)
			}
		}
		switch {
		case other.Verify(d, body, signature):
			t.Error("verified with another key")
		case k.Public().Verify(d, []byte("bodY"), signature), k.Public().Verify(d, nil, signature):
			t.Error("verified over another body")
		case k.Public().Verify(d, body, signature[:63]), k.Public().Verify(d, body, append(signature, 0)), k.Public().Verify(d, body, nil):
			t.Error("verified a signature of another length")
		}
		for i := range signature {
			flipped := bytes.Clone(signature)
			flipped[i] ^= 1
			if k.Public().Verify(d, body, flipped) {
				t.Errorf("verified with byte %d changed", i)
			}
		}
	}
	// The zero byte: neither a longer domain nor a body that begins with a
	// domain's end can pass for another.
	if k.Public().Verify("peer/hello/", append([]byte("1\x00"), body...), k.Sign(DomainHello, body)) {
		t.Error("a domain's end was taken for the body's beginning")
	}
	if k.Public().Verify(DomainHello, body, k.Sign("", []byte("peer/hello/1body"))) {
		t.Error("a signature without the separator was taken")
	}
	seen := map[Domain]bool{}
	for _, d := range domains {
		if seen[d] || strings.ContainsRune(string(d), 0) {
			t.Errorf("domain %q is not its own", d)
		}
		seen[d] = true
	}
}
