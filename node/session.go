package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// session is one conversation with a client, as a replica leads it. See
// wire/session.proto for who says what when.
type session struct {
	n      *Node
	g      *group
	stream wire.Stream
	hello  *wire.Hello
	user   identity.PublicKey
}

// serveSession serves one client. from is the node that opened the stream: the
// client's own, a relay, or this node itself.
func (n *Node) serveSession(from identity.PeerID, stream wire.Stream) {
	stop := context.AfterFunc(n.ctx, func() { _ = stream.Reset() })
	defer stop()
	err := n.leadSession(from, stream)
	if err == nil {
		_ = stream.Close()
		return
	}
	n.log.Debug("session failed", "from", from, "error", err)
	_ = stream.SetDeadline(time.Now().Add(helloTimeout))
	refusal := failureOf(err)
	if sendFailure(stream, refusal) == nil {
		if refusal.GetCode() == wire.FailureCode_FAILURE_INTERNAL {
			n.log.Warn("a session failed, and its client was told to look here", "from", from, "error", err)
		}
		endRefused(stream)
		return
	}
	_ = stream.Reset()
}

// endRefused ends a stream on which a refusal was sent. A reset would overtake
// it, so what the other side still says is read and dropped first, within the
// stream's deadline and a limit.
func endRefused(s wire.Stream) {
	err := s.CloseWrite()
	buf := make([]byte, wire.ChunkBytes)
	for range 1024 {
		if err != nil {
			break
		}
		_, err = s.Read(buf)
	}
	if errors.Is(err, io.EOF) {
		_ = s.Close()
		return
	}
	_ = s.Reset()
}

func sendFailure(stream wire.Stream, f *wire.Failure) error {
	const textMax = 4 << 10
	f.Message, f.Hint = clip(f.GetMessage(), textMax), clip(f.GetHint(), textMax)
	return send(stream, &wire.ToClient{Kind: &wire.ToClient_Failure{Failure: f}})
}

func clip(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…" // no message may hold half a character
	}
	return s
}

func send(stream wire.Stream, m *wire.ToClient) error { return wire.WriteFrame(stream, m) }

func (n *Node) leadSession(from identity.PeerID, stream wire.Stream) error {
	if err := stream.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	open := new(wire.OpenSession)
	if err := wire.ReadFrame(stream, open, wire.HelloBytesMax); err != nil {
		return errBadRequest("no hello: %v", err)
	}
	hello := new(wire.Hello)
	user, err := replica.Open(open.GetHello(), identity.DomainHello, hello)
	if err != nil {
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "hello: "+err.Error(), "")
	}
	if hello.GetVersion() != wire.SessionVersion {
		return failure(wire.FailureCode_FAILURE_VERSION, fmt.Sprintf("you speak version %d of the session protocol, this node %d", hello.GetVersion(), wire.SessionVersion), "upgrade the older of the two")
	}
	if string(hello.GetUser()) != string(user[:]) {
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "hello is not signed by the user it names", "")
	}
	repo, err := identity.RepoIDFromBytes(hello.GetRepo())
	if err != nil {
		return errBadRequest("%v", err)
	}
	// NB: nothing about the repository may be said, or asked of it, before this.
	g := n.group(repo)
	if g == nil || !g.readableBy(user) || !n.meant(g, hello, from, open.GetRelayed()) {
		return n.errMissing(repo, user.PeerID())
	}
	if pinned := hello.GetGenesis(); len(pinned) > 0 && string(pinned) != string(g.genesis.Hash[:]) {
		return failure(wire.FailureCode_FAILURE_GENESIS, fmt.Sprintf("you know %s by genesis %x, this replica by %s", g.genesis.Name, pinned, g.genesis.Hash),
			"two repositories were created under one name; ask the owner which one counts")
	}
	s := &session{n: n, g: g, stream: stream, hello: hello, user: user}
	leave, err := s.admit(from, open.GetRelayed())
	if err != nil {
		return err
	}
	defer leave()
	return s.serve(open)
}

func (s *session) serve(open *wire.OpenSession) error {
	ctx, cancel := context.WithTimeout(s.n.ctx, pushTimeout)
	defer cancel()
	switch s.hello.GetIntent() {
	case wire.Intent_INTENT_FETCH, wire.Intent_INTENT_ARCHIVE:
		return s.fetch(ctx, open)
	case wire.Intent_INTENT_SHOW:
		return s.show(ctx)
	case wire.Intent_INTENT_LOG:
		return s.sendLog(ctx)
	case wire.Intent_INTENT_VERIFY:
		return s.verify(ctx)
	case wire.Intent_INTENT_PUSH:
		return s.push(ctx, open)
	}
	return errBadRequest("unknown intent %d", s.hello.GetIntent())
}

// position is up to where a listing is confirmed.
type position struct {
	index uint64
	stale bool // nobody confirmed it
	state replica.State
}

// errBehind says that this replica lacks what a listing must have.
var errBehind = errors.New("this replica is still catching up")

