package node

import (
	"context"
	"strings"

	"peer/git"
)

// peel looks up what annotated tags point at, once for each tag, so that git
// need not open them for every listing.
func (p *publisher) peel(ctx context.Context) {
	var unknown []git.OID
	for name, r := range p.refs {
		if !strings.HasPrefix(name, "refs/heads/") && r.Peeled.IsZero() {
			unknown = append(unknown, r.OID)
		}
	}
	if len(unknown) == 0 {
		return
	}
	objects, err := p.g.repo.Objects(ctx, unknown)
	if err != nil {
		p.g.log.Warn("tags are not peeled", "error", err)
		return
	}
	for name, r := range p.refs {
		if o, ok := objects[r.OID]; ok && r.Peeled.IsZero() {
			r.Peeled = o.Peeled
			p.refs[name] = r
		}
	}
}

func (p *publisher) listing() git.Listing {
	l := git.Listing{Head: p.head, Peeled: true, Refs: make([]git.Ref, 0, len(p.refs))}
	for name, r := range p.refs {
		if !strings.HasPrefix(name, "refs/heads/") && r.Peeled.IsZero() {
			l.Peeled = false
		}
		if r.Peeled == r.OID {
			r.Peeled = git.OID{}
		}
		l.Refs = append(l.Refs, r)
	}
	return l
}

// list is the published listing and the index it belongs to.
func (p *publisher) list() (refs []git.Ref, head string, index uint64) {
	p.gate.RLock()
	defer p.gate.RUnlock()
	p.mu.Lock()
	index = p.index
	p.mu.Unlock()
	refs = make([]git.Ref, 0, len(p.refs))
	for _, r := range p.refs {
		refs = append(refs, r)
	}
	return refs, p.head, index
}

// currentHead is the branch that HEAD names in the published listing.
func (p *publisher) currentHead() string {
	p.gate.RLock()
	defer p.gate.RUnlock()
	return p.head
}
