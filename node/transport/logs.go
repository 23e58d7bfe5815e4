package transport

import (
	"context"
	"log/slog"
	"sync/atomic"

	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
	"go.uber.org/zap/zapcore"
)

// The libraries below log through two packages of their own, to stderr unless
// told otherwise before the first line. What they call an error is mostly a
// stranger's failed handshake, so all of it becomes our debug level. Their
// loggers are the process's: the last [New] receives them.
var libraryLog atomic.Pointer[slog.Handler]

func init() {
	gologshim.SetDefaultHandler(slogSink{})
	golog.SetupLogging(golog.Config{Level: golog.LevelDebug}) // no output; the sink says what is enabled
	golog.SetPrimaryCore(zapSink{})
}

func setLibraryLog(l *slog.Logger) {
	h := l.Handler()
	libraryLog.Store(&h)
}

func libraryLogEnabled() bool {
	h := libraryLog.Load()
	return h != nil && (*h).Enabled(context.Background(), slog.LevelDebug)
}

func writeLibraryLog(r slog.Record) error {
	if h := libraryLog.Load(); h != nil {
		return (*h).Handle(context.Background(), r)
	}
	return nil
}

// slogSink takes what libp2p and pubsub log. Groups are flattened.
type slogSink struct{ attrs []slog.Attr }

func (s slogSink) Enabled(context.Context, slog.Level) bool { return libraryLogEnabled() }

func (s slogSink) Handle(_ context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, slog.LevelDebug, r.Message, 0)
	out.AddAttrs(s.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(a)
		return true
	})
	return writeLibraryLog(out)
}

func (s slogSink) WithAttrs(attrs []slog.Attr) slog.Handler {
	return slogSink{append(s.attrs[:len(s.attrs):len(s.attrs)], attrs...)}
}

func (s slogSink) WithGroup(string) slog.Handler { return s }

// zapSink takes what the DHT logs.
type zapSink struct{ fields []zapcore.Field }

func (s zapSink) Enabled(zapcore.Level) bool { return libraryLogEnabled() }

func (s zapSink) With(fields []zapcore.Field) zapcore.Core {
	return zapSink{append(s.fields[:len(s.fields):len(s.fields)], fields...)}
}

func (s zapSink) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if s.Enabled(e.Level) {
		return to.AddCore(e, s)
	}
	return to
}

func (s zapSink) Write(e zapcore.Entry, fields []zapcore.Field) error {
	values := zapcore.NewMapObjectEncoder()
	for _, f := range append(s.fields[:len(s.fields):len(s.fields)], fields...) {
		f.AddTo(values)
	}
	out := slog.NewRecord(e.Time, slog.LevelDebug, e.Message, 0)
	out.AddAttrs(slog.String("logger", e.LoggerName))
	for k, v := range values.Fields {
		out.AddAttrs(slog.Any(k, v))
	}
	return writeLibraryLog(out)
}

func (s zapSink) Sync() error { return nil }
