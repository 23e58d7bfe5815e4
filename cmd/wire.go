package cmd

import (
	"context"
	"errors"
)

// startNode builds the parts of a node, starts them, and serves the control
// API. It returns when the node serves; ctx bounds the start only.
func startNode(ctx context.Context, cfg NodeConfig) (running, error) {
	return nil, errors.New("not wired yet")
}
