package cmd

import (
	"testing"

	"peer/identity"
	"peer/node"
	"peer/node/control/pb"
	"peer/replica"
	"peer/wire"
)

// Asking for the same change twice asks for it once: the reply to the first time
// may have got lost.
func TestWishesTwice(t *testing.T) {
	ids := make([]identity.PeerID, 6)
	for i := range ids {
		ids[i] = identity.KeyFromSeed([32]byte{byte(i)}).PeerID()
	}
	info := node.Info{Genesis: &replica.Genesis{Name: "demo", Members: make([]replica.Member, 3)}, Settings: &wire.Settings{}}
	for _, p := range ids[:3] {
		info.Replicas = append(info.Replicas, node.Replica{Peer: p, Role: replica.Voter})
	}
	for _, c := range []struct {
		name string
		q    *pb.ConfigureRequest
		want uint32
	}{
		{"two more", &pb.ConfigureRequest{Add: []string{ids[3].String(), ids[4].String()}}, 5},
		{"two less", &pb.ConfigureRequest{Remove: []string{ids[1].String(), ids[2].String()}}, 1},
		{"one for another", &pb.ConfigureRequest{Add: []string{ids[5].String()}, Remove: []string{ids[0].String()}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			change, err := parseWishes(c.q)
			if err != nil {
				t.Fatal(err)
			}
			info := info
			info.Settings = &wire.Settings{}
			for range 2 {
				if err := change(info, info.Settings); err != nil {
					t.Fatal(err)
				}
				if got := info.Settings.GetReplicas(); got != c.want {
					t.Fatalf("%d replicas, want %d", got, c.want)
				}
			}
		})
	}
	change, err := parseWishes(&pb.ConfigureRequest{Add: []string{ids[3].String()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := change(info, &wire.Settings{}); err == nil {
		t.Error("an even number of replicas was accepted")
	}
}
