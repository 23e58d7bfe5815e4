package git

import (
	"context"
	"io"
)

// ObjectType is what an object is, in git's word for it.
type ObjectType string

const (
	Commit ObjectType = "commit"
	Tree   ObjectType = "tree"
	Blob   ObjectType = "blob"
	Tag    ObjectType = "tag"
)

// Object is what is known about an object that exists.
type Object struct {
	OID    OID
	Type   ObjectType
	Peeled OID        // what a tag finally points at; OID itself for all else
	PeelTo ObjectType // the type of Peeled
}

// Ref is one ref of a listing.
type Ref struct {
	Name   string
	OID    OID
	Peeled OID // what an annotated tag finally points at; zero otherwise
}

// Listing is all refs and HEAD at one moment.
type Listing struct {
	Refs []Ref
	Head string // the full name of the branch that HEAD stands for
	// Peeled says that every ref that points at an annotated tag has its Peeled
	// set. Readers then need not open any object to list the refs.
	Peeled bool
}

// Repo is a bare repository on this node's disk. Its methods may be called
// concurrently; one process at a time may hold a Repo for writing.
type Repo struct {
	dir    string // absolute
	format Format
}

// Create makes an empty bare repository whose HEAD stands for head, or opens the
// one that is already there. It appears whole or not at all.
func Create(ctx context.Context, dir string, format Format, head string) (*Repo, error) { panic("") }

// Open opens a repository that Create made.
func Open(dir string) (*Repo, error) { panic("") }

func (r *Repo) Dir() string    { return r.dir }
func (r *Repo) Format() Format { return r.format }

// WriteRefs makes the repository's refs and HEAD equal to l, by one rename for the refs and
// one for HEAD if it changed. Whoever calls it holds the write side of the Gate.
func (r *Repo) WriteRefs(l Listing) error { panic("") }

// ReadRefs asks git for all refs.
func (r *Repo) ReadRefs(ctx context.Context) (Listing, error) { panic("") }

// IngestOptions bound what a pack from outside may cost.
type IngestOptions struct {
	MaxBytes    int64 // of the pack as sent and of the completed one; 0: DefaultPackBytesMax
	MemoryBytes int64 // that git may allocate; 0: a share of what the machine has
	Sync        bool  // fsync pack and index
	Shallow     []OID // the pusher's shallow roots
}

// Quarantine holds an indexed pack that no reader sees.
type Quarantine struct {
	Name     string // checksum in hex, as in pack-NAME.pack
	PackPath string
	IdxPath  string
	PackSize int64
	IdxSize  int64
	Objects  uint32 // in the completed pack; 0 means that nothing need be published
	RawSize  int64  // bytes read from the pusher. PackSize differs if the pack was thin
}

// Ingest indexes and checks a pack.
func (r *Repo) Ingest(ctx context.Context, pack io.Reader, o IngestOptions) (*Quarantine, error) {
	panic("")
}

// Check verifies that all that news reach is in the quarantine or the repository.
func (q *Quarantine) Check(ctx context.Context, news, shallow []OID) (map[OID]Object, error) {
	panic("")
}

// Discard removes the quarantine.
func (q *Quarantine) Discard() error { panic("") }

// Check is the same for a push without a pack.
func (r *Repo) Check(ctx context.Context, news, shallow []OID) (map[OID]Object, error) { panic("") }

// Objects looks up objects by ID. Absent ones are not in the map.
func (r *Repo) Objects(ctx context.Context, oids []OID) (map[OID]Object, error) { panic("") }

// InstallPack publishes a pack and its index, durably.
func (r *Repo) InstallPack(name string, pack, idx []byte) error { panic("") }

// InstallFiles does the same from files, which stay where they are.
func (r *Repo) InstallFiles(name, packPath, idxPath string) error { panic("") }

// HasPack says whether the pack and its index are published.
func (r *Repo) HasPack(name string) bool { panic("") }

// PackPath is where the pack is or would be. IdxPath likewise.
func (r *Repo) PackPath(name string) string { panic("") }
func (r *Repo) IdxPath(name string) string  { panic("") }

// PackObjects writes a thin pack of all that wants reach and haves don't.
func (r *Repo) PackObjects(ctx context.Context, wants, haves []OID, w io.Writer) error { panic("") }

// Gate is the read side of the lock under which refs are published.
type Gate interface {
	RLock()
	RUnlock()
}

// UploadPack serves a fetch.
func (r *Repo) UploadPack(ctx context.Context, in io.Reader, out io.Writer, version int, gate Gate) error {
	panic("")
}

// UploadArchive serves git archive --remote.
func (r *Repo) UploadArchive(ctx context.Context, in io.Reader, out io.Writer, gate Gate) error {
	panic("")
}

// RemoveLeftovers clears what a crash left: quarantines, temporary files, locks. Call it
// before anything else uses the repository.
func (r *Repo) RemoveLeftovers() error { panic("") }

// RepackOptions say when to repack and what must stay a pack of its own.
type RepackOptions struct {
	MaxPacks int                    // more than these start a repack; 0: 50
	Keep     func(name string) bool // packs that must stay; nil: none
}

// Repacked says what Repack did.
type Repacked struct {
	Name    string   // of the new pack; empty when nothing was done
	Removed []string // names of the packs that it replaced
}

// Repack joins small packs.
func (r *Repo) Repack(ctx context.Context, o RepackOptions) (Repacked, error) { panic("") }

// Local is the repository in which a person runs git.
type Local struct{}

// Resolved is the answer to one query.
type Resolved struct {
	Exprs []Object       // one for each expression, in order
	Have  map[OID]Object // those of the IDs that exist here
}

// ResolveAndHave resolves expressions and looks up IDs, in one process.
func (l *Local) ResolveAndHave(ctx context.Context, exprs []string, oids []OID) (Resolved, error) {
	panic("")
}

// PackForPush starts packing what news reach and haves don't.
func (l *Local) PackForPush(ctx context.Context, news, haves []OID, progress bool, stderr io.Writer) (io.ReadCloser, error) {
	panic("")
}

// Shallow lists the roots of a shallow clone; none otherwise.
func (l *Local) Shallow() ([]OID, error) { panic("") }

// ObjectFormat asks git for the repository's format.
func (l *Local) ObjectFormat(ctx context.Context) (Format, error) { panic("") }
