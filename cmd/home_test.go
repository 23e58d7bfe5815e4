package cmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"peer/identity"
)

func testHome(t *testing.T) *Home {
	t.Helper()
	h, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestNetworkIsKept(t *testing.T) {
	h := testHome(t)
	if n, err := h.Network(); err != nil || n.Rendezvous != DefaultRendezvous || n.Secret != "" || n.Peers != nil {
		t.Fatalf("%+v, %v", n, err)
	}
	many := make([]string, 0, 2*networkPeersMax)
	for i := range 2 * networkPeersMax {
		many = append(many, fmt.Sprint(i/2)) // each twice
	}
	saved := Network{Rendezvous: "r", Secret: "s", Peers: append(many, "one too many")}
	if err := saved.Save(h.NetworkPath()); err != nil {
		t.Fatal(err)
	}
	n, err := LoadNetwork(h.NetworkPath())
	if err != nil || n.Secret != "s" || len(n.Peers) != networkPeersMax || n.Peers[1] != "1" {
		t.Fatalf("%+v, %v", n, err)
	}
	if err := os.WriteFile(h.ConfigPath(), []byte(`{"secret": "from config", "peer": "p1,p2"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PEER_RENDEZVOUS", "from env")
	t.Setenv("PEER_PEER", "p0,p1")
	n, err = h.Network()
	if err != nil || n.Rendezvous != "from env" || n.Secret != "from config" || !slices.Equal(n.Peers[:4], []string{"p0", "p1", "p2", "0"}) {
		t.Fatalf("%+v, %v", n, err)
	}
	if err := os.WriteFile(h.NetworkPath(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Network(); err == nil {
		t.Fatal("read a torn file")
	}
}

// Processes that change the petnames at once lose none of them.
func TestAliasesAtOnce(t *testing.T) {
	h := testHome(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			key := identity.KeyFromSeed([32]byte{byte(i)}).Public()
			if err := h.SetAlias(fmt.Sprintf("friend%d", i), key, false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	aliases, err := h.Aliases()
	if err != nil || len(aliases) != 20 {
		t.Fatalf("%d petnames, %v", len(aliases), err)
	}
	key, err := h.ExpandOwner("friend7")
	if err != nil || key != identity.KeyFromSeed([32]byte{7}).Public() {
		t.Fatalf("%v, %v", key, err)
	}
}

func FuzzAlias(f *testing.F) {
	for _, s := range []string{"ann", "Me", "did:key:z", "a/b", "12D3KooWx", "-x", "é", "a.b_c-d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkAlias(name) != nil {
			return
		}
		// What is taken for a petname can stand for the owner in every spelling.
		want := identity.KeyFromSeed([32]byte{1}).Public()
		expand := func(petname string) (identity.PublicKey, error) {
			if petname != name {
				return identity.PublicKey{}, errors.New("asked for another")
			}
			return want, nil
		}
		for _, parse := range []func() (identity.Address, error){
			func() (identity.Address, error) { return identity.ParseOwnerAndName(name+"/demo", expand) },
			func() (identity.Address, error) { return identity.ParseURL("peer://"+name+"/demo", expand) },
		} {
			if a, err := parse(); err != nil || a.Owner != want || a.Name != "demo" {
				t.Fatalf("%q: %+v, %v", name, a, err)
			}
		}
		if strings.ContainsAny(name, "/:@ \t\n'\"\\$`") {
			t.Fatalf("%q has to be quoted", name)
		}
	})
}

func TestHomeLock(t *testing.T) {
	h := testHome(t)
	first, err := h.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if pid, ok := h.PID(); !ok || pid != os.Getpid() {
		t.Fatalf("pid %d, %v", pid, ok)
	}
	if _, err := h.Lock(); err == nil || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Fatalf("second lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := h.Lock()
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestWriteFileKeepsTheOldOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := writeFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(path+".d", []byte("new"), 0o600); err == nil {
		t.Fatal("replaced a directory")
	}
	names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if len(names) != 0 {
		t.Fatalf("left behind: %v", names)
	}
	if raw, _ := os.ReadFile(path); string(raw) != "old" {
		t.Fatalf("%q", raw)
	}
}
