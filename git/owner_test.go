package git

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A directory that belongs to somebody else, as after a restore from a backup or
// in a container, is served all the same.
func TestForeignOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	tip := w.commit("a", "1")
	publish(t, r, w.pack(tip), tip)
	err := filepath.WalkDir(r.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 12345, 12345)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Check(testContext(t), []OID{tip}); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	in := bytes.NewReader(v2Request("command=ls-refs\n", "0000"))
	if err := r.UploadPack(testContext(t), in, &out, 2, new(countedGate)); err != nil {
		t.Error(err)
	}
	if !bytes.Contains(out.Bytes(), []byte(tip.String()+" refs/heads/main\n")) {
		t.Errorf("listed %q", out.Bytes())
	}
}
