package cmd

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh/agent"

	"peer/identity"
)

// TestPushAsUser: real git pushes through the real helper under whatever key the
// user of the home has; where that is out of reach nothing is sent, nobody is
// asked twice, and the private key is nowhere in what is said.
func TestPushAsUser(t *testing.T) {
	bea := identity.KeyFromSeed([32]byte{42})
	spell := func(passphrase string) []byte {
		raw, err := identity.MarshalPrivateKey(bea, "bea", []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	plain, sealed := spell(""), spell("correct horse")
	public := []byte(bea.Public().AuthorizedKey("bea"))
	word, wrong := filepath.Join(t.TempDir(), "word"), filepath.Join(t.TempDir(), "wrong")
	for path, text := range map[string]string{word: "correct horse\n", wrong: "battery staple\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	with := serveKeyring(t, bea)
	without := serveKeyring(t, identity.KeyFromSeed([32]byte{43}))
	for name, c := range map[string]struct {
		file, agent, passphrase string
		raw                     []byte
		refused                 string // part of what is said; empty: it is pushed
	}{
		"plain":                          {file: "user.key", raw: plain},
		"encrypted":                      {file: "user.key", raw: sealed, passphrase: word},
		"encrypted, in an agent":         {file: "user.key", raw: sealed, agent: with},
		"encrypted, agent has another":   {file: "user.key", raw: sealed, agent: without, passphrase: word},
		"wrong passphrase":               {file: "user.key", raw: sealed, passphrase: wrong, refused: "the passphrase is wrong"},
		"no passphrase":                  {file: "user.key", raw: sealed, refused: "there is no terminal to ask"},
		"in an agent":                    {file: "user.pub", raw: public, agent: with},
		"no agent":                       {file: "user.pub", raw: public, refused: "SSH_AUTH_SOCK is not set"},
		"an agent without the key":       {file: "user.pub", raw: public, agent: without, refused: "does not sign as SHA256:"},
		"a private key goes before .pub": {file: "user.key", raw: plain, agent: without},
		"damaged":                        {file: "user.key", raw: sealed[:100], refused: "not a private key"},
	} {
		t.Run(name, func(t *testing.T) {
			f, p := started(t)
			p.env = append(slices.DeleteFunc(p.env, func(v string) bool {
				return strings.HasPrefix(v, "SSH_AUTH_SOCK=") || strings.HasPrefix(v, "PEER_PASSPHRASE_FILE=")
			}), "SSH_AUTH_SOCK="+c.agent, "PEER_PASSPHRASE_FILE="+c.passphrase)
			if err := os.WriteFile(filepath.Join(p.home, c.file), c.raw, 0o600); err != nil {
				t.Fatal(err)
			}
			before := f.ref("refs/heads/main")
			tip := p.commit("w", "a", "2")
			push := p.run("w", "push", "--quiet", "origin", "main")
			private := bea.Private()
			for _, secret := range []string{"PRIVATE KEY", "correct horse", string(private.Seed()), string(private)} {
				if strings.Contains(push.out+push.stderr, secret) {
					t.Errorf("it says a secret:\n%s%s", push.out, push.stderr)
				}
			}
			if c.refused != "" {
				if push.code == 0 || f.ref("refs/heads/main") != before {
					t.Errorf("it was pushed: %s", push.stderr)
				}
				if !strings.Contains(push.stderr, c.refused) || strings.Count(push.stderr, "peer: error: ") != 1 {
					t.Errorf("it says %q, want %q once", push.stderr, c.refused)
				}
				return
			}
			push.exits(0)
			me := bea.Public()
			if got := f.ref("refs/heads/main"); got != tip {
				t.Errorf("main is %s, want %s", got, tip)
			}
			if got := f.lastRequest().GetTransaction().GetSigner(); string(got) != string(me[:]) {
				t.Errorf("signed by %x, want %x", got, me)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if got := f.hellos[len(f.hellos)-1].GetUser(); string(got) != string(me[:]) {
				t.Errorf("hello by %x, want %x", got, me)
			}
		})
	}
}

// serveKeyring is an ssh-agent with one key.
func serveKeyring(t *testing.T, k identity.Key) (socket string) {
	t.Helper()
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: k.Private(), Comment: "bea"}); err != nil {
		t.Fatal(err)
	}
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
