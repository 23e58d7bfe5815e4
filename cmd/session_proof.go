package cmd

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/replica"
	"peer/wire"
)

// proofsBytesMax bounds what a replica may send to prove a listing: what a table keeps, with
// the signatures around it, which are as large as the smallest transactions.
const proofsBytesMax = 144 << 20

var listingRules = replica.Rules{CheckRefName: git.CheckRefName}

// provedListing is a listing whose signatures hold. Who is to believe it is not decided yet.
type provedListing struct {
	*replica.Vouched
	git.Listing
	gaps
	listed  []*wire.ListedRef
	checked int // refs that were checked now
	proofs  int // and the transactions that they were checked by
	// keptSince is the entry of the first of these; zero if there are none.
	keptSince uint64
	known     proved
}

// gaps are refs whose proofs leave something open.
type gaps struct {
	// unsigned: no transaction is kept for them, or nobody knows whether its signer might;
	// see [replica.Vouched.Proves].
	unsigned []*wire.ListedRef
	unkept   []*wire.ListedRef // the former
	// earlier are names: that transaction may be of before what is known; see
	// [replica.Proof.GoesOnFrom].
	earlier []string
}

func (g *gaps) add(more gaps) {
	g.unsigned, g.unkept = append(g.unsigned, more.unsigned...), append(g.unkept, more.unkept...)
	g.earlier = append(g.earlier, more.earlier...)
}

// proved reads the listing of a session that promised proofs, and checks all of it. known
// are the refs that need no proof any more.
func (s *session) proved(known proved) (*provedListing, error) {
	l, refs := &provedListing{known: known}, []*wire.ListedRef(nil)
	kept, keptBytes := map[uint64]*wire.Kept{}, 0
	var raw *wire.Vouched
	for raw == nil {
		frame, err := s.receive()
		if err != nil {
			return nil, err
		}
		switch kind := frame.GetKind().(type) {
		case *wire.ToClient_Listed:
			if refs, err = s.takeListed(refs, kind.Listed.GetRefs()); err != nil {
				return nil, err
			}
		case *wire.ToClient_Proofs:
			if len(kind.Proofs.GetTransactions()) == 0 {
				return nil, &protocolError{"an empty piece of proofs"}
			}
			for _, k := range kind.Proofs.GetTransactions() {
				if keptBytes += proto.Size(k); keptBytes > proofsBytesMax || len(kept) == refsMax || kept[k.GetIndex()] != nil {
					return nil, &protocolError{fmt.Sprintf("more than %d proofs, or than %d bytes of them, or one twice", refsMax, proofsBytesMax)}
				}
				kept[k.GetIndex()] = k
			}
		case *wire.ToClient_Vouched:
			raw = kind.Vouched
		default:
			return nil, &protocolError{fmt.Sprintf("a %T instead of refs and their proofs", kind)}
		}
	}
	return l, l.check(s, refs, kept, raw)
}

// takeListed takes in a piece of the listing, which is sorted.
func (s *session) takeListed(refs, more []*wire.ListedRef) ([]*wire.ListedRef, error) {
	if len(more) == 0 || len(refs)+len(more) > refsMax {
		return nil, &protocolError{fmt.Sprintf("an empty piece of a listing, or more than %d refs", refsMax)}
	}
	for _, r := range more {
		if err := s.checkRef(&wire.Ref{Name: r.GetName(), Oid: r.GetOid()}, nil); err != nil {
			return nil, err
		}
		if n := len(refs); n > 0 && cmp.Compare(refs[n-1].GetName(), r.GetName()) >= 0 {
			return nil, &protocolError{fmt.Sprintf("%.100q out of order, or listed twice", r.GetName())}
		}
		refs = append(refs, r)
	}
	return refs, nil
}

