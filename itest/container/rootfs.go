package container

import (
	"archive/tar"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// hostTools are the programs of this machine that become the image: what the
// Dockerfile runs, git in one file, and what the tests break networks with.
var hostTools = []string{
	"sh", "cat", "chmod", "chown", "cp", "dd", "grep", "ls", "mkdir", "rm", "sleep", "sync", "timeout", "touch",
	"ip", "tc",
	"base64", "chgrp", "head", "id", "install", "mv", "setpriv", "setsid", "tar", "tail", // what docs/deploy.md types
}

// bundle is a tar file with the same bytes for the same files.
type bundle struct {
	tar *tar.Writer
	has map[string]bool
	err error // the first one
}

func (b *bundle) add(h *tar.Header, data []byte) {
	if b.err != nil || b.has[h.Name] {
		return
	}
	b.has[h.Name] = true
	h.Size, h.Format = int64(len(data)), tar.FormatPAX
	if b.err = b.tar.WriteHeader(h); b.err == nil {
		_, b.err = b.tar.Write(data)
	}
}

func (b *bundle) dir(name string, mode int64) {
	b.add(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
}

func (b *bundle) file(name string, mode int64, data []byte) {
	b.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, data)
}

func (b *bundle) link(name, target string) {
	b.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

// copy adds a file of this machine, whatever links lead to it.
func (b *bundle) copy(from, name string, mode int64) {
	data, err := os.ReadFile(from)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.file(name, mode, data)
}

func (b *bundle) finish() {
	if err := b.tar.Close(); b.err == nil {
		b.err = err
	}
}

// stageHost makes the root of a small system from this machine's files.
func (b *bundle) stageHost(root string) error {
	b.dir(root, 0o755)
	b.dir(root+"/tmp", 0o1777)
	b.dir(root+"/people", 0o1777)
	b.dir(root+"/run", 0o755)
	b.dir(root+"/var/lib", 0o755)
	b.file(root+"/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\npeer:x:10001:10001:peer:/var/lib/peer:/bin/sh\n"))
	b.file(root+"/etc/group", 0o644, []byte("root:x:0:\npeer:x:10001:\n"))
	b.link(root+"/bin", "usr/bin")
	for _, tool := range hostTools {
		if err := b.program(root, tool, "/usr/bin/"+tool); err != nil {
			return err
		}
	}
	// Nearly all that git needs is in its one file.
	if err := b.program(root, "git", "/usr/bin/git"); err != nil {
		return err
	}
	for _, name := range []string{"git-upload-pack", "git-receive-pack", "git-upload-archive"} {
		b.link(root+"/usr/bin/"+name, "git")
	}
	return b.stageTables(root)
}

// stageTables adds iptables, with the plugins for a rule that drops packets.
func (b *bundle) stageTables(root string) error {
	if err := b.program(root, "iptables-restore", "/usr/sbin/iptables-restore"); err != nil {
		return err
	}
	found, _ := filepath.Glob("/usr/lib*/xtables/libxt_standard.so")
	more, _ := filepath.Glob("/usr/lib/*/xtables/libxt_standard.so")
	for _, plugin := range append(found, more...) {
		b.copy(plugin, root+plugin, 0o755)
	}
	return b.err
}

// libraries are the paths in what ldd prints.
var libraries = regexp.MustCompile(`/[^ )]*`)

// program adds a program of this machine, and the libraries that it needs.
func (b *bundle) program(root, name, to string) error {
	from, err := findProgram(name)
	if err != nil {
		return err
	}
	b.copy(from, root+to, 0o755)
	//nolint:noctx // it returns at once
	said, err := exec.Command("ldd", from).Output()
	if err != nil { // static, or not for this machine
		return b.err
	}
	for _, library := range libraries.FindAllString(string(said), -1) {
		b.copy(library, root+path.Clean(library), 0o755)
	}
	return b.err
}

func findProgram(name string) (string, error) {
	if found, err := exec.LookPath(name); err == nil {
		return filepath.EvalSymlinks(found)
	}
	for _, dir := range strings.Fields("/usr/sbin /sbin /usr/bin /bin") {
		if found, err := filepath.EvalSymlinks(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%s is missing on this machine", name)
}
