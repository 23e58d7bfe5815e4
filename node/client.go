package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Client finds repositories in a network, opens sessions to their replicas, and has
// changed what its user may change. Every node is one; a command whose home has no
// running node is one by itself.
type Client struct {
	user identity.Signer
	// self signs a hello where the user's key is out of reach: members and whoever
	// reads need no more. Nil where no node runs.
	self identity.Signer
	net  Network
	log  *slog.Logger
	// cache remembers geneses; nil where nothing is remembered.
	cache Cache
	// here is the node that this is the client of, with replicas of its own; nil where
	// none runs.
	here *Node
	// As in [Config].
	closed bool
	admit  func(*replica.Receipt) error
	// agree refuses another genesis than the home has met; nil: a node remembers itself.
	agree func(*replica.Genesis) error
	// members is who votes in groups that changed since they were founded.
	members memberCache
}

// Cache is where a client remembers what it found.
type Cache interface {
	Get(key string) ([]byte, bool, error)
	Put(key string, value []byte) error
}

// NewClient makes a client that speaks in the name of user. It owns nothing of
// what it is given.
func NewClient(user identity.Signer, net Network, log *slog.Logger) *Client {
	return &Client{user: user, net: net, log: log, admit: func(*replica.Receipt) error { return nil }}
}

// Remember has a client remember geneses. Call it before anything else.
func (c *Client) Remember(cache Cache) *Client {
	c.cache = cache
	return c
}

// ForHome has a client do for a home what a node would, with what [Config] says of
// Closed and Admit. What it finds must agree with what the home has met. Call it before
// anything else.
func (c *Client) ForHome(closed bool, admit func(*replica.Receipt) error, agree func(*replica.Genesis) error) *Client {
	c.closed, c.admit, c.agree = closed, admit, agree
	return c
}

func addressOf(g *replica.Genesis) identity.Address {
	return identity.Address{Owner: g.Owner, Name: g.Name}
}

func knownKey(repo identity.RepoID) string { return "genesis/" + repo.String() }

// locate finds the genesis of a repository, and so its members: here, in what it has
// seen before, at the nodes it is connected to, in the DHT. Where nobody knows it, it
// may be private: then who may know of it must say who asks.
func (c *Client) locate(ctx context.Context, repo identity.RepoID) (*replica.Genesis, error) {
	if g := c.known(repo); g != nil {
		return g, nil
	}
	g := c.askAround(ctx, repo)
	if g == nil {
		g = c.lookUp(ctx, repo)
	}
	if g == nil {
		g = c.askSigned(ctx, repo)
	}
	if g == nil {
		return nil, errNotFound(repo)
	}
	if c.agree != nil {
		if err := c.agree(g); err != nil {
			return nil, err
		}
	}
	if raw, err := proto.Marshal(g.Signed); err == nil && c.cache != nil {
		if err := c.cache.Put(knownKey(repo), raw); err != nil {
			c.log.Warn("genesis not remembered", "error", err)
		}
	}
	return g, nil
}

// known is a genesis for which nobody else has to be asked.
func (c *Client) known(repo identity.RepoID) *replica.Genesis {
	if c.here != nil {
		if g := c.here.knownGenesis(repo); g != nil {
			return g
		}
	}
	return c.recall(repo)
}

func (c *Client) recall(repo identity.RepoID) *replica.Genesis {
	if c.cache == nil {
		return nil
	}
	raw, ok, err := c.cache.Get(knownKey(repo))
	if err != nil || !ok {
		return nil
	}
	return parseKnown(raw, repo)
}

func parseKnown(raw []byte, repo identity.RepoID) *replica.Genesis {
	signed := new(wire.Signed)
	if proto.Unmarshal(raw, signed) != nil {
		return nil
	}
	g, err := replica.ParseGenesis(signed)
	if err != nil || g.Repo != repo {
		return nil
	}
	return g
}

// askAround asks every connected node. The first valid genesis counts: it is
// signed by the owner whose key is part of the repository's ID.
func (c *Client) askAround(ctx context.Context, repo identity.RepoID) *replica.Genesis {
	return firstToKnow(ctx, c.net.Connected(), func(ctx context.Context, p identity.PeerID) (*replica.Genesis, error) {
		at, err := c.whereAt(ctx, p, repo)
		if err != nil {
			return nil, err
		}
		g, err := replica.ParseGenesis(at.GetGenesis())
		if err == nil && g.Repo != repo {
			err = errors.New("genesis of another repository")
		}
		return g, err
	})
}

