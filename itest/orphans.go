package itest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"peer/itest/internal/await"
)

// orphanTimeout is how long a git may go on once its node was killed.
const orphanTimeout = 10 * time.Second

// awaitOrphans waits until nothing runs any more that the nodes started. Each node
// leads a session, which its children leave as little as it does itself.
func (c *cluster) awaitOrphans() error {
	return await.Poll(orphanTimeout, func() error {
		running, err := sessions()
		if err != nil {
			return err
		}
		for _, n := range c.nodes {
			for _, session := range n.sessions {
				if lines := running[session]; len(lines) > 0 {
					return fmt.Errorf("%s has ended, and these go on: %s", n.name, strings.Join(lines, "; "))
				}
			}
		}
		return nil
	})
}

// sessions are the command lines of all that runs, by session. Zombies hold
// nothing open and don't count.
func sessions() (map[int][]string, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	running := map[int][]string{}
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		var state string
		var parent, group, session int
		_, fields, _ := bytes.Cut(raw, []byte(") "))
		if _, err := fmt.Sscan(string(fields), &state, &parent, &group, &session); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if state != "Z" && state != "X" {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline")) // likewise
			running[session] = append(running[session], strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " "))
		}
	}
	return running, nil
}
