package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"peer/git"
	"peer/wire"
)

// exitFatal is what git expects of a helper that could give no report.
const exitFatal = 128

// remoteHelper is one run of git-remote-peer. What it writes to out belongs to
// git; people read errs.
//
// Fetching is a tunnel: "connect" joins git with the upload-pack of a replica.
// Pushing is the "push" capability: we make the pack, because what goes to the
// group is a signed transaction and not git's own protocol.
type remoteHelper struct {
	client  *client
	local   *git.Local
	in      commands
	out     io.Writer
	errs    io.Writer
	say     *remoteText
	options remoteOptions
	listing *listing // of the last "list for-push"

	pushPatience, fetchPatience time.Duration

	onUnproved string // see unprovedEnv
}

// runRemoteHelper speaks the remote helper protocol until git is done. args are
// the remote's name and its URL. The code is 0 also when refs were refused: git
// has been told of each.
func runRemoteHelper(ctx context.Context, args []string, in io.Reader, out, errs io.Writer, h *Home) int {
	dial := func(ctx context.Context) (dialer, error) { return openDialer(ctx, h) }
	return serveRemoteHelper(ctx, args, in, out, errs, h, dial)
}

func serveRemoteHelper(ctx context.Context, args []string, in io.Reader, out, errs io.Writer, h *Home, dial func(context.Context) (dialer, error)) int {
	r, err := newRemoteHelper(args, in, out, errs, h)
	if err == nil {
		r.client.dial = dial
		err = r.serve(ctx)
		r.close()
	}
	var unknown *unknownOutcome
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		if errors.As(err, &unknown) { // what may have happened all the same is worth a line
			report(errs, err)
		}
		return exitInterrupted
	}
	report(errs, err)
	return exitFatal
}

func newRemoteHelper(args []string, in io.Reader, out, errs io.Writer, h *Home) (*remoteHelper, error) {
	if len(args) == 0 {
		return nil, usage("clone with: git clone peer://OWNER/NAME", "git-remote-peer is run by git, with the URL of a repository")
	}
	address, err := h.ParseURL(args[len(args)-1])
	if err != nil {
		return nil, err
	}
	user, err := h.User()
	if err != nil {
		return nil, err
	}
	r := &remoteHelper{
		client: &client{address: address, user: user, pins: pins{h.Dir}, prove: true},
		local:  new(git.Local),
		in:     newCommands(in), out: out, errs: errs,
		options: remoteOptions{verbosity: 1}, onUnproved: os.Getenv(unprovedEnv),
	}
	if u := r.onUnproved; u != "" && u != unprovedTake && u != unprovedRefuse {
		return nil, usage("set it to "+unprovedTake+" or "+unprovedRefuse, "%s is %.40q", unprovedEnv, u)
	}
	r.say = &remoteText{w: errs, options: &r.options}
	if r.pushPatience, err = patienceFrom("PEER_PUSH_TIMEOUT", pushPatience); err != nil {
		return nil, err
	}
	r.fetchPatience, err = patienceFrom("PEER_FETCH_TIMEOUT", fetchPatience)
	return r, err
}

// patienceFrom reads a variable of the environment: a duration like 90s, or seconds.
func patienceFrom(name string, otherwise time.Duration) (time.Duration, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		var seconds float64
		seconds, err = strconv.ParseFloat(text, 64)
		d = time.Duration(seconds * float64(time.Second))
	}
	if err != nil || d < 0 {
		return 0, usage("give a duration such as 90s", "%s is %.40q", name, text)
	}
	return d, nil
}

// close lets go of everything. What was to be said has been, so nothing that
// fails here changes the result.
func (r *remoteHelper) close() {
	r.dropListing()
	_ = r.client.Close()
}

// serve answers commands until git has no more. An end without the blank line
// is normal too: git died, or needs nothing.
func (r *remoteHelper) serve(ctx context.Context) error {
	for {
		line, err := r.in.next(ctx)
		if errors.Is(err, io.EOF) || err == nil && line == "" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from git: %w", err)
		}
		done, err := r.answer(ctx, line)
		if err != nil || done {
			return err
		}
	}
}

// answer carries out one command. done says that the dialogue is over.
func (r *remoteHelper) answer(ctx context.Context, line string) (done bool, err error) {
	command, rest, _ := strings.Cut(line, " ")
	switch command {
	case "capabilities":
		return false, r.reply("connect\npush\noption\nobject-format\n\n")
	case "option":
		return false, r.reply(r.options.answer(rest) + "\n")
	case "connect":
		return r.connect(ctx, rest)
	case "list":
		return false, r.list(ctx, rest)
	case "push":
		return false, r.push(ctx, rest)
	}
	return false, fmt.Errorf("git sent a command that was never offered: %.100q", line)
}

// reply writes what git waits for, in one piece.
func (r *remoteHelper) reply(text string) error {
	if _, err := io.WriteString(r.out, text); err != nil {
		return fmt.Errorf("answer git: %w", err)
	}
	return nil
}

// open opens a session, and tries again while the group is between leaders.
func (r *remoteHelper) open(ctx context.Context, intent wire.Intent, total time.Duration, then func(*session) error) (*session, error) {
	p, retried := patience{total: total}, false
	for {
		s, err := r.client.open(ctx, intent)
		if err == nil {
			if err = then(s); err == nil {
				return s, nil
			}
			s.abort()
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !temporary(err) || !p.wait(ctx) {
			return nil, fmt.Errorf("%s: %w", r.client.address.Name, err)
		}
		if !retried {
			retried = true
			r.say.line(retryReason(err))
		}
	}
}
