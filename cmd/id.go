package cmd

import (
	"fmt"
	"maps"
	"slices"
)

type idCmd struct {
	Show  idShowCmd  `cmd:"" help:"Show who you are."`
	Alias idAliasCmd `cmd:"" help:"Give a name to somebody's key, or list the names that you gave."`
}

type idShowCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints the home's key in its two spellings.
func (c *idShowCmd) Run(a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	key, err := home.Key()
	if err != nil {
		return err
	}
	id, did := key.PeerID().String(), key.Public().DID()
	if c.JSON {
		return printJSON(a.out, struct {
			PeerID string `json:"peer_id"`
			DID    string `json:"did"`
			Home   string `json:"home"`
		}{id, did, home.Dir})
	}
	return table(a.out, func(line func(string, ...any)) {
		line("DID\t%s", did)
		line("peer ID\t%s", id)
		line("home\t%s", home.Dir)
	})
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
