package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/proto"
)

func framed(t testing.TB, m proto.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteFrame(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func header(size uint32) []byte { return binary.BigEndian.AppendUint32(nil, size) }

func TestFrames(t *testing.T) {
	var stream bytes.Buffer
	sent := []*Transaction{{}, {Id: []byte("id"), Base: 7, Operations: []*Operation{{Kind: &Operation_SetHead{SetHead: &SetHead{New: "refs/heads/main"}}}}}, {}}
	for _, m := range sent {
		if err := WriteFrame(&stream, m); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range sent {
		got := new(Transaction)
		if err := ReadFrame(&stream, got, 100); err != nil || !proto.Equal(got, want) {
			t.Errorf("frame %d is %v, %v, want %v", i, got, err, want)
		}
	}
	if err := ReadFrame(&stream, new(Transaction), 100); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v, want EOF", err)
	}
}

// TestChunks reads sizes around every step in which memory grows, from streams
// that give all at once and byte by byte.
func TestChunks(t *testing.T) {
	for _, size := range []int{0, 1, 3, ChunkBytes - 1, ChunkBytes, ChunkBytes + 1, 2 * ChunkBytes, 2*ChunkBytes + 1, ChunkBytesMax} {
		data := bytes.Repeat([]byte{1, 2, 3, 5, 7}, size/5+1)[:size]
		var stream bytes.Buffer
		for range 2 {
			if err := WriteChunk(&stream, data); err != nil {
				t.Fatal(err)
			}
		}
		r := io.Reader(&stream)
		for range 2 {
			got, err := ReadChunk(r, max(size, 1))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("chunk of %d bytes: %d bytes, %v", size, len(got), err)
			}
			r = iotest.HalfReader(r)
		}
		if _, err := ReadChunk(r, 1); !errors.Is(err, io.EOF) {
			t.Errorf("after chunks of %d bytes: %v, want EOF", size, err)
		}
	}
}

// TestCutFrames ends a stream at every byte: only before a frame is that an end in order.
func TestCutFrames(t *testing.T) {
	whole := framed(t, &Transaction{Id: []byte("sixteen bytes ..")})
	for cut := range whole {
		err := ReadFrame(bytes.NewReader(whole[:cut]), new(Transaction), 100)
		if want := map[bool]error{true: io.EOF, false: io.ErrUnexpectedEOF}[cut == 0]; !errors.Is(err, want) {
			t.Errorf("cut after %d bytes: %v, want %v", cut, err, want)
		}
	}
	broken := errors.New("connection reset")
	if err := ReadFrame(io.MultiReader(bytes.NewReader(whole[:9]), iotest.ErrReader(broken)), new(Transaction), 100); !errors.Is(err, broken) {
		t.Errorf("a stream that breaks: %v", err)
	}
}

func TestLimits(t *testing.T) {
	whole := framed(t, &Transaction{Id: make([]byte, 18)}) // 20 bytes
	if err := ReadFrame(bytes.NewReader(whole), new(Transaction), 20); err != nil {
		t.Errorf("a frame as large as may be: %v", err)
	}
	for _, raw := range [][]byte{whole, header(1<<32 - 1)} {
		err := ReadFrame(bytes.NewReader(raw), new(Transaction), 19)
		if large := new(TooLargeError); !errors.As(err, &large) || large.Max != 19 || large.Size != int(binary.BigEndian.Uint32(raw)) {
			t.Errorf("a frame that is too large: %v", err)
		}
	}
	if err := ReadFrame(bytes.NewReader(append(header(2), 0xff, 0xff)), new(Transaction), 19); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a frame that does not decode: %v", err)
	}
}

// TestMemoryFollowsBytes announces large frames and sends nothing of them.
func TestMemoryFollowsBytes(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 16 {
		if _, err := ReadChunk(io.MultiReader(bytes.NewReader(header(SnapshotBytesMax)), bytes.NewReader(make([]byte, 10))), SnapshotBytesMax); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16*4*ChunkBytes {
		t.Errorf("%d bytes allocated for frames that never came", grown)
	}
}

// countingWriter counts writes, since each is a packet.
type countingWriter struct{ writes, bytes int }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.writes++
	w.bytes += len(p)
	return len(p), nil
}

func TestOneWrite(t *testing.T) {
	w := new(countingWriter)
	if err := WriteFrame(w, &Transaction{Id: make([]byte, 10)}); err != nil {
		t.Fatal(err)
	}
	if err := WriteChunk(w, make([]byte, ChunkBytes)); err != nil {
		t.Fatal(err)
	}
	if w.writes != 2 || w.bytes != 4+12+4+ChunkBytes {
		t.Errorf("%d writes of %d bytes for two frames", w.writes, w.bytes)
	}
	broken := errors.New("broken pipe")
	if err := WriteFrame(failing{broken}, &Transaction{}); !errors.Is(err, broken) {
		t.Errorf("a write that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

const fuzzBytesMax = 1 << 16

func FuzzReadFrame(f *testing.F) {
	f.Add(framed(f, &PushRequest{Transaction: &Signed{Body: []byte("x")}, HasPack: true}))
	f.Add(header(0))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		m := new(PushRequest)
		if err := ReadFrame(r, m, fuzzBytesMax); err != nil {
			return
		}
		again := new(PushRequest)
		if err := ReadFrame(bytes.NewReader(framed(t, m)), again, fuzzBytesMax+1); err != nil || !proto.Equal(m, again) {
			t.Errorf("%v reads back as %v, %v", m, again, err)
		}
	})
}

func FuzzReadChunk(f *testing.F) {
	f.Add(append(header(2), 1, 2), uint16(2))
	f.Add(header(1<<32-1), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, limit uint16) {
		r := bytes.NewReader(data)
		chunk, err := ReadChunk(r, int(limit))
		if err != nil {
			return
		}
		if len(chunk) > int(limit) {
			t.Fatalf("%d bytes, the limit is %d", len(chunk), limit)
		}
		var b bytes.Buffer
		if err := WriteChunk(&b, chunk); err != nil || !bytes.Equal(b.Bytes(), data[:len(data)-r.Len()]) {
			t.Errorf("%x read, %x written, %v", data, b.Bytes(), err)
		}
	})
}
