package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"peer/git"
	"peer/node/control"
	"peer/replica"
	"peer/wire"
)

// transactionBytesMax keeps a transaction below what a replica takes: see
// replica.NameBytesMax.
const transactionBytesMax = replica.NameBytesMax

// push reads the rest of a batch, carries it out, and reports on each ref. An
// error means that no report can be given.
func (r *remoteHelper) push(ctx context.Context, first string) error {
	lines, err := r.readBatch(ctx, first)
	if err != nil {
		return err
	}
	if r.listing == nil {
		return errors.New("git pushed without asking what there is")
	}
	plan, err := r.plan(ctx, lines)
	if err != nil {
		return err
	}
	if pending := plan.pending(); len(pending) > 0 && !r.options.dryRun {
		if err := r.deliver(ctx, pending, plan.haves); err != nil {
			return err
		}
	}
	r.dropListing()
	r.say.flush()
	return r.reply(plan.report())
}

// readBatch reads push lines up to the blank one.
func (r *remoteHelper) readBatch(ctx context.Context, text string) ([]git.PushLine, error) {
	var lines []git.PushLine
	for {
		push, err := git.ParsePush(text)
		if err != nil {
			return nil, err
		}
		if lines = append(lines, push); len(lines) > refsMax {
			return nil, fmt.Errorf("more than %d refs in one push", refsMax)
		}
		line, err := r.in.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("read from git: %w", err)
		}
		if line == "" {
			return lines, nil
		}
		var ok bool
		if text, ok = strings.CutPrefix(line, "push "); !ok {
			return nil, fmt.Errorf("git sent %.100q among the refs to push", line)
		}
	}
}

// deliver sends the refs as one transaction, or as several where there are too
// many for one: without atomic each ref stands for itself anyway.
func (r *remoteHelper) deliver(ctx context.Context, pending []*refPush, haves []git.OID) error {
	batches := splitBatches(pending)
	if r.options.atomic && len(batches) > 1 {
		for _, p := range pending {
			p.refuse(fmt.Sprintf("an atomic push may move at most %d refs", replica.OperationsMax))
		}
		return nil
	}
	committed := 0
	for i, batch := range batches {
		refusal, err := r.deliverBatch(ctx, batch, haves)
		if err != nil {
			if committed > 0 {
				err = fmt.Errorf("%w; %d other refs of this push were committed before", err, committed)
			}
			return err
		}
		if refusal != nil {
			r.refuseAll(batches[i:], refusal)
			return nil
		}
		for _, p := range batch {
			if p.why == "" {
				committed++
				haves = appendNew(haves, p.new)
			}
		}
	}
	return nil
}

// deliverBatch brings one transaction into the log. A refusal concerns all of
// it, and then nothing was committed.
func (r *remoteHelper) deliverBatch(ctx context.Context, batch []*refPush, haves []git.OID) (refusal, err error) {
	d, err := r.newDelivery(batch, haves)
	if err != nil {
		return nil, err
	}
	done, err := d.send(ctx, r.listing.takeSession())
	var said *control.Error
	var local *packError
	var unknown *unknownOutcome
	switch {
	case err == nil:
		return nil, r.settle(ctx, batch, d, done)
	case ctx.Err() != nil, errors.As(err, &local), errors.As(err, &unknown):
		return nil, fmt.Errorf("%s: %w", r.client.address.Name, err)
	case errors.As(err, &said):
		return said, nil
	}
	return err, nil
}

func (r *remoteHelper) newDelivery(batch []*refPush, haves []git.OID) (*delivery, error) {
	var ops []*wire.Operation
	var news []git.OID
	hasPack := false
	there := make(map[git.OID]bool, len(haves))
	for _, oid := range haves {
		there[oid] = true
	}
	for _, p := range batch {
		ops = append(ops, refOperation(p.update()))
		if news = appendNew(news, p.new); !p.new.IsZero() && !there[p.new] {
			hasPack = true
		}
	}
	d, err := newDelivery(r.client, r.listing.genesis, r.listing.index, r.options.atomic, ops, r.options.pushOptions)
	if err != nil {
		return nil, err
	}
	shallow, err := r.local.Shallow()
	if err != nil {
		return nil, fmt.Errorf("read shallow roots: %w", err)
	}
	for _, oid := range shallow {
		d.shallow = append(d.shallow, oid.Bytes())
	}
	d.hasPack = hasPack
	d.pack = func(ctx context.Context) (io.ReadCloser, error) {
		if !r.options.progress {
			return r.local.PackForPush(ctx, news, haves, false, nil)
		}
		return r.local.PackForPush(ctx, news, haves, true, r.errs)
	}
	d.patience.total, d.say = r.pushPatience, r.say
	return d, nil
}

// settle takes over what the log says of each ref.
func (r *remoteHelper) settle(ctx context.Context, batch []*refPush, d *delivery, done *replica.Done) error {
	outcome := done.Outcome
	if whole := outcome.GetResult(); whole.GetCode() != wire.Code_CODE_OK {
		for _, p := range batch {
			p.refuse(r.explain(ctx, p, whole))
		}
		return nil
	}
	moved := false
	for i, p := range batch {
		p.settled = true
		if result := outcome.GetResults()[i]; result.GetCode() != wire.Code_CODE_OK {
			p.refuse(r.explain(ctx, p, result))
		} else {
			moved = true
		}
	}
	if moved {
		r.say.line(commitLine(commitOf(done)))
	}
	if err := d.keepReceipt(done); err != nil {
		warn(r.errs, "the push is committed, but this home could not keep its receipt: %v", err)
	}
	if err := r.client.pins.remember(ctx, r.listing.genesis.Repo, r.listing.genesis.Name, r.listing.genesis.Hash, outcome.GetIndex()); err != nil {
		warn(r.errs, "the push is committed, but this home could not note it: %v", err)
	}
	return nil
}

func (r *remoteHelper) refuseAll(batches [][]*refPush, refusal error) {
	why := refusalReason(refusal)
	for _, batch := range batches {
		for _, p := range batch {
			p.refuse(why)
		}
	}
	if hint := hintOf(refusal); hint != "" {
		fmt.Fprintf(r.errs, "peer: hint: %s\n", tidy(hint))
	}
}

// splitBatches cuts a push into what one transaction may hold.
func splitBatches(pending []*refPush) [][]*refPush {
	var batches [][]*refPush
	start, size := 0, 0
	for i, p := range pending {
		// Two object IDs, and the tags and lengths around them.
		bytes := len(p.Dst) + 2*32 + 16
		if i-start == replica.OperationsMax || size+bytes > transactionBytesMax {
			batches, start, size = append(batches, pending[start:i]), i, 0
		}
		size += bytes
	}
	return append(batches, pending[start:])
}

func appendNew(oids []git.OID, oid git.OID) []git.OID {
	if oid.IsZero() {
		return oids
	}
	return append(oids, oid)
}
