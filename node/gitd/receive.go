package gitd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"peer/git"
)

// takePush speaks git's receive-pack: listing, commands, pack, report. Its errors
// are *brokenError, since git has begun to speak.
func (s *Server) takePush(ctx context.Context, c *conn, q request, push Push) error {
	c.idle = s.o.PushTimeout
	if err := s.advertise(c, q.version, push); err != nil {
		return &brokenError{fmt.Errorf("list refs: %w", err)}
	}
	reported, err := s.receive(ctx, bufio.NewReaderSize(c, tunnelBytes), c, push)
	if reported {
		c.linger()
	}
	return err
}

// receive reads commands and pack and says what became of them. reported says that
// the client has a report to read; errors are *brokenError.
func (s *service) receive(ctx context.Context, in io.Reader, w io.Writer, push Push) (reported bool, err error) {
	_, format := push.Refs()
	cmds, err := readCommands(in, format)
	if errors.Is(err, io.EOF) && len(cmds.updates) == 0 || err == nil && len(cmds.updates) == 0 {
		return false, nil // up to date, or refused by a hook over there
	}
	out := &reporter{w: w, cmds: cmds}
	if err != nil {
		return breakOff(out, err)
	}
	t := &Transaction{Atomic: cmds.atomic, Options: cmds.options, Shallow: cmds.shallow, Progress: out, Say: out.say}
	if cmds.bringsPack() {
		pack := &spool{dir: s.o.TempDir}
		defer pack.Close()
		objects, err := readPack(in, pack, format, s.o.PackBytesMax)
		if err != nil {
			return breakOff(out, err)
		}
		if objects > 0 {
			t.Pack = pack.open
		}
	}
	s.deliver(ctx, push, t, cmds)
	if err := out.report(""); err != nil {
		return false, &brokenError{fmt.Errorf("report: %w", err)}
	}
	return true, nil
}

// deliver asks the group about what this server has not refused itself.
func (s *service) deliver(ctx context.Context, push Push, t *Transaction, cmds *commands) {
	var at []int
	if t.Updates, at = cmds.pending(); len(at) == 0 {
		return
	}
	verdicts, err := push.Deliver(ctx, t)
	if err == nil && len(verdicts) != len(at) {
		err = fmt.Errorf("%d verdicts for %d refs", len(verdicts), len(at))
	}
	if err == nil {
		for i, verdict := range verdicts {
			cmds.verdicts[at[i]] = verdict
		}
		return
	}
	text := "this node could not deliver the push: its log says why"
	if refusal := new(Refusal); errors.As(err, &refusal) {
		text = refusal.Text
	} else {
		s.log.Warn("push not delivered", "error", err)
	}
	for _, i := range at {
		cmds.verdicts[i] = Verdict(text)
	}
}

// breakOff tells a client that may still be sending what is wrong.
func breakOff(out *reporter, err error) (reported bool, _ error) {
	text := "the push could not be read"
	if errors.Is(err, errTooMuch) || errors.Is(err, errBadCommand) || errors.Is(err, errNoPack) {
		text = err.Error()
	}
	out.cmds.refuseAll("unpacker error")
	return out.report(text) == nil, &brokenError{fmt.Errorf("read push: %w", err)}
}

// advertise lists the refs as receive-pack does: without HEAD, and without what
// tags point at.
func (s *service) advertise(w io.Writer, version int, push Push) error {
	refs, format := push.Refs()
	out := bufio.NewWriterSize(w, git.PktPayloadMax)
	var line []byte
	put := func(text string) {
		line = git.AppendPkt(line[:0], []byte(text))
		_, _ = out.Write(line) // Flush returns the error
	}
	if version == 1 {
		put("version 1\n")
	}
	capabilities := "\x00report-status delete-refs side-band-64k quiet atomic ofs-delta push-options object-format=" + string(format) + " agent=" + s.o.Agent
	if len(refs) == 0 {
		put(format.Null() + " capabilities^{}" + capabilities + "\n")
	}
	for _, ref := range refs {
		put(ref.OID.String() + " " + ref.Name + capabilities + "\n")
		capabilities = ""
	}
	_, _ = out.WriteString(git.FlushPkt)
	return out.Flush()
}
