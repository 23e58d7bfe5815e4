package invite

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

const (
	// Rendezvous names the network of doors.
	Rendezvous = "peer invitations"
	// Protocol is the one that a door speaks.
	Protocol = "join/1"

	// tokenPrefix lets people, and searches for leaked secrets, tell what it is.
	tokenPrefix = "peer-invite-"
	version     = 1
	secretBytes = 16
	addrsMax    = 16
)

// Token is an invitation as its guest reads it.
type Token struct {
	Secret  []byte
	Node    identity.PeerID // whose door it is
	Addrs   []string        // multiaddrs, each with /p2p/ of Node
	Expires time.Time       // on the clock of that node
}

// ID is how its writer names it.
func (t Token) ID() string { return idOf(keyOf(t.Secret)) }

// String is the text to hand over: one word that no shell changes.
func (t Token) String() string {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&wire.Invitation{
		Version: version, Secret: t.Secret, Addrs: t.Addrs, ExpiresUnixMs: t.Expires.UnixMilli(),
	})
	if err != nil {
		panic(err) // addresses are ASCII
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
}

// Parse reads an invitation. Spaces and line breaks, which mail programs add, don't matter.
func Parse(text string) (Token, error) {
	text = strings.Join(strings.Fields(text), "")
	body, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return Token{}, fmt.Errorf("an invitation begins with %s, not with %.20q", tokenPrefix, text)
	}
	if len(body) > wire.AdmitBytesMax {
		return Token{}, errors.New("too long for an invitation")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return Token{}, errors.New("it was cut or changed on its way")
	}
	m := new(wire.Invitation)
	if err := proto.Unmarshal(raw, m); err != nil {
		return Token{}, errors.New("it was cut or changed on its way")
	}
	if m.GetVersion() != version {
		return Token{}, fmt.Errorf("an invitation of version %d, and this peer knows version %d", m.GetVersion(), version)
	}
	if len(m.GetSecret()) != secretBytes || len(m.GetAddrs()) == 0 || len(m.GetAddrs()) > addrsMax {
		return Token{}, errors.New("it was cut or changed on its way")
	}
	t := Token{Secret: m.GetSecret(), Addrs: m.GetAddrs(), Expires: time.UnixMilli(m.GetExpiresUnixMs())}
	for _, addr := range t.Addrs {
		_, id, found := strings.Cut(addr, "/p2p/")
		node, err := identity.ParsePeerID(id)
		if !found || err != nil || t.Node != "" && t.Node != node {
			return Token{}, fmt.Errorf("address %.100q does not say whose door it is", addr)
		}
		t.Node = node
	}
	return t, nil
}
