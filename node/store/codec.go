package store

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const (
	checksumSize  = 4
	headSize      = 3 * 8
	hardStateSize = 3 * 8
	entryOverhead = 8 + 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}

// seal makes the stored value of key: its checksum, and the body of these parts.
func seal(key []byte, parts ...[]byte) []byte {
	size := checksumSize
	for _, p := range parts {
		size += len(p)
	}
	value := make([]byte, checksumSize, size)
	for _, p := range parts {
		value = append(value, p...)
	}
	binary.BigEndian.PutUint32(value, checksum(key, value[checksumSize:]))
	return value
}

// unseal gives the body of a stored value, which it shares.
func unseal(key, value []byte) ([]byte, error) {
	if len(value) < checksumSize {
		return nil, corrupt(key, "value missing or cut short")
	}
	body := value[checksumSize:]
	if binary.BigEndian.Uint32(value) != checksum(key, body) {
		return nil, corrupt(key, "checksum mismatch")
	}
	return body, nil
}

// head says where a repository's log begins, and under which generation it is.
type head struct {
	generation generation
	index      uint64 // of the last entry that the log has forgotten
	term       uint64 // of that entry
}

func (h head) encode() []byte {
	body := make([]byte, 0, headSize)
	body = binary.BigEndian.AppendUint64(body, uint64(h.generation))
	body = binary.BigEndian.AppendUint64(body, h.index)
	return binary.BigEndian.AppendUint64(body, h.term)
}

func decodeHead(key, body []byte) (head, error) {
	if len(body) != headSize {
		return head{}, corrupt(key, "head of the wrong size")
	}
	return head{
		generation: generation(binary.BigEndian.Uint64(body)),
		index:      binary.BigEndian.Uint64(body[8:]),
		term:       binary.BigEndian.Uint64(body[16:]),
	}, nil
}

func encodeHardState(hs *pb.HardState) []byte {
	body := make([]byte, 0, hardStateSize)
	body = binary.BigEndian.AppendUint64(body, hs.GetTerm())
	body = binary.BigEndian.AppendUint64(body, hs.GetVote())
	return binary.BigEndian.AppendUint64(body, hs.GetCommit())
}

func decodeHardState(key, body []byte) (*pb.HardState, error) {
	if len(body) != hardStateSize {
		return nil, corrupt(key, "hard state of the wrong size")
	}
	return &pb.HardState{
		Term:   new(binary.BigEndian.Uint64(body)),
		Vote:   new(binary.BigEndian.Uint64(body[8:])),
		Commit: new(binary.BigEndian.Uint64(body[16:])),
	}, nil
}

func encodeConfState(cs *pb.ConfState) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(cs)
}

func decodeConfState(key, body []byte) (*pb.ConfState, error) {
	cs := &pb.ConfState{}
	if err := proto.Unmarshal(body, cs); err != nil {
		return nil, corrupt(key, "configuration: "+err.Error())
	}
	return cs, nil
}

// entryHeader is what stands before the data of an entry. The index is in the key.
func entryHeader(e *pb.Entry) []byte {
	body := make([]byte, 0, entryOverhead)
	body = binary.BigEndian.AppendUint64(body, e.GetTerm())
	return append(body, byte(e.GetType()))
}

// decodeEntry keeps a reference to body.
func decodeEntry(key, body []byte) (*pb.Entry, error) {
	_, index, err := parseEntryKey(key)
	if err != nil {
		return nil, err
	}
	if len(body) < entryOverhead {
		return nil, corrupt(key, "entry cut short")
	}
	kind := pb.EntryType(body[8])
	if _, known := pb.EntryType_name[int32(kind)]; !known {
		return nil, corrupt(key, "entry of an unknown type")
	}
	e := &pb.Entry{Term: new(binary.BigEndian.Uint64(body)), Index: new(index)}
	if kind != pb.EntryNormal { // raft leaves it out of normal entries, and so do we
		e.Type = kind.Enum()
	}
	if data := body[entryOverhead:]; len(data) > 0 {
		e.Data = data
	}
	return e, nil
}

func encodeUint64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func decodeUint64(key, body []byte) (uint64, error) {
	if len(body) != 8 {
		return 0, corrupt(key, "number of the wrong size")
	}
	return binary.BigEndian.Uint64(body), nil
}

// A seat is this node's proof that its store is the one that was given a place.
type seat struct {
	nonce []byte
	at    time.Time
}

func (s seat) encode() []byte {
	return append(encodeUint64(uint64(s.at.UnixNano())), s.nonce...)
}

func decodeSeat(key, body []byte) (seat, error) {
	if len(body) < 8 || len(body) > 8+NonceBytesMax {
		return seat{}, corrupt(key, "seat of the wrong size")
	}
	at := int64(binary.BigEndian.Uint64(body))
	return seat{nonce: body[8:], at: time.Unix(0, at)}, nil
}
