package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"peer/wire"
)

// tunnel opens a session through a server, and returns both ends of it.
func tunnel(t *testing.T) (client wire.Stream, replica *end, backendEnd *end) {
	t.Helper()
	noLeaks(t)
	b := &fakeBackend{}
	nodeSide, replica := pipe()
	b.session = func(_ context.Context, repo string, push bool) (wire.Stream, error) {
		if repo != "id" || !push {
			return nil, errors.New("not what the client asked for")
		}
		return nodeSide, nil
	}
	_, o := serve(t, b, false)
	opened, err := dial(t, o).Session(t.Context(), "id", true)
	if err != nil {
		t.Fatal(err)
	}
	if string(opened.To) != "to id" {
		t.Errorf("a session with %q", opened.To)
	}
	return opened, replica, nodeSide
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustWrite(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func mustEOF(t *testing.T, r io.Reader) {
	t.Helper()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes, %v; want EOF", n, err)
	}
}

func TestSessionCarriesBothWays(t *testing.T) {
	client, replica, _ := tunnel(t)
	mustWrite(t, client, "hello")
	mustRead(t, replica, "hello")
	mustWrite(t, replica, "welcome")
	mustRead(t, client, "welcome")
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	mustEOF(t, replica)
}

func TestClientHalfCloses(t *testing.T) {
	client, replica, nodeSide := tunnel(t)
	mustWrite(t, client, "all")
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustRead(t, replica, "all")
	mustEOF(t, replica)
	if _, err := client.Write([]byte("more")); err == nil {
		t.Fatal("wrote after CloseWrite")
	}
	mustWrite(t, replica, "answer")
	must(t, replica.CloseWrite())
	mustRead(t, client, "answer")
	mustEOF(t, client)
	mustEOF(t, client)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, resets := nodeSide.counts(); resets != 0 {
		t.Fatal("an orderly session was reset")
	}
}

func TestReplicaHalfClosesFirst(t *testing.T) {
	client, replica, _ := tunnel(t)
	mustWrite(t, replica, "enough")
	must(t, replica.CloseWrite())
	mustRead(t, client, "enough")
	mustEOF(t, client)
	mustWrite(t, client, "still writing")
	mustRead(t, replica, "still writing")
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustEOF(t, replica)
	if err := errors.Join(client.Close(), client.Close()); err != nil {
		t.Fatal(err)
	}
}

// Close must not drop what was written before it, and must not wait for a
// replica that goes on writing.
func TestCloseDeliversWhatWasWritten(t *testing.T) {
	client, replica, nodeSide := tunnel(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB, more than the replica buffers
	got := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(replica)
		got <- all
	}()
	if _, err := client.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(<-got, sent) {
		t.Fatal("the replica did not get all")
	}
	closes, resets := nodeSide.counts()
	if closes != 1 || resets != 0 {
		t.Fatalf("%d closes, %d resets", closes, resets)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Fatal("read after Close")
	}
}

func TestResetReachesTheReplica(t *testing.T) {
	client, replica, nodeSide := tunnel(t)
	mustWrite(t, client, "half a pack")
	mustRead(t, replica, "half a pack")
	must(t, client.Reset())
	if _, err := replica.Read(make([]byte, 1)); !errors.Is(err, errWasReset) {
		t.Fatalf("replica read: %v", err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, errReset) {
		t.Fatalf("client read: %v", err)
	}
	if _, err := client.Write([]byte("x")); err == nil {
		t.Fatal("wrote after Reset")
	}
	_ = client.Close()
	if closes, _ := nodeSide.counts(); closes != 0 {
		t.Fatal("a session that was reset ended as if in order")
	}
}

func TestReplicaResets(t *testing.T) {
	client, replica, _ := tunnel(t)
	mustWrite(t, replica, "some")
	mustRead(t, client, "some")
	must(t, replica.Reset())
	var refusal *Error
	if _, err := client.Read(make([]byte, 1)); !errors.As(err, &refusal) || !refusal.Unknown || refusal.Code != wire.FailureCode_FAILURE_NOT_LEADER {
		t.Fatalf("client read: %v", err)
	}
	eventually(t, "writes fail", func() bool {
		_, err := client.Write([]byte("x"))
		return err != nil
	})
	client.Close()
}

func TestClientProcessDies(t *testing.T) {
	noLeaks(t)
	nodeSide, replica := pipe()
	b := &fakeBackend{session: func(context.Context, string, bool) (wire.Stream, error) { return nodeSide, nil }}
	_, o := serve(t, b, false)
	c := dial(t, o)
	if _, err := c.Session(t.Context(), "id", false); err != nil {
		t.Fatal(err)
	}
	c.Close() // takes the connection down
	if _, err := replica.Read(make([]byte, 1)); !errors.Is(err, errWasReset) {
		t.Fatalf("replica read: %v", err)
	}
}

func TestDeadlineEndsTheSession(t *testing.T) {
	client, replica, _ := tunnel(t)
	if err := client.SetDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	must(t, client.SetDeadline(time.Time{}))
	must(t, client.SetDeadline(time.Now().Add(20*time.Millisecond)))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read: %v", err)
	}
	if _, err := replica.Read(make([]byte, 1)); !errors.Is(err, errWasReset) {
		t.Fatalf("replica read: %v", err)
	}
	client.Close()
}

func TestNoReplicaNoSession(t *testing.T) {
	noLeaks(t)
	_, o := serve(t, &fakeBackend{}, false)
	_, err := dial(t, o).Session(t.Context(), "id", false)
	var refusal *Error
	if !errors.As(err, &refusal) || *refusal.Failure().Code.Enum() != wire.FailureCode_FAILURE_NOT_FOUND || refusal.Hint != errNone.Hint {
		t.Fatalf("got %#v", err)
	}
}

func TestServerCloseEndsSessions(t *testing.T) {
	noLeaks(t)
	nodeSide, replica := pipe()
	b := &fakeBackend{session: func(context.Context, string, bool) (wire.Stream, error) { return nodeSide, nil }}
	s, o := serve(t, b, false)
	client, err := dial(t, o).Session(t.Context(), "id", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var refusal *Error
	if _, err := client.Read(make([]byte, 1)); !errors.As(err, &refusal) || !refusal.Unknown {
		t.Fatalf("client read: %#v", err)
	}
	if _, err := replica.Read(make([]byte, 1)); !errors.Is(err, errWasReset) {
		t.Fatalf("replica read: %v", err)
	}
	client.Close()
}

// Many bytes both ways at once: each side writes all before it reads anything,
// beyond what windows and buffers hold, so neither direction may hold up the other.
func TestSessionBulkBothWays(t *testing.T) {
	client, replica, _ := tunnel(t)
	const size = 16 << 20
	up, down := make(chan [32]byte, 2), make(chan [32]byte, 2)
	send := func(w wire.Stream, seed uint64, sum chan<- [32]byte) {
		h := sha256.New()
		rng := rand.NewChaCha8([32]byte{byte(seed)})
		buf := make([]byte, 300<<10)
		for left := size; left > 0; {
			n := min(left, 1+int(rng.Uint64()%uint64(len(buf))))
			_, _ = rng.Read(buf[:n]) // never fails
			h.Write(buf[:n])
			if _, err := w.Write(buf[:n]); err != nil {
				t.Error("write:", err)
				break
			}
			left -= n
		}
		if err := w.CloseWrite(); err != nil {
			t.Error("half-close:", err)
		}
		sum <- [32]byte(h.Sum(nil))
	}
	receive := func(r io.Reader, sum chan<- [32]byte) {
		h := sha256.New()
		if n, err := io.Copy(h, r); n != size || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		sum <- [32]byte(h.Sum(nil))
	}
	go send(client, 1, up)
	go send(replica, 2, down)
	go receive(replica, up)
	receive(client, down)
	for name, sums := range map[string]chan [32]byte{"up": up, "down": down} {
		if a, b := <-sums, <-sums; a != b {
			t.Fatal("bytes were changed on the way", name)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
}
