package node_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// hints makes records about one repository.
type hints struct {
	g      *replica.Genesis
	member identity.Key
	now    time.Time
}

func newHints(t testing.TB) *hints {
	t.Helper()
	owner, member := identity.KeyFromSeed([32]byte{1}), identity.KeyFromSeed([32]byte{2})
	g, err := replica.NewGenesis(owner, genesisOf("demo", member))
	if err != nil {
		t.Fatal(err)
	}
	return &hints{g, member, time.Unix(1_800_000_000, 0)}
}

func genesisOf(name string, member identity.Key) *wire.Genesis {
	return &wire.Genesis{
		Name: name, ObjectFormat: replica.SHA1, DefaultBranch: "refs/heads/main",
		Members: []*wire.Member{{RaftId: 1, Peer: []byte(member.PeerID()), Nonce: make([]byte, replica.NonceBytes)}},
		Policy:  &wire.Policy{Version: 1},
	}
}

// record makes a hint of a term and index; edit may spoil it before it is signed,
// and spoil the record after.
func (h *hints) record(t testing.TB, term, index uint64, edit func(*wire.Hint), spoil func(*wire.HintRecord)) []byte {
	t.Helper()
	hint := &wire.Hint{
		Genesis: h.g.Hash[:], Term: term, Index: index,
		ExpiresUnixMs: h.now.Add(24 * time.Hour).UnixMilli(),
	}
	if edit != nil {
		edit(hint)
	}
	signed, err := replica.Seal(h.member, identity.DomainHint, hint)
	if err != nil {
		t.Fatal(err)
	}
	record := &wire.HintRecord{Hint: signed, Genesis: h.g.Signed}
	if spoil != nil {
		spoil(record)
	}
	raw, err := proto.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (h *hints) bad(t testing.TB) map[string][]byte {
	stranger := identity.KeyFromSeed([32]byte{3})
	seal := func(k identity.Key, d identity.Domain, m proto.Message) *wire.Signed {
		s, err := replica.Seal(k, d, m)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	far := &wire.Hint{Genesis: h.g.Hash[:], Term: 99, Index: 1 << 40, ExpiresUnixMs: h.now.Add(time.Hour).UnixMilli()}
	other, err := replica.NewGenesis(stranger, genesisOf("demo", h.member))
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"nothing":                  nil,
		"garbage":                  []byte("garbage"),
		"too large":                make([]byte, wire.RecordBytesMax+1),
		"expired":                  h.record(t, 9, 9, func(m *wire.Hint) { m.ExpiresUnixMs = h.now.UnixMilli() - 1 }, nil),
		"from the far future":      h.record(t, 9, 9, func(m *wire.Hint) { m.ExpiresUnixMs = h.now.Add(1000 * time.Hour).UnixMilli() }, nil),
		"at the end of time":       h.record(t, 9, 9, func(m *wire.Hint) { m.ExpiresUnixMs = 1<<63 - 1 }, nil),
		"before the beginning":     h.record(t, 9, 9, func(m *wire.Hint) { m.ExpiresUnixMs = -1 << 63 }, nil),
		"of another genesis":       h.record(t, 9, 9, func(m *wire.Hint) { m.Genesis = make([]byte, 32) }, nil),
		"of no genesis":            h.record(t, 9, 9, nil, func(r *wire.HintRecord) { r.Genesis = nil }),
		"of another repository":    h.record(t, 9, 9, func(m *wire.Hint) { m.Genesis = other.Hash[:] }, func(r *wire.HintRecord) { r.Genesis = other.Signed }),
		"of a private repository":  h.ofPrivate(t),
		"unsigned":                 h.record(t, 9, 9, nil, func(r *wire.HintRecord) { r.Hint.Signature = nil }),
		"altered":                  h.record(t, 9, 9, nil, func(r *wire.HintRecord) { r.Hint.Body[len(r.Hint.Body)-1]++ }),
		"no hint":                  h.record(t, 9, 9, nil, func(r *wire.HintRecord) { r.Hint = nil }),
		"signed by a stranger":     h.record(t, 9, 9, nil, func(r *wire.HintRecord) { r.Hint = seal(stranger, identity.DomainHint, far) }),
		"signed for another thing": h.record(t, 9, 9, nil, func(r *wire.HintRecord) { r.Hint = seal(h.member, identity.DomainHello, far) }),
		"higher, by a stranger in a member's name": h.record(t, 9, 9, nil, func(r *wire.HintRecord) {
			r.Hint = seal(stranger, identity.DomainHint, far)
			public := h.member.Public()
			r.Hint.Signer = public[:]
		}),
	}
}

// moved is the record of a group that went from the member to a newcomer: by is who
// signs the hint, and edit may spoil the lineage.
func (h *hints) moved(t testing.TB, by identity.Key, term uint64, edit func(*wire.Configuration, *wire.Hint)) []byte {
	t.Helper()
	newcomer := newcomerKey.PeerID()
	conf := &wire.Configuration{
		Genesis: h.g.Hash[:], Generation: 1, Index: 5, Previous: h.g.Hash[:],
		Voters: []*wire.Member{{RaftId: 2, Peer: []byte(newcomer), Nonce: make([]byte, replica.NonceBytes)}},
	}
	return h.record(t, term, 9, func(m *wire.Hint) {
		m.Generation = 1
		if edit != nil {
			edit(conf, m)
		}
	}, func(r *wire.HintRecord) {
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(conf)
		if err != nil {
			t.Fatal(err)
		}
		r.Lineage = &wire.Lineage{Certificates: []*wire.Certificate{{
			Configuration: body, Endorsements: []*wire.Endorsement{{RaftId: 1, Signature: h.member.Sign(identity.DomainConfiguration, body)}},
		}}}
		public := by.Public()
		r.Hint.Signer, r.Hint.Signature = public[:], by.Sign(identity.DomainHint, r.Hint.Body)
	})
}

var newcomerKey = identity.KeyFromSeed([32]byte{4})

// The voters changed since the genesis: those of now are believed, and count more
// than those of before, whatever term and index these name.
func TestHintOfLaterVoters(t *testing.T) {
	t.Parallel()
	h := newHints(t)
	good := h.moved(t, newcomerKey, 3, nil)
	if _, err := node.CheckHint(h.g.Repo, good, h.now); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{
		"one who left":          h.moved(t, h.member, 3, nil),
		"a stranger":            h.moved(t, identity.KeyFromSeed([32]byte{3}), 3, nil),
		"of another generation": h.moved(t, newcomerKey, 3, func(_ *wire.Configuration, m *wire.Hint) { m.Generation = 2 }),
		"of the first one":      h.moved(t, newcomerKey, 3, func(_ *wire.Configuration, m *wire.Hint) { m.Generation = 0 }),
		"of another repository": h.moved(t, newcomerKey, 3, func(c *wire.Configuration, _ *wire.Hint) { c.Genesis = make([]byte, 32) }),
		"a step left out":       h.moved(t, newcomerKey, 3, func(c *wire.Configuration, m *wire.Hint) { c.Generation, m.Generation = 2, 2 }),
	} {
		if hint, err := node.CheckHint(h.g.Repo, raw, h.now); err == nil {
			t.Errorf("%s: accepted as %v", name, hint)
		}
	}
	old := h.record(t, 1<<40, 1<<40, nil, nil)
	if got, err := node.SelectHint(h.g.Repo, [][]byte{old, good, old}, h.now); err != nil || got != 1 {
		t.Errorf("selected %d, %v, want the later voters'", got, err)
	}
}

func TestCheckHint(t *testing.T) {
	t.Parallel()
	h := newHints(t)
	good, err := node.CheckHint(h.g.Repo, h.record(t, 3, 7, nil, nil), h.now)
	if err != nil || good.GetTerm() != 3 || good.GetIndex() != 7 {
		t.Fatalf("a good hint: %v, %v", good, err)
	}
	if _, err := node.CheckHint(identity.RepoID{}, h.record(t, 3, 7, nil, nil), h.now); err == nil {
		t.Error("a good hint about another repository")
	}
	for name, raw := range h.bad(t) {
		if hint, err := node.CheckHint(h.g.Repo, raw, h.now); err == nil {
			t.Errorf("%s: accepted as %v", name, hint)
		}
	}
}

func TestSelectHint(t *testing.T) {
	t.Parallel()
	h := newHints(t)
	good := func(term, index uint64) []byte { return h.record(t, term, index, nil, nil) }
	for _, tt := range []struct {
		name    string
		records [][]byte
		want    int // -1: none
	}{
		{"none", nil, -1},
		{"one", [][]byte{good(1, 1)}, 0},
		{"the higher term", [][]byte{good(1, 9), good(2, 1)}, 1},
		{"the higher index of a term", [][]byte{good(2, 3), good(2, 5), good(2, 4)}, 1},
		{"the first of equals", [][]byte{good(2, 3), good(2, 3)}, 0},
	} {
		got, err := node.SelectHint(h.g.Repo, tt.records, h.now)
		if (err != nil) != (tt.want < 0) || (tt.want >= 0 && got != tt.want) {
			t.Errorf("%s: %d, %v; want %d", tt.name, got, err, tt.want)
		}
	}
	for name, raw := range h.bad(t) {
		if got, err := node.SelectHint(h.g.Repo, [][]byte{raw, good(1, 1), raw}, h.now); err != nil || got != 1 {
			t.Errorf("%s beats a good one: %d, %v", name, got, err)
		}
		if got, err := node.SelectHint(h.g.Repo, [][]byte{raw, raw}, h.now); err == nil {
			t.Errorf("%s was selected: %d", name, got)
		}
	}
}

// Whatever the bytes are, a hint that is accepted is about the repository, in
// date, and signed by a certified voter.
func FuzzCheckHint(f *testing.F) {
	h := newHints(f)
	f.Add(h.record(f, 1, 2, nil, nil))
	f.Add(h.moved(f, newcomerKey, 4, nil))
	for _, raw := range h.bad(f) {
		f.Add(raw[:min(len(raw), 1000)])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		hint, err := node.CheckHint(h.g.Repo, raw, h.now)
		if err != nil {
			return
		}
		record := new(wire.HintRecord)
		if err := proto.Unmarshal(raw, record); err != nil {
			t.Fatal(err)
		}
		founder, seated := h.member.Public(), newcomerKey.Public()
		signer := string(record.GetHint().GetSigner())
		if string(hint.GetGenesis()) != string(h.g.Hash[:]) || signer != string(founder[:]) && signer != string(seated[:]) {
			t.Errorf("accepted %v", hint)
		}
	})
}

