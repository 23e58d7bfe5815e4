package transport

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"peer/identity"
)

// names are what a rendezvous string turns into.
type names struct {
	prefix protocol.ID // of every protocol ID; also what identify tells others
	meet   cid.Cid     // what servers provide, so that others find them
	mdns   string      // service on the local link; at most 15 bytes between '_' and '.'
}

func namesOf(rendezvous string) (names, error) {
	sum := sha256.Sum256([]byte(rendezvous))
	short := hex.EncodeToString(sum[:8])
	mh, err := multihash.Encode(sum[:], multihash.SHA2_256)
	if err != nil {
		return names{}, err
	}
	return names{
		prefix: protocol.ID("/peer/" + short),
		meet:   cid.NewCidV1(cid.Raw, mh),
		mdns:   "_peer-" + short[:8] + "._udp",
	}, nil
}

func (n names) protocol(name string) protocol.ID { return n.prefix + "/" + protocol.ID(name) }

// pskOf stretches the secret to the key that closes a network. The result is
// part of the protocol: all of a network must agree on it.
func pskOf(secret string) (pnet.PSK, error) {
	if secret == "" {
		return nil, nil
	}
	return hkdf.Key(sha256.New, []byte(secret), nil, "peer/network-secret/1", 32)
}

// addrInfo reads a multiaddr that ends in /p2p/ID.
func addrInfo(s string) (peer.AddrInfo, error) {
	info, err := peer.AddrInfoFromString(s)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("address %.200q: want a multiaddr such as /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…: %w", s, err)
	}
	if _, err := identity.PeerIDFromBytes([]byte(info.ID)); err != nil {
		return peer.AddrInfo{}, fmt.Errorf("address %.200q: %w", s, err)
	}
	return *info, nil
}

// parseAddrs reads addresses of id, skipping what it cannot read.
func parseAddrs(id peer.ID, addrs []string) []ma.Multiaddr {
	var out []ma.Multiaddr
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			continue
		}
		a, named := peer.SplitAddr(a)
		if a == nil || (named != "" && named != id) {
			continue
		}
		out = append(out, a)
	}
	return out
}

func formatAddrs(addrs []ma.Multiaddr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}
