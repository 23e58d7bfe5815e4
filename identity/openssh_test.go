package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// TestPrivateKeyFormats: what ssh-keygen, openssl and peer itself write is read,
// and what is none of ours is called by its name.
func TestPrivateKeyFormats(t *testing.T) {
	k := KeyFromSeed([32]byte{7})
	pkcs8 := func(k any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	openssh := func(k Key, passphrase string) []byte {
		raw, err := MarshalPrivateKey(k, "ann", []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	other := func(k any, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(k, "")
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(block)
	}
	liar := Key{append(append(ed25519.PrivateKey{}, k.private[:32]...), KeyFromSeed([32]byte{8}).private[32:]...)}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	rsaRaw := other(rsaKey, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ecRaw := other(ecKey, err)
	sealed := openssh(k, "pass") // once: it is slow by design
	sealedRSA, err := ssh.MarshalPrivateKeyWithPassphrase(rsaKey, "", []byte("pass"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw        []byte
		passphrase []byte
		want       string // part of the error; empty: it is k
	}{
		"PKCS #8":              {pkcs8(k.private), nil, ""},
		"OpenSSH":              {openssh(k, ""), nil, ""},
		"encrypted":            {sealed, []byte("pass"), ""},
		"no passphrase":        {sealed, nil, "encrypted with a passphrase"},
		"wrong passphrase":     {sealed, []byte("word"), "the passphrase is wrong"},
		"empty passphrase":     {sealed, []byte{}, "the passphrase is wrong"},
		"RSA":                  {rsaRaw, nil, "of type RSA"},
		"RSA, encrypted":       {pem.EncodeToMemory(sealedRSA), nil, "of type ssh-rsa"},
		"RSA in PKCS #8":       {pkcs8(rsaKey), nil, "of type RSA"},
		"ECDSA":                {ecRaw, nil, "of type ECDSA"},
		"encrypted PKCS #8":    {pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), nil, "encrypted PKCS #8"},
		"a public key":         {[]byte(k.Public().AuthorizedKey("ann")), nil, "without .pub"},
		"halves of two keys":   {openssh(liar, ""), nil, "halves do not belong together"},
		"nothing":              {nil, nil, "not a private key"},
		"something":            {[]byte("ceci n'est pas"), nil, "not a private key"},
		"PEM of something":     {pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("x")}), nil, "invalid openssh"},
		"too large":            {make([]byte, KeyBytesMax+1), nil, "more than"},
		"a certificate in PEM": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), nil, "unsupported"},
	} {
		got, err := ParsePrivateKey(c.raw, c.passphrase)
		switch {
		case c.want == "" && (err != nil || got.Public() != k.Public()):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}

	// whose it is can be told without the passphrase
	_, err = ParsePrivateKey(sealed, nil)
	var secret *EncryptedError
	if !errors.As(err, &secret) || secret.Public == nil || *secret.Public != k.Public() {
		t.Errorf("an encrypted key: %v", err)
	}
	public, comment, err := ParseAuthorizedKey([]byte(k.Public().AuthorizedKey("ann at home")))
	if err != nil || public != k.Public() || comment != "ann at home" {
		t.Errorf("authorized key: %v %q %v", public, comment, err)
	}
}

// TestSSHKeygenReads: the real ssh-keygen opens and re-encrypts what peer writes.
func TestSSHKeygenReads(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	k := KeyFromSeed([32]byte{7})
	raw, err := MarshalPrivateKey(k, "ann", []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(keygen, "-y", "-P", "first", "-f", path).Output(); err != nil || strings.TrimSpace(string(out)) != strings.TrimSpace(k.Public().AuthorizedKey("ann")) {
		t.Fatalf("ssh-keygen -y: %q %v", out, err)
	}
	if out, err := exec.Command(keygen, "-p", "-P", "first", "-N", "second", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen -p: %s %v", out, err)
	}
	if raw, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if got, err := ParsePrivateKey(raw, []byte("second")); err != nil || got.Public() != k.Public() {
		t.Errorf("after ssh-keygen -p: %v", err)
	}
}

// TestAgent: what an agent signs is what the key itself would have signed, and
// every way in which it can fail is one of a key that is out of reach.
func TestAgent(t *testing.T) {
	k, stranger := KeyFromSeed([32]byte{7}), KeyFromSeed([32]byte{8})
	ring := agent.NewKeyring()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, add := range []agent.AddedKey{{PrivateKey: k.Private(), Comment: "ann"}, {PrivateKey: rsaKey}} {
		if err := ring.Add(add); err != nil {
			t.Fatal(err)
		}
	}
	socket := serveAgent(t, ring)
	keys, others, err := AgentKeys(socket)
	if err != nil || len(keys) != 1 || keys[0] != (AgentKey{k.Public(), "ann"}) || others != 1 {
		t.Fatalf("keys %v, %d others, %v", keys, others, err)
	}
	body := []byte("body")
	signature, err := AgentSigner{socket, k.Public()}.TrySign(DomainHello, body)
	if err != nil || string(signature) != string(k.Sign(DomainHello, body)) {
		t.Fatalf("signature %x, %v", signature, err)
	}
	locked := func(name string, s AgentSigner) {
		t.Helper()
		if _, err := s.TrySign(DomainHello, body); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: error %v, want one of a key out of reach", name, err)
		}
	}
	locked("another key", AgentSigner{socket, stranger.Public()})
	locked("no agent", AgentSigner{"", k.Public()})
	locked("an agent that is gone", AgentSigner{socket + ".gone", k.Public()})
	locked("an agent that lies", AgentSigner{serveAgent(t, liar{ring}), k.Public()})
	if err := ring.Lock([]byte("x")); err != nil {
		t.Fatal(err)
	}
	locked("a locked agent", AgentSigner{socket, k.Public()})
}

// liar signs something else than it was asked to.
type liar struct{ agent.Agent }

func (l liar) Sign(k ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return l.Agent.Sign(k, append([]byte("not "), data...))
}

func serveAgent(t *testing.T, ring agent.Agent) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // short, since sockets' names are
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(ring, conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-served
		_ = os.RemoveAll(dir)
	})
	return l.Addr().String()
}

// FuzzPrivateKey: bytes of a file never panic, and what is read is spelled such
// that it is read again.
func FuzzPrivateKey(f *testing.F) {
	raw, err := MarshalPrivateKey(KeyFromSeed([32]byte{7}), "ann", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(KeyFromSeed([32]byte{7}).Public().AuthorizedKey("ann")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		k, err := ParsePrivateKey(raw, nil)
		if err != nil {
			return
		}
		again, err := MarshalPrivateKey(k, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParsePrivateKey(again, nil); err != nil || back.Public() != k.Public() {
			t.Errorf("read again: %v", err)
		}
	})
}
