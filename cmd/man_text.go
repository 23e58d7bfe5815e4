package cmd

// What peer(1) says beside the grammar. TestManualAgreesWithTheDocs holds it to docs/cli.md.

var manDescription = []string{
	"Each repository lives on a small group of machines that its users own. They find each other over libp2p, agree on one order of writes, " +
		"and go on when one of them dies. People use plain git: git clone peer://OWNER/NAME, git push, git fetch.",
	"The program answers to three names: peer; git-peer, so that git peer init works; and git-remote-peer, by which git starts it for peer:// URLs. " +
		"peer setup makes the links.",
	"For a try, type peer dev. Where something does not work, type peer doctor.",
	"Where a command takes a repository, that is NAME, one of your own; OWNER/NAME; a peer:// URL; or an ID of 64 hexadecimal digits. " +
		"OWNER is a did:key, a peer ID, a petname, or me.",
}

// exitMeanings is the table of exit codes.
var exitMeanings = []struct {
	code    int
	meaning string
}{
	{exitOK, "done"},
	{exitFailed, "failed, and nothing below says it better"},
	{exitUsage, "the command line or the config file is wrong; nothing was done"},
	{exitNotRunning, "no node runs for the home, and what was asked needs one; or the home knows no other either"},
	{exitNotFound, "not found: no such repository, petname, lock"},
	{exitNotAllowed, "not allowed, by the policy, by somebody's lock, or for lack of the token"},
	{exitUnavailable, "not now: no leader, no majority, busy, no answer in time. The same again may work"},
	{exitUnknown, "the outcome is unknown: it may have been done all the same. Look before you repeat it"},
	{exitInterrupted, "interrupted"},
}

var manEnvironment = []struct{ name, what string }{
	{"PEER_HOME", "The home, as --home names it."},
	{"PEER_SOME_FLAG", "The value of --some-flag, for every flag; the command line goes before it, and it before config.json in the home. Lists are separated by commas."},
	{"PEER_PUSH_TIMEOUT, PEER_FETCH_TIMEOUT", "How long git push (60s) and whatever reads (10s) go on trying while a repository has no leader or no majority, counted from the first failure."},
	{"PEER_UNPROVED", "take or refuse: what to do with refs that can't be proved. Otherwise a warning at first contact, and a refusal later."},
	{"SSH_AUTH_SOCK", "The ssh-agent, where your key is in one."},
	{"XDG_DATA_HOME", "Where the home is unless something names it: peer/ there."},
}

// homeFiles is what a home has in it.
var homeFiles = []struct{ name, what string }{
	{"FORMAT", "version of this layout"},
	{"key", "private key of the node, and of its user unless there is another"},
	{"user.key", "private key of the user, where it is another"},
	{"user.pub", "public key of the user, where an ssh-agent has the private one"},
	{"config.json", "values for flags"},
	{"network.json", "rendezvous, secret and last known addresses"},
	{"aliases.json", "petnames"},
	{"former.json", "which keys the user had before"},
	{"known/", "private repositories that this home found while it ran no node"},
	{"pins.json", "of each repository met: its genesis, and up to which index it was seen"},
	{"proved/", "of each repository met: the refs that were checked last"},
	{"import/", "clones of what is being imported, as long as that takes"},
	{"mirrors.json", "mirrors of repositories elsewhere, their passwords included"},
	{"mirrors/", "how they fared, and what they fetched"},
	{"peer.sock", "while a node runs: its control API"},
	{"peer.pid", "its process ID"},
	{"lock", "held (flock) by the running node"},
	{"gitd.key", "private key of the git daemon"},
	{"receipts/", "receipts of pushes and operations"},
	{"token", "what callers of the control API over TCP show"},
	{"badger/", "logs, votes and tables"},
	{"repos/", "bare repositories"},
	{"bin/", "a link by which git finds this peer, where peer setup was not run"},
}
