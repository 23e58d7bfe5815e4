package hook

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"peer/wire"
)

func TestDelivers(t *testing.T) {
	t.Parallel()
	s := newSource()
	s.push() // before the hook
	k, _ := open(t, s, newDisk(), nil)
	r := receive(t, nil)
	add(t, k, r.URL+"/hook", Push, Members)
	first := s.add(Push,
		Ref{"refs/heads/new", "", "aa"}, Ref{"refs/heads/gone", "aa", ""}, Ref{"refs/heads/on", "aa", "bb"},
		Ref{"refs/heads/back", "bb", "aa"}, Ref{"refs/heads/unknown", "gone", "aa"}, Ref{"refs/tags/v1", "aa", "bb"})
	s.add(Leader) // not asked for
	last := s.add(Members)
	r.awaits(t, first, last)

	e := r.got[0]
	if e.Repository != s.repository() || e.Term != 1 || e.Pusher != "did:key:ann" || e.Time.UnixMilli() != 1_700_000_000_000 || e.Missed != nil || e.event != Push {
		t.Errorf("payload %+v", e)
	}
	var refs []string
	for _, r := range e.Refs {
		forced := "?"
		if r.Forced != nil {
			forced = fmt.Sprint(*r.Forced)
		}
		refs = append(refs, fmt.Sprintf("%s %s>%s %t %t %s", r.Name, r.Old, r.New, r.Created, r.Deleted, forced))
	}
	if want := []string{
		"refs/heads/new >aa true false false", "refs/heads/gone aa> false true false", "refs/heads/on aa>bb false false false",
		"refs/heads/back bb>aa false false true", "refs/heads/unknown gone>aa false false ?", "refs/tags/v1 aa>bb false false ?",
	}; !slices.Equal(refs, want) {
		t.Errorf("refs\n%s\nwant\n%s", strings.Join(refs, "\n"), strings.Join(want, "\n"))
	}
	if failed, err := k.Test(t.Context(), k.List()[0].ID); failed != nil || err != nil {
		t.Fatal(failed, err)
	}
	if ping := r.got[2]; ping.event != Ping || ping.Index != last || ping.id == e.id || ping.id == r.got[1].id {
		t.Errorf("ping %+v", ping)
	}
}

// One that fails is tried again, the same each time and later each time, and misses nothing.
func TestReceiverFailsAndRecovers(t *testing.T) {
	t.Parallel()
	s := newSource()
	k, c := open(t, s, newDisk(), nil)
	const failures = 14
	tries, ids := 0, map[string]bool{}
	var failing []View
	r := receive(t, func(g got) int {
		if tries++; tries > failures {
			return http.StatusNoContent
		}
		ids[g.id] = true
		failing = k.List()
		return http.StatusInternalServerError
	})
	add(t, k, r.URL, Push)
	var want []uint64
	for range 5 {
		want = append(want, s.push())
	}
	r.awaits(t, want...)
	eventually(t, func() string {
		if v := k.List()[0]; v.GetProblem() != "" || v.GetFailingSinceUnixMs() != 0 || v.GetIndex() != want[4] {
			return fmt.Sprint(v)
		}
		return ""
	})
	if v := failing[0]; v.GetFailingSinceUnixMs() == 0 || !strings.Contains(v.GetProblem(), "500") {
		t.Errorf("while it failed: %v", v)
	}
	if len(ids) != 1 || !ids[r.got[0].id] || r.got[0].id == r.got[1].id {
		t.Errorf("IDs of one delivery: %v, of those that follow %s, %s", ids, r.got[0].id, r.got[1].id)
	}
	if len(c.pauses) != failures {
		t.Fatalf("pauses %v", c.pauses)
	}
	for i, d := range c.pauses {
		if full := min(pauseMin<<i, pauseMax); d < full/2 || d > full {
			t.Errorf("pause %d: %s, want about %s", i, d, full)
		}
	}
}

// A node that dies at any time tells the rest when it is back. What it can't know to
// have arrived it tells again, under the same ID.
func TestRestart(t *testing.T) {
	t.Parallel()
	s, d := newSource(), newDisk()
	k, _ := open(t, s, d, nil)
	died := make(chan *disk, 1)
	r := receive(t, nil)
	r.answer = func(g got) int {
		if len(died) == 0 && len(r.indexes()) == 2 {
			died <- d.crash() // the receiver has it, and nobody remembers
		}
		return http.StatusOK
	}
	add(t, k, r.URL, Push)
	a, b, again := s.push(), s.push(), s.push()
	r.awaits(t, a, b, again)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	last := s.push()
	open(t, s, <-died, nil)
	r.awaits(t, a, b, again, again, last)
	if r.got[2].id != r.got[3].id || r.got[3].id == r.got[4].id {
		t.Errorf("IDs %s, %s, %s", r.got[2].id, r.got[3].id, r.got[4].id)
	}
}

