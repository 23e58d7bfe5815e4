package cmd

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// clonedOnce returns a person with a clone "c" of two branches, and so with pins.
func clonedOnce(t *testing.T) (*fakeReplica, *person) {
	t.Helper()
	f, p := started(t)
	p.ok("w", "push", "--quiet", "origin", "main:refs/heads/a")
	p.ok("", "clone", "--quiet", f.url(), "c")
	p.env = append(p.env, "PEER_FETCH_TIMEOUT=0.3") // what is refused stays so
	return f, p
}

// TestProvedFetch clones and fetches from a replica that proves its listing.
func TestProvedFetch(t *testing.T) {
	t.Parallel()
	f, p := started(t)
	p.ok("w", "tag", "-a", "-m", "one", "v1")
	p.ok("w", "push", "--quiet", "origin", "main:refs/heads/a", "v1")
	p.run("", "clone", "-v", f.url(), "c").exits(0).doesNotSay("warning").
		says("remote: index 3, signed by 2 of 3 voters; 3 refs are new here, 2 transactions prove them")
	p.ok("c", "fsck")
	p.run("c", "fetch", "-v").exits(0).says("0 refs are new here, 0 transactions prove them")
	oid := p.commit("w", "a", "2")
	p.ok("w", "push")
	p.run("c", "fetch", "-v").exits(0).says("remote: index 4, signed by 2 of 3 voters; 1 refs are new here, 1 transactions prove them").doesNotSay("warning")
	if got := p.ok("c", "rev-parse", "origin/main"); got != oid {
		t.Errorf("fetched %s, want %s", got, oid)
	}
	p.ok("w", "push", "origin", ":refs/heads/a")
	p.run("c", "fetch", "--prune", "-v").exits(0).says("[deleted]", "0 refs are new here")
	f.hook(func() {
		last := f.hellos[len(f.hellos)-1]
		if !last.GetProve() || last.GetProvedIndex() != 4 {
			t.Errorf("the last hello asks for proofs of what was set after %d", last.GetProvedIndex())
		}
	})
	want := p.ok("w", "rev-parse", "v1")
	if got := p.ok("", "ls-remote", f.url(), "refs/tags/*"); got != want+"\trefs/tags/v1\n"+p.ok("w", "rev-parse", "main~1")+"\trefs/tags/v1^{}" {
		t.Errorf("ls-remote prints %q", got)
	}
}

