// Peer is a code forge without a server: the node, the client and the git
// remote helper in one binary.
package main

import (
	"os"

	"peer/cmd"
)

func main() { os.Exit(cmd.Main(os.Args)) }
