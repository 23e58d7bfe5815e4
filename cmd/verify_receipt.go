package cmd

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/control/pb"
	"peer/replica"
)

// receiptJSON is a receipt that holds.
type receiptJSON struct {
	File       string   `json:"file"`
	Repo       string   `json:"repo"`
	Name       string   `json:"name"`
	Genesis    string   `json:"genesis"`
	Index      uint64   `json:"index"`
	Term       uint64   `json:"term"`
	Signer     string   `json:"signer"` // did:key of whose transaction it is
	ID         string   `json:"id"`
	Generation uint64   `json:"generation"` // of the voters
	Voters     int      `json:"voters"`
	SignedBy   []string `json:"signed_by"`
	Asked      []string `json:"asked"` // what the transaction is about, in words
}

type receiptsJSON struct {
	OK            bool               `json:"ok"`
	Receipts      []receiptJSON      `json:"receipts"`
	Comparable    bool               `json:"comparable"` // they say something about one index
	Contradiction *contradictionJSON `json:"contradiction,omitempty"`
}

type contradictionJSON struct {
	Index    uint64   `json:"index"`
	SignedBy []string `json:"signed_by"` // both
}

// errContradiction is told apart so that scripts get an exit code for it.
var errContradiction = errors.New("the receipts contradict each other")

// verifyReceipts checks one or two receipts, and asks nobody.
func verifyReceipts(out io.Writer, files []string, asJSON bool) error {
	if len(files) > 2 {
		return usage("peer verify --receipt A --receipt B compares two", "%d receipts", len(files))
	}
	var parsed []*replica.Receipt
	said := receiptsJSON{OK: true}
	for _, file := range files {
		r, err := readReceipt(file)
		if err != nil {
			return hinted(fmt.Errorf("receipt %w", err), "it proves nothing: peer log REPO asks the replicas what they have")
		}
		parsed = append(parsed, r)
		said.Receipts = append(said.Receipts, receiptOf(file, r))
	}
	var found *replica.Contradiction
	if len(parsed) == 2 {
		if found, said.Comparable = parsed[0].Contradicts(parsed[1]); found != nil {
			said.OK = false
			said.Contradiction = &contradictionJSON{Index: found.Index, SignedBy: peerNames(found.Both)}
		}
	}
	var err error
	if asJSON {
		err = printJSON(out, said)
	} else {
		err = printReceipts(out, said)
	}
	if err == nil && found != nil {
		err = hinted(errContradiction, "keep both files: whoever signed both lied, and they prove it")
	}
	return err
}

func receiptOf(file string, r *replica.Receipt) receiptJSON {
	j := receiptJSON{
		File: file, Repo: r.Genesis.Repo.String(), Name: r.Genesis.Name, Genesis: r.Genesis.Hash.String(), Index: r.Index, Term: r.Term,
		Signer: r.Signer.DID(), ID: hex.EncodeToString(r.Transaction.GetId()), Generation: r.Lineage.Last().Generation, Voters: r.Voters(), Asked: []string{},
	}
	for _, m := range r.Signers {
		j.SignedBy = append(j.SignedBy, m.Peer.String())
	}
	for _, op := range r.Transaction.GetOperations() {
		if u := op.GetRefUpdate(); u != nil {
			j.Asked = append(j.Asked, fmt.Sprintf("%s  %s..%s", u.GetName(), shortOID(u.GetOld()), shortOID(u.GetNew())))
		} else {
			c := node.ChangeOf(op)
			j.Asked = append(j.Asked, describeLogChange(&pb.LogChange{Kind: c.GetKind(), Name: c.GetName()}))
		}
	}
	return j
}

// shortOID spells a raw object ID.
func shortOID(raw []byte) string {
	if len(raw) == 0 {
		return "nothing"
	}
	oid, err := git.FromBytes(raw)
	if err != nil {
		return "?"
	}
	return oid.String()[:12]
}

func peerNames(list []identity.PeerID) []string {
	names := []string{}
	for _, p := range list {
		names = append(names, p.String())
	}
	return names
}

// receiptRefsMax bounds what is printed of one transaction.
const receiptRefsMax = 20

func printReceipts(w io.Writer, said receiptsJSON) error {
	var lines []string
	for _, r := range said.Receipts {
		lines = append(lines,
			fmt.Sprintf("%s: index %d, term %d of %s (%s), on the disks of %d of %d voters", r.File, r.Index, r.Term, r.Name, r.Repo, len(r.SignedBy), r.Voters),
			fmt.Sprintf("  transaction %s by %s", r.ID, r.Signer))
		for i, ref := range r.Asked {
			if i == receiptRefsMax {
				lines = append(lines, fmt.Sprintf("  and %d more", len(r.Asked)-i))
				break
			}
			lines = append(lines, "  asked for "+ref)
		}
		for _, p := range r.SignedBy {
			lines = append(lines, "  signed by "+p)
		}
	}
	if len(said.Receipts) == 2 {
		switch c := said.Contradiction; {
		case c != nil:
			lines = append(lines, fmt.Sprintf("two logs at index %d", c.Index))
			for _, p := range c.SignedBy {
				lines = append(lines, "  both signed by "+p)
			}
		case !said.Comparable:
			lines = append(lines, "they say nothing about one index of one repository, so they can't contradict each other")
		default:
			lines = append(lines, "they are of one log")
		}
	}
	for _, line := range lines {
		text := strings.TrimPrefix(line, "  ")
		if _, err := fmt.Fprintln(w, line[:len(line)-len(text)]+tidy(text)); err != nil {
			return err
		}
	}
	return nil
}
