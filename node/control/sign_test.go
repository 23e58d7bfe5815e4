package control

import (
	"errors"
	"strings"
	"testing"
	"time"

	"peer/identity"
)

// refusing is a key that nobody unlocks.
type refusing struct{ identity.Key }

func (refusing) TrySign(identity.Domain, []byte) ([]byte, error) {
	return nil, identity.Locked("the passphrase is wrong")
}

// lying signs with another key than it says it has.
type lying struct{ identity.Key }

func (lying) TrySign(d identity.Domain, body []byte) ([]byte, error) {
	return identity.KeyFromSeed([32]byte{9}).Sign(d, body), nil
}

// TestSignAs: what the node asks is signed by the command that is attached, until
// it is not, and nothing but what a command may sign.
func TestSignAs(t *testing.T) {
	noLeaks(t)
	key := identity.KeyFromSeed([32]byte{1})
	attached, detached := make(chan identity.Signer, 1), make(chan bool, 1)
	b := &fakeBackend{attach: func(s identity.Signer) (func(), error) {
		attached <- s
		return func() { detached <- true }, nil
	}}
	_, o := serve(t, b, false)
	client := dial(t, o)
	for name, c := range map[string]struct {
		signer identity.Signer
		domain identity.Domain
		want   string // part of the error; empty: it is signed
	}{
		"a transaction":      {key, identity.DomainTransaction, ""},
		"a genesis":          {key, identity.DomainGenesis, ""},
		"what nodes sign":    {key, identity.DomainHint, "a command does not sign that"},
		"a key out of reach": {refusing{key}, identity.DomainHello, "the passphrase is wrong"},
		"another's":          {lying{key}, identity.DomainHello, "does not match"},
	} {
		detach, err := client.AttachSigner(t.Context(), c.signer)
		if err != nil {
			t.Fatal(err)
		}
		remote := <-attached
		if remote.Public() != key.Public() {
			t.Errorf("%s: key %x", name, remote.Public())
		}
		for _, body := range []string{"first", "second"} {
			got, err := remote.TrySign(c.domain, []byte(body))
			switch {
			case c.want == "" && (err != nil || !key.Public().Verify(c.domain, []byte(body), got)):
				t.Errorf("%s: %v", name, err)
			case c.want != "" && (!errors.Is(err, identity.ErrLocked) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s: error %v, want %q", name, err, c.want)
			}
		}
		detach()
		select {
		case <-detached:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: still attached", name)
		}
		if _, err := remote.TrySign(identity.DomainHello, nil); !errors.Is(err, identity.ErrLocked) {
			t.Errorf("%s: after it: %v", name, err)
		}
	}
	b.attach = func(identity.Signer) (func(), error) { return nil, errNone }
	var refused *Error
	if _, err := client.AttachSigner(t.Context(), key); !errors.As(err, &refused) || refused.Message != errNone.Message {
		t.Errorf("refused: %v", err)
	}
}
