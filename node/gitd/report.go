package gitd

import (
	"io"

	"peer/git"
)

// Channels of a connection that carries several, and how much fits in one line.
const (
	bandReport   = 1
	bandProgress = 2
	bandBytesMax = git.PktPayloadMax - 1
)

// reporter is the way back to the client of a push.
type reporter struct {
	w    io.Writer
	cmds *commands
}

// Write shows progress, unless the client asked for none, as git does where
// nobody sits at a terminal. It never fails: what becomes of a push does not
// depend on who watches.
func (r *reporter) Write(text []byte) (int, error) {
	if r.cmds.sideband && !r.cmds.quiet {
		_ = r.band(bandProgress, text)
	}
	return len(text), nil
}

func (r *reporter) say(line string) {
	if r.cmds.sideband {
		_ = r.band(bandProgress, []byte(plainLine(line)+"\n"))
	}
}

func (r *reporter) band(band byte, data []byte) error {
	for len(data) > 0 {
		part := data[:min(len(data), bandBytesMax)]
		data = data[len(part):]
		if _, err := r.w.Write(git.AppendPkt(nil, append([]byte{band}, part...))); err != nil {
			return err
		}
	}
	return nil
}

// report says what became of each ref. unpacked is why the objects were not
// taken; empty if they were.
func (r *reporter) report(unpacked string) error {
	if !r.cmds.reports {
		return nil
	}
	if unpacked == "" {
		unpacked = "ok"
	}
	lines := git.AppendPkt(nil, []byte("unpack "+plainLine(unpacked)+"\n"))
	for i, u := range r.cmds.updates {
		line := "ok " + u.Name
		if r.cmds.verdicts[i] != "" {
			line = "ng " + u.Name + " " + plainLine(string(r.cmds.verdicts[i]))
		}
		lines = git.AppendPkt(lines, []byte(line+"\n"))
	}
	lines = append(lines, git.FlushPkt...)
	if !r.cmds.sideband {
		_, err := r.w.Write(lines)
		return err
	}
	if err := r.band(bandReport, lines); err != nil {
		return err
	}
	_, err := io.WriteString(r.w, git.FlushPkt)
	return err
}
