package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/replica"
)

const killDirVariable = "PEER_TEST_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDirVariable); dir != "" {
		if err := saveUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// killRepos is how many repositories the child saves in each turn.
const killRepos = 3

// saveUntilKilled goes on from where the last life ended. Turn k appends entry k to
// each repository and commits it, and now and then cuts, compacts or installs; then
// it says so on stdout, which is the acknowledgement.
func saveUntilKilled(dir string) error {
	s, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	l, err := s.Log(identity.RepoID{0})
	if err != nil {
		return err
	}
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	for k := last + 1; ; k++ {
		var turn []replica.Save
		for n := range byte(killRepos) {
			turn = append(turn, killSave(identity.RepoID{n}, k))
		}
		if err := s.Save(turn); err != nil {
			return err
		}
		fmt.Println(k)
	}
}

func killSave(repo identity.RepoID, k uint64) replica.Save {
	save := replica.Save{
		Repo: repo, HardState: hardState(1, k),
		Table: []replica.Change{
			{Key: "applied", Value: strconv.AppendUint(nil, k, 10)},
			{Key: "bulk", Value: entries(1, k, k, 1+int(k*37%5000))[0].Data}, // on both sides of valueThreshold
		},
	}
	switch {
	case k%50 == 17: // a table larger than a transaction
		save.Install = &pb.SnapshotMetadata{Index: new(k), Term: new(uint64(1))}
		for i := range 120 {
			save.Table = append(save.Table, replica.Change{Key: fmt.Sprint("pad", i), Value: make([]byte, 100<<10)})
		}
		return save
	case k%20 == 3:
		save.CompactTo = k - 2
	}
	save.Entries = entries(1, k, k, int(k*7919%3000)+30)
	return save
}

// TestKill kills a process that saves, again and again, and holds the store to
// what that process was told.
func TestKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var acknowledged uint64
	for round := range rounds {
		if last := runAndKill(t, dir, time.Duration(rng.IntN(250))*time.Millisecond); last > 0 {
			acknowledged = last
		}
		s := open(t, dir)
		for n := range byte(killRepos) {
			checkKilled(t, s, identity.RepoID{n}, acknowledged, round)
		}
		// What is there now counts, acknowledged or not: it may not go any more.
		alignKilled(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d turns acknowledged", acknowledged)
	if acknowledged < 50 {
		t.Error("too few turns to show anything")
	}
}

// runAndKill starts a child and kills it some time after its first turn. It returns
// the last turn that was acknowledged, 0 for none.
func runAndKill(t *testing.T, dir string, after time.Duration) (last uint64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killDirVariable+"="+dir)
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(20*time.Second, func() { _ = child.Process.Kill() })
	defer timer.Stop()
	// NB: only whole lines count. The pipe holds all that was said before the kill.
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		if last == 0 {
			timer.Reset(after)
		}
		if last, err = strconv.ParseUint(strings.TrimSpace(line), 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	_ = child.Wait()
	if stderr.Len() > 0 || last == 0 {
		t.Fatalf("child acknowledged %d and said: %s", last, stderr.String())
	}
	return last
}

func checkKilled(t *testing.T, s *Store, repo identity.RepoID, acknowledged uint64, round int) {
	t.Helper()
	_, last, _, commit := checkLog(t, s, repo)
	table := tableOf(t, s, repo)
	applied, _ := strconv.ParseUint(table["applied"], 10, 64)
	if commit < acknowledged || last < commit || applied != commit || commit > acknowledged+1 {
		t.Fatalf("round %d, repository %d: acknowledged %d, but last %d, commit %d, applied %d",
			round, repo[0], acknowledged, last, commit, applied)
	}
	if want := string(entries(1, commit, commit, 1+int(commit*37%5000))[0].Data); table["bulk"] != want {
		t.Fatalf("round %d, repository %d: the table holds %.20q, want %.20q", round, repo[0], table["bulk"], want)
	}
	// The pads are of the last install that counts, all of them.
	if n, want := len(table), 2; n != want && n != 2+120 || commit < 17 && n != want || commit >= 17 && n != 2+120 {
		t.Fatalf("round %d, repository %d at %d: %d keys in the table", round, repo[0], commit, n)
	}
}

// alignKilled brings all repositories to the same turn: a turn that was cut reached
// some of them only.
func alignKilled(t *testing.T, s *Store) {
	t.Helper()
	var target uint64
	commits := map[byte]uint64{}
	for n := range byte(killRepos) {
		_, last, _, commit := checkLog(t, s, identity.RepoID{n})
		commits[n], target = commit, max(target, last)
	}
	for n, commit := range commits {
		if commit < target {
			if err := s.Save([]replica.Save{killSave(identity.RepoID{n}, target)}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
