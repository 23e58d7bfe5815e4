package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

type manCmd struct {
	Dir string `help:"Directory to write them to." required:"" placeholder:"DIR"`
}

// Run writes a manual page for peer, and one for each command.
func (c *manCmd) Run(_ *app, k *kong.Kong) error {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("manual pages: %w", err)
	}
	for name, page := range manPages(k.Model.Node, Version(), sourceTime()) {
		if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(page), 0o644); err != nil {
			return fmt.Errorf("manual pages: %w", err)
		}
	}
	return nil
}

// manPages are the pages by file name. A zero date is left out.
func manPages(root *kong.Node, version string, date time.Time) map[string]string {
	day := ""
	if !date.IsZero() {
		day = date.UTC().Format(time.DateOnly)
	}
	begin := func(name, what string) *troff {
		t := new(troff)
		t.macro("TH", strings.ToUpper(name), "1", day, "peer "+version, "peer manual")
		t.macro("SH", "NAME")
		t.line(name + " - " + what)
		return t
	}
	pages := map[string]string{"peer.1": manOfPeer(begin("peer", "a code forge without a server"), root)}
	for _, command := range shown(root) {
		name := "peer-" + command.Name
		pages[name+".1"] = manOfCommand(begin(name, lowered(command.Help)), root, command)
	}
	return pages
}

// shown are the commands of a node that people are told of.
func shown(node *kong.Node) []*kong.Node {
	return slices.DeleteFunc(slices.Clone(node.Children), func(n *kong.Node) bool { return n.Hidden })
}

// lowered is a sentence as a phrase: without its capital and its full stop.
func lowered(sentence string) string {
	phrase := strings.TrimSuffix(sentence, ".")
	return strings.ToLower(phrase[:1]) + phrase[1:]
}

func manOfPeer(t *troff, root *kong.Node) string {
	t.macro("SH", "SYNOPSIS")
	t.macro("B", "peer")
	t.line("[options] COMMAND [arguments]")
	t.macro("SH", "DESCRIPTION")
	t.paragraphs(manDescription...)
	t.macro("SH", "COMMANDS")
	title := ""
	for _, command := range shown(root) {
		if g := command.ClosestGroup(); g != nil && g.Title != title {
			title = g.Title
			t.macro("SS", strings.TrimSuffix(title, ":"))
		}
		t.item("peer-"+command.Name+"(1)", command.Help)
	}
	t.macro("SH", "OPTIONS")
	manFlags(t, root)
	t.macro("SH", "EXIT STATUS")
	for _, e := range exitMeanings {
		t.item(fmt.Sprint(e.code), e.meaning)
	}
	t.line("clone, pull, push, add and commit end with git's own code once git runs.")
	t.macro("SH", "ENVIRONMENT")
	for _, v := range manEnvironment {
		t.item(v.name, v.what)
	}
	t.macro("SH", "FILES")
	t.line("In the home, ~/.local/share/peer unless --home or PEER_HOME names another:")
	for _, f := range homeFiles {
		t.item(f.name, f.what)
	}
	t.macro("SH", "SEE ALSO")
	t.line("git(1), gitremote-helpers(7)")
	return t.String()
}

func manOfCommand(t *troff, root, command *kong.Node) string {
	leaves := shown(command)
	t.macro("SH", "SYNOPSIS")
	if len(leaves) == 0 {
		leaves = nil
		manSynopsis(t, command)
	}
	for i, leaf := range leaves {
		if i > 0 {
			t.macro("br")
		}
		manSynopsis(t, leaf)
	}
	t.macro("SH", "DESCRIPTION")
	t.line(command.Help)
	for _, arg := range command.Positional {
		if !command.Passthrough {
			t.item(strings.ToUpper(arg.Name), arg.Help)
		}
	}
	if len(leaves) > 0 {
		t.macro("SH", "COMMANDS")
	}
	for _, leaf := range leaves {
		t.macro("SS", leaf.FullPath())
		t.line(leaf.Help)
		for _, arg := range leaf.Positional {
			t.item(strings.ToUpper(arg.Name), arg.Help)
		}
		manFlags(t, leaf)
	}
	t.macro("SH", "OPTIONS")
	if command.Passthrough {
		t.line("Those of git-" + command.Name + "(1). Before the command:")
	}
	manFlags(t, command)
	manFlags(t, root)
	t.macro("SH", "EXIT STATUS")
	if command.Passthrough {
		t.line("That of git, once it runs; peer(1) has the others.")
	} else {
		t.line("0 when it is done. peer(1) has the others.")
	}
	t.macro("SH", "ENVIRONMENT")
	t.line("Each option --some-option is also the variable PEER_SOME_OPTION, and the key some-option of config.json. peer(1) has the others.")
	t.macro("SH", "FILES")
	t.line("Those of the home; peer(1) lists them.")
	t.macro("SH", "SEE ALSO")
	if command.Passthrough {
		t.line("peer(1), git-" + command.Name + "(1)")
	} else {
		t.line("peer(1), peer-doctor(1)")
	}
	return t.String()
}

// manSynopsis is a command with its arguments, on one line.
func manSynopsis(t *troff, command *kong.Node) {
	t.macro("B", command.FullPath())
	rest := "[options]"
	for _, arg := range command.Positional {
		name := strings.ToUpper(arg.Name)
		if arg.IsCumulative() {
			name += "..."
		}
		if !arg.Required {
			name = "[" + name + "]"
		}
		rest += " " + name
	}
	if command.Passthrough {
		rest = "[arguments of git-" + command.Name + "]"
	}
	t.line(rest)
}

func manFlags(t *troff, node *kong.Node) {
	for _, flag := range node.Flags {
		if flag.Hidden {
			continue
		}
		term := "--" + flag.Name
		switch {
		case flag.Tag.Negatable != "":
			term = "--[no-]" + flag.Name
		case !flag.IsBool():
			term += "=" + firstSet(flag.PlaceHolder, strings.ToUpper(flag.Name))
		}
		if flag.Short != 0 {
			term = "-" + string(flag.Short) + ", " + term
		}
		help := flag.Help
		if flag.HasDefault && flag.Default != "" && !flag.IsBool() {
			help += " Default: " + flag.Default + "."
		}
		t.item(term, help)
	}
}
