package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// RepoID names a repository: a hash of its owner's key and its name.
type RepoID [sha256.Size]byte

// GenesisHash is the SHA-256 of a signed genesis body.
type GenesisHash [sha256.Size]byte

// URLScheme begins the address of a repository: peer://OWNER/NAME.
const URLScheme = "peer://"

// NameBytesMax is the longest repository name.
const NameBytesMax = 100

// Names become directories, arguments and URLs everywhere, so the grammar is
// small: nothing that a shell, a file system or an eye could take for another.
var nameGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// CheckName says what is wrong with a repository name.
func CheckName(name string) error {
	bad := func(why string) error { return fmt.Errorf("repository name %.120q: %s", name, why) }
	switch lower := strings.ToLower(name); {
	case name == "":
		return bad("is empty")
	case len(name) > NameBytesMax:
		return bad(fmt.Sprintf("is longer than %d bytes", NameBytesMax))
	case !nameGrammar.MatchString(name):
		return bad("may hold A-Z a-z 0-9 . _ - and begins with a letter or digit")
	case strings.Contains(name, ".."):
		return bad("may not hold '..'")
	case strings.HasSuffix(lower, ".git"), strings.HasSuffix(lower, ".lock"), strings.HasSuffix(lower, "."):
		return bad("may not end in '.git', '.lock' or '.'")
	}
	return nil
}

// NewRepoID is the ID of owner's repository called name.
func NewRepoID(owner PublicKey, name string) RepoID {
	h := sha256.New()
	h.Write([]byte("peer/repo/1\x00"))
	h.Write(owner[:])
	h.Write([]byte(name))
	return RepoID(h.Sum(nil))
}

// ParseRepoID reads the spelling that [RepoID.String] writes.
func ParseRepoID(s string) (RepoID, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != sha256.Size {
		return RepoID{}, fmt.Errorf("repository ID %.80q: want 64 hexadecimal digits", s)
	}
	return RepoID(raw), nil
}

// RepoIDFromBytes checks raw bytes from outside.
func RepoIDFromBytes(raw []byte) (RepoID, error) {
	if len(raw) != sha256.Size {
		return RepoID{}, errors.New("repository ID of the wrong size")
	}
	return RepoID(raw), nil
}

func (id RepoID) String() string { return hex.EncodeToString(id[:]) }

// Short is enough of the ID for a log line.
func (id RepoID) Short() string { return hex.EncodeToString(id[:6]) }

// HashGenesis names the genesis with this body.
func HashGenesis(body []byte) GenesisHash { return sha256.Sum256(body) }

func (h GenesisHash) String() string { return hex.EncodeToString(h[:]) }

// Address is what a peer:// URL says.
type Address struct {
	Owner PublicKey
	Name  string
}

// RepoID is the repository at a.
func (a Address) RepoID() RepoID { return NewRepoID(a.Owner, a.Name) }

// URL is the form that git stores: with a did:key, valid everywhere and for ever.
func (a Address) URL() string { return URLScheme + a.Owner.DID() + "/" + a.Name }

// ParseURL reads a peer:// URL. expand turns an owner that is no did:key and no
// peer ID, a petname, into a key; it may be nil.
func ParseURL(url string, expand func(petname string) (PublicKey, error)) (Address, error) {
	rest, ok := strings.CutPrefix(url, URLScheme)
	if !ok {
		return Address{}, fmt.Errorf("%.200q is not a %s URL", url, URLScheme)
	}
	return ParseOwnerAndName(rest, expand)
}

// ParseOwnerAndName reads OWNER/NAME. A trailing .git, or slash, is taken off.
func ParseOwnerAndName(s string, expand func(petname string) (PublicKey, error)) (Address, error) {
	owner, name, ok := strings.Cut(strings.TrimSuffix(s, "/"), "/")
	if !ok {
		return Address{}, fmt.Errorf("%.200q: want OWNER/NAME", s)
	}
	name = strings.TrimSuffix(name, ".git")
	if err := CheckName(name); err != nil {
		return Address{}, err
	}
	key, err := ParseOwner(owner)
	if err != nil && expand != nil && !strings.HasPrefix(owner, "did:") {
		key, err = expand(owner)
	}
	if err != nil {
		return Address{}, fmt.Errorf("owner of %.200q: %w", s, err)
	}
	return Address{Owner: key, Name: name}, nil
}