// After a day one delivery is given up, and the next one says so.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	s, d := newSource(), newDisk()
	k, c := open(t, s, d, nil)
	began := c.Now()
	var poison atomic.Uint64
	r := receive(t, func(g got) int {
		if g.Index == poison.Load() {
			return http.StatusBadRequest
		}
		return http.StatusOK
	})
	add(t, k, r.URL, Push)
	first := s.push()
	r.awaits(t, first)
	poison.Store(first + 1)
	s.push()
	next, last := s.push(), s.push()
	r.awaits(t, first, next, last)
	if took := c.Now().Sub(began); took < GiveUpAfter || took > GiveUpAfter+2*pauseMax {
		t.Errorf("given up after %s", took)
	}
	if m := r.got[1].Missed; m == nil || *m != (missed{first + 1, first + 1}) || r.got[2].Missed != nil {
		t.Errorf("missed: %v, then %v", m, r.got[2].Missed)
	}
}

// What the log forgot meanwhile is said too.
func TestLogForgets(t *testing.T) {
	t.Parallel()
	s, d := newSource(), newDisk()
	k, _ := open(t, s, d, nil)
	r := receive(t, nil)
	v := add(t, k, r.URL, Push)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	s.push()
	s.push()
	last := s.push()
	s.forget(last)
	open(t, s, d, nil)
	r.awaits(t, last)
	if m := r.got[0].Missed; m == nil || *m != (missed{v.GetIndex() + 1, last - 1}) {
		t.Errorf("missed: %v", m)
	}
}

// Nothing that a receiver answers costs more than a while, or leads elsewhere.
func TestHostileReceivers(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(target.Close)
	end := make(chan struct{})
	hostile := map[string]struct {
		do   http.HandlerFunc
		want string // of the problem; empty: none
	}{
		"endless body": {func(w http.ResponseWriter, _ *http.Request) {
			chunk := make([]byte, 1<<16)
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, ""},
		"silent": {func(http.ResponseWriter, *http.Request) { <-end }, "no answer within"},
		"endless headers": {func(w http.ResponseWriter, _ *http.Request) {
			for i := range 1000 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1000))
			}
		}, "headers exceeded"},
		"redirects": {func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, target.URL, http.StatusTemporaryRedirect)
		}, "redirects are not followed"},
		"ends": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	}
	for name, h := range hostile {
		server := httptest.NewServer(h.do)
		t.Cleanup(server.Close)
		timeout := patience
		if name == "silent" {
			timeout = 50 * time.Millisecond
		}
		err := newClient("test", timeout, true).post(t.Context(), delivery{url: server.URL, body: []byte("{}")})
		if (err == nil) != (h.want == "") || err != nil && !strings.Contains(err.Error(), h.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Cleanup(func() { close(end) }) // before the servers close, which wait
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestSilentReceiverHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := newSource()
	k, _ := open(t, s, newDisk(), func(cfg *Config) { cfg.Timeout = time.Hour })
	end := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(end) })
	r := receive(t, nil)
	add(t, k, silent.URL, Push)
	add(t, k, r.URL, Push)
	r.awaits(t, s.push())
}

func TestFewAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		k, _ := open(t, s, newDisk(), nil)
		var came atomic.Int32
		free := make(chan struct{})
		k.within.http.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			came.Add(1)
			<-free
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		})
		const hooks = 2 * deliveriesMax
		for i := range hooks {
			add(t, k, fmt.Sprint("http://127.0.0.1/", i), Push)
		}
		s.push()
		synctest.Wait()
		if n := came.Load(); n != deliveriesMax {
			t.Errorf("%d at a time", n)
		}
		close(free)
		synctest.Wait()
		if n := came.Load(); n != hooks {
			t.Errorf("%d of %d were told", n, hooks)
		}
	})
}

