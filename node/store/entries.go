package store

import (
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

func (s *Store) readEntry(g generation, index uint64) (*pb.Entry, error) {
	key := entryKey(g, index)
	body, ok, err := s.read(key)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, corrupt(key, "entry is missing")
	}
	return decodeEntry(key, body)
}

// readEntries reads entries lo to hi-1 until their size exceeds maxSize, but at
// least one.
func (s *Store) readEntries(g generation, lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if hi-lo == 1 { // a look-up is cheaper than an iterator
		e, err := s.readEntry(g, lo)
		if err != nil {
			return nil, err
		}
		return []*pb.Entry{e}, nil
	}
	var entries []*pb.Entry
	size, next, full := uint64(0), lo, false
	err := s.scanFrom(dataPrefix(g, kindEntry), entryKey(g, lo), func(key, body []byte) error {
		e, err := decodeEntry(key, body)
		if err != nil {
			return err
		}
		if e.GetIndex() != next {
			return corrupt(entryKey(g, next), "entry is missing")
		}
		size += uint64(proto.Size(e))
		if full = size > maxSize && len(entries) > 0; full {
			return errStop
		}
		entries = append(entries, e)
		if next++; next == hi {
			return errStop
		}
		return nil
	})
	if err == nil && next < hi && !full {
		err = corrupt(entryKey(g, next), "entry is missing")
	}
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// limitSize is the beginning of entries that has maxSize bytes, or one entry.
func limitSize(entries []*pb.Entry, maxSize uint64) []*pb.Entry {
	size := uint64(0)
	for i, e := range entries {
		if size += uint64(proto.Size(e)); size > maxSize && i > 0 {
			return entries[:i]
		}
	}
	return entries
}
