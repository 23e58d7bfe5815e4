// Package cmd is the command line: the grammar, one file per command, the git
// remote helper, and the home in which a node and its user keep what is theirs.
// It alone sees flags, environment and config file, and it wires the parts of a
// node together.
//
// The binary answers to three names. As peer, and as git-peer ("git peer init"),
// it runs [Main]'s commands; as git-remote-peer it is what git starts for
// peer:// URLs.
//
// docs/cli.md is the contract with people and scripts: commands, files, exit codes.
package cmd
