package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/node/control"
	"peer/replica"
	"peer/wire"
)

// errSilent says that a replica went quiet in the middle of a session.
var errSilent = errors.New("the replica stopped answering")

// A protocolError says that a replica sent what no correct one would.
type protocolError struct{ why string }

func (e *protocolError) Error() string { return "the replica broke the protocol: " + e.why }

// session is one conversation with a replica that has shown the right genesis.
type session struct {
	stream  wire.Stream
	cancel  context.CancelCauseFunc
	unwatch func() bool // no more reset when the context ends
	welcome *wire.Welcome
	genesis *replica.Genesis
}

// greet sends the hello and checks who answers for what.
func (s *session) greet(hello *wire.Signed, address identity.Address) error {
	if err := s.send(&wire.OpenSession{Hello: hello}); err != nil {
		return err
	}
	frame, err := s.receive()
	if err != nil {
		return err
	}
	s.welcome = frame.GetWelcome()
	if s.welcome == nil {
		return &protocolError{"its first frame is no welcome"}
	}
	s.genesis, err = replica.ParseGenesis(s.welcome.GetGenesis())
	if err != nil {
		return &protocolError{"its genesis is not valid: " + plainText(err.Error(), messageBytesMax)}
	}
	if s.genesis.Owner != address.Owner || s.genesis.Repo != address.RepoID() {
		return &protocolError{fmt.Sprintf("it shows the genesis of repository %s, not of %s", s.genesis.Repo, address.RepoID())}
	}
	return nil
}

// send writes one frame.
func (s *session) send(m proto.Message) error {
	return s.timely(func() error { return wire.WriteFrame(s.stream, m) })
}

// receive reads one frame and waits for it no longer than [wire.SilenceMax].
func (s *session) receive() (frame *wire.ToClient, err error) {
	err = s.timely(func() error {
		frame, err = s.read()
		return err
	})
	return frame, err
}

// timely does one step under a deadline. A deadline that passes may end the
// stream for good, so none is left behind.
func (s *session) timely(step func() error) error {
	if err := s.stream.SetDeadline(time.Now().Add(wire.SilenceMax)); err != nil {
		return err
	}
	if err := step(); err != nil {
		return translate(err)
	}
	return s.stream.SetDeadline(time.Time{})
}

// read reads one frame under the deadline that is set. A Failure is returned as
// a *control.Error, cleaned for a terminal; Progress like any other frame.
func (s *session) read() (*wire.ToClient, error) {
	frame := new(wire.ToClient)
	if err := wire.ReadFrame(s.stream, frame, wire.ToClientBytesMax); err != nil {
		var large *wire.TooLargeError
		if errors.As(err, &large) || errors.Is(err, proto.Error) {
			return nil, &protocolError{err.Error()}
		}
		return nil, translate(err)
	}
	if err := refused(frame); err != nil {
		return nil, err
	}
	return frame, nil
}

func refused(frame *wire.ToClient) error {
	failure := frame.GetFailure()
	if failure == nil {
		if frame.GetKind() == nil {
			return &protocolError{"a frame of an unknown kind"}
		}
		return nil
	}
	refusal := control.FromFailure(failure)
	refusal.Message = plainText(refusal.Message, messageBytesMax)
	refusal.Hint = plainText(refusal.Hint, messageBytesMax)
	if refusal.Message == "" {
		refusal.Message = "the replica refuses: " + failure.GetCode().String()
	}
	return refusal
}

// translate names what a broken stream means to a person.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSilent
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the replica closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// close ends the session in order.
func (s *session) close() {
	s.unwatch()
	_ = s.stream.Close()
	s.cancel(context.Canceled)
}

// abort ends it so that the replica does not take what it got for whole.
func (s *session) abort() {
	s.unwatch()
	_ = s.stream.Reset()
	s.cancel(context.Canceled)
}
