package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"peer/wire"
)

// sealed records are a number and a hash that stands in for a signature.
type sealed struct{ refused atomic.Int32 }

func seal(key []byte, n uint64) []byte {
	v := binary.BigEndian.AppendUint64(nil, n)
	sum := sha256.Sum256(append(bytes.Clone(key), v...))
	return append(v, sum[:]...)
}

func (s *sealed) Validate(key, value []byte) error {
	if len(value) != 40 || !bytes.Equal(value, seal(key, binary.BigEndian.Uint64(value))) {
		s.refused.Add(1)
		return errors.New("forged")
	}
	return nil
}

func (*sealed) Select(_ []byte, values [][]byte) (int, error) {
	best := 0
	for i, v := range values {
		if bytes.Compare(v, values[best]) > 0 {
			best = i
		}
	}
	return best, nil
}

// gullible takes anything.
type gullible struct{}

func (gullible) Validate(_, _ []byte) error               { return nil }
func (gullible) Select(_ []byte, _ [][]byte) (int, error) { return 0, nil }
func records(r Records) func(*Config)                     { return func(c *Config) { c.Records = r } }
func clientOnly(c *Config)                                { c.Listen, c.Server = nil, false }
func within(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 5*time.Second)
}

func TestRecords(t *testing.T) {
	ctx, cancel := within(t)
	defer cancel()
	rules := &sealed{}
	boot := start(t, config(t, records(rules)))
	key := []byte("a repository ID / with \x00 any bytes")

	if err := boot.PutRecord(ctx, key, seal(key, 1)); err != nil {
		t.Errorf("put on a lone node: %v", err)
	}
	if got, err := boot.GetRecord(ctx, key); err != nil || !bytes.Equal(got, seal(key, 1)) {
		t.Errorf("get on a lone node: %x, %v", got, err)
	}
	a := start(t, config(t, records(rules), bootstrap(boot)))
	eventually(t, "a is connected", func() bool { return boot.IsConnected(a.Self()) })
	c := start(t, config(t, records(rules), bootstrap(boot), clientOnly))
	// A host that has just connected may not be in the routing table yet: the
	// record is then stored here alone, and callers put again.
	eventually(t, "the newer record reaches the others", func() bool {
		if err := a.PutRecord(ctx, key, seal(key, 2)); err != nil {
			t.Errorf("put: %v", err)
		}
		got, err := c.GetRecord(ctx, key)
		return err == nil && bytes.Equal(got, seal(key, 2))
	})
	if _, err := c.GetRecord(ctx, []byte("another")); !errors.Is(err, ErrNotFound) {
		t.Errorf("get of what was never put: %v", err)
	}
	if err := a.PutRecord(ctx, key, seal(key, 1)); err == nil {
		t.Error("an older record replaced a newer one")
	}
	if err := a.PutRecord(ctx, key, []byte("forged")); err == nil {
		t.Error("a forged record was put")
	}
	if err := a.PutRecord(ctx, key, make([]byte, wire.RecordBytesMax+1)); err == nil {
		t.Error("a record beyond the limit was put")
	}
}

// A host that checks nothing can neither store a forgery at others nor have
// one believed.
func TestForgedRecords(t *testing.T) {
	ctx, cancel := within(t)
	defer cancel()
	rules := &sealed{}
	honest := start(t, config(t, records(rules)))
	liar := start(t, config(t, records(gullible{}), bootstrap(honest)))
	key, forged := []byte("repository"), []byte("forged")
	eventually(t, "the liar is connected", func() bool { return honest.IsConnected(liar.Self()) })
	eventually(t, "the forgery reached the honest host", func() bool {
		if err := liar.PutRecord(ctx, key, forged); err != nil {
			t.Fatalf("the liar could not even try: %v", err)
		}
		return rules.refused.Load() > 0
	})
	if rec, err := liar.GetRecord(ctx, key); err != nil || !bytes.Equal(rec, forged) {
		t.Fatalf("the liar itself does not hold it: %x, %v", rec, err)
	}
	before := rules.refused.Load()
	if got, err := honest.GetRecord(ctx, key); err == nil {
		t.Errorf("got a forged record: %x", got)
	}
	if rules.refused.Load() == before {
		t.Error("the liar was not asked, so this test proved nothing")
	}
	if err := honest.PutRecord(ctx, key, seal(key, 7)); err != nil {
		t.Fatal(err)
	}
	if got, err := honest.GetRecord(ctx, key); err != nil || !bytes.Equal(got, seal(key, 7)) {
		t.Errorf("beside a forgery: %x, %v", got, err)
	}
}