// Members hear each other's good hints and pass on no bad ones; the DHT keeps
// the newest.
func TestGossipAndRecords(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	outsider := c.Client(g).Net
	c.Eventually(func() string {
		raw, err := outsider.GetRecord(deadline(t), g.Repo[:])
		if err != nil {
			return "not in the DHT"
		}
		hint, err := node.CheckHint(g.Repo, raw, time.Now())
		if err != nil {
			return err.Error()
		}
		if string(hint.GetLeader()) == "" {
			return "a hint without a leader"
		}
		return ""
	})
	accepted := make(chan []byte, 100)
	leave, err := outsider.Join("repo/1/"+g.Repo.String(),
		func(_ identity.PeerID, data []byte) bool {
			_, err := node.CheckHint(g.Repo, data, time.Now())
			return err == nil
		},
		func(_ identity.PeerID, data []byte) { accepted <- data })
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	done := mustPush(t, c, c.Client(g), c.Client(g).Sign(1, nil, nil, nodetest.Head(main, "refs/heads/x")))
	for {
		hint, err := node.CheckHint(g.Repo, <-accepted, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if hint.GetIndex() >= done.GetIndex() {
			if string(hint.GetLeader()) != string(leader.ID) || len(hint.GetInSync()) < 2 {
				t.Errorf("announced %v", hint)
			}
			return
		}
	}
}

// ofPrivate is a hint about a private repository of that name, which a member has published.
func (h *hints) ofPrivate(t testing.TB) []byte {
	t.Helper()
	body := genesisOf("demo", h.member)
	body.Private = true
	g, err := replica.NewGenesis(identity.KeyFromSeed([32]byte{1}), body)
	if err != nil {
		t.Fatal(err)
	}
	return (&hints{g, h.member, h.now}).record(t, 9, 9, nil, nil)
}
