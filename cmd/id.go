package cmd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

type idCmd struct {
	Show    idShowCmd    `cmd:"" help:"Show who you are, and where your key is."`
	Import  idImportCmd  `cmd:"" help:"Sign with a key that you have already: a file, or one in your ssh-agent."`
	Rotate  idRotateCmd  `cmd:"" help:"Take another key, and have it take the place of the one before wherever that has a role."`
	Encrypt idEncryptCmd `cmd:"" help:"Encrypt your key with a passphrase."`
	Decrypt idDecryptCmd `cmd:"" help:"Take the passphrase off your key."`
	Alias   idAliasCmd   `cmd:"" help:"Give a name to somebody's key, or list the names that you gave."`
}

type idShowCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run says who signs for this home, and where the key is.
func (c *idShowCmd) Run(a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	u, err := home.userKey()
	if err != nil {
		return err
	}
	return showKeys(a, u, c.JSON)
}

// keysJSON is part of the contract with scripts.
type keysJSON struct {
	PeerID      string   `json:"peer_id"` // the node's
	DID         string   `json:"did"`     // the user's
	Home        string   `json:"home"`
	Key         keyPlace `json:"key"` // where the user's private key is
	File        string   `json:"file"`
	Fingerprint string   `json:"fingerprint"` // as ssh-add -l shows it
}

func showKeys(a *app, u userKey, json bool) error {
	node, err := a.home.Key()
	if err != nil {
		return err
	}
	k := keysJSON{
		PeerID: node.PeerID().String(), DID: u.Public.DID(), Home: a.home.Dir,
		Key: u.Place, File: u.Path, Fingerprint: u.Public.Fingerprint(),
	}
	if json {
		return printJSON(a.out, k)
	}
	return table(a.out, func(line func(string, ...any)) {
		line("DID\t%s", k.DID)
		line("key\t%s", describePlace(u))
		line("fingerprint\t%s", k.Fingerprint)
		line("peer ID\t%s", k.PeerID)
		line("node's key\t%s", a.home.KeyPath())
		line("home\t%s", k.Home)
	})
}

func describePlace(u userKey) string {
	switch u.Place {
	case inFile:
		return u.Path
	case inSealed:
		return u.Path + ", encrypted"
	case inAgent:
		return strings.TrimSpace("in your ssh-agent: " + u.Comment)
	default:
		return "the node's"
	}
}

type idAliasCmd struct {
	Name   string `arg:"" optional:"" help:"The name: letters, digits, and . _ -"`
	Owner  string `arg:"" optional:"" help:"A did:key or a peer ID."`
	Force  bool   `help:"Take the name from the key that has it."`
	Remove bool   `help:"Forget the name."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run sets, removes, shows or lists petnames.
func (c *idAliasCmd) Run(a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	switch {
	case c.Remove && (c.Name == "" || c.Owner != ""):
		return usage("peer id alias --remove NAME", "--remove takes a name alone")
	case c.Remove:
		return home.RemoveAlias(c.Name)
	case c.Owner != "":
		key, err := home.ParseOwner(c.Owner)
		if err != nil {
			return err
		}
		return home.SetAlias(c.Name, key, c.Force)
	case c.Name != "":
		key, err := home.ExpandOwner(c.Name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.out, key.DID())
		return err
	}
	return c.list(a, home)
}

func (c *idAliasCmd) list(a *app, home *Home) error {
	aliases, err := home.Aliases()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.out, aliases)
	}
	return table(a.out, func(line func(string, ...any)) {
		for _, name := range slices.Sorted(maps.Keys(aliases)) {
			line("%s\t%s", name, aliases[name])
		}
	})
}
