package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// Rules are the judgements that apply needs from outside. They must be pure and
// equal on all replicas.
type Rules struct {
	// CheckRefName refuses names that git or peer do not accept.
	CheckRefName func(name string) error
	// RefsMax is how many refs a repository may have. Default: [RefsMax]; only tests
	// have another.
	RefsMax int
}

// Table is the replicated state of a repository. Applying an entry is the only
// way to change it.
type Table struct {
	genesis *Genesis
	rules   Rules
	meta    *wire.TableMeta
	members *Membership
	policy  *policy
	refs    map[string]*wire.Ref
	// refNameBytes is how long their names are together.
	refNameBytes int
	// dirs counts the refs below each directory, so that a/b beside a is found
	// without a search.
	dirs map[string]int
	// outcomes is keyed by who signed and the ID they chose; byIndex finds the
	// one that leaves the window.
	outcomes map[txKey]*wire.Outcome
	byIndex  map[uint64]txKey
	// root is over the refs; kept is what proves them.
	root root
	kept kept
	// retired are the tips that refs left since the floor, oldest first.
	retired []retiredTip
	// dirty is what changed since the last drain, and dirtyBytes at most its size.
	dirty      map[string][]byte
	dirtyBytes int
}

type txKey struct {
	signer identity.PublicKey
	id     [TransactionIDBytes]byte
}

const (
	keyGenesis = "g"
	keyMeta    = "m"
	keyRef     = "r/"
	keyOutcome = "o/"
	keyRetired = "t/"
	keyPolicy  = "p"
	keyLineage = "c"
)

func newTable(g *Genesis, rules Rules) *Table {
	t := &Table{
		genesis: g, rules: rules, meta: &wire.TableMeta{},
		refs: map[string]*wire.Ref{}, dirs: map[string]int{},
		outcomes: map[txKey]*wire.Outcome{}, byIndex: map[uint64]txKey{},
		kept: newKept(), dirty: map[string][]byte{},
	}
	if g != nil {
		t.policy = g.founded(rules)
		t.members = g.Membership()
	}
	return t
}

// LoadTable reads a table back. scan calls its argument for every stored key.
func LoadTable(scan func(func(key string, value []byte) error) error, rules Rules) (*Table, error) {
	t := newTable(nil, rules)
	lineage := new(wire.Lineage)
	if err := scan(func(key string, value []byte) error {
		if key == keyLineage {
			return proto.Unmarshal(value, lineage)
		}
		return t.load(key, value)
	}); err != nil {
		return nil, fmt.Errorf("load table: %w", err)
	}
	if t.genesis == nil || t.meta.GetIndex() < firstIndex {
		return nil, errors.New("load table: no genesis or no position in the store")
	}
	if err := checkChainVersion(t.meta); err != nil {
		return nil, fmt.Errorf("load table: %w", err)
	}
	t.sortRetired()
	t.sortKept()
	if err := t.checkRefs(); err != nil {
		return nil, fmt.Errorf("load table: %w", err)
	}
	if err := t.takeMembers(lineage); err != nil {
		return nil, fmt.Errorf("load table: %w", err)
	}
	if t.policy == nil {
		t.policy = t.genesis.founded(rules)
	}
	return t, nil
}

// takeMembers checks who has which seat, as the table says, and who votes, as the
// lineage proves.
func (t *Table) takeMembers(raw *wire.Lineage) error {
	proved, err := ParseLineage(t.genesis, raw)
	if err != nil {
		return err
	}
	t.members, err = membershipOf(t.meta, proved)
	return err
}

func (t *Table) load(key string, value []byte) error {
	switch {
	case key == keyGenesis:
		signed := new(wire.Signed)
		if err := proto.Unmarshal(value, signed); err != nil {
			return err
		}
		g, err := ParseGenesis(signed)
		t.genesis = g
		return err
	case key == keyMeta:
		return proto.Unmarshal(value, t.meta)
	case key == keyPolicy:
		p, err := decodePolicy(value, t.rules)
		t.policy = p
		return err
	case strings.HasPrefix(key, keyRef):
		ref := new(wire.Ref)
		if err := proto.Unmarshal(value, ref); err != nil {
			return err
		}
		t.putRef(ref)
		return nil
	case strings.HasPrefix(key, keyOutcome):
		outcome := new(wire.Outcome)
		if err := proto.Unmarshal(value, outcome); err != nil {
			return err
		}
		return t.putOutcome(outcome)
	case strings.HasPrefix(key, keyRetired):
		return t.loadRetired(key, value)
	}
	if ours, err := t.loadKept(key, value); ours {
		return err
	}
	return fmt.Errorf("unknown table key %q: written by a newer peer? upgrade this one", key)
}

