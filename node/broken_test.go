package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// One replica does not open. The node starts all the same, says which and why,
// refuses its group's requests, and goes on with the others.
func TestBrokenGroup(t *testing.T) {
	t.Parallel()
	damages := map[string]func(t *testing.T, m *nodetest.Member, g *replica.Genesis){
		"its table": func(_ *testing.T, m *nodetest.Member, g *replica.Genesis) {
			m.Rot(g, main, git.OID{}, false)
		},
		"its genesis": func(_ *testing.T, m *nodetest.Member, g *replica.Genesis) {
			m.PutTable(g, replica.Change{Key: "g", Value: []byte("no genesis")})
		},
		"its log": func(t *testing.T, m *nodetest.Member, g *replica.Genesis) {
			// It has forgotten what the table lacks.
			table, err := m.Table(g)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Store.Save([]replica.Save{{Repo: g.Repo, CompactTo: table.Index()}}); err != nil {
				t.Fatal(err)
			}
			meta := proto.Clone(table.Snapshot().GetMeta()).(*wire.TableMeta)
			meta.Index--
			raw, err := proto.Marshal(meta)
			if err != nil {
				t.Fatal(err)
			}
			m.PutTable(g, replica.Change{Key: "m", Value: raw})
		},
		"its directory": func(t *testing.T, m *nodetest.Member, g *replica.Genesis) {
			if err := os.Remove(filepath.Join(m.RepoDir(g), "HEAD")); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := nodetest.Start(t, 3, nil)
			g, whole := c.Found(node.InitOptions{}), c.Found(node.InitOptions{Name: "whole"})
			client, other := c.Client(g), c.Client(whole)
			at := chain(t, c, client, git.OID{}, 2)
			fine := chain(t, c, other, git.OID{}, 1)
			c.Converge(g)
			hurt := c.Members[0]
			hurt.Stop()
			damage(t, hurt, g)
			hurt.Start()

			_, err := client.Show(deadline(t), hurt.ID)
			if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_FOUND || !strings.Contains(errText(err), "does not open") {
				t.Errorf("a session with it: %v", err)
			}
			seat, _, _ := hurt.Store.Seat(g.Repo)
			// A new one of this name would take the seat away.
			if _, err := hurt.Node.Init(deadline(t), node.InitOptions{Name: "demo", On: []identity.PeerID{hurt.ID}}); err == nil {
				t.Error("the repository is founded a second time")
			}
			if now, ok, err := hurt.Store.Seat(g.Repo); !ok || err != nil || string(now) != string(seat) {
				t.Errorf("its seat is gone: %v, %v", ok, err)
			}
			info, err := hurt.Node.Show(deadline(t), g.Repo)
			if err != nil || !strings.Contains(info.Problem, "does not open") || info.Genesis.Repo != g.Repo {
				t.Errorf("show: %+v, %v", info, err)
			}
			repos, err := hurt.Node.Repos(deadline(t))
			if err != nil || len(repos) != 2 {
				t.Errorf("repositories: %v, %v", repos, err)
			}
			chain(t, c, client, at, 1)
			chain(t, c, other, fine, 1)
			c.Converge(whole)
			c.Converge(g, c.Others(hurt)...)
		})
	}
}
