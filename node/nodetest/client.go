package nodetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/replica"
	"peer/wire"
)

// Client speaks the session protocol in the name of a key, from a host of its own.
type Client struct {
	Key     identity.Key
	Genesis *replica.Genesis
	Net     *Host
}

// attemptTimeout bounds one session of [Client.Send].
const attemptTimeout = 20 * time.Second

// Open opens a session's stream and says nothing. The session ends with ctx.
func (c *Client) Open(ctx context.Context, at identity.PeerID) (*Session, error) {
	s, err := c.Net.Open(ctx, at, "session/1")
	if err != nil {
		return nil, err
	}
	return c.session(ctx, s), nil
}

func (c *Client) session(ctx context.Context, s wire.Stream) *Session {
	return &Session{Stream: s, c: c, Refs: map[string]git.OID{}, end: context.AfterFunc(ctx, func() { _ = s.Reset() })}
}

// Hello makes a signed hello. edit may change it before it is signed.
func (c *Client) Hello(intent wire.Intent, edit func(*wire.Hello)) *wire.Signed {
	public := c.Key.Public()
	h := &wire.Hello{
		Version: 1, Repo: c.Genesis.Repo[:], Genesis: c.Genesis.Hash[:], User: public[:],
		Nonce: draw(16), Intent: intent,
	}
	if edit != nil {
		edit(h)
	}
	return c.Seal(identity.DomainHello, h)
}

// Seal signs with the client's key.
func (c *Client) Seal(d identity.Domain, m proto.Message) *wire.Signed {
	signed, err := replica.Seal(c.Key, d, m)
	if err != nil {
		panic(err) // these messages hold nothing that can't be marshalled
	}
	return signed
}

func draw(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// Begin opens a session for a push and reads the listing.
func (c *Client) Begin(ctx context.Context, at identity.PeerID) (*Session, error) {
	s, err := c.Open(ctx, at)
	if err != nil {
		return nil, err
	}
	if err := s.Greet(wire.Intent_INTENT_PUSH, nil); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Show asks one replica what it knows.
func (c *Client) Show(ctx context.Context, at identity.PeerID) (*wire.RepoState, error) {
	s, err := c.Open(ctx, at)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.show()
}

// Push is a transaction with the pack that it needs.
type Push struct {
	Signed *wire.Signed
	Pack   []byte // nil: none
}

// Sign makes a push of operations that may commit after base. edit may change
// the transaction before it is signed.
func (c *Client) Sign(base uint64, pack []byte, edit func(*wire.Transaction), ops ...*wire.Operation) Push {
	public := c.Key.Public()
	tx := &wire.Transaction{
		Genesis: c.Genesis.Hash[:], Signer: public[:], Id: draw(replica.TransactionIDBytes),
		Base: base, Window: replica.WindowMax, Operations: ops,
	}
	if edit != nil {
		edit(tx)
	}
	return Push{c.Seal(identity.DomainTransaction, tx), pack}
}

// Move is the operation that moves a ref; zero IDs create and delete.
func Move(name string, from, to git.OID) *wire.Operation { return Raw(name, from.Bytes(), to.Bytes()) }

// Raw is Move with IDs that may be none.
func Raw(name string, from, to []byte) *wire.Operation {
	return &wire.Operation{Kind: &wire.Operation_RefUpdate{RefUpdate: &wire.RefUpdate{Name: name, Old: from, New: to}}}
}

// Head is the operation that moves HEAD.
func Head(from, to string) *wire.Operation {
	return &wire.Operation{Kind: &wire.Operation_SetHead{SetHead: &wire.SetHead{Old: from, New: to}}}
}

// Once tries a push in one session.
func (c *Client) Once(ctx context.Context, at identity.PeerID, p Push) (*wire.PushDone, error) {
	s, err := c.Begin(ctx, at)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Push(p)
}

// Send pushes the same signed bytes at one replica after the other until the
// outcome is known, or ctx ends.
func (c *Client) Send(ctx context.Context, p Push, at ...identity.PeerID) (*wire.PushDone, error) {
	for {
		for _, replica := range at {
			attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
			done, err := c.Once(attempt, replica, p)
			cancel()
			if err == nil || !Temporary(err) {
				return done, err
			}
			if ctx.Err() != nil {
				return nil, fmt.Errorf("no outcome in time: %w", err)
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// Temporary says that trying again may help: everything but a refusal.
func Temporary(err error) bool {
	failed := new(node.FailureError)
	if !errors.As(err, &failed) {
		return true
	}
	switch failed.F.GetCode() {
	case wire.FailureCode_FAILURE_NOT_LEADER, wire.FailureCode_FAILURE_NO_QUORUM, wire.FailureCode_FAILURE_BUSY,
		wire.FailureCode_FAILURE_INTERNAL, wire.FailureCode_FAILURE_NOT_FOUND:
		return true
	}
	return false
}

// CodeOf is the code of a refusal, zero for any other error.
func CodeOf(err error) wire.FailureCode {
	failed := new(node.FailureError)
	if errors.As(err, &failed) {
		return failed.F.GetCode()
	}
	return 0
}

// List lists the refs at one replica as a fetch does: in git's own protocol,
// version 2, behind the welcome.
func (c *Client) List(ctx context.Context, at identity.PeerID, edit func(*wire.Hello)) (*Session, error) {
	s, err := c.Open(ctx, at)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.Greet(wire.Intent_INTENT_FETCH, edit); err != nil {
		return nil, err
	}
	return s, s.lsRefs()
}
