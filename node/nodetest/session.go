package nodetest

import (
	"errors"
	"fmt"
	"io"

	"peer/git"
	"peer/node"
	"peer/wire"
)

// Session is one conversation with a replica.
type Session struct {
	wire.Stream
	c *Client
	// Welcome is what the replica said first, Refs its listing.
	Welcome *wire.Welcome
	Refs    map[string]git.OID
	end     func() bool
}

// Close ends the session.
func (s *Session) Close() error {
	s.end()
	return s.Stream.Close()
}

// Next reads one frame. A failure is returned as a [node.FailureError].
func (s *Session) Next() (*wire.ToClient, error) {
	m := new(wire.ToClient)
	if err := wire.ReadFrame(s, m, wire.ToClientBytesMax); err != nil {
		return nil, err
	}
	if f := m.GetFailure(); f != nil {
		return nil, &node.FailureError{F: f}
	}
	return m, nil
}

// Greet says hello and reads the answer, for a push the whole listing.
func (s *Session) Greet(intent wire.Intent, edit func(*wire.Hello)) error {
	if err := wire.WriteFrame(s, &wire.OpenSession{Hello: s.c.Hello(intent, edit)}); err != nil {
		return err
	}
	for {
		m, err := s.Next()
		if err != nil {
			return err
		}
		if m.GetWelcome() != nil {
			s.Welcome = m.GetWelcome()
		}
		for _, r := range m.GetRefs().GetRefs() {
			oid, err := git.FromBytes(r.GetOid())
			if err != nil {
				return err
			}
			s.Refs[r.GetName()] = oid
		}
		if intent != wire.Intent_INTENT_PUSH || m.GetRefs().GetDone() {
			return nil
		}
	}
}

func (s *Session) show() (*wire.RepoState, error) {
	if err := s.Greet(wire.Intent_INTENT_SHOW, nil); err != nil {
		return nil, err
	}
	m, err := s.Next()
	return m.GetState(), err
}

// ErrCut says that the session ended before an answer came: the outcome is unknown.
var ErrCut = errors.New("the session was cut off")

// Push sends a push in a session that has listed, and waits for what became of it.
func (s *Session) Push(p Push) (*wire.PushDone, error) {
	skipped, err := s.Request(p)
	if err != nil {
		return nil, err
	}
	if skipped.GetDone() != nil {
		return skipped.GetDone(), nil
	}
	if !skipped.GetGo().GetSkipPack() && p.Pack != nil {
		if err := s.SendPack(p.Pack); err != nil && !errors.Is(err, errReset) {
			return nil, err // if it was reset, the answer says why
		}
	}
	return s.Done()
}

// Request asks to push. The answer is to go on, or the outcome.
func (s *Session) Request(p Push) (*wire.ToClient, error) {
	if err := wire.WriteFrame(s, &wire.PushRequest{Transaction: p.Signed, HasPack: p.Pack != nil}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCut, err)
	}
	for {
		if m, err := s.Next(); err != nil || m.GetProgress() == nil {
			return m, err
		}
	}
}

// SendPack sends a pack in chunks, with the empty one at its end.
func (s *Session) SendPack(pack []byte) error {
	for len(pack) > 0 {
		part := pack[:min(len(pack), wire.ChunkBytes)]
		pack = pack[len(part):]
		if err := wire.WriteChunk(s, part); err != nil {
			return err
		}
	}
	return wire.WriteChunk(s, nil)
}

// Done waits for the outcome.
func (s *Session) Done() (*wire.PushDone, error) {
	for {
		m, err := s.Next()
		if failed := new(node.FailureError); err != nil && !errors.As(err, &failed) {
			return nil, fmt.Errorf("%w: %w", ErrCut, err)
		}
		if err != nil {
			return nil, err
		}
		if m.GetDone() != nil {
			return m.GetDone(), nil
		}
	}
}

func (s *Session) lsRefs() error {
	pkts := git.NewPktReader(s)
	if err := skipToFlush(pkts); err != nil { // the capabilities
		return err
	}
	request := git.AppendPkt(nil, []byte("command=ls-refs\n"))
	if s.c.Genesis.ObjectFormat == string(git.SHA256) {
		request = git.AppendPkt(request, []byte("object-format=sha256\n"))
	}
	if _, err := io.WriteString(s, string(request)+"0001"+git.FlushPkt); err != nil {
		return err
	}
	for {
		pkt, err := pkts.Next()
		if err != nil || pkt.Kind != git.PktData {
			return err
		}
		var hex, name string
		if _, err := fmt.Sscan(string(pkt.Payload()), &hex, &name); err != nil {
			return err
		}
		oid, err := git.ParseOID(hex)
		if err != nil {
			return err
		}
		s.Refs[name] = oid
	}
}

// FetchPack asks git for all that an object reaches, after a greeting. The pack
// comes with what git says beside it.
func (s *Session) FetchPack(want git.OID) ([]byte, error) {
	pkts := git.NewPktReader(s)
	if err := skipToFlush(pkts); err != nil { // the capabilities
		return nil, err
	}
	request := string(git.AppendPkt(nil, []byte("command=fetch"))) + "0001"
	for _, line := range []string{"no-progress", "want " + want.String() + "\n", "done\n"} {
		request += string(git.AppendPkt(nil, []byte(line)))
	}
	if _, err := io.WriteString(s, request+git.FlushPkt); err != nil {
		return nil, err
	}
	var pack []byte
	for {
		pkt, err := pkts.Next()
		if err != nil || pkt.Kind == git.PktFlush {
			return pack, err
		}
		pack = append(pack, pkt.Payload()...)
	}
}

func skipToFlush(pkts *git.PktReader) error {
	for {
		pkt, err := pkts.Next()
		if err != nil || pkt.Kind == git.PktFlush {
			return err
		}
	}
}
