package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"peer/node/invite"
	"peer/node/transport"
)

// joinTimeout is how long a guest waits at the door.
const joinTimeout = 30 * time.Second

type joinCmd struct {
	Token   string `arg:"" help:"What 'peer invite' printed."`
	As      string `help:"What you call the one who invited you: their key gets this petname." placeholder:"NAME"`
	Replace bool   `help:"Leave the network that this home belongs to."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// Run takes the home into the network of an invitation.
func (c *joinCmd) Run(ctx context.Context, a *app) error {
	token, err := invite.Parse(c.Token)
	if err != nil {
		return usage("copy the whole line that 'peer invite' printed", "invitation: %w", err)
	}
	if c.As != "" {
		if err := checkAlias(c.As); err != nil {
			return err
		}
	}
	home, err := a.Home()
	if err != nil {
		return err
	}
	lock, err := home.Lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	// All that could fail here comes first: the door counts guests.
	if err := c.mayJoin(home); err != nil {
		return err
	}
	network, err := knock(ctx, home, token)
	if err != nil {
		return err
	}
	if err := network.Save(home.NetworkPath()); err != nil {
		return err
	}
	if c.As != "" {
		if err := c.name(home, token); err != nil {
			warn(a.errs, "%v", err)
		}
	}
	if c.JSON {
		return printJSON(a.out, struct {
			Node   string `json:"node"`
			Closed bool   `json:"closed"`
			Home   string `json:"home"`
		}{token.Node.String(), network.Secret != "", home.Dir})
	}
	fmt.Fprintf(a.out, "joined the network of %s\n", token.Node)
	fmt.Fprintln(a.errs, "peer: hint: run a node of it: peer node")
	return nil
}

// mayJoin refuses where the home would stay in another network all the same.
func (c *joinCmd) mayJoin(home *Home) error {
	for _, name := range []string{"PEER_RENDEZVOUS", "PEER_SECRET"} {
		if os.Getenv(name) != "" {
			return usage("unset "+name, "%s is set, and goes before what an invitation says; nothing was changed", name)
		}
	}
	var config struct{ Rendezvous, Secret string }
	if err := readJSON(home.ConfigPath(), &config); err != nil {
		return usage("", "config file: %w", err)
	}
	if config.Rendezvous != "" || config.Secret != "" {
		return usage("take 'rendezvous' and 'secret' out of it", "%s names a network, and goes before what an invitation says; nothing was changed", home.ConfigPath())
	}
	saved, err := LoadNetwork(home.NetworkPath())
	if err != nil {
		return err
	}
	if other := saved.Secret != "" || saved.Rendezvous != "" && saved.Rendezvous != DefaultRendezvous; other && !c.Replace {
		return hinted(errors.New("this home belongs to a network already; nothing was changed, and the invitation was not used"),
			"join with another home: --home DIR; or leave that network: --replace")
	}
	return nil
}

func (c *joinCmd) name(home *Home, token invite.Token) error {
	key, err := token.Node.PublicKey()
	if err != nil {
		return err
	}
	return home.SetAlias(c.As, key, false)
}

// knock goes to the door under the home's own key, so that who invites knows who came.
func knock(ctx context.Context, home *Home, token invite.Token) (Network, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	key, err := home.Key()
	if err != nil {
		return Network{}, err
	}
	if key.PeerID() == token.Node {
		return Network{}, usage("hand it to somebody else", "this home wrote the invitation, and is in the network")
	}
	t, err := transport.New(ctx, transport.Config{Key: key, Rendezvous: invite.Rendezvous, Bootstrap: token.Addrs})
	if err != nil {
		return Network{}, err
	}
	defer t.Close()
	unreached := func(err error) error {
		return &fault{err: fmt.Errorf("the node that invited you does not answer at %s: %w", token.Addrs[0], err),
			hint: "nothing was changed; that node must run and be reachable there (peer node --invite-port PORT), then join again", exit: exitUnavailable}
	}
	s, err := t.Open(ctx, token.Node, invite.Protocol)
	if err != nil {
		return Network{}, unreached(err)
	}
	n, err := invite.Ask(s, token)
	if refused := new(invite.Failed); errors.As(err, &refused) {
		return Network{}, &fault{err: err, hint: refused.F.GetHint(), exit: exitNotAllowed}
	}
	if err != nil {
		_ = s.Reset()
		return Network{}, unreached(err)
	}
	_ = s.Close()
	return Network{Rendezvous: n.Rendezvous, Secret: n.Secret, Peers: n.Peers}, nil
}
