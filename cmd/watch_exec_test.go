package cmd

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"peer/node/control/pb"
)

// What an event says is never read by the shell, whoever chose it.
func TestExecReadsNoNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out, errs bytes.Buffer
	r := &runner{
		app:     &app{out: &out, errs: &errs},
		command: `printf '%s|' "$PEER_REF" "$PEER_DETAIL" "$PEER_REPO_NAME"; cat`,
		env:     append(os.Environ(), "PWNED="+filepath.Join(dir, "pwned"), "PEER_DETAIL=inherited", "PEER_OLD=inherited"),
	}
	const evil = "refs/heads/$(touch${IFS}$PWNED)`touch$IFS$PWNED`';touch$IFS$PWNED;'\";touch $PWNED;\"&\n"
	e := &pb.Event{Kind: "commit", Name: evil, Detail: evil, Refs: []*pb.RefChange{{Name: evil}}}
	if err := r.run(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if errs.Len() > 0 {
		t.Errorf("said: %s", &errs)
	}
	stdin, ok := strings.CutPrefix(out.String(), evil+"|"+evil+"|"+evil+"|")
	if !ok {
		t.Errorf("the command read %q", &out)
	}
	var read eventJSON
	if err := json.Unmarshal([]byte(stdin), &read); err != nil || len(read.Refs) != 1 || read.Refs[0].Name != evil {
		t.Errorf("on standard input: %v, %v", read, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("a name was run: %v, %v", left, err)
	}
}

// A command that reads nothing is no reason to complain, however much there is to read.
func TestExecNeedNotRead(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	r := &runner{app: &app{out: io.Discard, errs: &errs}, command: `test -n "$PEER_REF"`}
	e := &pb.Event{Kind: "commit", Refs: []*pb.RefChange{{Name: "refs/heads/a"}}}
	if err := r.once(t.Context(), bytes.Repeat([]byte("z"), 1<<20), eventEnv(e, 0)); err != nil || errs.Len() > 0 {
		t.Errorf("%v, and said: %s", err, &errs)
	}
}

// A flag is also an environment variable: what a hook is told must not be taken for one.
func TestExecEnvironmentIsNoFlag(t *testing.T) {
	t.Parallel()
	parser, err := newParser(new(grammar), io.Discard, io.Discard, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]string{}
	if err := kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			for _, env := range flag.Envs {
				flags[env] = flag.Name
			}
		}
		return next(nil)
	}); err != nil {
		t.Fatal(err)
	}
	if flags["PEER_HOME"] != "home" {
		t.Fatalf("flags are not found: %v", flags)
	}
	for _, v := range eventEnv(&pb.Event{}, 0) {
		name, _, _ := strings.Cut(v, "=")
		if flag := flags[name]; flag != "" {
			t.Errorf("%s is --%s", name, flag)
		}
	}
}