func (l *provedListing) check(s *session, refs []*wire.ListedRef, kept map[uint64]*wire.Kept, raw *wire.Vouched) error {
	if err := git.CheckRefName(raw.GetHead()); err != nil {
		return &protocolError{"HEAD: " + plainText(err.Error(), messageBytesMax)}
	}
	l.Head, l.listed = raw.GetHead(), refs
	wanted, elements := map[uint64][]*wire.ListedRef{}, make([][sha256.Size]byte, 0, len(refs))
	for _, r := range refs {
		oid, err := git.FromBytes(r.GetOid())
		peeled, perr := git.FromBytes(r.GetPeeled())
		if err := errors.Join(err, perr); err != nil || oid.IsZero() || !peeled.IsZero() && peeled.Format() != oid.Format() {
			return &protocolError{fmt.Sprintf("%.100q without an object", r.GetName())}
		}
		l.Refs = append(l.Refs, git.Ref{Name: r.GetName(), OID: oid, Peeled: peeled})
		elements = append(elements, replica.RefElement(r.GetName(), r.GetOid(), r.GetIndex()))
		if !l.known.has(r) {
			wanted[r.GetIndex()] = append(wanted[r.GetIndex()], r)
			l.checked++
		}
	}
	var err error
	if l.Vouched, err = replica.ParseVouched(s.genesis, raw, listingRules); err != nil {
		return &protocolError{plainText(err.Error(), messageBytesMax)}
	}
	if l.Index < s.welcome.GetIndex() {
		return &protocolError{fmt.Sprintf("it confirms index %d, and lists index %d", s.welcome.GetIndex(), l.Index)}
	}
	if replica.Root(elements, l.Head) != l.Vouched.Refs {
		return &protocolError{fmt.Sprintf("its listing of index %d is not the one that is signed: refs were changed, left out or added", l.Index)}
	}
	return l.checkProofs(s.genesis, wanted, kept)
}

// checkProofs holds refs against the transactions that set them, on all processors.
func (l *provedListing) checkProofs(g *replica.Genesis, wanted map[uint64][]*wire.ListedRef, kept map[uint64]*wire.Kept) error {
	todo := make(chan uint64)
	var mu sync.Mutex
	var failed error
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for index := range todo {
				found, err := l.checkProof(g, wanted[index], kept[index])
				mu.Lock()
				l.add(found)
				failed = cmp.Or(failed, err)
				mu.Unlock()
			}
		})
	}
	for index := range wanted {
		todo <- index
		if kept[index] != nil {
			l.proofs++
			if l.keptSince == 0 || index < l.keptSince {
				l.keptSince = index
			}
		}
	}
	close(todo)
	workers.Wait()
	return failed
}

func (l *provedListing) checkProof(g *replica.Genesis, refs []*wire.ListedRef, k *wire.Kept) (found gaps, err error) {
	if k == nil {
		return gaps{unsigned: refs, unkept: refs}, nil
	}
	p, err := replica.ParseKept(g, k)
	if err != nil {
		return found, &protocolError{fmt.Sprintf("its proof of %.100q: %s", refs[0].GetName(), plainText(err.Error(), messageBytesMax))}
	}
	for _, r := range refs {
		known, err := l.Proves(p, r.GetName(), r.GetOid())
		switch {
		case err != nil:
			return found, &protocolError{fmt.Sprintf("its proof of %.100q: %s", r.GetName(), plainText(err.Error(), messageBytesMax))}
		case !known:
			found.unsigned = append(found.unsigned, r)
		case !p.GoesOnFrom(l.known.index, l.known.refs[r.GetName()].GetOid(), r.GetName(), r.GetOid()):
			found.earlier = append(found.earlier, r.GetName())
		}
	}
	return found, nil
}

// remember has the home keep what was checked, of a listing that a majority vouches for:
// its word counts for the refs that have no signature. A listing of fewer might have left
// refs out, or be of an index yet to come, and what it lacks would be taken for checked.
func (l *provedListing) remember(home string, genesis []byte) error {
	if l.Index == l.known.index {
		return nil
	}
	return writeProved(home, genesis, l.Index, l.listed)
}