// roundTrip stands in for the network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPrivateAddresses(t *testing.T) {
	t.Parallel()
	for addr, public := range map[string]bool{
		"93.184.216.34": true, "8.8.8.8": true, "100.128.0.1": true, "172.32.0.1": true, "2606:2800:220:1::1": true, "2a00::1": true,
		"::ffff:8.8.8.8": true, "64:ff9b::8.8.8.8": true, "2002:808:808::1": true,

		"127.0.0.1": false, "127.255.255.254": false, "::1": false, // the machine
		"0.0.0.0": false, "0.1.2.3": false, "::": false, // unspecified
		"10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, // RFC 1918
		"100.64.0.1": false, "100.127.255.255": false, // CGNAT
		"169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, // link-local
		"fc00::1": false, "fd12:3456::1": false, "fec0::1": false, // ULA, site-local
		"224.0.0.1": false, "239.1.1.1": false, "ff02::1": false, "255.255.255.255": false, "240.0.0.1": false, // groups, broadcast, reserved
		"192.0.0.8": false, "192.0.2.1": false, "198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "2001:db8::1": false, "3fff::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.1.2.3": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false, // in IPv6
		"64:ff9b::127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b:1::8.8.8.8": false, // NAT64
		"2002:7f00:1::1": false, "2002:a00:1::1": false, "2002:c0a8:101::": false, // 6to4
		"2001::1": false, "2001:0:808:808::1": false, "100::1": false, "4000::1": false, // Teredo, discard, unassigned
	} {
		if got := isPublic(netip.MustParseAddr(addr)); got != public {
			t.Errorf("%s: public %v", addr, got)
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// An address is checked when it is dialled, whatever name led to it.
func TestPrivateAddressesAreNotDialled(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	c := newClient("test", patience, false)
	for _, host := range []string{"127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		err := c.post(t.Context(), delivery{url: "http://" + host + ":" + port + "/", body: []byte("{}")})
		var private *PrivateError
		if err == nil || host != "127.1" && !errors.As(err, &private) { // which not every resolver knows
			t.Errorf("%s: %v", host, err)
		}
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("%d requests came", n)
	}
	if err := newClient("test", patience, true).post(t.Context(), delivery{url: server.URL, body: []byte("{}")}); err != nil || seen.Load() != 1 {
		t.Errorf("allowed: %v", err)
	}
}

func TestBadHooks(t *testing.T) {
	t.Parallel()
	k, _ := open(t, newSource(), newDisk(), nil)
	good := func() *wire.Hook {
		return &wire.Hook{Repo: repo[:], Url: "https://ci.example.org:8443/hook?x=y", Events: []string{Push}}
	}
	v, err := k.Add(good())
	if err != nil {
		t.Fatal(err)
	}
	for want, edit := range map[string]func(*wire.Hook){
		"has a hook to that URL already": func(*wire.Hook) {},
		"no replica here":                func(m *wire.Hook) { m.Url, m.Repo = "https://b.example.org", make([]byte, 32) },
		"can be posted to":               func(m *wire.Hook) { m.Url = "ftp://ci.example.org" },
		":99999/\" is no URL":            func(m *wire.Hook) { m.Url = "https://ci.example.org:99999/" },
		"is no URL":                      func(m *wire.Hook) { m.Url = "https:///hook" },
		"\"file:///etc/passwd\" is no":   func(m *wire.Hook) { m.Url = "file:///etc/passwd" },
		"\"https://xxxx":                 func(m *wire.Hook) { m.Url = "https://" + strings.Repeat("x", urlBytesMax) },
		"name or password":               func(m *wire.Hook) { m.Url = "https://ann:pw@ci.example.org" },
		"never sent":                     func(m *wire.Hook) { m.Url += "#x" },
		"127.0.0.1 is no public":         func(m *wire.Hook) { m.Url = "http://127.0.0.1/" },
		"::1 is no public":               func(m *wire.Hook) { m.Url = "http://[::1]:80/" },
		"localhost is no public":         func(m *wire.Hook) { m.Url = "http://LOCALHOST./" },
		"without events":                 func(m *wire.Hook) { m.Events = nil },
		"no event \"pull\"":              func(m *wire.Hook) { m.Events = []string{Push, "pull"} },
		"too long":                       func(m *wire.Hook) { m.Secret = make([]byte, SecretBytesMax+1) },
	} {
		m := good()
		edit(m)
		if _, err := k.Add(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := k.Remove(""); err == nil {
		t.Error("an empty ID names a hook")
	}
	if err := k.Remove(v.ID[:4]); err != nil || len(k.List()) != 0 {
		t.Errorf("removed: %v, left %v", err, k.List())
	}
	var unknown *NotFoundError
	if _, err := k.Test(t.Context(), v.ID); !errors.As(err, &unknown) {
		t.Errorf("test of one that is gone: %v", err)
	}
}

// Whoever lists or drops hooks does not wait for a receiver.
func TestRemoveEndsAnAttempt(t *testing.T) {
	t.Parallel()
	s, d := newSource(), newDisk()
	k, _ := open(t, s, d, func(cfg *Config) { cfg.Timeout = time.Hour })
	came, end := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(came); <-end }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(end) })
	v := add(t, k, server.URL, Push)
	s.push()
	<-came
	if len(k.List()) != 1 {
		t.Error("it is not listed")
	}
	if err := k.Remove(v.ID); err != nil {
		t.Fatal(err)
	}
	if err := d.Scan(keyPrefix, func(key string, _ []byte) error { return errors.New(key) }); err != nil {
		t.Errorf("left in the store: %v", err)
	}
}
