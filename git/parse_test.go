package git

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"
)

func TestOID(t *testing.T) {
	for _, f := range []Format{SHA1, SHA256} {
		o := someOID(f, 1)
		back, err := ParseOID(o.String())
		if err != nil || back != o || o.Format() != f || len(o.Bytes()) != f.RawLen() || o.IsZero() {
			t.Errorf("%s: %s, %v", f, back, err)
		}
		if zero, err := ParseOID(f.Null()); err != nil || zero != (OID{}) || !zero.IsZero() || zero.Bytes() != nil {
			t.Errorf("%s: null is %q, %v", f, zero.raw, err)
		}
		if upper, err := ParseOID(strings.ToUpper(o.String())); err != nil || upper != o {
			t.Errorf("%s: upper case: %v", f, err)
		}
		if zero, err := FromBytes(make([]byte, f.RawLen())); err != nil || !zero.IsZero() {
			t.Errorf("%s: %v", f, err)
		}
	}
	for _, s := range []string{"", "12", strings.Repeat("g", 40), strings.Repeat("0", 41), strings.Repeat("0", 128)} {
		if o, err := ParseOID(s); err == nil {
			t.Errorf("%q parses to %s", s, o)
		}
	}
	if o, err := FromBytes(make([]byte, 21)); err == nil {
		t.Errorf("21 bytes are %s", o)
	}
}

func FuzzParseOID(f *testing.F) {
	f.Add(SHA1.Null())
	f.Add(strings.Repeat("aB", 32))
	f.Fuzz(func(t *testing.T, s string) {
		if o, err := ParseOID(s); err == nil && !o.IsZero() && o.String() != strings.ToLower(s) {
			t.Errorf("%q became %s", s, o)
		}
	})
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]Version{
		"git version 2.39.5\n":                   {2, 39, 5},
		"git version 2.39.5 (Apple Git-154)":     {2, 39, 5},
		"git version 2.51.0.windows.1":           {2, 51, 0},
		"git version 2.46.rc1":                   {2, 46, 0},
		"git version 2.47":                       {2, 47, 0},
		"git version 2.45.1.410.g58bac47f8e\n":   {2, 45, 1},
		"hub version 1.2.3\ngit version 2.39.5 ": {},
		"git version next":                       {},
		"":                                       {},
	} {
		got, err := parseVersion(s)
		if got != want || (err == nil) != (want != Version{}) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}

func TestInstalledVersion(t *testing.T) {
	v, err := InstalledVersion(testContext(t))
	if err != nil || v.Less(OldestVersion) {
		t.Errorf("%v, %v", v, err)
	}
	t.Setenv("PATH", t.TempDir())
	var none *VersionError
	if _, err := InstalledVersion(testContext(t)); !errors.As(err, &none) || !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("without git: %v", err)
	}
}

func TestPktReader(t *testing.T) {
	largest := bytes.Repeat([]byte("x"), PktPayloadMax)
	stream := AppendPkt(nil, []byte("want\n"))
	stream = append(stream, "0001"...)
	stream = AppendPkt(stream, nil)
	stream = AppendPkt(stream, largest)
	stream = append(stream, "00000002"...)
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "bytewise": iotest.OneByteReader(bytes.NewReader(stream)),
	} {
		in := NewPktReader(r)
		for i, want := range []struct {
			kind    PktKind
			payload string
		}{{PktData, "want\n"}, {PktDelim, ""}, {PktData, ""}, {PktData, string(largest)}, {PktFlush, ""}, {PktResponseEnd, ""}} {
			got, err := in.Next()
			if err != nil || got.Kind != want.kind || string(got.Payload()) != want.payload {
				t.Errorf("%s: line %d: %d, %.20q, %v", name, i, got.Kind, got.Payload(), err)
			}
		}
		if _, err := in.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
	for s, want := range map[string]error{
		"":          io.EOF,
		"00":        io.ErrUnexpectedEOF,
		"0006a":     io.ErrUnexpectedEOF,
		"0003":      ErrPkt,
		"fff1":      ErrPkt,
		"ffff":      ErrPkt,
		"00g0":      ErrPkt,
		"-001":      ErrPkt,
		"GET / HTT": ErrPkt,
	} {
		if _, err := NewPktReader(strings.NewReader(s)).Next(); !errors.Is(err, want) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestPktReaderReady(t *testing.T) {
	in := NewPktReader(strings.NewReader("0006ab00000008cd"))
	for i, ready := range []bool{true, false} {
		if _, err := in.Next(); err != nil {
			t.Fatal(err)
		}
		if in.ready() != ready {
			t.Errorf("after line %d: %v", i, !ready)
		}
	}
}

func FuzzPktReader(f *testing.F) {
	f.Add([]byte("0006a\n00000001fffx"))
	f.Add([]byte("00050FfF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := NewPktReader(bytes.NewReader(data))
		var raw, again []byte
		for {
			pkt, err := in.Next()
			if err != nil {
				break
			}
			raw = append(raw, pkt.Raw...)
			if pkt.Kind == PktData {
				again = AppendPkt(again, pkt.Payload())
			} else {
				again = append(again, pkt.Raw...)
			}
		}
		if !bytes.HasPrefix(data, raw) {
			t.Fatal("what was read is not what was there")
		}
		if len(raw) != len(again) || !bytes.EqualFold(raw, again) {
			t.Fatal("written again it differs")
		}
	})
}

func TestQuoting(t *testing.T) {
	for quoted, plain := range map[string]string{
		`a b=c`:                "a b=c",
		`"a\nb"`:               "a\nb",
		`"\a\b\f\n\r\t\v\\\""`: "\a\b\f\n\r\t\v\\\"",
		`"\001\177"`:           "\x01\x7f",
		``:                     "",
		`ü`:                    "ü",
	} {
		if got, err := Unquote(quoted); err != nil || got != plain {
			t.Errorf("%s: %q, %v", quoted, got, err)
		}
		if got := quote(plain); got != quoted {
			t.Errorf("%q: %s", plain, got)
		}
	}
	if got, err := Unquote(`"\303\274"`); err != nil || got != "ü" {
		t.Errorf("%q, %v", got, err)
	}
	for _, s := range []string{`"`, `"a`, `"a"b`, `"\"`, `"\x"`, `"\12"`, `"\400"`, `"\128"`, `"\`, `"\0`} {
		if got, err := Unquote(s); err == nil {
			t.Errorf("%s became %q", s, got)
		}
	}
}

// quote is forceQuote where something in s needs it, which is when git does it.
func quote(s string) string {
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7f || c == '"' || c == '\\' {
			return forceQuote(s)
		}
	}
	return s
}

func FuzzUnquote(f *testing.F) {
	f.Add(`"a\n\001\""`)
	f.Add("plain\x01")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := Unquote(s); err == nil {
			if back, err := Unquote(quote(got)); err != nil || back != got {
				t.Errorf("%q became %q, %v", got, back, err)
			}
		}
		if back, err := Unquote(quote(s)); err != nil || back != s {
			t.Errorf("%q became %q, %v", s, back, err)
		}
	})
}

