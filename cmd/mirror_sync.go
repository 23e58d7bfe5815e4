package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"peer/git"
)

const (
	// mirrorRunMax bounds one run; a connection that stalls ends sooner.
	mirrorRunMax = 2 * time.Hour
	// mirrorRefusedTold is how many refused refs are named.
	mirrorRefusedTold = 5
)

// errMirrorBusy says that the mirror is being run, by this process or another.
var errMirrorBusy = errors.New("it is running already")

// errMirrorKey says that nobody is there to sign.
var errMirrorKey = errors.New("your key is encrypted or in an ssh-agent, and a node signs with neither; run it yourself, where an agent or PEER_PASSPHRASE_FILE opens the key: peer mirror sync")

// runMirror brings one end of a mirror to where the other is, and notes how that
// went. unattended says that nobody typed it.
func (h *Home) runMirror(ctx context.Context, m mirror, unattended bool) (mirrorState, error) {
	lock, err := flock(h.mirrorPath(m.ID, ".lock"), false)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return mirrorState{}, errMirrorBusy
	}
	if err != nil {
		return mirrorState{}, err
	}
	defer lock.Close()
	if _, err := h.mirror(m.ID); err != nil { // removed meanwhile
		return mirrorState{}, err
	}
	state, err := h.mirrorState(m.ID)
	if err != nil {
		state = mirrorState{Error: err.Error()} // it says how things were, no more
	}
	if state.Error != "" || state.Ended.Before(state.Started) {
		if err := removeStaleLocks(h.mirrorPath(m.ID, ".git")); err != nil {
			return state, err
		}
	}
	state.Started = time.Now()
	if err := h.saveMirrorState(m.ID, state); err != nil {
		return state, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, mirrorRunMax, fmt.Errorf("it took longer than %s", mirrorRunMax))
	defer cancel()
	moved, skipped, err := h.syncMirror(limited, m, unattended)
	if ctx.Err() != nil {
		return state, context.Cause(ctx) // it broke off, which says nothing about the mirror
	}
	state.Ended, state.Skipped, state.Error = time.Now(), skipped, ""
	if err != nil {
		state.Failures++
		state.Error = withoutSecrets(plainText(err.Error(), messageBytesMax), m.URL)
		err = errors.New(state.Error)
	} else {
		state.Failures, state.Succeeded, state.Moved = 0, state.Ended, moved
	}
	return state, errors.Join(err, h.saveMirrorState(m.ID, state))
}

// syncMirror is one run: a fetch from one end, and an ordinary push to the other.
func (h *Home) syncMirror(ctx context.Context, m mirror, unattended bool) (moved, skipped int, err error) {
	user, err := h.userKey()
	if err != nil {
		return 0, 0, err
	}
	if unattended && (user.Place == inSealed || user.Place == inAgent) {
		return 0, 0, errMirrorKey
	}
	g, err := newUnattendedGit(ctx, h, h.mirrorPath(m.ID, ".git"))
	if err != nil {
		return 0, 0, err
	}
	from, to := m.ends()
	listed, err := g.list(ctx, from)
	if err != nil {
		return 0, 0, fmt.Errorf("read %s: %w", publicURL(from), err)
	}
	wanted, refused := m.wanted(listed)
	if len(wanted) == 0 {
		return 0, len(refused), fmt.Errorf("%s has none of the refs of this mirror; nothing was changed", publicURL(from))
	}
	if err := m.fetch(ctx, g, listed.format(), wanted, refused); err != nil {
		return 0, len(refused), fmt.Errorf("fetch from %s: %w", publicURL(from), err)
	}
	refs, err := g.push(ctx, to, m.pushSpecs(), m.pushOptions()...)
	if err != nil {
		return 0, len(refused), fmt.Errorf("push to %s: %w", publicURL(to), err)
	}
	moved, err = m.judge(refs, to)
	return moved, len(refused), err
}

// wanted are the refs of a listing that the mirror is about, and those of them that
// peer does not take.
func (m mirror) wanted(l outsideRefs) (wanted map[string]git.OID, refused []string) {
	wanted = map[string]git.OID{}
	for _, ref := range l.refs {
		switch {
		case !m.matches(ref.Name):
		case whyNotTaken(ref.Name) != "":
			refused = append(refused, ref.Name)
		default:
			wanted[ref.Name] = ref.OID
		}
	}
	return wanted, refused
}

// fetch makes the mirror's clone hold what was wanted, and nothing else.
func (m mirror) fetch(ctx context.Context, g *outsideGit, format git.Format, wanted map[string]git.OID, refused []string) error {
	have, err := g.output(ctx, "rev-parse", "--show-object-format")
	if ctx.Err() != nil {
		return err
	}
	if err != nil || strings.TrimSpace(have) != string(format) { // there is none yet, or the other end was made anew
		if err := removeTree(g.dir); err != nil {
			return err
		}
		if err := g.create(ctx, format); err != nil {
			return err
		}
	}
	var specs []string
	for _, pattern := range m.Refs {
		specs = append(specs, "+"+pattern+":"+pattern)
	}
	for _, name := range refused {
		if git.IsRefName(name) {
			specs = append(specs, "^"+name)
		}
	}
	from, _ := m.ends()
	if err := g.fetch(ctx, from, specs, "--quiet", "--prune"); err != nil {
		return err
	}
	// A shallow clone lists refs that it does not give. They are not to be pruned elsewhere.
	got, err := g.refs(ctx)
	if err != nil {
		return err
	}
	for _, ref := range got {
		delete(wanted, ref.Name)
	}
	for name := range wanted {
		return fmt.Errorf("git did not bring %.200q; is that a shallow clone?", name)
	}
	return nil
}

func (m mirror) pushSpecs() []string {
	var specs []string
	for _, pattern := range m.Refs {
		spec := pattern + ":" + pattern
		if m.forced() {
			spec = "+" + spec
		}
		specs = append(specs, spec)
	}
	return specs
}

func (m mirror) pushOptions() []string {
	if m.forced() {
		return []string{"--prune"}
	}
	return nil
}

// judge counts what moved, and makes an error of what was refused.
func (m mirror) judge(refs []pushed, to string) (moved int, err error) {
	var said []string
	for _, ref := range refs {
		if ref.moved() {
			moved++
		}
		if ref.refused() {
			said = append(said, ref.name+": "+ref.reason)
		}
	}
	if len(said) == 0 {
		return moved, nil
	}
	count := len(said)
	text := fmt.Sprintf("%d refs were refused by %s: %s", count, publicURL(to), strings.Join(said[:min(count, mirrorRefusedTold)], "; "))
	if !m.forced() {
		text += " (a mirror with --force also moves refs back, sideways and away)"
	}
	return moved, errors.New(text)
}
