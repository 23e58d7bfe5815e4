package invite

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// Limits of invitations.
const (
	TTLMin  = time.Minute
	TTLMax  = 30 * 24 * time.Hour
	UsesMax = 100
	// outstandingMax is how many a node keeps; keptAfter is how long one that ended
	// still has its guest told what became of it.
	outstandingMax = 1000
	keptAfter      = 24 * time.Hour
)

const keyPrefix = "invite/"

// Store is where invitations are kept. Put is durable when it returns.
type Store interface {
	Get(key string) (value []byte, ok bool, err error)
	Put(key string, value []byte) error
	Delete(key string) error
	Scan(prefix string, f func(key string, value []byte) error) error
}

// Invitation is one as its writer sees it.
type Invitation struct {
	ID      string // the first digits of the secret's hash
	Expires time.Time
	Uses    int
	Petname string
	Guests  []identity.PeerID
}

// Open says whether somebody may still come.
func (i Invitation) Open(now time.Time) bool { return now.Before(i.Expires) && len(i.Guests) < i.Uses }

// RefusedError says why a guest is not let in. Its text is for the guest.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

// Keeper writes and honours the invitations of one node.
type Keeper struct {
	store Store
	now   func() time.Time
	mu    sync.Mutex // over every change
}

// NewKeeper returns the keeper of what is in store.
func NewKeeper(store Store, now func() time.Time) *Keeper { return &Keeper{store: store, now: now} }

// Invite writes an invitation to the door at addrs.
func (k *Keeper) Invite(ttl time.Duration, uses int, petname string, node identity.PeerID, addrs []string) (Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all, err := k.list()
	if err != nil {
		return Token{}, err
	}
	if len(all) >= outstandingMax {
		return Token{}, fmt.Errorf("there are %d invitations already, the most that a node keeps", len(all))
	}
	t := Token{Secret: make([]byte, secretBytes), Node: node, Addrs: addrs[:min(len(addrs), addrsMax)], Expires: k.now().Add(ttl)}
	rand.Read(t.Secret) // never fails
	return t, k.put(keyOf(t.Secret), &wire.Invited{ExpiresUnixMs: t.Expires.UnixMilli(), Uses: uint32(uses), Petname: petname})
}

func keyOf(secret []byte) string {
	sum := sha256.Sum256(secret)
	return keyPrefix + hex.EncodeToString(sum[:])
}

func (k *Keeper) put(key string, m *wire.Invited) error {
	raw, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return k.store.Put(key, raw)
}

// Admit lets a guest in who shows the secret of an invitation, and returns that.
// What it returns is durable. The error is a [RefusedError] where the guest is to blame.
func (k *Keeper) Admit(secret []byte, guest identity.PeerID) (Invitation, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := keyOf(secret)
	raw, ok, err := k.store.Get(key)
	if err != nil {
		return Invitation{}, err
	}
	if !ok {
		return Invitation{}, &RefusedError{"this node knows no such invitation; it was withdrawn, or ended long ago"}
	}
	m := new(wire.Invited)
	if err := proto.Unmarshal(raw, m); err != nil {
		return Invitation{}, fmt.Errorf("invitation %s: %w", idOf(key), err)
	}
	i := parse(key, m)
	switch {
	case !k.now().Before(i.Expires):
		return i, &RefusedError{"this invitation ended at " + i.Expires.UTC().Format(time.RFC3339)}
	case slices.Contains(i.Guests, guest):
		return i, nil
	case len(i.Guests) >= i.Uses:
		return i, &RefusedError{"this invitation was used already"}
	}
	m.Guests = append(m.Guests, []byte(guest))
	return parse(key, m), k.put(key, m)
}

// List are the invitations, those that ended lately included, the first to end first.
func (k *Keeper) List() ([]Invitation, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.list()
}

// list forgets those that ended long ago.
func (k *Keeper) list() (all []Invitation, err error) {
	var old []string
	err = k.store.Scan(keyPrefix, func(key string, value []byte) error {
		m := new(wire.Invited)
		if proto.Unmarshal(value, m) != nil || k.now().After(time.UnixMilli(m.GetExpiresUnixMs()).Add(keptAfter)) {
			old = append(old, key)
			return nil
		}
		all = append(all, parse(key, m))
		return nil
	})
	for _, key := range old {
		if err == nil {
			err = k.store.Delete(key)
		}
	}
	slices.SortFunc(all, func(a, b Invitation) int { return a.Expires.Compare(b.Expires) })
	return all, err
}

// Outstanding says whether somebody may still come.
func (k *Keeper) Outstanding() (bool, error) {
	all, err := k.List()
	now := k.now()
	return slices.ContainsFunc(all, func(i Invitation) bool { return i.Open(now) }), err
}

// Withdraw ends the invitation whose ID begins with id, and says whether there is
// exactly one. Who came by it stays in the network.
func (k *Keeper) Withdraw(id string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found []string
	err := k.store.Scan(keyPrefix, func(key string, _ []byte) error {
		if id != "" && strings.HasPrefix(key, keyPrefix+id) {
			found = append(found, key)
		}
		return nil
	})
	if err != nil || len(found) != 1 {
		return false, err
	}
	return true, k.store.Delete(found[0])
}

func idOf(key string) string { return key[len(keyPrefix):][:8] }

func parse(key string, m *wire.Invited) Invitation {
	i := Invitation{ID: idOf(key), Expires: time.UnixMilli(m.GetExpiresUnixMs()), Uses: int(m.GetUses()), Petname: m.GetPetname()}
	for _, guest := range m.GetGuests() {
		i.Guests = append(i.Guests, identity.PeerID(guest))
	}
	return i
}