// firstToKnow asks nodes, all at once, and takes the first genesis that one has; nil
// if none has any.
func firstToKnow(ctx context.Context, nodes []identity.PeerID, ask func(context.Context, identity.PeerID) (*replica.Genesis, error)) *replica.Genesis {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := make(chan *replica.Genesis, 1)
	var wg sync.WaitGroup
	for _, p := range nodes {
		wg.Go(func() {
			g, err := ask(ctx, p)
			if err != nil {
				return
			}
			select {
			case found <- g:
				cancel() // the others need not answer
			default:
			}
		})
	}
	wg.Wait()
	select {
	case g := <-found:
		return g
	default:
		return nil
	}
}

// lookUp asks the DHT for a repository nobody nearby knows.
func (c *Client) lookUp(ctx context.Context, repo identity.RepoID) *replica.Genesis {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout/2)
	defer cancel()
	raw, err := c.net.GetRecord(ctx, repo[:])
	if err != nil {
		return nil
	}
	record := new(wire.HintRecord)
	if _, err := CheckHint(repo, raw, time.Now()); err != nil || proto.Unmarshal(raw, record) != nil {
		return nil
	}
	g, err := replica.ParseGenesis(record.GetGenesis())
	if err != nil {
		return nil
	}
	if proved, err := replica.ParseLineage(g, record.GetLineage()); err == nil {
		c.members.put(repo, proved)
	}
	return g
}

// Session opens a stream to a replica of repo: the one here, or another member's where
// there is none that takes part.
func (c *Client) Session(ctx context.Context, repo identity.RepoID, push bool) (wire.Session, error) {
	if c.here != nil {
		if g := c.here.group(repo); g != nil {
			return c.here.sessionHere(ctx, g, push)
		}
	}
	g, err := c.locate(ctx, repo)
	if err != nil {
		return wire.Session{}, err
	}
	return c.memberSession(ctx, g, push)
}

// memberSession opens a session at the first member that has the repository,
// connected ones first; for a push at the leader, if that member knows it.
func (c *Client) memberSession(ctx context.Context, g *replica.Genesis, push bool) (wire.Session, error) {
	var s wire.Session
	err := c.eachMember(ctx, g, func(p identity.PeerID) error {
		leader, err := c.leaderAt(ctx, g, p)
		if err != nil {
			return err
		}
		if push && leader != c.net.Self() {
			if leader != "" && slices.Contains(c.membersToAsk(g), leader) {
				p = leader
			}
		}
		s.To = []byte(p)
		s.Stream, err = c.net.Open(ctx, p, protocolSession)
		return err
	})
	if err != nil {
		return wire.Session{}, errNoReplica(g, err)
	}
	return s, nil
}

// eachMember tries the members one after the other until f succeeds. Where none
// of those that it knows will do, the network is asked who has seats now.
func (c *Client) eachMember(ctx context.Context, g *replica.Genesis, f func(identity.PeerID) error) error {
	last, tried := errNotFound(g.Repo), map[identity.PeerID]bool{}
	for _, asked := range []bool{false, true} {
		if asked && g.Private {
			c.askSigned(ctx, g.Repo)
		} else if asked {
			c.askAround(ctx, g.Repo)
			c.lookUp(ctx, g.Repo)
		}
		for _, p := range c.membersToAsk(g) {
			if tried[p] {
				continue
			}
			tried[p] = true
			if last = f(p); last == nil {
				return nil
			}
		}
	}
	return last
}

// whereAt asks one node what it knows about a repository.
func (c *Client) whereAt(ctx context.Context, p identity.PeerID, repo identity.RepoID) (*wire.WhereReply, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r, err := c.tell(ctx, p, &wire.GroupRequest{Kind: &wire.GroupRequest_Where{Where: &wire.Where{Repo: repo[:]}}})
	at := r.GetWhere()
	if err == nil {
		c.noteMembers(repo, at)
	}
	if err == nil && at.GetProblem() != "" {
		return nil, failure(wire.FailureCode_FAILURE_NOT_FOUND, "that replica takes no part in its group: "+at.GetProblem(), "ask another member")
	}
	return at, err
}

// membersToAsk lists the members, connected ones first. This node itself has a
// seat but no replica when its disk is new.
func (c *Client) membersToAsk(g *replica.Genesis) []identity.PeerID {
	var connected, others []identity.PeerID
	for _, p := range c.members.peers(g) {
		switch {
		case p == c.net.Self():
		case c.net.IsConnected(p):
			connected = append(connected, p)
		default:
			others = append(others, p)
		}
	}
	return append(connected, others...)
}

