package gitd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"peer/git"
)

// Limits of one push.
const (
	updatesMax      = 10_000
	shallowMax      = 100_000
	pushOptionsMax  = 100
	optionBytesMax  = 4 << 10
	capabilitiesMax = 4 << 10 // bytes
	nameBytesMax    = 4 << 10 // of a ref that is refused by name, rather than with all others
)

// commands are what a client sends after the listing.
type commands struct {
	updates  []Update
	verdicts []Verdict // of this server alone, before the group is asked
	shallow  []git.OID
	options  []string

	reports, sideband, quiet, atomic, hasOptions bool
}

var errTooMuch = errors.New("more than this server takes in one push")

// readCommands reads up to the flush behind the commands, and behind the push
// options if there are some. No updates: the client wants nothing.
//
// After an error the commands hold what was understood.
func readCommands(r io.Reader, format git.Format) (*commands, error) {
	c := new(commands)
	buf := make([]byte, pktHeaderBytes+git.PktPayloadMax)
	err := readList(r, buf, func(line []byte) error { return c.add(line, format) })
	if err != nil {
		return c, err
	}
	if c.hasOptions && len(c.updates) > 0 {
		if err := readList(r, buf, c.addOption); err != nil {
			return c, fmt.Errorf("push options: %w", err)
		}
	}
	c.judge()
	return c, nil
}

// readList reads lines up to a flush.
func readList(r io.Reader, buf []byte, add func(line []byte) error) error {
	for {
		line, err := readPkt(r, buf)
		if line == nil || err != nil {
			return err
		}
		if err := add(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
	}
}

func (c *commands) addOption(option []byte) error {
	if len(option) > optionBytesMax || len(c.options) == pushOptionsMax {
		return errTooMuch
	}
	if !utf8.Valid(option) { // they are signed as text
		return fmt.Errorf("%w: an option that is not UTF-8", errBadCommand)
	}
	c.options = append(c.options, string(option))
	return nil
}

// add takes one line: "shallow OID", or "OLD NEW NAME", the first with
// capabilities behind a NUL.
func (c *commands) add(line []byte, format git.Format) error {
	if hex, ok := strings.CutPrefix(string(line), "shallow "); ok {
		oid, err := parseOID(hex, format)
		if err != nil || oid.IsZero() {
			return fmt.Errorf("shallow %.80q: %w", hex, errBadCommand)
		}
		if len(c.shallow) == shallowMax {
			return fmt.Errorf("shallow commits: %w", errTooMuch)
		}
		c.shallow = append(c.shallow, oid)
		return nil
	}
	command, capabilities, first := bytes.Cut(line, []byte{0})
	if first && len(c.updates) == 0 {
		if err := c.negotiate(string(capabilities), format); err != nil {
			return err
		}
	}
	fields := strings.SplitN(string(command), " ", 3)
	if len(fields) != 3 || len(fields[2]) == 0 || len(fields[2]) > nameBytesMax {
		return fmt.Errorf("%w: %.200q", errBadCommand, command)
	}
	before, err := parseOID(fields[0], format)
	after, err2 := parseOID(fields[1], format)
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("%w: %w", errBadCommand, err)
	}
	if len(c.updates) == updatesMax {
		return fmt.Errorf("refs: %w", errTooMuch)
	}
	c.updates = append(c.updates, Update{Name: fields[2], Old: before, New: after})
	return nil
}

var errBadCommand = errors.New("not a command of a push")

func parseOID(hex string, format git.Format) (git.OID, error) {
	if len(hex) != 2*format.RawLen() {
		return git.OID{}, fmt.Errorf("object ID %.80q in a %s repository", hex, format)
	}
	return git.ParseOID(hex)
}

// negotiate takes the capabilities that the client has chosen.
func (c *commands) negotiate(text string, format git.Format) error {
	if len(text) > capabilitiesMax {
		return fmt.Errorf("capabilities: %w", errTooMuch)
	}
	chosen := strings.Fields(text)
	theirs := git.SHA1
	for _, capability := range chosen {
		if name, ok := strings.CutPrefix(capability, "object-format="); ok {
			theirs = git.Format(name)
		}
	}
	if theirs != format {
		return fmt.Errorf("%w: object format %.20q in a %s repository", errBadCommand, theirs, format)
	}
	has := func(capability string) bool { return slices.Contains(chosen, capability) }
	c.reports, c.sideband, c.quiet = has("report-status"), has("side-band-64k"), has("quiet")
	c.atomic, c.hasOptions = has("atomic"), has("push-options")
	return nil
}

// judge refuses what no group need be asked about.
func (c *commands) judge() {
	c.verdicts = make([]Verdict, len(c.updates))
	seen := make(map[string]bool, len(c.updates))
	failed := false
	for i, u := range c.updates {
		switch err := git.CheckRefName(u.Name); {
		case err != nil:
			c.verdicts[i] = "funny refname"
		case seen[u.Name]:
			c.verdicts[i] = "named twice in one push"
		case u.Old.IsZero() && u.New.IsZero():
			c.verdicts[i] = "there is no such ref"
		}
		seen[u.Name] = true
		failed = failed || c.verdicts[i] != ""
	}
	for i := range c.verdicts {
		if failed && c.atomic && c.verdicts[i] == "" {
			c.verdicts[i] = "atomic push failed"
		}
	}
}

func (c *commands) refuseAll(why Verdict) { c.verdicts = slices.Repeat([]Verdict{why}, len(c.updates)) }

// pending are the updates that the group must decide about, and where each is
// in the push.
func (c *commands) pending() (updates []Update, at []int) {
	for i, u := range c.updates {
		if c.verdicts[i] == "" {
			updates, at = append(updates, u), append(at, i)
		}
	}
	return updates, at
}

// bringsPack says whether a pack follows: git sends one, if only an empty one,
// unless it does nothing but delete.
func (c *commands) bringsPack() bool {
	return slices.ContainsFunc(c.updates, func(u Update) bool { return !u.New.IsZero() })
}