// Genesis is the repository's genesis.
func (t *Table) Genesis() *Genesis { return t.genesis }

// Index is the last entry applied.
func (t *Table) Index() uint64 { return t.meta.GetIndex() }

// Term is the term of that entry.
func (t *Table) Term() uint64 { return t.meta.GetTerm() }

// Chain is the hash over all entries up to that one.
func (t *Table) Chain() []byte { return t.meta.GetChain() }

// Stamp is the highest leader's clock applied so far, in Unix milliseconds.
func (t *Table) Stamp() int64 { return t.meta.GetStampUnixMs() }

// Head is the branch that HEAD names.
func (t *Table) Head() string { return t.meta.GetHead() }

// Membership is who has which seat.
func (t *Table) Membership() *Membership { return t.members }

// Settings are what the owner wants of the group; never nil.
func (t *Table) Settings() *wire.Settings {
	if s := t.meta.GetSettings(); s != nil {
		return s
	}
	return &wire.Settings{}
}

// Tombstone says that the owner removed the repository; nil: it lives.
func (t *Table) Tombstone() *wire.Tombstone { return t.meta.GetTombstone() }

// Lock is the write lease, expired or not; nil when nobody holds one.
func (t *Table) Lock() *wire.Lock { return t.meta.GetLock() }

// Refs lists all refs, in no order. The caller must not change them.
func (t *Table) Refs() []*wire.Ref { return slices.Collect(maps.Values(t.refs)) }

// Outcome is what became of a transaction, if it was applied within its window.
func (t *Table) Outcome(signer identity.PublicKey, id []byte) *wire.Outcome {
	if len(id) != TransactionIDBytes {
		return nil
	}
	return t.outcomes[txKey{signer, [TransactionIDBytes]byte(id)}]
}

func (t *Table) putRef(ref *wire.Ref) {
	if t.refs[ref.GetName()] == nil {
		t.countDirs(ref.GetName(), 1)
		t.refNameBytes += len(ref.GetName())
	} else {
		t.unset(t.refs[ref.GetName()])
	}
	t.refs[ref.GetName()] = ref
	t.root.add(RefElement(ref.GetName(), ref.GetOid(), ref.GetIndex()))
	t.kept.refs[ref.GetIndex()]++
}

// unset takes a ref, which is there, out of what is counted by value.
func (t *Table) unset(ref *wire.Ref) {
	t.root.remove(RefElement(ref.GetName(), ref.GetOid(), ref.GetIndex()))
	if t.kept.refs[ref.GetIndex()]--; t.kept.refs[ref.GetIndex()] == 0 {
		delete(t.kept.refs, ref.GetIndex())
	}
}

func (t *Table) dropRef(name string) {
	if ref := t.refs[name]; ref != nil {
		t.countDirs(name, -1)
		t.refNameBytes -= len(name)
		t.unset(ref)
		delete(t.refs, name)
	}
}

func (t *Table) countDirs(name string, by int) {
	for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
		if t.dirs[name[:i]] += by; t.dirs[name[:i]] == 0 {
			delete(t.dirs, name[:i])
		}
	}
}

func (t *Table) putOutcome(o *wire.Outcome) error {
	signer, err := identity.ParsePublicKey(o.GetSigner())
	if err != nil || len(o.GetId()) != TransactionIDBytes {
		return fmt.Errorf("outcome at %d is malformed", o.GetIndex())
	}
	key := txKey{signer, [TransactionIDBytes]byte(o.GetId())}
	t.outcomes[key], t.byIndex[o.GetIndex()] = o, key
	return nil
}

