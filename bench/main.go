package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// config is what the flags say.
type config struct {
	run      *regexp.Regexp // rows to run
	rounds   int            // 0: each row's own
	quick    bool           // small test data and few rounds, to see that it works
	dir      string         // parent of the temporary directory; "": the system's
	cache    string
	bin      string
	json     bool
	markdown bool
	keep     bool

	idle      time.Duration // how long idle nodes are watched
	settle    time.Duration // and left alone before
	idleRepos int
	missed    int
	clients   int
	clones    int
	largeMB   int
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // a row failed
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	cfg, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(errs, "bench: %v\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := measure(ctx, cfg, out, errs)
	if err != nil {
		fmt.Fprintf(errs, "bench: %v\n", err)
	}
	if err != nil || !ok {
		return exitFailed
	}
	return exitOK
}

func parse(args []string, errs io.Writer) (config, error) {
	cfg := config{}
	var pattern string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&pattern, "run", ".", "run the rows whose name matches this `regexp`")
	flags.IntVar(&cfg.rounds, "rounds", 0, "how many rounds; 0: as many as each row needs")
	flags.BoolVar(&cfg.quick, "quick", false, "small test data and two rounds: to see that all works")
	flags.StringVar(&cfg.dir, "dir", "", "make the temporary directory in this `directory`")
	flags.StringVar(&cfg.cache, "cache", "", "keep test repositories in this `directory`; by default in the user's cache")
	flags.StringVar(&cfg.bin, "bin", "", "use this peer `binary` instead of building one")
	flags.BoolVar(&cfg.json, "json", false, "print JSON")
	flags.BoolVar(&cfg.markdown, "markdown", false, "print markdown")
	flags.BoolVar(&cfg.keep, "keep", false, "leave the temporary directory")
	flags.DurationVar(&cfg.idle, "idle", 20*time.Second, "how long to watch idle nodes")
	flags.DurationVar(&cfg.settle, "settle", 10*time.Second, "how long to leave them alone before")
	flags.IntVar(&cfg.idleRepos, "idle-repos", 100, "how many repositories idle nodes hold")
	flags.IntVar(&cfg.missed, "missed", 200, "how many pushes the restarted replica has missed")
	flags.IntVar(&cfg.clients, "clients", 16, "how many clients push at once")
	flags.IntVar(&cfg.clones, "clones", 50, "how many clones are made at once")
	flags.IntVar(&cfg.largeMB, "large-mb", 300, "how large the pack of a large repository is, in MB")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if flags.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if cfg.json && cfg.markdown {
		return cfg, errors.New("choose -json or -markdown")
	}
	if cfg.rounds < 0 || cfg.idleRepos < 0 || cfg.missed < 1 || cfg.clients < 1 || cfg.clones < 1 || cfg.largeMB < 3 || cfg.idle < time.Second {
		return cfg, errors.New("counts are positive, and -idle is at least 1s")
	}
	if cfg.cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return cfg, fmt.Errorf("%w: name a directory with -cache", err)
		}
		cfg.cache = filepath.Join(user, "peer-bench")
	}
	var err error
	cfg.run, err = regexp.Compile(pattern)
	return cfg, err
}

// measure runs the rows and prints the report, also of what was finished before
// an interrupt. ok is false if a row failed.
func measure(ctx context.Context, cfg config, out, errs io.Writer) (ok bool, err error) {
	b, err := newBench(ctx, cfg, errs)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	r := &report{Machine: b.machine(ctx)}
	for _, row := range rows {
		if !cfg.run.MatchString(row.name) {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		r.Rows = append(r.Rows, b.measureRow(ctx, row))
	}
	if len(r.Rows) == 0 && ctx.Err() == nil {
		return false, fmt.Errorf("no row matches %q; there are %s", cfg.run, rowNames())
	}
	r.Machine.LoadAfter = loadAverage()
	return r.ok(), r.print(out, cfg)
}
