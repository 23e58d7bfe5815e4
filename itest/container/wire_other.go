//go:build !linux

package container

import "errors"

// wire is for Linux.
type wire struct{}

func newWire() (*wire, error) { return nil, errors.New("not Linux") }

func (w *wire) set(link)              {}
func (w *wire) attach(*machine) error { return nil }
func (w *wire) close()                {}
