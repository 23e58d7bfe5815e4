package itest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"peer/itest/internal/content"
	"peer/itest/internal/people"
	"peer/itest/internal/register"
)

// swapper is a client that moves refs. It shares nothing with the others: a clone,
// a home and commits of its own, and what it believes about the refs.
type swapper struct {
	h       *histories
	id      int
	name    string
	p       *person
	random  *rand.Rand
	commits []string          // made and not yet used
	made    int               // so far
	seen    map[string]string // what it believes
}

// newSwapper makes client i: some are at home at the owner's node, the others
// reach the network by themselves.
func (h *histories) newSwapper(i int) *swapper {
	s := &swapper{h: h, id: i, name: fmt.Sprint("client", i), random: rand.New(rand.NewPCG(h.seed, uint64(100+i))), seen: map[string]string{}}
	if i%4 == 0 {
		s.p = h.c.personIn(h.c.nodes[0].home, h.c.nodes[0].user.Dir)
	} else {
		s.p = h.c.guest(s.name, h.c.nodes[0].home+"/key")
	}
	if i%2 == 1 {
		s.p.Env = []string{fmt.Sprintf("PEER_PUSH_TIMEOUT=%v", historyPatience)}
	}
	s.p.Git("", "init", "-q", "--bare", s.name)
	return s
}

func (s *swapper) run(ctx context.Context) {
	for ctx.Err() == nil {
		s.act(s.h.epoch.Load())
	}
}

// act does one thing to a ref of the epoch.
func (s *swapper) act(epoch int64) {
	single, pair := refsOf(epoch)
	ref := single[s.random.IntN(len(single))]
	if s.random.IntN(6) == 0 {
		ref = pair[0]
	}
	if _, known := s.seen[ref]; !known || s.random.IntN(8) == 0 {
		s.look(epoch)
		return
	}
	next, err := s.commit()
	if err != nil {
		s.h.fail("%s: %v", s.name, err)
		return
	}
	kind := s.random.IntN(10)
	switch {
	case ref == pair[0]:
		s.push(epoch, register.Touch{Kind: register.Swap, Old: s.seen[ref], New: next, By: s.name}, pair[:], "--atomic", s.lease(pair[0]), s.lease(pair[1]), next+":"+pair[0], next+":"+pair[1])
	case kind == 0:
		s.push(epoch, register.Touch{Kind: register.Write, Old: "", New: next, By: s.name}, []string{ref}, "+"+next+":"+ref)
	case kind == 1 && s.seen[ref] == "":
		s.push(epoch, register.Touch{Kind: register.Write, Old: "", New: next, By: s.name}, []string{ref}, next+":"+ref)
	case kind == 2 && s.seen[ref] != "":
		s.push(epoch, register.Touch{Kind: register.Swap, Old: s.seen[ref], New: "", By: s.name}, []string{ref}, s.lease(ref), ":"+ref)
	default:
		s.push(epoch, register.Touch{Kind: register.Swap, Old: s.seen[ref], New: next, By: s.name}, []string{ref}, s.lease(ref), next+":"+ref)
	}
}

func (s *swapper) lease(ref string) string { return "--force-with-lease=" + ref + ":" + s.seen[ref] }

// push runs git push, which moves all of refs alike, and notes what it said.
func (s *swapper) push(epoch int64, in register.Touch, refs []string, args ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), people.CommandTimeout)
	if s.random.IntN(40) == 0 { // this client dies in the middle
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(s.random.Int64N(int64(200*time.Millisecond))))
	}
	defer cancel()
	called := s.h.ledger.Now()
	r := s.p.RunUntil(ctx, nil, s.name, "git", append([]string{"push", "--porcelain", s.h.r.url}, args...)...)
	verdicts, err := register.ReadPorcelain(r, refs)
	if err != nil {
		s.h.fail("%s: %v", s.name, err)
	}
	if r.Code == 0 {
		s.h.acknowledged(r.Took)
	}
	for i, ref := range refs {
		verdict := verdicts[i]
		if in.Kind == register.Write && verdict.Verdict == register.Stale {
			verdict.Verdict = register.Refused // it found what its listing did not show, and wrote nothing
		}
		s.h.record(s.id, epoch, ref, in, called, verdict)
		if verdict.Verdict != register.OK {
			s.h.reason(verdict.Value)
			delete(s.seen, ref)
		} else {
			s.seen[ref] = in.New
		}
	}
}

func (h *histories) reason(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.why[why]++
}

// commit gives a commit that nobody else has, on top of the client's others.
func (s *swapper) commit() (string, error) {
	if len(s.commits) == 0 {
		if err := s.makeCommits(50); err != nil {
			return "", err
		}
	}
	next := s.commits[0]
	s.commits = s.commits[1:]
	return next, nil
}

