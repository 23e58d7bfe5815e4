package node

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"peer/git"
	"peer/replica"
	"peer/wire"
)

// errObjectsMissing says that an applied entry's objects are nowhere on this disk.
var errObjectsMissing = errors.New("objects of an applied entry are missing on this disk")

// installsAtOnce is how many packs are written side by side: each waits for the disk.
const installsAtOnce = 16

// installAll publishes the objects that entries brought. A replica that was away has
// a thousand small packs to write, and the file system flushes many in the time of
// one. What has to be looked for is looked for last: an object may rest on another's.
func (p *publisher) installAll(ctx context.Context, applied []replica.Applied) error {
	var (
		writes    sync.WaitGroup
		slots     = make(chan struct{}, installsAtOnce)
		errs      = make([]error, len(applied))
		elsewhere []replica.Applied
	)
	for i, a := range applied {
		if a.Payload == nil {
			continue
		}
		write := p.source(a.Signer[:], a.ID, a.Payload)
		if write == nil {
			elsewhere = append(elsewhere, a)
			continue
		}
		slots <- struct{}{}
		writes.Go(func() {
			defer func() { <-slots }()
			errs[i] = write()
		})
	}
	writes.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, a := range elsewhere {
		news, err := newOIDs(a.Refs)
		if err != nil {
			return err
		}
		if err := p.present(ctx, a.Payload, news); err != nil {
			return err
		}
	}
	return nil
}

// install publishes one payload's objects, wherever they are.
func (p *publisher) install(ctx context.Context, signer, id []byte, pl *wire.Payload, news []git.OID) error {
	if write := p.source(signer, id, pl); write != nil {
		return write()
	}
	return p.present(ctx, pl, news)
}

// source is what writes a payload's pack from the entry, or from where it is
// staged; nil where neither has it.
func (p *publisher) source(signer, id []byte, pl *wire.Payload) (write func() error) {
	repo := p.g.repo
	if repo.HasPack(pl.GetName()) {
		p.reused[pl.GetName()] = true
	}
	p.countPack()
	if len(pl.GetInlinePack()) > 0 {
		return func() error { return repo.InstallPack(pl.GetName(), pl.GetInlinePack(), pl.GetInlineIdx()) }
	}
	if pack, idx, staged := p.g.staging.files(signer, id, pl); staged {
		return func() error { return repo.InstallFiles(pl.GetName(), pack, idx) }
	}
	return nil
}

// present makes sure that objects are in the store which came there another way.
func (p *publisher) present(ctx context.Context, pl *wire.Payload, news []git.OID) error {
	if p.g.repo.HasPack(pl.GetName()) {
		return nil
	}
	if _, err := p.g.repo.Check(ctx, news); err != nil {
		if missing := new(git.MissingError); errors.As(err, &missing) {
			return fmt.Errorf("%w: %w", errObjectsMissing, err)
		}
		return err
	}
	return nil
}

// toJoinPacks is how many new packs have the others of their repository joined
// without waiting for the next round: each process of git looks into all of them.
const toJoinPacks = 64

// countPack counts a pack that arrives.
func (p *publisher) countPack() {
	p.arrived++
	p.askToJoin()
}

// countPacks counts those of before a start: a process that lives shortly would
// have others do it for ever.
func (p *publisher) countPacks() error {
	packs, err := p.g.repo.Packs()
	p.arrived = len(packs)
	p.askToJoin()
	return err
}

// askToJoin has the packs joined where many arrived.
func (p *publisher) askToJoin() {
	if p.arrived < toJoinPacks {
		return
	}
	select {
	case p.g.n.toJoin <- p.g:
		p.arrived = 0
	default: // the next pack asks again
	}
}