// A replica lies about its listing to a home that has seen the repository: nothing of it
// gets through, whoever of the minority signs it.
func TestLyingListing(t *testing.T) {
	f, p := clonedOnce(t)
	main := func(l *fakeListing) *wire.ListedRef { return l.ref("refs/heads/main") }
	other := f.newGenesis("sha1") // the same owner and name, at another time
	evil := bytes.Repeat([]byte{0xbd}, 20)
	stranger := identity.KeyFromSeed([32]byte{99})
	moved := func(k identity.Key, genesis identity.GenesisHash, oid []byte) *wire.Kept {
		public := k.Public()
		signed, err := replica.Seal(k, identity.DomainTransaction, &wire.Transaction{
			Genesis: genesis[:], Signer: public[:], Id: make([]byte, replica.TransactionIDBytes), Base: 1, Window: 100,
			Operations: []*wire.Operation{{Kind: &wire.Operation_RefUpdate{RefUpdate: &wire.RefUpdate{Name: "refs/heads/main", New: oid}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return &wire.Kept{Index: 4, Transaction: signed}
	}
	// All voters of a majority vouch for a main that nobody might have put there.
	forged := func(k *wire.Kept, oid []byte) func(*fakeListing) {
		return func(l *fakeListing) {
			l.claim.Index = 4
			main(l).Oid, main(l).Index, l.kept = oid, 4, []*wire.Kept{k}
		}
	}
	grafted := func(l *fakeListing) {
		accomplice := identity.KeyFromSeed([32]byte{77})
		body, _ := proto.MarshalOptions{Deterministic: true}.Marshal(&wire.Configuration{
			Genesis: f.genesis.Hash[:], Generation: 1, Index: 2, Previous: f.genesis.Hash[:],
			Voters: []*wire.Member{{RaftId: 4, Peer: []byte(accomplice.PeerID()), Nonce: make([]byte, replica.NonceBytes)}},
		})
		l.vouched.Lineage = &wire.Lineage{Certificates: []*wire.Certificate{{Configuration: body, Endorsements: []*wire.Endorsement{
			{RaftId: 1, Signature: fakeVoter(1).Sign(identity.DomainConfiguration, body)},
			{RaftId: 2, Signature: fakeVoter(1).Sign(identity.DomainConfiguration, body)},
		}}}}
	}
	for name, c := range map[string]struct {
		lie, forge func(*fakeListing)
		says       string
	}{
		"swaps object IDs": {forge: func(l *fakeListing) { main(l).Oid = evil }, says: "is not the one that is signed"},
		"leaves a ref out": {forge: func(l *fakeListing) { l.refs = l.refs[1:] }, says: "is not the one that is signed"},
		"adds a ref": {forge: func(l *fakeListing) {
			l.refs = append(l.refs, &wire.ListedRef{Name: "refs/heads/z", Oid: main(l).GetOid(), Index: 2})
		}, says: "is not the one that is signed"},
		"moves HEAD":         {forge: func(l *fakeListing) { l.vouched.Head = "refs/heads/a" }, says: "is not the one that is signed"},
		"another entry's":    {forge: func(l *fakeListing) { main(l).Index = 3 }, says: "is not the one that is signed"},
		"signs alone":        {lie: func(l *fakeListing) { l.voices, l.refs = []uint64{1}, l.refs[1:]; l.claim.Index = 4 }, says: "1 of 3 voters vouch for this listing"},
		"signs twice":        {forge: func(l *fakeListing) { l.vouched.Signatures[1] = l.vouched.Signatures[0] }, says: "did not sign this"},
		"signs for another":  {forge: func(l *fakeListing) { l.vouched.Signatures[1].Signature[0] ^= 1 }, says: "did not sign this"},
		"renumbers":          {forge: func(l *fakeListing) { l.vouched.Index++ }, says: "did not sign this"},
		"goes back":          {lie: func(l *fakeListing) { l.claim.Index = 2 }, says: "it confirms index 3, and lists index 2"},
		"goes sideways":      {lie: func(l *fakeListing) { l.refs = l.refs[1:] }, says: "it lists another state of index 3"},
		"another log":        {lie: func(l *fakeListing) { l.claim.Chain[0] ^= 1 }, says: "it lists another state of index 3"},
		"an entry of before": {lie: func(l *fakeListing) { l.ref("refs/heads/a").Index, l.claim.Index = 2, 4 }, says: "is said to have put it, and in the listing of index 3"},
		"a ref of before": {lie: func(l *fakeListing) {
			l.refs, l.claim.Index = append(l.refs, &wire.ListedRef{Name: "refs/heads/z", Oid: main(l).GetOid(), Index: 2}), 4
		}, says: "lists \"refs/heads/z\""},
		"a grafted lineage":    {forge: grafted, says: "the certificate does not hold"},
		"out of order":         {forge: func(l *fakeListing) { slices.Reverse(l.refs) }, says: "out of order"},
		"a ref twice":          {forge: func(l *fakeListing) { l.refs = append(l.refs, l.refs[len(l.refs)-1]) }, says: "listed twice"},
		"by nobody who may":    {lie: forged(moved(stranger, f.genesis.Hash, evil), evil), says: "who might not"},
		"another ref's":        {lie: forged(moved(f.pusher, f.genesis.Hash, evil), bytes.Repeat([]byte{0xbe}, 20)), says: "does not put refs/heads/main"},
		"another repository's": {lie: forged(moved(f.pusher, other.Hash, evil), evil), says: "transaction of another repository"},
		"unsigned": {lie: func(l *fakeListing) {
			k := moved(f.pusher, f.genesis.Hash, evil)
			k.Transaction.Signature[9] ^= 1
			forged(k, evil)(l)
		}, says: "signature does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			f.hook(func() { f.lie, f.forge = c.lie, c.forge })
			before := p.ok("c", "for-each-ref")
			for _, args := range [][]string{{"fetch", "--prune"}, {"ls-remote"}} {
				r := p.run("c", args...).exits(128).says("peer: error: ", c.says)
				if strings.Contains(r.out, "refs/") {
					t.Errorf("git %s prints %s", args[0], r.out)
				}
			}
			if after := p.ok("c", "for-each-ref"); after != before {
				t.Errorf("refs were\n%s\nand are\n%s", before, after)
			}
		})
	}
	f.hook(func() { f.lie, f.forge = nil, nil })
	p.run("c", "fetch").exits(0).doesNotSay("peer: ")
}

// TestStaleListing has a replica say that no leader answers it, and list alone, to a home
// that knows index 4. What can't have come after that is refused. What may have, is shown:
// an honest replica could list it.
func TestStaleListing(t *testing.T) {
	t.Parallel()
	f, p := clonedOnce(t)
	first := p.ok("w", "rev-parse", "main")
	second := p.commit("w", "a", "2")
	p.ok("w", "push", "origin", "main")
	p.ok("c", "fetch")
	raw := func(oid string) []byte {
		b, _ := hex.DecodeString(oid)
		return b
	}
	signed := func(name string, base uint64, old, new []byte) *wire.Signed {
		public := f.pusher.Public()
		s, err := replica.Seal(f.pusher, identity.DomainTransaction, &wire.Transaction{
			Genesis: f.genesis.Hash[:], Signer: public[:], Id: make([]byte, replica.TransactionIDBytes), Base: base, Window: 100,
			Operations: []*wire.Operation{{Kind: &wire.Operation_RefUpdate{RefUpdate: &wire.RefUpdate{Name: name, Old: old, New: new}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// set shows a ref as entry 6 put it.
	set := func(name, oid string, by *wire.Signed) func(*fakeListing) {
		return func(l *fakeListing) {
			l.refs = slices.DeleteFunc(l.refs, func(r *wire.ListedRef) bool { return r.GetName() == name })
			l.refs = append(l.refs, &wire.ListedRef{Name: name, Oid: raw(oid), Index: 6})
			slices.SortFunc(l.refs, func(a, b *wire.ListedRef) int { return strings.Compare(a.GetName(), b.GetName()) })
			l.kept = append(l.kept, &wire.Kept{Index: 6, Transaction: by})
		}
	}
	lies := func(lie func(*fakeListing)) {
		f.hook(func() {
			f.stale, f.voices = true, []uint64{2}
			f.lie = func(l *fakeListing) { l.claim.Index = 7; lie(l) }
		})
	}
	const a, main, z = "refs/heads/a", "refs/heads/main", "refs/heads/z"
	var push *wire.Signed // made main
	f.hook(func() { push = f.kept[2] })
	take := *p
	take.env = append(slices.Clone(p.env), unprovedEnv+"="+unprovedTake)
	for name, c := range map[string]struct {
		lie  func(*fakeListing)
		is   string // a lie, doubtful, or what may be
		says string
	}{
		"an older main": {func(l *fakeListing) {
			l.ref(main).Oid, l.ref(main).Index = raw(first), 2
			l.kept = []*wire.Kept{{Index: 2, Transaction: push}}
		}, "a lie", "is said to have put it, and in the listing of index 4"},
		"an older main as a later one":     {set(main, first, push), "doubtful", "what is signed for refs/heads/main was signed before index 4"},
		"what a branch of before became":   {set(z, second, signed(z, 3, raw(first), raw(second))), "doubtful", "signed for refs/heads/z was signed before index 4"},
		"a main that was on its way back":  {set(main, first, signed(main, 3, raw(second), raw(first))), "", ""},
		"no branch any more":               {func(l *fakeListing) { l.refs = l.refs[1:] }, "", "deleted since index 4, or left out: refs/heads/a\n"},
		"no branches any more":             {func(l *fakeListing) { l.refs = nil }, "", "left out: refs/heads/a and 1 more"},
		"a push that was on its way":       {set(a, second, signed(a, 1, raw(first), raw(second))), "", ""},
		"a new branch that was on its way": {set(z, first, signed(z, 3, nil, raw(first))), "", ""},
		"a main that was set back":         {set(main, first, signed(main, 4, raw(second), raw(first))), "", ""},
		"a branch that went and came":      {set(a, first, signed(a, 5, nil, raw(first))), "", ""},
		"a branch that was set to itself":  {set(a, first, signed(a, 3, raw(first), raw(first))), "", ""},
		"another default branch":           {func(l *fakeListing) { l.head = a }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			lies(c.lie)
			switch c.is {
			case "a lie":
				take.run("c", "ls-remote").exits(128).says("peer: error: ", c.says)
			case "doubtful":
				take.run("c", "ls-remote").exits(0).says("1 of 3 voters vouch for this listing, and ", c.says)
			default:
				p.run("c", "ls-remote").exits(0).says("1 of 3 voters vouch for this listing: each ref was signed for by who might", c.says)
			}
		})
	}
	lies(set(main, first, push))
	p.run("c", "fetch").exits(128).says("peer: error: ", "what is signed for refs/heads/main was signed before index 4", "PEER_UNPROVED=take")
	if got := p.ok("c", "rev-parse", "origin/main"); got != second {
		t.Errorf("a refused fetch moves main to %s", got)
	}
	// A majority's word counts for what one voter's does not.
	f.hook(func() {
		f.stale, f.voices = false, []uint64{1, 2}
		f.lie = func(l *fakeListing) { l.claim.Index = 7; set(main, first, push)(l) }
	})
	p.run("c", "ls-remote").exits(0).says(first + "\trefs/heads/main").doesNotSay("peer: ")
}

// TestGitSeesWhatWasChecked has the replica's git list more than what was proved.
func TestGitSeesWhatWasChecked(t *testing.T) {
	t.Parallel()
	f, p := clonedOnce(t)
	f.hook(func() {
		f.forge = func(*fakeListing) { f.git(nil, "update-ref", "refs/heads/late", "refs/heads/main") }
	})
	p.run("", "ls-remote", f.url()).exits(0).says("refs/heads/main").doesNotSay("refs/heads/late")
	f.hook(func() { f.index, f.forge, f.setBy["refs/heads/late"] = f.index+1, nil, f.index+1 })
	p.run("c", "fetch").exits(0).says("-> origin/late", "no signature is kept") // it is listed this time
}

// TestHostileUploadPack has what follows a listing that is proved tell git of others.
func TestHostileUploadPack(t *testing.T) {
	t.Parallel()
	f, p := clonedOnce(t)
	first := p.ok("c", "rev-parse", "origin/main")
	second := p.commit("w", "a", "2")
	p.ok("w", "push")
	p.ok("c", "fetch")
	advert := func(lines ...string) (out []byte) {
		for _, l := range lines {
			out = git.AppendPkt(out, []byte(l+"\n"))
		}
		return append(out, git.FlushPkt...)
	}
	v2 := advert("version 2", "agent=git/2", "ls-refs=unborn", "fetch=shallow", "object-format=sha1")
	says := func(said []byte) func() {
		return func() {
			f.speak = func(s *fakeSession) {
				_, _ = s.Write(said)
				_, _ = io.Copy(io.Discard, s.UnixConn)
				s.Close()
			}
		}
	}

	// Main is where it was before, says who was not asked.
	f.hook(says(append(v2, advert(first+" HEAD symref-target:refs/heads/main", first+" refs/heads/main")...)))
	if got := p.ok("", "ls-remote", f.url(), "refs/heads/main"); got != second+"\trefs/heads/main" {
		t.Errorf("ls-remote prints %q, want main at %s", got, second)
	}
	p.ok("c", "fetch", "--prune")
	if got := p.ok("c", "for-each-ref", "--format=%(refname) %(objectname)", "refs/remotes/origin/main", "refs/remotes/origin/a"); got != "refs/remotes/origin/a "+first+"\nrefs/remotes/origin/main "+second {
		t.Errorf("after a fetch refs are\n%s", got)
	}

	// Version 0 begins with a listing.
	f.hook(says(advert(first + " refs/heads/main\x00side-band-64k ofs-delta object-format=sha1")))
	p.run("", "ls-remote", f.url()).exits(128).says("peer: error: ", "instead of git's protocol of version 2")
	p.run("c", "fetch").exits(128)

	// Who offers to take names for what is wanted says what they are.
	third := p.commit("w", "a", "3")
	p.ok("w", "push")
	f.hook(func() {
		f.speak = nil
		f.forge = func(*fakeListing) {
			tree := strings.TrimSpace(f.git(nil, "rev-parse", third+"^{tree}"))
			f.git(nil, "update-ref", "refs/heads/main", strings.TrimSpace(f.git(nil, "-c", "user.name=e", "-c", "user.email=e@e", "commit-tree", "-p", third, "-m", "evil", tree)))
		}
	})
	p.ok("c", "fetch")
	if got := p.ok("c", "rev-parse", "origin/main"); got != third {
		t.Errorf("fetched %s, want %s", got, third)
	}
}

// TestGraftedVoters offers a lineage that is certified, and not the one that is known.
func TestGraftedVoters(t *testing.T) {
	t.Parallel()
	g := testGenesis(testOwner, "demo", 1)
	v, err := replica.ParseVouched(g, &wire.Vouched{
		Index: 7, Chain: make([]byte, 32), Refs: make([]byte, 32), Lineage: g.Lineage().Wire(), Head: "refs/heads/main",
		Policy: &wire.Policy{Version: 1, Grants: []*wire.Grant{{Key: g.Owner[:], Access: wire.Access_ACCESS_OWNER}}},
	}, listingRules)
	if err != nil {
		t.Fatal(err)
	}
	known := newVouchedPin(v)
	if err := known.check(v); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*vouchedPin){
		"a later configuration":       func(p *vouchedPin) { p.Generation++ },
		"another one":                 func(p *vouchedPin) { p.Configuration = strings.Repeat("ff", 32) },
		"a later index":               func(p *vouchedPin) { p.Index++ },
		"the same index, other chain": func(p *vouchedPin) { p.Chain = strings.Repeat("ff", 32) },
		"a later policy":              func(p *vouchedPin) { p.Policy++ },
		"the same index, other refs":  func(p *vouchedPin) { p.Refs = strings.Repeat("ff", 32) },
	} {
		pin := *known
		edit(&pin)
		if pin.check(v) == nil {
			t.Errorf("with %s known it is taken", name)
		}
	}
}

// TestUnprovedFetch fetches where proofs are missing: at first contact there is a
// warning, and once there were some it is refused.
func TestUnprovedFetch(t *testing.T) {
	old := func(f *fakeReplica) { f.proves = false }
	alone := func(f *fakeReplica) { f.voices = []uint64{2} }
	forgot := func(f *fakeReplica) { f.voices, f.kept = []uint64{2}, map[uint64]*wire.Signed{} }
	for name, c := range map[string]struct {
		now  func(*fakeReplica)
		says string
	}{
		"an older peer":          {old, "this replica is of an older peer, which can't prove what it lists"},
		"too few voters":         {alone, "1 of 3 voters vouch for this listing: refs may be missing"},
		"too few, and no proofs": {forgot, "1 of 3 voters vouch for this listing, and no signature is kept of 2 of its refs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := clonedOnce(t)
			f.hook(func() { c.now(f) })
			fresh := newPerson(t, f)
			fresh.run("", "clone", f.url(), "c").exits(0).says("peer: warning: ", c.says)
			fresh.env = append(fresh.env, unprovedEnv+"="+unprovedRefuse, "PEER_FETCH_TIMEOUT=0.3")
			fresh.run("", "ls-remote", f.url()).exits(128).says("peer: error: ", c.says)
			if err := os.RemoveAll(filepath.Join(p.home, provedDir)); err != nil { // what it knows needs no proof
				t.Fatal(err)
			}
			p.run("c", "fetch").exits(128).says("peer: error: ", c.says, "PEER_UNPROVED=take")
			p.env = append(p.env, unprovedEnv+"="+unprovedTake)
			p.run("c", "fetch").exits(0).says("peer: warning: ", c.says)
		})
	}
	t.Run("stale", func(t *testing.T) {
		t.Parallel()
		f, p := clonedOnce(t)
		p.ok("w", "push", "--quiet", "origin", "main:refs/heads/b")
		f.hook(func() { alone(f); f.stale = true })
		f.hook(func() { f.lie = func(l *fakeListing) { l.claim.Index, l.refs = 1<<40, l.refs[:2] } })
		strict := *p
		strict.env = append(slices.Clone(p.env), unprovedEnv+"="+unprovedRefuse)
		strict.run("c", "fetch").exits(128).says("peer: error: ", "1 of 3 voters vouch for this listing", "PEER_UNPROVED=refuse is set")
		p.run("c", "fetch").exits(0).says("1 of 3 voters vouch for this listing: each ref was signed for by who might")
		// Whoever signs alone does not have the home forgo the proof of what it left out.
		f.hook(func() { f.voices, f.stale, f.lie = []uint64{1, 2}, false, nil })
		p.run("c", "fetch", "-v").exits(0).doesNotSay("no signature").says("1 refs are new here, 1 transactions prove them")
	})
	t.Run("from before signatures were kept", func(t *testing.T) {
		t.Parallel()
		f, p := started(t)
		f.hook(func() { clear(f.kept) })
		strict := *p
		strict.env = append(slices.Clone(p.env), unprovedEnv+"="+unprovedRefuse)
		strict.run("", "clone", f.url(), "strict").exits(128).says("peer: error: ", "of 1 refs no signature is kept", "PEER_UNPROVED=refuse is set")
		p.run("", "clone", f.url(), "c").exits(0).says("of 1 refs no signature is kept")
		p.run("c", "fetch").exits(0).doesNotSay("no signature")
	})
	t.Run("since signatures were kept", func(t *testing.T) {
		t.Parallel()
		f, p := started(t)
		f.hook(func() { clear(f.kept) })
		p.ok("w", "push", "--quiet", "origin", "main:refs/heads/a")
		const late = "though signatures are kept here since index 3, and that is before "
		p.run("", "clone", f.url(), "c").exits(0).says("of 1 refs no signature is kept, since they were set before").doesNotSay(late)
		p.ok("w", "push", "--quiet", "origin", "main:refs/heads/b", "main:refs/heads/z")
		f.hook(func() { clear(f.kept) })
		fresh := newPerson(t, f)
		fresh.run("", "ls-remote", f.url()).exits(0).says("of 4 refs no signature is kept, since they were set before")
		p.run("c", "fetch").exits(0).says("of 2 refs no signature is kept", late+"refs/heads/b and 1 more")
		// Who had a role once, and nobody can say when, has signed.
		p.ok("w", "push", "--quiet", "origin", "main:refs/heads/y")
		f.hook(func() {
			owner := f.owner.Public()
			f.lie = func(l *fakeListing) {
				l.claim.Policy = &wire.Policy{Version: 2, Grants: []*wire.Grant{{Key: owner[:], Access: wire.Access_ACCESS_OWNER}}}
			}
		})
		p.run("c", "fetch").exits(0).says("of 1 refs no signature is kept", "by who has no role any more").doesNotSay(late)
	})
}

// TestEmptyPieces has a replica send pieces with nothing in them, which could go on for ever.
func TestEmptyPieces(t *testing.T) {
	t.Parallel()
	for name, frame := range map[string]*wire.ToClient{
		"refs":   {Kind: &wire.ToClient_Listed{Listed: &wire.Listed{}}},
		"proofs": {Kind: &wire.ToClient_Proofs{Proofs: &wire.Proofs{}}},
	} {
		var one bytes.Buffer
		if err := wire.WriteFrame(&one, frame); err != nil {
			t.Fatal(err)
		}
		many := bytes.NewReader(bytes.Repeat(one.Bytes(), 10_000))
		s := &session{stream: &cannedStream{Reader: many}, genesis: testGenesis(testOwner, "demo", 1), welcome: &wire.Welcome{Index: 1}}
		if _, err := s.proved(proved{}); err == nil || !strings.Contains(err.Error(), "an empty piece") || many.Len() != 9999*one.Len() {
			t.Errorf("%s: %v, with %d bytes left", name, err, many.Len())
		}
	}
}

// FuzzProvedListing gives the helper frames of a listing. What gets through is a listing
// that git can be told.
func FuzzProvedListing(f *testing.F) {
	g := testGenesis(testOwner, "demo", 1)
	frames := func(list ...*wire.ToClient) []byte {
		var b bytes.Buffer
		for _, m := range list {
			_ = wire.WriteFrame(&b, m)
		}
		return b.Bytes()
	}
	l := &fakeListing{head: "refs/heads/main", refs: []*wire.ListedRef{{Name: "refs/heads/main", Oid: bytes.Repeat([]byte{1}, 20), Index: 2}}}
	l.claim = &replica.Claim{Lineage: g.Lineage(), Index: 2, Policy: &wire.Policy{Version: 1, Grants: []*wire.Grant{{Key: g.Owner[:], Access: wire.Access_ACCESS_OWNER}}}}
	l.sign()
	listed := &wire.ToClient{Kind: &wire.ToClient_Listed{Listed: &wire.Listed{Refs: l.refs}}}
	vouched := &wire.ToClient{Kind: &wire.ToClient_Vouched{Vouched: l.vouched}}
	proofs := &wire.ToClient{Kind: &wire.ToClient_Proofs{Proofs: &wire.Proofs{Transactions: []*wire.Kept{{Index: 2}}}}}
	f.Add(frames(listed, vouched))
	f.Add(frames(listed, proofs, vouched))
	f.Add(frames(listed, listed))
	f.Add(frames(&wire.ToClient{Kind: &wire.ToClient_Proofs{Proofs: &wire.Proofs{}}}, vouched))
	f.Add([]byte{0, 0, 0, 1, 0xff})
	f.Fuzz(func(t *testing.T, said []byte) {
		s := &session{stream: &cannedStream{Reader: bytes.NewReader(said)}, genesis: g, welcome: &wire.Welcome{Index: 1}}
		l, err := s.proved(proved{})
		if err != nil {
			return
		}
		for _, r := range l.Refs {
			if line := r.OID.String() + " " + r.Name; len(strings.Fields(line)) != 2 || !strings.HasPrefix(r.Name, "refs/") {
				t.Errorf("let %q through", line)
			}
		}
		if (&fakeListing{refs: l.listed, head: l.Head}).root() != l.Vouched.Refs {
			t.Error("a listing is taken that is another one than the one that is signed")
		}
	})
}
