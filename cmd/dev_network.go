package cmd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
)

// devNetwork is a closed network on this machine.
type devNetwork struct {
	settings devSettings
	homes    []*Home
}

// devSettings is dev.json: what a restart keeps.
type devSettings struct {
	Nodes      int    `json:"nodes"`
	Rendezvous string `json:"rendezvous"`
	Secret     string `json:"secret"`
	Ports      []int  `json:"ports"` // of node1, node2, …
}

// prepareDev makes or finds the homes in dir, and writes into each config what
// its node needs to be in the network, so that `peer node` brings it back too.
func prepareDev(ctx context.Context, dir string, nodes int) (*devNetwork, error) {
	path := filepath.Join(dir, "dev.json")
	n := new(devNetwork)
	if err := readJSON(path, &n.settings); err != nil {
		return nil, fmt.Errorf("settings of the network: %w", err)
	}
	s := &n.settings
	if nodes > 0 {
		s.Nodes = nodes
	}
	if s.Nodes < 1 || s.Nodes > devNodesMax {
		s.Nodes = devNodesDefault
	}
	if s.Rendezvous == "" || s.Secret == "" {
		s.Rendezvous, s.Secret = "dev-"+randomHex(8), randomHex(32)
	}
	for i := range s.Nodes {
		home, err := openDevHome(filepath.Join(dir, "node"+strconv.Itoa(i+1)))
		if err != nil {
			return nil, err
		}
		n.homes = append(n.homes, home)
	}
	if err := s.choosePorts(ctx); err != nil {
		return nil, err
	}
	if err := n.writeConfigs(); err != nil {
		return nil, err
	}
	return n, writeJSON(path, s)
}

// openDevHome refuses a home whose node runs by itself.
func openDevHome(dir string) (*Home, error) {
	home, err := OpenHome(dir)
	if err != nil {
		return nil, err
	}
	lock, err := home.Lock()
	if err != nil {
		return nil, err
	}
	return home, lock.Close()
}

// choosePorts keeps the ports of last time where they are free, since the nodes
// remember each other's addresses.
func (s *devSettings) choosePorts(ctx context.Context) error {
	taken := make([]net.Listener, 0, s.Nodes) // held until all are chosen, so that no two are equal
	defer func() {
		for _, l := range taken {
			_ = l.Close()
		}
	}()
	var config net.ListenConfig
	for i := range s.Nodes {
		if i == len(s.Ports) {
			s.Ports = append(s.Ports, 0)
		}
		l, err := config.Listen(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", s.Ports[i]))
		if err != nil {
			l, err = config.Listen(ctx, "tcp4", "127.0.0.1:0")
		}
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		taken = append(taken, l)
		s.Ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return nil
}

// writeConfigs sets the keys that make a home part of the network, and leaves
// the others as they are.
func (n *devNetwork) writeConfigs() error {
	addrs := make([]string, len(n.homes))
	for i, home := range n.homes {
		key, err := home.Key()
		if err != nil {
			return err
		}
		addrs[i] = fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", n.settings.Ports[i], key.PeerID())
	}
	for i, home := range n.homes {
		config := map[string]any{}
		if err := readJSON(home.ConfigPath(), &config); err != nil {
			return fmt.Errorf("config file: %w", err)
		}
		others := make([]string, 0, len(addrs))
		others = append(append(others, addrs[:i]...), addrs[i+1:]...)
		set := map[string]any{
			"rendezvous": n.settings.Rendezvous,
			"secret":     n.settings.Secret,
			"listen":     []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", n.settings.Ports[i])},
			"peer":       others,
			"mdns":       false,
			"nat":        false,
		}
		for key, value := range set {
			config[key] = value
		}
		for _, port := range []string{"grpc-port", "git-port", "http"} {
			if _, own := config[port]; !own {
				config[port] = 0
			}
		}
		if err := writeJSON(home.ConfigPath(), config); err != nil {
			return fmt.Errorf("config file: %w", err)
		}
	}
	return nil
}

func randomHex(bytes int) string {
	raw := make([]byte, bytes)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}
