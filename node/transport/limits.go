package transport

import (
	"math"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/x/rate"
)

// What one host may hold. A group has few members and a laptop few
// neighbours, so these are far above daily use and far below harm.
const (
	connsLow   = 128 // the connection manager prunes down to this
	connsHigh  = 192 // when there are more than this
	connsMax   = 512
	connsInMax = 384              // that others made: this host can still dial whom it needs
	connsGrace = 30 * time.Second // a new connection is not pruned

	connsPerPeerMax   = 8
	streamsMax        = 16 << 10
	streamsPerPeerMax = 2048
	// Streams whose protocol is not agreed yet, and connections amid the handshake.
	streamsUnsettledMax = 2048
	connsUnsettledMax   = 128

	// Bytes that streams may buffer. At the limit a window stops growing; nothing fails.
	bufferBytesMax        = 512 << 20
	bufferBytesPerPeerMax = 192 << 20

	// New connections from one public address: a whole office behind NAT,
	// where each push and fetch without a node is one. Private ones are free.
	connsPerAddress       = 64
	connsPerAddressSecond = 20
	connsPerAddressBurst  = 200
)

var localPrefixes = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
}

func newResourceManager() (network.ResourceManager, error) {
	limit := func(conns, streams int, bytes int64) rcmgr.ResourceLimits {
		return rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(conns), ConnsInbound: rcmgr.LimitVal(conns), ConnsOutbound: rcmgr.LimitVal(conns), FD: rcmgr.LimitVal(conns),
			Streams: rcmgr.LimitVal(streams), StreamsInbound: rcmgr.LimitVal(streams), StreamsOutbound: rcmgr.LimitVal(streams),
			Memory: rcmgr.LimitVal64(bytes),
		}
	}
	all := limit(connsMax, streamsMax, bufferBytesMax)
	all.ConnsInbound = rcmgr.LimitVal(connsInMax)
	one := limit(connsPerPeerMax, streamsPerPeerMax, bufferBytesPerPeerMax)
	limits := rcmgr.PartialLimitConfig{
		System:              all,
		Transient:           limit(connsUnsettledMax, streamsUnsettledMax, bufferBytesMax/4),
		ServiceDefault:      all,
		ServicePeerDefault:  one,
		ProtocolDefault:     all,
		ProtocolPeerDefault: one,
		PeerDefault:         one,
	}.Build(rcmgr.DefaultLimits.Scale(bufferBytesMax, connsMax))

	free4, free6, freeRate := exemptions()
	perAddress := rate.Limit{RPS: connsPerAddressSecond, Burst: connsPerAddressBurst}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithNetworkPrefixLimit(free4, free6),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: connsPerAddress}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: connsPerAddress}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: freeRate,
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: perAddress}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: perAddress}},
				GracePeriod:      time.Minute,
			},
		}))
}

func exemptions() (v4, v6 []rcmgr.NetworkPrefixLimit, rates []rate.PrefixLimit) {
	for _, p := range localPrefixes {
		free := rcmgr.NetworkPrefixLimit{Network: p, ConnCount: math.MaxInt}
		if p.Addr().Is4() {
			v4 = append(v4, free)
		} else {
			v6 = append(v6, free)
		}
		rates = append(rates, rate.PrefixLimit{Prefix: p}) // the zero rate is no limit
	}
	return v4, v6, rates
}

func newConnManager() (*connmgr.BasicConnMgr, error) {
	return connmgr.NewConnManager(connsLow, connsHigh, connmgr.WithGracePeriod(connsGrace))
}
