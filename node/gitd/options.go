package gitd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"peer/identity"
	"peer/wire"
)

// Service is what a client wants of a repository, as git spells it.
type Service string

// All services.
const (
	UploadPack    Service = "git-upload-pack"    // fetch, clone, ls-remote
	UploadArchive Service = "git-upload-archive" // archive --remote
	ReceivePack   Service = "git-receive-pack"   // push
)

// ErrNotFound is what a Backend returns for a repository that does not exist, or
// that must not be read. Clients are told the same of both.
var ErrNotFound = errors.New("no such repository")

// A Refusal is an error whose text is meant for the client. It is one line; what
// other errors say goes to the log.
type Refusal struct{ Text string }

func (e *Refusal) Error() string { return e.Text }

// Backend finds repositories. Its methods are called from many goroutines.
type Backend interface {
	// Owner turns a petname into a key.
	Owner(petname string) (identity.PublicKey, error)

	// Open brings UploadPack or UploadArchive: a stream in which git itself is
	// about to speak, version 0, 1 or 2 of its protocol. The context bounds the
	// opening and the stream's life. The caller closes or resets the stream, and
	// a Reset makes a blocked Read and Write return.
	Open(ctx context.Context, repo identity.Address, service Service, version int) (wire.Stream, error)

	// OpenPush begins a push; it is called only with Options.Push. The context
	// bounds the opening and all that follows.
	OpenPush(ctx context.Context, repo identity.Address) (Push, error)
}

// Options say what a server serves, where. Zero fields have defaults.
type Options struct {
	Addr    string // host:port; ":port" is that port on loopback, port 0 a free one
	Backend Backend
	Logger  *slog.Logger // default: none
	Push    bool         // take pushes on loopback
	Names   []string     // over HTTP: what this machine is called, besides localhost and its addresses
	Agent   string       // how the server calls itself in a push; default "peer"
	TempDir string       // for packs on their way to a group; default: the system's

	ConnectionsMax int // at once; default 128
	// AddressMax is how many of these one address may have (in version 6, one
	// network of 64 bits). Default 32; on loopback, where only this machine can
	// connect, all of them.
	AddressMax     int
	RequestTimeout time.Duration // until a client has said what it wants; default 10 s
	IdleTimeout    time.Duration // of a transfer that stopped moving; default 2 min
	// PushTimeout bounds the silence of a client in a push: hooks of a person run
	// between the listing and the first command. Default 1 h.
	PushTimeout  time.Duration
	PackBytesMax int64 // of one push; default 8 GiB
}

const (
	requestBytesMax  = 4 << 10          // the pkt-line, header included
	openTimeout      = 60 * time.Second // to find a replica that answers
	lingerTimeout    = 2 * time.Second  // for a client to read our last words
	lingerBytesMax   = 1 << 20
	refuseTimeout    = 2 * time.Second // for the request of a client that is one too many
	addressMax       = 32              // connections of one address, where strangers can connect
	refusalsMax      = 64              // such clients at once; others are cut off without a word
	tunnelBytes      = 128 << 10
	refusalBytesMax  = 1000
	acceptPauseMax   = time.Second
	spoolMemoryBytes = 1 << 20
)

func (o *Options) fill() error {
	if o.Backend == nil {
		return errors.New("git daemon without a backend")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Agent == "" {
		o.Agent = "peer"
	}
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	setDefault(&o.ConnectionsMax, 128)
	setDefault(&o.RequestTimeout, 10*time.Second)
	setDefault(&o.IdleTimeout, 2*time.Minute)
	setDefault(&o.PushTimeout, time.Hour)
	setDefault(&o.PackBytesMax, 8<<30)
	return nil
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
