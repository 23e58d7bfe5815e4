package cmd

import (
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain is also the program under test: under the names of the binary it
// runs the real main, with a node that holds its repositories in memory.
func TestMain(m *testing.M) {
	program := func() {
		start := startFakeNode
		if os.Getenv("REAL_NODES") != "" { // a script that needs them
			start = startNode
		}
		os.Exit(run(os.Args, app{in: os.Stdin, out: os.Stdout, errs: os.Stderr, start: start}))
	}
	// Most tests wait for other processes; -parallel says otherwise.
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"peer": program, "git-peer": program, helperName: program})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Values[receiverKey{}] = new(*httptest.Server)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("PEER_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				e.Setenv("GIT_"+who+"_NAME", "Ann")
				e.Setenv("GIT_"+who+"_EMAIL", "ann@example.org")
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"killpid":    killPID,
			"sameport":   samePort,
			"receiver":   receiver,
		},
	})
}

// scriptPatience is how long scripts wait for something to come true.
const scriptPatience = time.Minute

// eventually COMMAND…: runs it until it succeeds (or, with !, fails).
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(scriptPatience); ; time.Sleep(10 * time.Millisecond) {
		c := exec.Command(args[0], args[1:]...)
		c.Dir = ts.MkAbs(".")
		c.Env = scriptEnv(ts)
		out, err := c.CombinedOutput()
		if (err == nil) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within %s: %s\n%s%v", scriptPatience, strings.Join(args, " "), out, err)
		}
	}
}

func scriptEnv(ts *testscript.TestScript) []string {
	env := os.Environ()
	for _, name := range []string{"HOME", "PEER_HOME", "PATH", "WORK"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// killpid SIGNAL FILE: sends it to the process whose ID the file holds.
func killPID(ts *testscript.TestScript, neg bool, args []string) {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1])))
	if err != nil || pid <= 1 {
		ts.Fatalf("%s holds no process ID", args[1])
	}
	ts.Check(exec.Command("kill", "-"+args[0], strconv.Itoa(pid)).Run())
}

// sameport A B: the config files name the same address to listen on.
func samePort(ts *testscript.TestScript, neg bool, args []string) {
	var listen [2]struct{ Listen []string }
	for i, file := range args[:2] {
		ts.Check(readJSON(ts.MkAbs(file), &listen[i]))
	}
	if a, b := listen[0].Listen, listen[1].Listen; len(a) != 1 || len(b) != 1 || (a[0] == b[0]) == neg {
		ts.Fatalf("%v and %v", a, b)
	}
}
