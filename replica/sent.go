package replica

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"peer/identity"
	"peer/wire"
)

// Sent is a transaction that was signed here, on its way into a log. Whatever breaks
// on the way, the same bytes are sent again: the ID makes a second arrival harmless,
// and brings the first one's outcome back.
type Sent struct {
	Genesis     *Genesis
	Signed      *wire.Signed
	Transaction *wire.Transaction
	// Maybe is set once an attempt ended such that the transaction may have been
	// committed. Then no refusal of a later one proves that nothing happened.
	Maybe bool
}

// NewSent signs a transaction, of which genesis, signer, ID and window are filled in.
// The ID is to be random.
func NewSent(by identity.Signer, g *Genesis, id []byte, tx *wire.Transaction) (*Sent, error) {
	public := by.Public()
	tx.Genesis, tx.Signer, tx.Id, tx.Window = g.Hash[:], public[:], id, WindowMax
	signed, err := Seal(by, identity.DomainTransaction, tx)
	if err != nil {
		return nil, err
	}
	return &Sent{Genesis: g, Signed: signed, Transaction: tx}, nil
}

// Done is what a replica says became of a transaction, checked.
type Done struct {
	Genesis *Genesis
	Outcome *wire.Outcome
	// Receipt proves that the transaction is in the log; nil: the leader says so, and
	// NoReceipt says why that is all.
	Receipt   *Receipt
	NoReceipt string // chosen by the replica
	// Durable of Replicas have it on disk.
	Durable, Replicas int
}

// Check refuses what is not this transaction's outcome, and a receipt that does not
// hold. A refusal of the whole needs no proof: a replica can always refuse. No receipt
// at all is no lie.
func (s *Sent) Check(raw *wire.PushDone) (*Done, error) {
	outcome, hash := raw.GetOutcome(), sha256.Sum256(s.Signed.GetBody())
	d := &Done{
		Genesis: s.Genesis, Outcome: outcome, NoReceipt: raw.GetNoReceipt(),
		Durable: int(min(raw.GetDurable(), raw.GetReplicas())), Replicas: int(raw.GetReplicas()),
	}
	ours := bytes.Equal(outcome.GetId(), s.Transaction.GetId()) && bytes.Equal(outcome.GetSigner(), s.Transaction.GetSigner())
	refused := outcome.GetResult().GetCode() != wire.Code_CODE_OK
	switch {
	case outcome == nil:
		return nil, errors.New("a push ends without an outcome")
	case refused && (ours || !s.Maybe):
		return d, nil
	case !ours || !bytes.Equal(outcome.GetTxSha256(), hash[:]):
		return nil, errors.New("the outcome is that of another transaction")
	case len(outcome.GetResults()) != len(s.Transaction.GetOperations()):
		return nil, fmt.Errorf("%d results for %d operations", len(outcome.GetResults()), len(s.Transaction.GetOperations()))
	case raw.GetReceipt() == nil:
		return d, nil
	}
	var err error
	if d.Receipt, err = s.receipt(raw.GetReceipt()); err != nil {
		return nil, err
	}
	if r := d.Receipt; r.Index != outcome.GetIndex() || r.Term != outcome.GetTerm() {
		return nil, fmt.Errorf("the receipt is for entry %d of term %d, and the outcome for %d of %d", r.Index, r.Term, outcome.GetIndex(), outcome.GetTerm())
	}
	d.Durable, d.Replicas = len(d.Receipt.Signers), d.Receipt.Voters()
	return d, nil
}

// receipt completes one with what its sender left out, since it is known here.
func (s *Sent) receipt(r *wire.Receipt) (*Receipt, error) {
	return ParseReceipt(&wire.Receipt{
		Genesis: s.Genesis.Signed, Transaction: s.Signed,
		Lineage: r.GetLineage(), Index: r.GetIndex(), Before: r.GetBefore(), Links: r.GetLinks(), Signatures: r.GetSignatures(),
	})
}

// Stale says that somebody else had changed what the first operation is about; a nil
// Done is not.
func (d *Done) Stale() bool {
	return d != nil && len(d.Outcome.GetResults()) > 0 && d.Outcome.GetResults()[0].GetCode() == wire.Code_CODE_STALE
}
