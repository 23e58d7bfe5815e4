package node

import (
	"fmt"
	"sync"
	"time"

	"peer/wire"
)

// growth is what is on its way into a repository and counts against
// Config.RepoBytesMax already: what arrives, and what its entry does not name yet.
type growth struct {
	mu    sync.Mutex
	bytes int64
}

// intake is one pack's part in that. It is for packs that nobody has decided to take
// yet: what a majority committed this node takes, whatever it would rather give, as
// long as its disk has room.
type intake struct {
	g     *group
	bytes int64
}

// begin refuses a pack, however small, where there is no room.
func (i *intake) begin() error {
	if err := i.g.n.roomForPack(); err != nil {
		return err
	}
	return i.upTo(1)
}

// upTo says that a pack and its index take this many bytes, or will, and refuses
// where the repository would take more than it may.
func (i *intake) upTo(bytes int64) error {
	most := i.g.n.cfg.RepoBytesMax
	if most <= 0 || bytes <= i.bytes {
		return nil
	}
	i.g.growth.mu.Lock()
	defer i.g.growth.mu.Unlock()
	takes := i.g.bytes()
	if takes+i.g.growth.bytes+bytes-i.bytes > most {
		return i.g.errTooBig(takes)
	}
	i.g.growth.bytes += bytes - i.bytes
	i.bytes = bytes
	return nil
}

// end forgets the pack: it is staged, or in the store, or was refused.
func (i *intake) end() {
	i.g.growth.mu.Lock()
	defer i.g.growth.mu.Unlock()
	i.g.growth.bytes -= i.bytes
	i.bytes = 0
}

// bytes is what a repository takes on this disk: its packs, and those staged for it.
func (g *group) bytes() int64 { return g.repo.PackBytes() + g.staging.bytes(g.repo.HasPack) }

func (g *group) errTooBig(takes int64) error {
	name, mib := g.genesis.Name, func(n int64) float64 { return float64(n) / (1 << 20) }
	return failure(wire.FailureCode_FAILURE_DISK,
		fmt.Sprintf("%s takes %.1f MiB on replica %s, whose owner gives one repository %.1f MiB at most, and this push needs more than is left",
			name, mib(takes), g.n.self, mib(g.n.cfg.RepoBytesMax)),
		fmt.Sprintf("nothing was changed; delete branches that nobody needs (what they alone hold goes after %s), "+
			"have other nodes hold it (peer repo replicas %s --add NODE --remove NODE), or have that node's owner raise --max-repo-size",
			inDays(g.n.cfg.GCGrace), name))
}

func inDays(d time.Duration) string {
	if days := d / (24 * time.Hour); days > 1 {
		return fmt.Sprintf("%d days", days)
	}
	return d.String()
}