func (s *swapper) makeCommits(n int) error {
	const ref = "refs/heads/all"
	marks := s.p.Path(s.name, "made")
	var stream strings.Builder
	for i := range n {
		s.made++
		size := smallBytes
		if s.made%25 == 0 {
			size = 200_000 + s.random.IntN(500_000) // staged: it doesn't ride in the entry
		}
		data := content.Random(uint64(s.made)<<8|uint64(s.id), size)
		fmt.Fprintf(&stream, "commit %s\nmark :%d\ncommitter %s <%s@example.org> %d +0000\ndata 2\n%02d\n", ref, i+1, s.name, s.name, 1_700_000_000+s.made, i)
		if s.made > 1 && i == 0 {
			fmt.Fprintf(&stream, "from %s^0\n", ref)
		}
		fmt.Fprintf(&stream, "M 100644 inline %d.bin\ndata %d\n%s\n", s.made%10, len(data), data)
	}
	if r := s.p.RunInput([]byte(stream.String()), s.name, "git", "fast-import", "--quiet", "--force", "--export-marks="+marks); r.Code != 0 {
		return fmt.Errorf("fast-import: %v", r)
	}
	raw, err := os.ReadFile(marks)
	if err != nil {
		return err
	}
	s.commits = make([]string, n)
	for line := range strings.Lines(string(raw)) {
		var mark int
		var oid string
		if _, err := fmt.Sscanf(line, ":%d %s", &mark, &oid); err != nil || mark < 1 || mark > n {
			return fmt.Errorf("mark %q: %w", line, err)
		}
		s.commits[mark-1] = oid
	}
	return nil
}

// look lists, and takes over what it sees.
func (s *swapper) look(epoch int64) {
	listed, called, ok := s.h.list(s.p, s.h.r.url)
	if !ok {
		return
	}
	s.h.note(s.id, s.name, epoch, listed, called)
	single, pair := refsOf(epoch)
	for _, ref := range append(single, pair[:]...) {
		s.seen[ref] = listed[ref]
	}
}

// list lists once. Not ok: it failed, or promises nothing.
func (h *histories) list(p *person, url string) (listed map[string]string, called int64, ok bool) {
	called = h.ledger.Now()
	r := p.TryGit("", "ls-remote", url)
	stale := r.Code == 0 && r.Stale()
	if r.Code != 0 || stale {
		h.mu.Lock()
		defer h.mu.Unlock()
		if stale {
			h.stale++
		} else {
			h.dead++
		}
	}
	if r.Code != 0 {
		// Plain git dies of SIGPIPE, without a word, where a node dies under it.
		piped := r.Code == -1 && strings.HasPrefix(url, "git:")
		if !piped && !strings.Contains(r.Err, "peer: error: ") && !strings.Contains(r.Err, "fatal: ") {
			h.fail("a listing failed without a clear error: %v", r)
		}
		return nil, called, false
	}
	return parseListing(r.Out), called, !stale
}

// note writes down a listing as a read of each ref of an epoch.
func (h *histories) note(client int, by string, epoch int64, listed map[string]string, called int64) {
	single, pair := refsOf(epoch)
	if listed[pair[0]] != listed[pair[1]] {
		h.fail("%s sees half of an atomic push: %s at %s, %s at %s", by, pair[0], listed[pair[0]], pair[1], listed[pair[1]])
	}
	for _, ref := range append(single, pair[:]...) {
		h.record(client, epoch, ref, register.Touch{Kind: register.Read, By: by}, called, register.Answer{Verdict: register.OK, Value: listed[ref]})
	}
}

// lister is a client that only reads, each time somewhere else.
type lister struct {
	h      *histories
	id     int
	random *rand.Rand
	ways   []readWay
}

// readWay is one way to the repository.
type readWay struct {
	name string
	p    *person
	url  string
}

// newReaders makes readers that take all ways: each node's own user, plain
// git:// at each node, and somebody without a node or a right.
func (h *histories) newReaders() {
	ways := []readWay{{"a guest", h.c.guest("reader", ""), h.r.url}}
	for i, n := range h.c.nodes {
		git := strings.Replace(h.r.url, "peer://", fmt.Sprintf("git://%s:%d/", n.host(), n.gitPort), 1)
		ways = append(ways, readWay{"a reader at " + n.name, h.c.at(i), h.r.url}, readWay{"a git client at " + n.name, h.c.guest(fmt.Sprint("plain", i), ""), git})
	}
	for i := range historyReaders {
		id := historyClients + i
		h.readers = append(h.readers, &lister{h: h, id: id, random: rand.New(rand.NewPCG(h.seed, uint64(200+i))), ways: ways})
	}
}

func (l *lister) run(ctx context.Context) {
	for ctx.Err() == nil {
		way := l.ways[l.random.IntN(len(l.ways))]
		epoch := l.h.epoch.Load()
		if listed, called, ok := l.h.list(way.p, way.url); ok {
			l.h.note(l.id, way.name, epoch, listed, called)
		}
		select { // leave the machine to the pushes
		case <-time.After(time.Duration(l.random.Int64N(int64(600 * time.Millisecond)))):
		case <-ctx.Done():
		}
	}
}
