package cmd

import (
	"cmp"
	"context"
	"fmt"

	"peer/node/control/pb"
	"peer/replica"
)

// commitJSON is part of the contract with scripts.
type commitJSON struct {
	Index     uint64 `json:"index"`
	Durable   uint32 `json:"durable"` // on so many of the
	Replicas  uint32 `json:"replicas"`
	Receipt   string `json:"receipt,omitempty"`    // the file that proves it
	NoReceipt string `json:"no_receipt,omitempty"` // why the leader's word is all

	Warnings []string `json:"warnings,omitempty"`
}

func commitJSONOf(c *pb.Commit) *commitJSON {
	if c == nil {
		return nil
	}
	return &commitJSON{Index: c.GetIndex(), Durable: c.GetDurable(), Replicas: c.GetReplicas(), Receipt: c.GetReceipt(), NoReceipt: c.GetNoReceipt(), Warnings: c.GetWarnings()}
}

// commitOf says where in the log a transaction is; nil: nothing is known of one.
func commitOf(d *replica.Done) *pb.Commit {
	if d == nil {
		return nil
	}
	c := &pb.Commit{Index: d.Outcome.GetIndex(), Durable: uint32(d.Durable), Replicas: uint32(d.Replicas)}
	if d.Receipt == nil {
		c.NoReceipt = cmp.Or(plainText(d.NoReceipt, messageBytesMax), "no receipt")
	}
	return c
}

// commitLine says what an acknowledged transaction rests on: a receipt that was
// checked, or the leader's word alone.
func commitLine(c *pb.Commit) string {
	line := fmt.Sprintf("committed at index %d on %d of %d replicas", c.GetIndex(), c.GetDurable(), c.GetReplicas())
	if c.GetReplicas() == 1 {
		line = fmt.Sprintf("committed at index %d, unreplicated: this repository has one replica", c.GetIndex())
	}
	if why := c.GetNoReceipt(); why != "" {
		line += ", says the leader: " + why
	}
	return line
}

// keepCommit notes in this home what became of an operation that its user signed.
func (h *Home) keepCommit(ctx context.Context, d *replica.Done) *pb.Commit {
	c := commitOf(d)
	if c == nil {
		return nil
	}
	kept := receiptsOf(h.Dir)
	if err := kept.keep(d.Receipt); err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("it is committed, but this home could not keep its receipt: %v", err))
	} else if d.Receipt != nil {
		c.Receipt = kept.path(d.Receipt.Genesis.Hash, d.Receipt.Index)
	}
	if err := (pins{h.Dir}).remember(ctx, d.Genesis.Repo, d.Genesis.Name, d.Genesis.Hash, c.GetIndex()); err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("it is committed, but this home could not note it: %v", err))
	}
	return c
}

// committed tells a person where in the log an operation is; programs read it in the JSON.
func (a *app) committed(c *pb.Commit, asJSON bool) {
	for _, w := range c.GetWarnings() {
		warn(a.errs, "%s", w)
	}
	if c != nil && !asJSON {
		fmt.Fprintf(a.errs, "peer: %s\n", tidy(commitLine(c)))
	}
}
