package node

import (
	"fmt"
	"log/slog"
)

// raftLogger lets raft speak through the node's logger. What raft calls info is
// our debug; what it calls fatal is a broken invariant.
type raftLogger struct{ log *slog.Logger }

func (l raftLogger) Debug(v ...any)            { l.log.Debug("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Debugf(f string, v ...any) { l.log.Debug("raft: " + fmt.Sprintf(f, v...)) }
func (l raftLogger) Info(v ...any)             { l.log.Debug("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Infof(f string, v ...any)  { l.log.Debug("raft: " + fmt.Sprintf(f, v...)) }
func (l raftLogger) Warning(v ...any)          { l.log.Debug("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Warningf(f string, v ...any) {
	l.log.Debug("raft: " + fmt.Sprintf(f, v...))
}
func (l raftLogger) Error(v ...any)            { l.log.Warn("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Errorf(f string, v ...any) { l.log.Warn("raft: " + fmt.Sprintf(f, v...)) }
func (l raftLogger) Fatal(v ...any)            { panic(fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
func (l raftLogger) Panic(v ...any)            { panic(fmt.Sprint(v...)) }
func (l raftLogger) Panicf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