func TestParsePush(t *testing.T) {
	for arg, want := range map[string]PushLine{
		"refs/heads/main:refs/heads/main": {false, "refs/heads/main", "refs/heads/main"},
		"+HEAD~1:refs/heads/x":            {true, "HEAD~1", "refs/heads/x"},
		":refs/heads/x":                   {false, "", "refs/heads/x"},
		":/c2 a:b:refs/heads/e":           {false, ":/c2 a:b", "refs/heads/e"},
		"main@{0}:refs/heads/e":           {false, "main@{0}", "refs/heads/e"},
	} {
		got, err := ParsePush(arg)
		if err != nil || got != want || got.String() != arg {
			t.Errorf("%s: %+v, %v", arg, got, err)
		}
	}
	for _, arg := range []string{"", "+", "a", "a:", ":", "+:", "a:b\nc"} {
		if got, err := ParsePush(arg); err == nil {
			t.Errorf("%q: %+v", arg, got)
		}
	}
}

func FuzzParsePush(f *testing.F) {
	f.Add("+a:b:c")
	f.Fuzz(func(t *testing.T, arg string) {
		l, err := ParsePush(arg)
		if err == nil && (l.String() != arg || l.Dst == "" || strings.Contains(l.Dst, ":")) {
			t.Errorf("%q became %+v", arg, l)
		}
	})
}

func TestParseOption(t *testing.T) {
	for arg, want := range map[string][2]string{
		"progress true":         {"progress", "true"},
		"object-format":         {"object-format", ""},
		"push-option a b":       {"push-option", "a b"},
		`push-option "a\nb"`:    {"push-option", "a\nb"},
		"cas refs/heads/x:1":    {"cas", "refs/heads/x:1"},
		`push-option "\"x\" y"`: {"push-option", `"x" y`},
	} {
		name, value, err := ParseOption(arg)
		if err != nil || name != want[0] || value != want[1] {
			t.Errorf("%s: %q, %q, %v", arg, name, value, err)
		}
	}
	for _, arg := range []string{"", " x", `a "b`} {
		if name, value, err := ParseOption(arg); err == nil {
			t.Errorf("%q: %q, %q", arg, name, value)
		}
	}
}

func TestParseLease(t *testing.T) {
	o := someOID(SHA256, 1)
	if ref, oid, err := ParseLease("refs/heads/x:" + o.String()); err != nil || ref != "refs/heads/x" || oid != o {
		t.Errorf("%s, %s, %v", ref, oid, err)
	}
	if _, oid, err := ParseLease("refs/heads/x:" + SHA1.Null()); err != nil || !oid.IsZero() {
		t.Errorf("%s, %v", oid, err)
	}
	for _, s := range []string{"", ":", "refs/heads/x", "refs/heads/x:12", ":" + o.String()} {
		if ref, oid, err := ParseLease(s); err == nil {
			t.Errorf("%q: %s, %s", s, ref, oid)
		}
	}
}

func FuzzParseOption(f *testing.F) {
	f.Add(`push-option "a\nb"`)
	f.Add("cas refs/heads/x:" + SHA1.Null())
	f.Fuzz(func(t *testing.T, arg string) {
		name, value, err := ParseOption(arg)
		if err != nil {
			return
		}
		if n, v, err := ParseOption(name + " " + quote(value)); err != nil || n != name || v != value {
			t.Errorf("%q became %q, %q, %v", arg, n, v, err)
		}
		if ref, oid, err := ParseLease(value); err == nil && ref == "" {
			t.Errorf("%q: lease of nothing at %s", value, oid)
		}
	})
}

func FuzzBatchLine(f *testing.F) {
	f.Add(SHA1.Null() + " commit\n")
	f.Add(someOID(SHA1, 1).String() + " tag\n")
	f.Add("x missing\n")
	f.Fuzz(func(t *testing.T, line string) {
		o := parseBatchLine(line)
		if o.OID.IsZero() != (o.Type == "") && !o.OID.IsZero() {
			t.Errorf("%q became %+v", line, o)
		}
	})
}
