package cmd

import (
	"fmt"
	"net"
	"os"
)

// notifyReady tells the service manager that the node serves, where one started
// this process and waits for that (systemd, Type=notify). An abstract socket begins
// with @, which is how package net names those as well.
func notifyReady() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager that the node is ready: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("tell the service manager that the node is ready: %w", err)
	}
	return nil
}