// confirm finds an index that is no older than anything acknowledged before the
// session began, and waits, within patience, until it is published here.
func (s *session) confirm(ctx context.Context, patience time.Duration) (position, error) {
	var p position
	bounded, cancel := context.WithTimeout(ctx, confirmTimeout+readRoundTrips*s.g.roundTrip())
	defer cancel()
	var err error
	if s.hello.GetStaleOk() {
		p.stale = true
	} else if p.index, err = s.g.readIndex(bounded); err != nil {
		if s.n.ctx.Err() != nil {
			return p, err
		}
		p.stale = true
	}
	if err := s.checkSeen(&p); err != nil {
		return p, err
	}
	waiting, cancelWait := context.WithTimeout(ctx, patience)
	defer cancelWait()
	if err := s.g.pub.wait(waiting, p.index); err != nil && ctx.Err() == nil {
		return p, fmt.Errorf("%w: wait for index %d: %w", errBehind, p.index, err)
	}
	p.state, _, err = s.g.state(ctx)
	if stone := p.state.Tombstone; err == nil && stone != nil {
		return p, errEnded(s.g.genesis, stone)
	}
	return p, err
}

// checkSeen refuses to answer from before what the client has seen.
func (s *session) checkSeen(p *position) error {
	seen := s.hello.GetSeenIndex()
	if p.stale {
		_, _, p.index = s.g.pub.list()
	}
	switch {
	case p.index >= seen:
		return nil
	case p.stale:
		return failure(wire.FailureCode_FAILURE_NO_QUORUM, fmt.Sprintf("this replica is at index %d and you have seen %d; no leader answers", p.index, seen), "wait until a majority of the replicas is back: peer repo show")
	}
	return failure(wire.FailureCode_FAILURE_BEHIND, fmt.Sprintf("you have seen index %d, and the group is at %d", seen, p.index), "")
}

func (s *session) welcome(p position, head string) error {
	return send(s.stream, &wire.ToClient{Kind: &wire.ToClient_Welcome{Welcome: &wire.Welcome{
		Genesis: s.g.genesis.Signed, Index: p.index, Term: p.state.Term,
		Leader: []byte(p.state.Leader), Peer: []byte(s.n.self), Stale: p.stale, Head: head, Proves: s.proves(),
	}}})
}

// fetch tunnels git's own protocol to git itself.
func (s *session) fetch(ctx context.Context, open *wire.OpenSession) error {
	patience := behindTimeout
	if open.GetRelayed() {
		patience = requestTimeout // whoever relayed it has less
	}
	p, err := s.confirm(ctx, patience)
	if err == nil && s.ailing(p, open) {
		return s.relay(ctx, p.state.Leader, open)
	}
	if errors.Is(err, errBehind) {
		return s.fetchElsewhere(ctx, open, err)
	}
	if err != nil {
		return err
	}
	if err := s.welcome(p, s.g.pub.currentHead()); err != nil {
		return err
	}
	defer s.g.readers.enter()()
	body := moving{Stream: s.stream}
	if s.proves() {
		return s.fetchProved(ctx, body)
	}
	if s.hello.GetIntent() == wire.Intent_INTENT_ARCHIVE {
		err = s.g.repo.UploadArchive(ctx, body, body, &s.g.pub.gate)
	} else {
		err = s.g.repo.UploadPack(ctx, body, body, s.hello.GetGitVersion().Git(), &s.g.pub.gate)
	}
	if err != nil {
		// Git has said on its own stream what was wrong; a frame would be noise in it.
		s.g.log.Debug("fetch ended", "error", err)
		_ = s.stream.Reset()
	}
	return nil
}

// ailing says whether objects are damaged here, and the leader can serve them.
func (s *session) ailing(p position, open *wire.OpenSession) bool {
	return s.n.ails.isDamaged(s.g.genesis.Repo) && !open.GetRelayed() && p.state.Leader != "" && p.state.Leader != s.n.self
}

// fetchElsewhere has the leader serve what this replica lacks, which may take
// it a while to get.
func (s *session) fetchElsewhere(ctx context.Context, open *wire.OpenSession, behind error) error {
	state, _, err := s.g.state(ctx)
	if err != nil {
		return err
	}
	if state.Leader == "" || state.Leader == s.n.self || open.GetRelayed() {
		return failure(wire.FailureCode_FAILURE_BUSY, behind.Error(), "try again in a moment")
	}
	return s.relay(ctx, state.Leader, open)
}

func (s *session) show(ctx context.Context) error {
	state, _, err := s.g.state(ctx)
	if err != nil {
		return err
	}
	if err := s.welcome(position{index: state.Applied, state: state}, ""); err != nil {
		return err
	}
	described, err := s.n.describe(ctx, s.g)
	if err != nil {
		return err
	}
	if described.Refuses, err = s.refusesPush(ctx); err != nil {
		return err
	}
	return send(s.stream, &wire.ToClient{Kind: &wire.ToClient_State{State: described}})
}
