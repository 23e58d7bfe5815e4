package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kong"
)

// helperName is the name by which git starts the remote helper.
const helperName = "git-remote-peer"

// Main runs the command line args, the program's name first, and returns the
// code to exit with.
func Main(args []string) int {
	return run(args, app{in: os.Stdin, out: os.Stdout, errs: os.Stderr, start: startNode})
}

// app is what commands share.
type app struct {
	in        io.Reader
	out, errs io.Writer
	start     func(context.Context, NodeConfig) (running, error)

	flags *grammar
	home  *Home
}

// run is Main with everything outside named.
func run(args []string, a app) int {
	ctx, stop := untilSignal()
	defer stop()
	if filepath.Base(args[0]) == helperName {
		home, err := OpenHome("")
		if err != nil {
			report(a.errs, err)
			return exitFatal
		}
		return runRemoteHelper(ctx, args[1:], a.in, a.out, a.errs, home)
	}
	err := a.dispatch(ctx, args[1:])
	if errors.Is(err, errInterrupted) || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	return report(a.errs, err)
}

// untilSignal ends the context at the first SIGINT or SIGTERM. The second finds
// the default again, and ends the program at once.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func (a *app) dispatch(ctx context.Context, args []string) error {
	a.flags = new(grammar)
	exited := false
	parser, err := newParser(a.flags, a.out, a.errs, func(int) { exited = true })
	if err != nil {
		return fmt.Errorf("command line grammar: %w", err)
	}
	if help := wantsHelp(parser, args); help != nil {
		return a.help(parser, help)
	}
	parsed, err := parser.Parse(joinOff(args))
	if exited {
		return nil // --help, and it has been printed
	}
	if err != nil {
		return explainParse(err)
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(a)
}

// Home is the home that the flags name.
func (a *app) Home() (*Home, error) {
	if a.home != nil {
		return a.home, nil
	}
	home, err := OpenHome(a.flags.Home)
	if err == nil {
		home.PassphraseFile = a.flags.PassphraseFile // or the environment's, or the config file's
		a.home = home
	}
	return home, err
}

// help prints the help for an incomplete command line. That is an error, since
// nothing was done.
func (a *app) help(parser *kong.Kong, args []string) error {
	parser.Stdout = a.errs
	_, _ = parser.Parse(append(args, "--help"))
	return exitStatus(exitUsage)
}

// wantsHelp returns args where they name no command, or only the group of one.
func wantsHelp(parser *kong.Kong, args []string) []string {
	node := parser.Model.Node
	for _, arg := range args {
		next := childNamed(node, arg)
		if next == nil {
			return nil
		}
		node = next
	}
	if len(node.Children) == 0 {
		return nil
	}
	return append([]string{}, args...)
}

func childNamed(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}
