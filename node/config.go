package node

import (
	"errors"
	"log/slog"
	"time"

	"peer/identity"
	"peer/replica"
)

// DefaultFreeBytes is how much of its disk a node keeps free.
const DefaultFreeBytes = 256 << 20

// Config is what a node is made of. Zero values of the limits mean their defaults.
type Config struct {
	// Key is the node's: its peer ID.
	Key identity.Key
	// User signs in the name of the node's user: what is created, changed or removed
	// through this node. It may be out of reach; the node serves all the same.
	// Default: Key.
	User identity.Signer
	// ReposDir holds the repositories, as OWNER/NAME.git.
	ReposDir string
	Network  Network
	Store    Store
	Logger   *slog.Logger
	// Closed says that the network is closed by a secret, so that all its nodes
	// are trusted as voters.
	Closed bool
	// Version is told to others and to the user.
	Version string

	// Stay keeps a leader from handing over to a better member that came back.
	// Default: it hands over.
	Stay bool

	// Tick is the clock of raft. Shorter ticks notice a silent leader sooner and
	// cost idle time. Default 100 ms.
	Tick time.Duration
	// InlineBytesMax is how large a pack and its index may be to ride in the
	// entry: larger ones are streamed to the followers as files. Default 128 KiB.
	InlineBytesMax int
	// PackBytesMax bounds one push. Default 8 GiB.
	PackBytesMax int64
	// PushRate is how many transactions a second, and PushBurst how many at once, one key
	// may bring to what this node leads. Far more than people and their machines push, and
	// few enough that nobody's push falls out of the window while its pack is sent: one
	// key alone takes 20 minutes to fill that. Defaults 50 and 1,000.
	PushRate  float64
	PushBurst int
	// LogKeep is how many entries stay in the log for members that lag; one that
	// is further behind gets the table and the objects at once. Default 1,000.
	LogKeep uint64
	// RepairEvery is how often a leader looks whether its groups have the members
	// that they should. Default 10 s.
	RepairEvery time.Duration
	// GCGrace is how long what a branch named stays after it was moved or deleted, so
	// that pushes which rest on it succeed. Default 14 days.
	GCGrace time.Duration
	// EndedAge is how long the objects of a repository that its owner removed are
	// kept for members that lag. Default a day.
	EndedAge time.Duration
	// MaintainEvery is how often a node looks for packs to join, for what may go,
	// for seats to forget and for repositories that ended. Default 30 s.
	MaintainEvery time.Duration
	// ScrubEvery is how often each replica checks itself, every byte of it. Default a day.
	ScrubEvery time.Duration
	// FreeBytesMin is how much room the disk must have for a push. Default [DefaultFreeBytes].
	FreeBytesMin int64
	// RoomBytes is how much all repositories together may take on this node. A node
	// that has no room takes no new ones, and no pushes. Default: all of the disk.
	RoomBytes int64
	// RepoBytesMax is how much one repository may take here. A push that needs more is
	// refused where this node leads; a follower says so as one without room does, and
	// takes what the others commit all the same. Default: as much as all.
	RepoBytesMax int64
	// Hosts says whether this node takes replicas of an owner's repositories when
	// others ask it to; it is called on many goroutines. What it holds already stays.
	// Default: of everybody's.
	Hosts func(owner identity.PublicKey) bool
	// Admit holds a receipt for an operation that this node's user signed, which holds by
	// itself, against what else the user has; it is called on many goroutines. An error:
	// the answer that the receipt came with is not believed. Default: all are believed.
	Admit func(*replica.Receipt) error
	// Fail is called at each named persist point, and ends the process in tests
	// that prove what a crash there leaves behind. Default: nothing.
	Fail func(point string)
}

// Deadlines and limits of what others can make a node wait for or hold.
const (
	helloTimeout     = 10 * time.Second // a stream that opens and says nothing
	requestTimeout   = 30 * time.Second // a whole request and its answer, unless it carries a pack
	idleTimeout      = 2 * time.Minute  // a transfer that stopped moving
	hookTimeout      = 15 * time.Minute // between a listing and its push: git runs the pusher's hooks there
	pushTimeout      = 6 * time.Hour    // a whole push
	confirmTimeout   = time.Second      // a listing without a leader is served stale after this
	behindTimeout    = 2 * time.Second  // a fetch goes to the leader if this replica needs longer to catch up
	leaderTimeout    = 4 * time.Second  // a push waits this long for an election
	commitTimeout    = 15 * time.Second // after this a client is told that the outcome is unknown
	admitTimeout     = 30 * time.Second // for a place to index a pack
	probeTimeout     = 2 * time.Second
	redialTimeout    = 500 * time.Millisecond
	inboxLen         = 4096
	turnPostsMax     = 512 // what the loop takes in before it looks at the groups
	largePushesMax   = 4   // packs that are indexed at the same time
	smallPushesMax   = 16
	sessionsMax      = 512
	sessionsOwn      = 64   // of these, only for this node's own user and fellow members
	sessionsStrange  = 256  // of people without a role here, together
	sessionsEach     = 64   // of one person with a role, or without one from one node
	raftQueueLen     = 1024 // messages to one node
	stageQueueChunks = 64   // of wire.ChunkBytes, to one follower
)

func (c *Config) fill() error {
	if c.Network == nil || c.Store == nil || c.Logger == nil || c.ReposDir == "" {
		return errors.New("node: network, store, logger and repositories' directory are required")
	}
	if c.User == nil {
		c.User = c.Key
	}
	setDefault(&c.Tick, 100*time.Millisecond)
	setDefault(&c.InlineBytesMax, 128<<10)
	setDefault(&c.PackBytesMax, 8<<30)
	setDefault(&c.PushRate, 50)
	setDefault(&c.PushBurst, 1000)
	setDefault(&c.LogKeep, 1000)
	setDefault(&c.RepairEvery, 10*time.Second)
	setDefault(&c.GCGrace, 14*24*time.Hour)
	setDefault(&c.EndedAge, 24*time.Hour)
	setDefault(&c.ScrubEvery, 24*time.Hour)
	setDefault(&c.MaintainEvery, 30*time.Second)
	setDefault(&c.FreeBytesMin, DefaultFreeBytes)
	if c.Admit == nil {
		c.Admit = func(*replica.Receipt) error { return nil }
	}
	if c.Fail == nil {
		c.Fail = func(string) {}
	}
	return nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
