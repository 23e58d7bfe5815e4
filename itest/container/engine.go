package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/network"
)

// Everything that a run makes has these labels.
const (
	labelPID     = "peer.itest.pid"  // of the test's process
	labelHost    = "peer.itest.host" // where it runs
	labelCluster = "peer.itest.cluster"
	labelSource  = "peer.itest.source" // on images: of which checkout
)

// engineTimeout is for one request to the engine.
const engineTimeout = 2 * time.Minute

// engine is the container engine that answers, with what all clusters share.
type engine struct {
	cli   *client.Client
	host  string // this machine
	arch  string // the engine's, as Go names it
	image string
	// passing is the source of an image that goes with the run; empty: it is kept.
	passing string
	// outside is the network by which this machine reaches published ports.
	outside *testcontainers.DockerNetwork

	making sync.RWMutex // held by who makes something; for good once the run is interrupted
	alive  context.Context
	end    context.CancelFunc // ends alive
}

// docker is set before the first test runs.
var docker *engine

var (
	errNoEngine  = errors.New("no container engine answers")
	errNoCompose = errors.New("neither docker compose nor docker-compose is installed")
	errNoSystemd = errors.New("systemd-analyze is not installed")
)

// required says that nothing may be skipped.
func required() bool { return os.Getenv("ITEST_REQUIRE") != "" && os.Getenv("ITEST_REQUIRE") != "0" }

// openEngine finds the engine, removes what earlier runs left, and makes what all
// clusters share.
func openEngine(ctx context.Context) (*engine, error) {
	// Both must be set before the library is used: it would fetch a container that
	// sweeps for us, and take the gateway for the engine's host where this runs in
	// a container itself.
	setDefault("TESTCONTAINERS_RYUK_DISABLED", "true")
	tclog.SetDefault(tclog.NewNoopLogger())
	cli, err := client.New(client.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoEngine, err)
	}
	info, err := cli.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoEngine, err)
	}
	e := &engine{cli: cli, arch: goArch(info.Info.Architecture)}
	e.alive, e.end = context.WithCancel(context.Background())
	if e.host, err = os.Hostname(); err != nil {
		return nil, err
	}
	if e.host == info.Info.Name {
		setDefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
	}
	if err := e.sweep(ctx, ""); err != nil {
		return nil, fmt.Errorf("remove what an earlier run left: %w", err)
	}
	if e.image, err = e.findImage(ctx); err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	e.outside, err = network.New(ctx, network.WithLabels(e.labels("")))
	return e, err
}

func setDefault(key, value string) {
	if os.Getenv(key) == "" {
		_ = os.Setenv(key, value)
	}
}

// goArch is how Go names what uname calls a machine.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

// labels mark what belongs to this run, and to one of its clusters.
func (e *engine) labels(cluster string) map[string]string {
	return map[string]string{labelPID: strconv.Itoa(os.Getpid()), labelHost: e.host, labelCluster: cluster}
}

// make is how tests make containers, networks and volumes.
func (e *engine) make(do func(context.Context) error) error {
	e.making.RLock()
	defer e.making.RUnlock()
	ctx, cancel := context.WithTimeout(e.alive, engineTimeout)
	defer cancel()
	return do(ctx)
}

// makeNoMore breaks off what is being made. From then on who wants to make something waits
// until the process ends, so that one sweep removes all.
func (e *engine) makeNoMore() {
	e.end()
	e.making.Lock()
}

// sweep removes containers, networks and volumes: those of one cluster, or where
// that is empty all of runs that have ended and of this one.
func (e *engine) sweep(ctx context.Context, cluster string) error {
	filters := make(client.Filters).Add("label", labelHost+"="+e.host)
	if cluster != "" {
		filters = filters.Add("label", labelCluster+"="+cluster)
	}
	var errs []error
	containers, err := e.cli.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	errs = append(errs, err, each(containers.Items, func(i int) error {
		if c := containers.Items[i]; ended(c.Labels) {
			_, err := e.cli.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			return err
		}
		return nil
	}))
	networks, err := e.cli.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
	errs = append(errs, err)
	for _, n := range networks.Items {
		if ended(n.Labels) {
			_, err := e.cli.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
			errs = append(errs, err)
		}
	}
	volumes, err := e.cli.VolumeList(ctx, client.VolumeListOptions{Filters: filters})
	errs = append(errs, err)
	for _, v := range volumes.Items {
		if ended(v.Labels) {
			_, err := e.cli.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{Force: true})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ended says that nobody uses what has these labels but perhaps this run.
func ended(labels map[string]string) bool {
	pid, err := strconv.Atoi(labels[labelPID])
	return err == nil && (pid == os.Getpid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH))
}

// needs skips the test for what this machine can't do, aloud, or fails it where
// nothing may be skipped.
func needs(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case (errors.Is(err, errNoDelay) || errors.Is(err, errNoCompose) || errors.Is(err, errNoSystemd)) && !required():
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}