// forgetOutcome drops what left its window: a transaction that committed at
// index i had a base below i, so from i+WindowMax on no replay of it can commit.
func (t *Table) forgetOutcome(now uint64) {
	if now <= WindowMax {
		return
	}
	index := now - WindowMax
	if key, ok := t.byIndex[index]; ok {
		delete(t.outcomes, key)
		delete(t.byIndex, index)
		t.mark(outcomeKey(index), nil)
	}
}

func outcomeKey(index uint64) string {
	return keyOutcome + string(binary.BigEndian.AppendUint64(nil, index))
}

func (t *Table) saveRef(name string) {
	if ref := t.refs[name]; ref != nil {
		t.mark(keyRef+name, encode(ref))
	} else {
		t.mark(keyRef+name, nil)
	}
}

func (t *Table) saveAll() {
	t.mark(keyGenesis, encode(t.genesis.Signed))
	t.mark(keyMeta, encode(t.meta))
	if t.policyChanged() {
		t.mark(keyPolicy, encode(t.policy.wire))
	}
	t.mark(keyLineage, encode(t.members.Lineage.Wire()))
	for name := range t.refs {
		t.saveRef(name)
	}
	for index, key := range t.byIndex {
		t.mark(outcomeKey(index), encode(t.outcomes[key]))
	}
	for _, r := range t.retired {
		t.mark(r.key(), encode(r.Retired))
	}
	t.saveKept()
}

// mark says that a key changed; a nil value deletes it.
func (t *Table) mark(key string, value []byte) {
	t.dirty[key] = value
	t.dirtyBytes += len(key) + len(value)
}

// drain hands out what changed since it was last called, in the order of the keys.
func (t *Table) drain() []Change {
	changes := make([]Change, 0, len(t.dirty))
	for _, key := range slices.Sorted(maps.Keys(t.dirty)) {
		changes = append(changes, Change{Key: key, Value: t.dirty[key]})
	}
	clear(t.dirty)
	t.dirtyBytes = 0
	return changes
}

// Snapshot is the whole table, the same bytes on every replica at one index.
func (t *Table) Snapshot() *wire.TableSnapshot {
	s := &wire.TableSnapshot{Genesis: t.genesis.Signed, Meta: t.meta, Retired: t.Retired(), Lineage: t.members.Lineage.Wire()}
	t.snapshotKept(s)
	if t.policyChanged() {
		s.Policy = t.policy.wire
	}
	for _, name := range slices.Sorted(maps.Keys(t.refs)) {
		s.Refs = append(s.Refs, t.refs[name])
	}
	for _, index := range slices.Sorted(maps.Keys(t.byIndex)) {
		s.Outcomes = append(s.Outcomes, t.outcomes[t.byIndex[index]])
	}
	return s
}

// fromSnapshot checks a table from another member against the genesis at hand.
func fromSnapshot(s *wire.TableSnapshot, g *Genesis, rules Rules) (*Table, error) {
	if identity.HashGenesis(s.GetGenesis().GetBody()) != g.Hash {
		return nil, errors.New("snapshot is of another genesis")
	}
	if s.GetMeta().GetIndex() < firstIndex || len(s.GetMeta().GetChain()) != len(g.Hash) {
		return nil, errors.New("snapshot without a position")
	}
	if err := checkChainVersion(s.GetMeta()); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	t := newTable(g, rules)
	t.meta = s.GetMeta()
	if err := t.takeMembers(s.GetLineage()); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if s.GetPolicy() != nil {
		p, err := parseChanged(s.GetPolicy(), rules)
		if err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
		t.policy = p
	}
	for _, ref := range s.GetRefs() {
		if err := rules.CheckRefName(ref.GetName()); err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
		if len(ref.GetOid()) != g.OIDBytes() {
			return nil, fmt.Errorf("snapshot: object ID of %d bytes", len(ref.GetOid()))
		}
		t.putRef(ref)
	}
	for _, o := range s.GetOutcomes() {
		if err := t.putOutcome(o); err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
	}
	if err := t.takeRetired(s.GetRetired()); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if err := errors.Join(t.takeKept(s), t.checkRefs()); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	t.saveAll()
	return t, nil
}

// encode marshals our own messages, always the same way. It can't fail on what
// we built ourselves.
func encode(m proto.Message) []byte {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("replica: encode %T: %v", m, err))
	}
	return raw
}
