// Package cmd is the command line: the grammar, one file per command, the git
// remote helper, and the home in which a node and its user keep what is theirs.
// It alone sees flags, environment and config file, and it wires the parts of a
// node together.
//
// The binary answers to three names. As peer, and as git-peer ("git peer init"),
// it runs [Main]'s commands; as git-remote-peer it is what git starts for
// peer:// URLs.
//
// Where to look:
//
//	main.go, grammar.go, config.go    the three names; commands and flags; where values come from
//	NAME.go, NAME_*.go                the command of that name: clone, doctor, id, import, join, repo, verify, …
//	git_*.go                          git's own commands; how git is run, in work trees and outside
//	tui.go, output.go, explain.go     errors, hints and exit codes; JSON and tables; kong's errors in our words
//	man*.go, troff.go, completion.go  what is printed from the grammar
//
//	home*.go, files.go, network.go    the home: paths, lock, small files, which network
//	user*.go, passphrase*.go          who signs
//	former.go, known.go, receipts.go  what a home remembers: keys, private repositories, receipts,
//	proved.go, pins_vouched.go        checked listings, what a majority vouched for
//
//	resolve.go, aliases.go            which repository and which people are meant
//	call.go, lone.go                  how a command reaches the node or, where none runs, the replicas
//	remote*.go                        git-remote-peer: the conversation with git, fetching, pushing
//	session*.go                       a session with a replica, and the pins and proofs that it is held to
//
//	node*.go, wire.go                 the process of a node, and how its parts are built
//	backend*.go                       what the control API answers; repositories need no node for it
//	gitd*.go, door.go, mirror_*.go    beside it: git:// and http://, guests, mirrors
//	dev*.go                           peer dev: a whole network on this machine
//
// docs/cli.md is the contract with people and scripts: commands, files, exit codes.
package cmd
