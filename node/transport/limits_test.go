package transport

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// However many connections others make, the host can still make its own.
func TestInboundConnectionsLeaveRoomForDials(t *testing.T) {
	m, err := newResourceManager()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	connect := func(dir network.Direction) error {
		c, err := m.OpenConnection(dir, true, ma.StringCast("/ip4/127.0.0.1/tcp/4001"))
		if err != nil {
			return err
		}
		t.Cleanup(c.Done)
		return c.SetPeer(peer.ID(config(t).Key.PeerID()))
	}
	in := 0
	for connect(network.DirInbound) == nil {
		in++
	}
	if in != connsInMax {
		t.Errorf("%d connections came in, want %d", in, connsInMax)
	}
	if err := connect(network.DirOutbound); err != nil {
		t.Errorf("a dial of this host's own: %v", err)
	}
}
