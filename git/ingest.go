package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
)

// Limits on what a pack from outside may cost.
const (
	DefaultPackBytesMax = 10 << 30

	// A pack can say much in few bytes: zlib shrinks zeros a thousandfold, a delta
	// can name the same 16 MiB again in seven bytes. Ordinary packs take 0.02 s of
	// CPU for each MiB; memory-hungry ones are those of millions of objects.
	ingestMemoryBytesMin = 1 << 30
	ingestCPUSeconds     = 120
	ingestCPUPerMiB      = 4

	// An index has at least 28 bytes for an object, of which a pack may have
	// 100,000 in a megabyte.
	ingestFileSlack = 64 << 20

	feedBytes = 64 << 10
)

// IngestOptions bound one pack.
type IngestOptions struct {
	MaxBytes    int64 // of the pack as sent, and of the completed one; 0: DefaultPackBytesMax
	MemoryBytes int64 // that git may allocate; 0: half of the machine's, from 1 to 4 GiB
	Sync        bool  // fsync pack and index; otherwise whoever publishes them does
	Shallow     []OID // the roots of the pusher's clone, if that is shallow
}

func (o IngestOptions) withDefaults() IngestOptions {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultPackBytesMax
	}
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = min(max(physicalMemory()/2, ingestMemoryBytesMin), childMemoryBytesMax)
	}
	return o
}

// Ingest indexes a pack and checks each object in it, outside the sight of
// readers. It runs one process.
//
// The error is a *BadPackError, *TooLargeError or *ShallowError where the pack
// is at fault. Ingest reads pack on the calling goroutine and no further than
// to the first sign that git has given up; the rest of the stream is the
// caller's to drain or cut off. When the context ends git is killed, but a Read
// that hangs must be ended by whoever owns the stream.
func (r *Repo) Ingest(ctx context.Context, pack io.Reader, o IngestOptions) (*Quarantine, error) {
	o = o.withDefaults()
	q, err := r.newQuarantine()
	if err != nil {
		return nil, err
	}
	if err := q.indexPack(ctx, pack, o); err != nil {
		return nil, errors.Join(err, q.Discard())
	}
	return q, nil
}

func (q *Quarantine) indexPack(ctx context.Context, pack io.Reader, o IngestOptions) error {
	c := q.command("index-pack", "--stdin", "--fix-thin", "--strict="+fsckSeverities,
		"--max-input-size="+strconv.FormatInt(o.MaxBytes, 10))
	c.config = []string{"core.fsync=none"}
	if o.Sync {
		c.config[0] = "core.fsync=all"
	}
	c.limits = limits{
		memoryBytes: o.MemoryBytes,
		fileBytes:   2*o.MaxBytes + ingestFileSlack, // completing adds whole objects for a few bytes each
		cpuSeconds:  ingestCPUSeconds,
	}
	out := &limitedBuffer{max: 64 << 10}
	c.Stdout = out
	p, err := c.prepare(ctx)
	if err != nil {
		return err
	}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("git index-pack: %w", err)
	}
	if err := p.start(c); err != nil {
		return err
	}
	f := feeder{from: pack, to: stdin, pid: p.cmd.Process.Pid, max: o.MaxBytes}
	feedErr := f.run()
	if feedErr != nil {
		p.kill()
	}
	_ = stdin.Close()
	waitErr := p.wait()
	switch {
	case feedErr != nil:
		return feedErr
	case waitErr != nil:
		return q.packError(ctx, waitErr, o)
	}
	return q.indexed(&f, out.buf.String(), o)
}

// indexed takes the result of an index-pack that succeeded.
func (q *Quarantine) indexed(f *feeder, out string, o IngestOptions) error {
	name := ""
	for line := range strings.Lines(out) { // others name .gitmodules that are not here; Check says so better
		if rest, ok := strings.CutPrefix(line, "pack\t"); ok {
			name = strings.TrimSpace(rest)
		}
	}
	if err := checkPackName(name); err != nil {
		return fmt.Errorf("git index-pack: unexpected answer %q", clip(out, 120))
	}
	if err := q.fill(name); err != nil {
		return fmt.Errorf("repository %s: quarantine: %w", q.repo.dir, err)
	}
	q.RawSize = f.size
	q.Completed = objectCount(f.header) != q.Objects
	switch {
	case f.broken || !q.Completed && q.PackSize != q.RawSize:
		return &BadPackError{Detail: "bytes after the end of the pack"}
	case q.PackSize > o.MaxBytes:
		return &TooLargeError{Max: o.MaxBytes}
	}
	return nil
}

// packError says whose fault it is that index-pack failed.
func (q *Quarantine) packError(ctx context.Context, err error, o IngestOptions) error {
	var exit *ExitError
	if context.Cause(ctx) != nil || !errors.As(err, &exit) {
		return fmt.Errorf("repository %s: %w", q.repo.dir, err)
	}
	var s *signalledError
	if errors.As(err, &s) {
		switch s.signal {
		case syscall.SIGXCPU:
			return &BadPackError{Detail: "takes far too long to unpack for its size"}
		case syscall.SIGXFSZ:
			return &TooLargeError{Max: o.MaxBytes}
		}
		return fmt.Errorf("repository %s: %w", q.repo.dir, err)
	}
	if fault := ourFault(exit.Stderr); fault != 0 {
		return fmt.Errorf("repository %s: %w: %w", q.repo.dir, fault, err)
	}
	if exit.Code < 0 {
		return fmt.Errorf("repository %s: %w", q.repo.dir, err)
	}
	if serr := q.repo.checkShallow(ctx, o.Shallow); serr != nil {
		return serr
	}
	return &BadPackError{Detail: clip(exit.Stderr, badPackDetailBytesMax)}
}

const badPackDetailBytesMax = 1 << 10

// ourFault recognises failures of the machine, for which git has the same exit
// code as for a bad pack; 0: none. The child's locale is C, so the texts are fixed.
func ourFault(stderr string) syscall.Errno {
	for text, fault := range map[string]syscall.Errno{
		"No space left on device": syscall.ENOSPC, "Disk quota exceeded": syscall.EDQUOT,
		"Input/output error": syscall.EIO, "Permission denied": syscall.EACCES,
		"Read-only file system": syscall.EROFS, "Too many open files": syscall.EMFILE,
	} {
		if strings.Contains(stderr, text) {
			return fault
		}
	}
	return 0
}

// feeder copies a pack into index-pack, counting.
type feeder struct {
	from io.Reader
	to   io.Writer
	pid  int
	max  int64

	size   int64
	header [PackHeaderBytes]byte
	broken bool // git stopped reading
}

// run returns an error if the pusher's side failed or sent too much; that git
// stopped reading is for git to explain.
func (f *feeder) run() error {
	buf := make([]byte, feedBytes)
	for {
		n, err := f.from.Read(buf)
		if n > 0 {
			if f.size < PackHeaderBytes {
				copy(f.header[f.size:], buf[:n])
			}
			if f.size+int64(n) > f.max {
				return &TooLargeError{Max: f.max}
			}
			if _, werr := f.to.Write(buf[:n]); werr != nil {
				f.broken = true
				return nil
			}
			f.grant(n)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read pack: %w", err)
		}
	}
}

// grant lets git work longer as more of the pack has arrived.
func (f *feeder) grant(n int) {
	const step = 16 << 20
	before := f.size / step
	f.size += int64(n)
	if f.size/step != before {
		_ = limitChild(f.pid, limits{cpuSeconds: ingestCPUSeconds + f.size>>20*ingestCPUPerMiB})
	}
}
