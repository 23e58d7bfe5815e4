package nodetest

import "math/rand/v2"

// LosePower ends all processes at one moment, and tears what nodes do not sync.
func (c *Cluster) LosePower(random *rand.Rand) {
	c.t.Helper()
	for _, i := range random.Perm(len(c.Members)) {
		if m := c.Members[i]; m.Node != nil {
			m.disk.die()
		}
	}
	for _, m := range c.Members {
		m.LosePower(random)
	}
}