// Show describes a repository, wherever it lives. The leader knows most, so it
// is asked where that is possible.
func (c *Client) Show(ctx context.Context, repo identity.RepoID) (Info, error) {
	if c.here != nil {
		if b := c.here.brokenGroup(repo); b != nil {
			return c.here.showBroken(ctx, b), nil
		}
		if g := c.here.group(repo); g != nil {
			return c.here.showGroup(ctx, g)
		}
	}
	return c.showElsewhere(ctx, repo)
}

// showElsewhere is what other nodes' replicas tell.
func (c *Client) showElsewhere(ctx context.Context, repo identity.RepoID) (Info, error) {
	genesis, err := c.locate(ctx, repo)
	if err != nil {
		return Info{}, err
	}
	var info Info
	err = c.eachMember(ctx, genesis, func(p identity.PeerID) (err error) {
		if info, err = c.showAt(ctx, genesis, p); err == nil && info.Leader != "" && info.Leader != p {
			if led, err := c.showAt(ctx, genesis, info.Leader); err == nil {
				info = led
			}
		}
		return err
	})
	if err != nil {
		return Info{}, errNoReplica(genesis, err)
	}
	return info, nil
}

// showAt asks one member.
func (c *Client) showAt(ctx context.Context, g *replica.Genesis, peer identity.PeerID) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	s, err := c.net.Open(ctx, peer, protocolSession)
	if err != nil {
		return Info{}, err
	}
	defer s.Close()
	deadline, _ := ctx.Deadline()
	if err := s.SetDeadline(deadline); err != nil {
		return Info{}, err
	}
	if err := c.greetWith(s, g, func(h *wire.Hello) { h.Intent, h.To = wire.Intent_INTENT_SHOW, []byte(peer) }); err != nil {
		return Info{}, err
	}
	for {
		m, err := nextToClient(s)
		if err != nil {
			return Info{}, err
		}
		if state := m.GetState(); state != nil {
			c.noteLineage(g, state.GetLineage())
			return infoOf(g, state, ""), nil
		}
	}
}

// greet says hello in the name of this home, to whom the session is with.
func (c *Client) greet(s wire.Session, g *replica.Genesis, intent wire.Intent) error {
	return c.greetWith(s, g, func(h *wire.Hello) { h.Intent, h.To = intent, s.To })
}

func (c *Client) greetWith(s wire.Stream, g *replica.Genesis, edit func(*wire.Hello)) error {
	hello, err := sealHello(c.user, g, edit)
	if errors.Is(err, identity.ErrLocked) && c.self != nil {
		hello, err = sealHello(c.self, g, edit)
	}
	if err != nil {
		return err
	}
	return wire.WriteFrame(s, &wire.OpenSession{Hello: hello})
}

func sealHello(user identity.Signer, g *replica.Genesis, edit func(*wire.Hello)) (*wire.Signed, error) {
	public := user.Public()
	h := &wire.Hello{
		Version: wire.SessionVersion, Repo: g.Repo[:], Genesis: g.Hash[:], User: public[:],
		Nonce: []byte(time.Now().Format(time.RFC3339Nano)),
	}
	edit(h)
	return replica.Seal(user, identity.DomainHello, h)
}

// request opens a stream of the group protocol, asks, and reads the answer. On
// success the stream is positioned behind the answer; the caller closes it, and
// the end of ctx resets it.
func (c *Client) request(ctx context.Context, to identity.PeerID, req *wire.GroupRequest) (wire.Stream, *wire.GroupReply, error) {
	answering, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	opened, err := c.net.Open(answering, to, protocolGroup)
	if err != nil {
		return nil, nil, err
	}
	s := bind(ctx, opened)
	deadline, _ := answering.Deadline()
	reply := new(wire.GroupReply)
	err = errors.Join(s.SetDeadline(deadline), wire.WriteFrame(s, req))
	if err == nil {
		err = wire.ReadFrame(s, reply, wire.RequestBytesMax)
	}
	if f := reply.GetFailure(); err == nil && f != nil {
		err = &FailureError{f}
	}
	if err != nil {
		_ = s.Reset()
		return nil, nil, err
	}
	return s, reply, nil
}

// tell is request for those who need no bytes behind the answer.
func (c *Client) tell(ctx context.Context, to identity.PeerID, req *wire.GroupRequest) (*wire.GroupReply, error) {
	s, reply, err := c.request(ctx, to, req)
	if err != nil {
		return nil, err
	}
	return reply, s.Close()
}
