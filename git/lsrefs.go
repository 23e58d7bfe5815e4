package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// prefixesMax is how many prefixes a listing is cut by. With more of them all of it is
// sent, as the protocol lets a server do.
const prefixesMax = 4096

// answering stands between git and an upload-pack of version 2, on git's side.
type answering struct {
	git, server *PktReader
	toGit       *bufio.Writer
	toServer    io.Writer
	listing     *Listing
}

// AnswerLsRefs has git speak to an upload-pack of version 2, and answers its requests to
// list refs with l, whose refs are in the order of their names. So git is told of the refs
// that somebody has checked, whatever the server lists, and however: the server speaks
// when it was asked, in that version, may not offer to look up refs in other ways, and
// answers a fetch with what git asked for. Without l, the server lists. What it may not
// do is a *BreachError.
func AnswerLsRefs(git io.Reader, toServer io.Writer, server io.Reader, toGit io.Writer, l *Listing) error {
	a := &answering{
		git: NewPktReader(git), server: NewPktReader(server),
		toGit: bufio.NewWriterSize(toGit, pktHeaderBytes+PktPayloadMax), toServer: toServer, listing: l,
	}
	if err := a.passOffer(); err != nil {
		return err
	}
	for {
		q, err := readCommand(a.git)
		if errors.Is(err, io.EOF) {
			return nil
		}
		switch {
		case err != nil:
			err = fmt.Errorf("from git: %w", err)
		case q.lists && a.listing != nil:
			err = a.list(q)
		default:
			err = a.pass(q)
		}
		if err != nil || q.bye {
			return err
		}
	}
}

// pass passes on a request and its answer. Nothing but listings and fetches is offered, so
// what is no listing is read as a fetch's answer is.
func (a *answering) pass(q request) error {
	wants, err := passRequest(q, a.git, a.toServer)
	if err != nil || q.bye {
		return err
	}
	check := (&fetchAnswer{wants: wants}).check
	if q.lists {
		check = nil
	}
	return passResponse(a.server, a.toGit, "the server", "git", check)
}

// passOffer passes on what the server can do, up to a flush.
func (a *answering) passOffer() error {
	for n, size := 0, 0; ; n++ {
		pkt, err := a.server.Next()
		if err != nil {
			return fmt.Errorf("from the server: %w", noEOF(err))
		}
		if size += len(pkt.Raw); size > commandBytesMax {
			return breach("the server offers more than %d bytes", commandBytesMax)
		}
		if n == 0 && string(pkt.Payload()) != "version 2\n" {
			return breach("the server says %.100q instead of git's protocol of version 2", pkt.Payload())
		}
		switch pkt.Kind {
		case PktFlush:
			_, _ = a.toGit.WriteString(FlushPkt)
			return a.toGit.Flush()
		case PktData:
			if line := harmless(string(pkt.Payload())); line != "" {
				_, _ = a.toGit.Write(AppendPkt(nil, []byte(line))) // Flush tells
			}
		default:
			return breach("the server offers %.100q", pkt.Raw)
		}
	}
}

// fetchFeatures are those of a fetch that git may hear of. Others would have it take refs
// from the server (ref-in-want), packs from anywhere (packfile-uris), or an answer in which
// the sections can't be told apart here (sideband-all); git asks for none that it did not
// hear of.
var fetchFeatures = []string{"shallow", "filter", "wait-for-done"}

// harmless is an offer without what would have git take refs from the server: names that
// the server looks up as it fetches, and bundles, which bring refs of their own.
func harmless(offer string) string {
	offer, _, _ = strings.Cut(offer, "\x00") // as C reads it
	switch name, value, _ := strings.Cut(strings.TrimSuffix(offer, "\n"), "="); name {
	case "version 2", "agent", "ls-refs", "server-option", "object-format", "session-id":
		return offer
	case "fetch":
		features := slices.DeleteFunc(strings.Fields(value), func(f string) bool { return !slices.Contains(fetchFeatures, f) })
		return "fetch=" + strings.Join(features, " ") + "\n"
	}
	return ""
}

// passRequest passes on the rest of a request that was begun, as it comes.
func passRequest(q request, client *PktReader, server io.Writer) (wants fetchWants, err error) {
	out := bufio.NewWriterSize(server, 64<<10)
	_, _ = out.Write(q.raw) // Flush tells
	for !q.whole {
		if !client.ready() {
			if err := out.Flush(); err != nil {
				return wants, err
			}
		}
		pkt, err := client.Next()
		if err != nil {
			return wants, errors.Join(fmt.Errorf("from git: %w", noEOF(err)), out.Flush())
		}
		_, _ = out.Write(pkt.Raw)
		wants.note(pkt)
		q.whole = pkt.Kind == PktFlush
	}
	return wants, out.Flush()
}

// lsRefsArgs is what git wants to see of the refs.
type lsRefsArgs struct {
	peel, symrefs, unborn bool
	prefixes              []string
}

func (a *answering) list(q request) error {
	var args lsRefsArgs
	for size := len(q.raw); !q.whole; {
		pkt, err := a.git.Next()
		if err != nil {
			return fmt.Errorf("from git: %w", noEOF(err))
		}
		if size += len(pkt.Raw); size > lsRefsBytesMax {
			return fmt.Errorf("request to list refs is larger than %d bytes", lsRefsBytesMax)
		}
		if q.whole = pkt.Kind == PktFlush; pkt.Kind == PktData {
			args.add(strings.TrimSuffix(string(pkt.Payload()), "\n"))
		}
	}
	args.write(a.toGit, *a.listing)
	_, _ = a.toGit.WriteString(FlushPkt)
	return a.toGit.Flush()
}

func (a *lsRefsArgs) add(line string) {
	switch name, value, _ := strings.Cut(line, " "); name {
	case "peel":
		a.peel = true
	case "symrefs":
		a.symrefs = true
	case "unborn":
		a.unborn = true
	case "ref-prefix":
		a.prefixes = append(a.prefixes, value)
	}
}

func (a *lsRefsArgs) wants(name string) bool {
	if len(a.prefixes) == 0 || len(a.prefixes) > prefixesMax {
		return true
	}
	for _, p := range a.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// write writes the lines as ls-refs does, HEAD first. What fails, Flush tells.
func (a *lsRefsArgs) write(out *bufio.Writer, l Listing) {
	var line, pkt []byte
	add := func(name string, target string, r Ref) {
		line = append(append(r.OID.appendHex(line[:0]), ' '), name...)
		if target != "" && a.symrefs {
			line = append(append(line, " symref-target:"...), target...)
		}
		if a.peel && !r.Peeled.IsZero() {
			line = r.Peeled.appendHex(append(line, " peeled:"...))
		}
		pkt = AppendPkt(pkt[:0], append(line, '\n'))
		_, _ = out.Write(pkt)
	}
	if a.wants("HEAD") {
		born := false
		for _, r := range l.Refs {
			if r.Name == l.Head {
				add("HEAD", l.Head, r)
				born = true
			}
		}
		if !born && a.unborn && a.symrefs { // git says nothing of it without the latter
			_, _ = out.Write(AppendPkt(nil, []byte("unborn HEAD symref-target:"+l.Head+"\n")))
		}
	}
	for _, r := range l.Refs {
		if a.wants(r.Name) {
			add(r.Name, "", r)
		}
	}
}
