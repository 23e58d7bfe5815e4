package cmd

import (
	"io"

	"github.com/alecthomas/kong"
)

// grammar is the whole command line. Every flag is also an environment variable
// (PEER_ and its name) and a key of the config file.
type grammar struct {
	Home           string `help:"Directory of the node and its user; by default peer/ in the XDG data directory." placeholder:"DIR"`
	PassphraseFile string `help:"File whose first line is the passphrase of your key; by default you are asked." placeholder:"FILE"`

	Dev       devCmd       `cmd:"" group:"node" help:"Run a whole network on this machine, for trying it out."`
	Node      nodeCmd      `cmd:"" group:"node" help:"Run a node."`
	Bootstrap bootstrapCmd `cmd:"" group:"node" help:"Run a node that only helps others to find each other."`
	Status    statusCmd    `cmd:"" group:"node" help:"Describe the node, or one repository."`
	Watch     watchCmd     `cmd:"" group:"node" help:"Print what happens to repositories, as it happens."`

	Invite inviteCmd `cmd:"" group:"net" help:"Write an invitation to this network."`
	Join   joinCmd   `cmd:"" group:"net" help:"Join the network of an invitation."`

	Init   initCmd   `cmd:"" group:"repo" help:"Create a repository in the network."`
	Import importCmd `cmd:"" group:"repo" help:"Bring a git repository from elsewhere into the network."`
	Log    logCmd    `cmd:"" group:"repo" help:"Print who moved what, and when."`
	Verify verifyCmd `cmd:"" group:"repo" help:"Have every replica check its objects, refs and log against each other."`
	Why    whyCmd    `cmd:"" group:"repo" help:"Say who leads, lags or is silent, and why a push would be refused now."`

	Mirror mirrorCmd `cmd:"" group:"repo" help:"Keep a repository and one elsewhere alike."`
	Repo   repoCmd   `cmd:"" group:"repo" help:"Look at repositories, and say who may do what, where they live, and when they end."`

	Hook hookCmd `cmd:"" group:"repo" help:"Have this node tell others over HTTP what happens to repositories."`

	Clone  cloneCmd  `cmd:"" passthrough:"" group:"git" help:"Clone a repository: git clone."`
	Pull   pullCmd   `cmd:"" passthrough:"" group:"git" help:"Pull, or clone outside a work tree: git pull."`
	Push   pushCmd   `cmd:"" passthrough:"" group:"git" help:"Push: git push."`
	Add    addCmd    `cmd:"" passthrough:"" group:"git" help:"Stage files: git add."`
	Commit commitCmd `cmd:"" passthrough:"" group:"git" help:"Commit: git commit."`

	ID         idCmd         `cmd:"" name:"id" group:"home" help:"Show your key, and give names to those of others."`
	Doctor     doctorCmd     `cmd:"" group:"home" help:"Look for what people most often get wrong, and say what to type."`
	Setup      setupCmd      `cmd:"" group:"home" help:"Make git find peer:// repositories."`
	Version    versionCmd    `cmd:"" group:"home" help:"Print the version."`
	Completion completionCmd `cmd:"" group:"home" help:"Print a script that completes commands in a shell."`

	Man manCmd `cmd:"" hidden:"" help:"Write the manual pages."`
}

const description = `A code forge without a server: repositories live on the machines of those who use them.

Try it: peer dev`

func newParser(g *grammar, out, errs io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(g,
		kong.Name("peer"),
		kong.Description(description),
		kong.Writers(out, errs),
		kong.Exit(exit),
		kong.DefaultEnvars("PEER"),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "node", Title: "Nodes:"},
			{Key: "net", Title: "Other people:"},
			{Key: "repo", Title: "Repositories:"},
			{Key: "git", Title: "Git, with git's own arguments and exit codes:"},
			{Key: "home", Title: "Yourself:"},
		}),
		kong.Resolvers(&configFile{}),
		kong.ValueFormatter(func(v *kong.Value) string { return v.Help }),
	)
}
