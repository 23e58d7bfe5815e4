package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// disk is a file system of a fixed size in memory. A second machine, which does
// nothing else, keeps it mounted while the node is down.
type disk struct {
	volume string
	keeper *machine
}

const diskDir = "/disk"

func (c *cluster) newDisk(name string, bytes int64) (*disk, error) {
	d := &disk{volume: c.name + "-" + name, keeper: &machine{c: c, name: "disk of " + name}}
	return d, docker.make(func(ctx context.Context) error {
		_, err := docker.cli.VolumeCreate(ctx, client.VolumeCreateOptions{
			Name: d.volume, Driver: "local", Labels: docker.labels(c.name),
			DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": fmt.Sprintf("size=%d,uid=10001,gid=10001,mode=0700", bytes)},
		})
		if err != nil {
			return fmt.Errorf("disk of %s: %w", name, err)
		}
		d.keeper.ctr, err = testcontainers.Run(ctx, docker.image, testcontainers.WithEntrypoint("sleep", "infinity"),
			testcontainers.WithLabels(docker.labels(c.name)),
			testcontainers.WithConfigModifier(func(config *container.Config) {
				config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
			}),
			testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
				h.NetworkMode = "none"
				h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeVolume, Source: d.volume, Target: diskDir})
			}))
		return err
	})
}

// fill leaves so many bytes free, all but a page.
func (d *disk) fill(left int64) error {
	return d.keeper.root("", "sh", "-c", `dd if=/dev/zero of=/disk/filler bs=64k 2>/dev/null; dd if=/dev/zero of=/disk/filler bs=4k oflag=append conv=notrunc 2>/dev/null
		size=$(ls -l /disk/filler | { read -r mode links user group size rest; echo "$size"; })
		dd if=/dev/null of=/disk/filler bs=1 seek=$((size > $0 ? size - $0 : 0)) 2>/dev/null`, fmt.Sprint(left))
}

// free gives the room back.
func (d *disk) free() error { return d.keeper.root("", "rm", "-f", diskDir+"/filler") }

// remove removes the node's machine, with its disk.
func (n *node) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	ids := []string{n.id()}
	if n.disk != nil {
		ids = append(ids, n.disk.keeper.id())
	}
	var errs []error
	for _, id := range ids {
		_, err := docker.cli.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
