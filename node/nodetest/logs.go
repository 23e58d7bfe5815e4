package nodetest

import (
	"log/slog"
	"os"
	"strings"
	"sync"
)

// logBuffer keeps the end of what the nodes logged.
type logBuffer struct {
	mu  sync.Mutex
	buf []byte
}

const logKeepBytes = 64 << 10

// logger logs into the buffer: what an operator would hear, or with
// PEER_TEST_LOG=debug everything.
func (l *logBuffer) logger() *slog.Logger {
	level := slog.LevelInfo
	if os.Getenv("PEER_TEST_LOG") == "debug" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf = append(l.buf, p...); len(l.buf) > 2*logKeepBytes {
		l.buf = append([]byte(nil), l.buf[len(l.buf)-logKeepBytes:]...)
	}
	return len(p), nil
}

// Logged says whether a node logged this lately.
func (c *Cluster) Logged(text string) bool { return strings.Contains(c.logs.tail(), text) }

func (l *logBuffer) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf)
}
