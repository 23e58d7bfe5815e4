package nodetest

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/replica"
	"peer/wire"
)

// Rot moves a ref of the stored table, as a disk or a hand might; zero flips a
// bit. With hidden the hash of the refs agrees with it, so that the table still
// looks whole. The node must not be running.
func (m *Member) Rot(g *replica.Genesis, name string, to git.OID, hidden bool) {
	m.t.Helper()
	table, err := m.Table(g)
	if err != nil {
		m.t.Fatal(err)
	}
	refs := table.Refs()
	i := slices.IndexFunc(refs, func(r *wire.Ref) bool { return r.GetName() == name })
	if i < 0 {
		m.t.Fatalf("no %s that could rot", name)
	}
	oid := slices.Clone(refs[i].GetOid())
	if oid[0] ^= 1; !to.IsZero() {
		oid = to.Bytes()
	}
	refs[i] = &wire.Ref{Name: name, Oid: oid, Index: refs[i].GetIndex()}
	changes := []replica.Change{{Key: "r/" + name, Value: m.encode(refs[i])}}
	if hidden {
		meta := proto.Clone(table.Snapshot().GetMeta()).(*wire.TableMeta)
		meta.RefsHash = replica.HashRefs(refs, table.Head())
		changes = append(changes, replica.Change{Key: "m", Value: m.encode(meta)})
	}
	m.PutTable(g, changes...)
}

func (m *Member) encode(message proto.Message) []byte {
	raw, err := proto.Marshal(message)
	if err != nil {
		m.t.Fatal(err)
	}
	return raw
}

// PutTable writes into the stored table.
func (m *Member) PutTable(g *replica.Genesis, changes ...replica.Change) {
	m.t.Helper()
	if err := m.Store.Save([]replica.Save{{Repo: g.Repo, Table: changes}}); err != nil {
		m.t.Fatal(err)
	}
}
