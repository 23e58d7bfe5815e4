package cmd

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// DefaultRendezvous is the network of those who chose none.
const DefaultRendezvous = "meet me here"

// networkPeersMax is how many addresses a home remembers.
const networkPeersMax = 64

// Network says which network a home belongs to and how to reach it. The node
// keeps it up to date, so that a client finds the network without it.
type Network struct {
	Rendezvous string   `json:"rendezvous"`
	Secret     string   `json:"secret,omitempty"` // closes the network; whoever has it is in
	Peers      []string `json:"peers,omitempty"`  // multiaddrs with /p2p/ID, the last seen first
}

// LoadNetwork reads what a node has saved at path; the zero Network where none has.
func LoadNetwork(path string) (Network, error) {
	var n Network
	if err := readJSON(path, &n); err != nil {
		return Network{}, fmt.Errorf("network settings: %w", err)
	}
	return n, nil
}

// Save writes n to path. Addresses beyond the limit, and repeated ones, are left out.
func (n Network) Save(path string) error {
	n.Peers = firstOfEach(n.Peers)
	if len(n.Peers) > networkPeersMax {
		n.Peers = n.Peers[:networkPeersMax]
	}
	if err := writeJSON(path, n); err != nil {
		return fmt.Errorf("save network settings: %w", err)
	}
	return nil
}

// NetworkPath is the file of the home's [Network].
func (h *Home) NetworkPath() string { return h.path("network.json") }

// Network is the network of this home, by environment, config file, and what
// the node has saved last, in this order of precedence. Peers of all three are
// kept, in this order too.
func (h *Home) Network() (Network, error) {
	saved, err := LoadNetwork(h.NetworkPath())
	if err != nil {
		return Network{}, err
	}
	var config struct {
		Rendezvous string
		Secret     string
		Peer       stringList
	}
	if err := readJSON(h.ConfigPath(), &config); err != nil {
		return Network{}, usage("", "config file: %w", err)
	}
	var named []string
	if env := os.Getenv("PEER_PEER"); env != "" {
		named = strings.Split(env, ",")
	}
	return Network{
		Rendezvous: firstSet(os.Getenv("PEER_RENDEZVOUS"), config.Rendezvous, saved.Rendezvous, DefaultRendezvous),
		Secret:     firstSet(os.Getenv("PEER_SECRET"), config.Secret, saved.Secret),
		Peers:      firstOfEach(slices.Concat(named, config.Peer, saved.Peers)),
	}, nil
}

func firstSet(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// firstOfEach drops repetitions, and empty strings.
func firstOfEach(values []string) []string {
	var out []string
	for _, v := range values {
		if v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// stringList is a list of strings; the config file may have one string for it,
// with commas.
type stringList []string

// UnmarshalJSON implements [json.Unmarshaler].
func (l *stringList) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*l = strings.Split(one, ",")
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(l))
}
