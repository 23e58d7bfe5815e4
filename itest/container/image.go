package container

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"peer/itest/internal/binary"
)

const (
	imageName = "peer-itest"
	// scratchHost is the base that is made of this machine's own files.
	scratchHost   = "scratch-host"
	defaultBase   = "alpine:3.22"
	imageLogLines = 15
	// imageTimeout is for a slow machine and its first build of peer.
	imageTimeout = 15 * time.Minute
)

// The harness needs tools that the product does not, and a place for people.
const toolsOfAlpine = "RUN apk add --no-cache coreutils iproute2 iptables setpriv setsid tar && mkdir /people && chmod 1777 /people\n"

// findImage is the image that the environment names, or that is built now. What
// is built is kept, under a name that says what is in it.
func (e *engine) findImage(ctx context.Context) (string, error) {
	if given := os.Getenv("ITEST_IMAGE"); given != "" {
		return given, nil
	}
	base := os.Getenv("ITEST_BASE_IMAGE")
	if base == "" {
		if base = defaultBase; runtime.GOOS == "linux" && runtime.GOARCH == e.arch {
			base = scratchHost
		}
	}
	content, err := e.imageContent(base)
	if err != nil {
		return "", err
	}
	// A binary that was given is another one the next time: its image isn't kept.
	source := checksum([]byte(binary.SourceDir() + os.Getenv("PEER_BIN")))
	tag := imageName + ":" + checksum(content)
	if _, err := e.cli.ImageInspect(ctx, tag); err != nil {
		if err := e.buildImage(ctx, tag, source, content); err != nil {
			return "", fmt.Errorf("build on %s: %w (ITEST_BASE_IMAGE names another base, %s needs no registry; ITEST_IMAGE an image that is built)", base, err, scratchHost)
		}
	}
	if os.Getenv("PEER_BIN") != "" {
		e.passing = source
		return tag, nil
	}
	return tag, e.removeImages(ctx, tag, source)
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// imageContent is what the engine builds from: a tar file, the same for the same
// files.
func (e *engine) imageContent(base string) ([]byte, error) {
	built, err := binary.Path("GOOS=linux", "GOARCH="+e.arch)
	if err != nil {
		return nil, err
	}
	steps, err := lastStage(filepath.Join(binary.SourceDir(), "Dockerfile"))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	b := &bundle{tar: tar.NewWriter(&out), has: map[string]bool{}}
	from := "FROM " + base + "\n" + toolsOfAlpine
	if base == scratchHost {
		from = "FROM scratch\nCOPY rootfs/ /\n"
		if err := b.stageHost("rootfs"); err != nil {
			return nil, fmt.Errorf("%s: %w", scratchHost, err)
		}
	}
	b.file("Dockerfile", 0o644, []byte(from+steps))
	b.copy(built, "peer", 0o755)
	b.finish()
	return out.Bytes(), b.err
}

// lastStage is what the Dockerfile does after its last FROM, with the binary from
// the build's directory.
func lastStage(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	_, steps, found := strings.Cut(string(raw), "\nFROM ${BASE_IMAGE}\n")
	const ours = "COPY --from=build /out/peer "
	if !found || strings.Count(steps, ours) != 1 || strings.Contains(steps, "\nFROM ") {
		return "", fmt.Errorf("%s has no last stage \"FROM ${BASE_IMAGE}\" with one line %q", path, ours)
	}
	return strings.Replace(steps, ours, "COPY peer ", 1), nil
}

// buildImage builds without asking a registry for what is here.
func (e *engine) buildImage(ctx context.Context, tag, source string, content []byte) error {
	built, err := e.cli.ImageBuild(ctx, bytes.NewReader(content), client.ImageBuildOptions{
		Tags: []string{tag}, Remove: true, ForceRemove: true, Labels: map[string]string{labelSource: source},
	})
	if err != nil {
		return err
	}
	defer built.Body.Close()
	var lines []string
	for decoder := json.NewDecoder(built.Body); ; {
		var line struct{ Stream, Error string }
		switch err := decoder.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case line.Error != "":
			return fmt.Errorf("%s\n%s", line.Error, strings.Join(lines[max(0, len(lines)-imageLogLines):], ""))
		}
		lines = append(lines, line.Stream)
	}
}

// removeImages removes what this checkout built before, but for what is in use.
func (e *engine) removeImages(ctx context.Context, keep, source string) error {
	old, err := e.cli.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("label", labelSource+"="+source)})
	if err != nil {
		return err
	}
	for _, image := range old.Items {
		for _, tag := range image.RepoTags {
			if tag != keep {
				_, _ = e.cli.ImageRemove(ctx, tag, client.ImageRemoveOptions{PruneChildren: true}) // in use: the next run will
			}
		}
	}
	return nil
}
