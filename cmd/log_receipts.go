package cmd

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"peer/identity"
	"peer/node/control/pb"
)

// checkReceipts checks the receipts of this home for entries of a log, by index.
func (a *app) checkReceipts(repo string, r *pb.LogReply) (map[uint64]*logReceiptJSON, error) {
	ref, err := a.home.ResolveRepo(repo)
	if err != nil {
		return nil, err
	}
	checked := map[uint64]*logReceiptJSON{}
	pinned, err := pins{a.home.Dir}.lookup(ref.ID)
	if err != nil || pinned.Genesis == "" { // this home never pushed there
		return checked, err
	}
	kept := receiptsOf(a.home.Dir)
	found, err := kept.of(identity.GenesisHash(pinned.hash()))
	if err != nil {
		return nil, fmt.Errorf("receipts of this home: %w", err)
	}
	for _, e := range r.GetEntries() {
		if file, ok := found[e.GetIndex()]; ok {
			checked[e.GetIndex()] = checkLogReceipt(file, pinned.hash(), e)
		}
	}
	return checked, nil
}

// checkLogReceipt holds a receipt against the entry that a replica shows.
func checkLogReceipt(file string, genesis []byte, e *pb.LogEntry) *logReceiptJSON {
	j := &logReceiptJSON{File: file}
	receipt, err := readReceipt(file)
	if err != nil {
		j.Error = err.Error()
		return j
	}
	j.Signed, j.Voters = len(receipt.Signers), receipt.Voters()
	switch {
	case !bytes.Equal(receipt.Genesis.Hash[:], genesis) || receipt.Index != e.GetIndex():
		j.Error = "it is for entry " + fmt.Sprint(receipt.Index) + " of genesis " + hex.EncodeToString(receipt.Genesis.Hash[:])
	case receipt.Term != e.GetTerm() || receipt.Signer.DID() != e.GetSigner():
		j.Error = "the replica that answered shows another entry than the one that was signed"
	}
	return j
}
