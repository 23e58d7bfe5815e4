package git

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// ObjectType is what an object is, in git's word for it.
type ObjectType string

// The four types of object.
const (
	Commit ObjectType = "commit"
	Tree   ObjectType = "tree"
	Blob   ObjectType = "blob"
	Tag    ObjectType = "tag"
)

// Object is what is known about an object that exists.
type Object struct {
	OID    OID
	Type   ObjectType
	Peeled OID        // what a tag finally points at, zero if that is absent; OID itself for all else
	PeelTo ObjectType // the type of Peeled
}

// Objects looks up objects by ID, in one process. Absent ones are not in the map.
func (r *Repo) Objects(ctx context.Context, oids []OID) (map[OID]Object, error) {
	return lookUp(ctx, r.command("cat-file", "--batch-check="+batchFormat), oids)
}

func lookUp(ctx context.Context, c *Command, oids []OID) (map[OID]Object, error) {
	have := make(map[OID]Object, len(oids))
	if len(oids) == 0 {
		return have, nil
	}
	b, err := startBatch(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := b.objects(hexLines(oids))
	if err := b.finish(err); err != nil {
		return nil, err
	}
	for _, o := range found {
		if !o.OID.IsZero() {
			have[o.OID] = o
		}
	}
	return have, nil
}

func hexLines(oids []OID) []string {
	lines := make([]string, len(oids))
	for i, o := range oids {
		lines[i] = o.String()
	}
	return lines
}

const (
	batchFormat       = "%(objectname) %(objecttype)"
	batchLineBytesMax = 64 << 10
)

// batch is a running cat-file --batch-check: a line in, a line out.
type batch struct {
	p   *process
	in  io.WriteCloser
	out *bufio.Reader
}

func startBatch(ctx context.Context, c *Command) (*batch, error) {
	p, err := c.prepare(ctx)
	if err != nil {
		return nil, err
	}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", p.name, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", p.name, err)
	}
	if err := p.start(c); err != nil {
		return nil, err
	}
	return &batch{p: p, in: in, out: bufio.NewReaderSize(out, batchLineBytesMax)}, nil
}

// objects resolves each line; one that names no single object gives a zero
// Object. Tags are peeled by a second round of questions to the same process.
func (b *batch) objects(lines []string) ([]Object, error) {
	found, err := b.ask(lines)
	if err != nil {
		return nil, err
	}
	var tags []string
	var at []int
	for i, o := range found {
		if o.Type == Tag {
			tags, at = append(tags, o.OID.String()+"^{}"), append(at, i)
		}
	}
	peeled, err := b.ask(tags)
	if err != nil {
		return nil, err
	}
	for i, p := range peeled {
		found[at[i]].Peeled, found[at[i]].PeelTo = p.OID, p.Type
	}
	return found, nil
}

// ask writes and reads at once: with many lines either pipe may fill.
func (b *batch) ask(lines []string) ([]Object, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := io.WriteString(b.in, strings.Join(lines, "\n")+"\n")
		wrote <- err
	}()
	found := make([]Object, len(lines))
	var err error
	for i := range lines {
		var line []byte
		if line, err = b.out.ReadSlice('\n'); err != nil {
			b.p.kill() // so that the writer cannot hang
			break
		}
		found[i] = parseBatchLine(string(line))
	}
	if werr := <-wrote; err == nil {
		err = werr
	}
	return found, err
}

// finish ends the process. cause is what went wrong while talking to it; the
// process's own reason is the better one.
func (b *batch) finish(cause error) error {
	_ = b.in.Close()
	err := b.p.wait()
	if cause == nil || err != nil && b.p.stderr != nil && b.p.stderr.String() != "" {
		return err
	}
	return fmt.Errorf("git %s: %w", b.p.name, cause)
}

// parseBatchLine reads "<oid> <type>". Whatever else git answers ("<name>
// missing", "<name> ambiguous") names no object.
func parseBatchLine(line string) Object {
	name, kind, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if !ok {
		return Object{}
	}
	oid, err := ParseOID(name)
	if err != nil {
		return Object{}
	}
	o := Object{OID: oid, Type: ObjectType(kind)}
	switch o.Type {
	case Commit, Tree, Blob:
		o.Peeled, o.PeelTo = oid, o.Type
		return o
	case Tag:
		return o
	}
	return Object{}
}
