package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// configName is the config file of a home.
const configName = "config.json"

// configFile gives flags the values that config.json has for them, where
// neither the command line nor the environment does:
//
//	{"grpc-port": 0, "peer": ["/ip4/…", "/ip4/…"]}
type configFile struct {
	path   string
	values map[string]any // nil until loaded
}

// Resolve implements [kong.Resolver].
func (c *configFile) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !configurable(flag) || fromEnv(flag) {
		return nil, nil
	}
	if command := ctx.Selected(); command != nil && command.Name == doctorName {
		return nil, nil // it says by itself what is wrong with the file
	}
	if c.values == nil {
		if err := c.load(ctx); err != nil {
			return nil, err
		}
	}
	return c.values[flag.Name], nil
}

// Validate implements [kong.Resolver]: a key that no flag has is a slip.
func (c *configFile) Validate(app *kong.Application) error {
	known := map[string]bool{}
	collectFlags(app.Node, known)
	for key := range c.values {
		if !known[key] {
			return usage("the keys are the names of flags: peer node --help", "%s: no flag is called '%.80s'", c.path, key)
		}
	}
	return nil
}

func (c *configFile) load(ctx *kong.Context) error {
	c.values = map[string]any{}
	home, _ := ctx.FlagValue(flagNamed(ctx.Model.Node, "home")).(string)
	dir, err := homeDir(home)
	if err != nil {
		return nil // commands that need a home will say so
	}
	c.path = filepath.Join(dir, configName)
	raw := map[string]any{}
	if err := readJSON(c.path, &raw); err != nil {
		return usage("it is a JSON object: flag names and their values", "config file: %w", err)
	}
	for key, value := range raw {
		c.values[strings.ReplaceAll(key, "_", "-")] = value
	}
	return nil
}

// configurable says whether the config file may hold a value for flag.
func configurable(flag *kong.Flag) bool {
	return flag.Name != "home" && flag.Name != "help" && !flag.Hidden
}

// fromEnv says whether the environment has a value for flag. kong would let a
// resolver win over it; here the environment wins.
func fromEnv(flag *kong.Flag) bool {
	return slices.ContainsFunc(flag.Envs, func(name string) bool {
		_, ok := os.LookupEnv(name)
		return ok
	})
}

func collectFlags(node *kong.Node, into map[string]bool) {
	for _, flag := range node.Flags {
		if configurable(flag) {
			into[flag.Name] = true
		}
	}
	for _, child := range node.Children {
		collectFlags(child, into)
	}
}

func flagNamed(node *kong.Node, name string) *kong.Flag {
	for _, flag := range node.Flags {
		if flag.Name == name {
			return flag
		}
	}
	panic(fmt.Sprintf("no flag --%s", name))
}
