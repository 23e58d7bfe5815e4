package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/multiformats/go-multiaddr"

	"peer/identity"
	"peer/node/invite"
	"peer/node/transport"
	"peer/wire"
)

// door is where guests with an invitation come in: a libp2p host beside the
// node's own, which is there while invitations are out.
type door struct {
	cfg    NodeConfig
	parts  *nodeParts
	keeper *invite.Keeper

	mu     sync.Mutex
	host   *transport.Transport // nil while it is closed
	closed bool
}

// doorPortKey is where the node remembers the port: invitations name it.
const doorPortKey = "door-port"

// guestStreams bounds how many guests are served at once.
const guestStreams = 32

func newDoor(cfg NodeConfig, parts *nodeParts) *door {
	return &door{cfg: cfg, parts: parts, keeper: invite.NewKeeper(parts.store, time.Now)}
}

// look opens the door when guests may come, and closes it when none will.
func (d *door) look(ctx context.Context) error {
	wanted, err := d.keeper.Outstanding()
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case wanted && d.host == nil && !d.closed:
		return d.open(ctx)
	case !wanted && d.host != nil:
		d.cfg.Log.Info("no invitation is out any more; the door is closed")
		host := d.host
		d.host = nil
		return host.Close()
	}
	return nil
}

// open needs the lock.
func (d *door) open(ctx context.Context) error {
	remembered, _, err := d.parts.store.Get(doorPortKey)
	if err != nil {
		return err
	}
	host, err := d.listen(ctx, cmp.Or(d.cfg.DoorPort, string(remembered), "0"))
	if err != nil && d.cfg.DoorPort == "" && len(remembered) > 0 {
		d.cfg.Log.Warn("guests who have an invitation from before must get a new one", "port", string(remembered), "error", err)
		host, err = d.listen(ctx, "0")
	}
	if err != nil {
		return fmt.Errorf("open the door for guests: %w", err)
	}
	if err := d.parts.store.Put(doorPortKey, []byte(portOf(host.Addrs()))); err != nil {
		return errors.Join(err, host.Close())
	}
	host.Handle(invite.Protocol, d.answer)
	d.cfg.Log.Info("the door is open for guests", "addrs", strings.Join(host.Addrs(), " "))
	d.host = host
	return nil
}

func (d *door) listen(ctx context.Context, port string) (*transport.Transport, error) {
	listen := d.cfg.Listen
	if len(listen) == 0 {
		listen = transport.DefaultListen(true)
	}
	addrs := onPort(listen, port)
	if len(addrs) == 0 {
		return nil, fmt.Errorf("this node listens on no TCP address")
	}
	return transport.New(ctx, transport.Config{
		Key: d.cfg.Key, Listen: addrs, Rendezvous: invite.Rendezvous, Logger: d.cfg.Log,
		StreamsPerPeer: 2, StreamsTotal: guestStreams,
	})
}

// onPort moves the TCP addresses of listen to a port.
func onPort(listen []string, port string) (addrs []string) {
	for _, text := range listen {
		addr, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			continue
		}
		if had, err := addr.ValueForProtocol(multiaddr.P_TCP); err == nil {
			addrs = append(addrs, strings.Replace(addr.String(), "/tcp/"+had, "/tcp/"+port, 1))
		}
	}
	return addrs
}

func portOf(addrs []string) string {
	for _, text := range addrs {
		if addr, err := multiaddr.NewMultiaddr(text); err == nil {
			if port, err := addr.ValueForProtocol(multiaddr.P_TCP); err == nil {
				return port
			}
		}
	}
	return ""
}

// invite writes an invitation and opens the door.
func (d *door) invite(ctx context.Context, ttl time.Duration, uses int, petname string) (invite.Token, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.host == nil {
		if d.closed {
			return invite.Token{}, errors.New("the node is stopping")
		}
		if err := d.open(ctx); err != nil {
			return invite.Token{}, err
		}
	}
	addrs := d.host.Addrs()
	if len(addrs) == 0 {
		return invite.Token{}, errors.New("the door has no address that others could dial")
	}
	return d.keeper.Invite(ttl, uses, petname, d.parts.transport.Self(), addrs)
}

func (d *door) answer(from identity.PeerID, s wire.Stream) {
	err := invite.Answer(s, from, d.admit)
	if refused := new(invite.RefusedError); errors.As(err, &refused) {
		d.cfg.Log.Info("a guest was not let in", "guest", from, "why", refused.Why)
	} else if err != nil {
		d.cfg.Log.Warn("a guest at the door", "guest", from, "error", err)
	}
}

// admit tells a guest about the network, and gives it the name that it was invited by.
func (d *door) admit(secret []byte, guest identity.PeerID) (invite.Network, error) {
	i, err := d.keeper.Admit(secret, guest)
	if err != nil {
		return invite.Network{}, err
	}
	d.cfg.Log.Info("a guest joins the network", "guest", guest, "invitation", i.ID, "petname", i.Petname)
	if i.Petname != "" {
		key, err := guest.PublicKey()
		if err == nil {
			err = d.cfg.Home.SetAlias(i.Petname, key, false)
		}
		if err != nil {
			d.cfg.Log.Warn("the guest got no name", "guest", guest, "error", err)
		}
	}
	t := d.parts.transport
	n := invite.Network{Rendezvous: d.cfg.Rendezvous, Secret: d.cfg.Secret, Peers: t.Addrs()}
	for _, id := range t.Connected() {
		n.Peers = append(n.Peers, dialable(t.KnownAddrs(id), id)...)
	}
	n.Peers = firstOfEach(n.Peers)
	return n, nil
}

// Close closes the door for good.
func (d *door) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.host == nil {
		return nil
	}
	host := d.host
	d.host = nil
	return host.Close()
}
