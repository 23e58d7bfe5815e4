package store_test

import (
	"testing"

	"peer/node/store"
	"peer/node/store/storetest"
)

func TestSuite(t *testing.T) {
	dirs := map[storetest.Backend]string{}
	open := func(t *testing.T, dir string) storetest.Backend {
		s, err := store.Open(store.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		dirs[s] = dir
		return s
	}
	storetest.Suite(t,
		func(t *testing.T) storetest.Backend { return open(t, t.TempDir()) },
		func(t *testing.T, b storetest.Backend) storetest.Backend {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, dirs[b])
		})
}
