package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"peer/node/control"
	"peer/wire"
)

func TestReport(t *testing.T) {
	refused := func(code wire.FailureCode) *control.Error {
		return &control.Error{Code: code, Message: "no", Hint: "yes"}
	}
	unknown := func(last string) string {
		return "peer: error: push to demo: transaction ab was sent, and whether it was committed is not known (" + last + ")\n"
	}
	const both = "peer: error: no\npeer: hint: yes\n"
	for _, tc := range []struct {
		err  error
		code int
		out  string
	}{
		{nil, 0, ""},
		{errors.New("no"), 1, "peer: error: no\n"},
		{usage("yes", "no"), 2, both},
		{fmt.Errorf("no%w", silent{control.ErrNotRunning}), 3, "peer: error: no\n"},
		{refused(wire.FailureCode_FAILURE_NOT_FOUND), 4, both},
		{refused(wire.FailureCode_FAILURE_NOT_ALLOWED), 5, both},
		{refused(wire.FailureCode_FAILURE_NO_QUORUM), 6, both},
		{refused(wire.FailureCode_FAILURE_BUSY), 6, both},
		{refused(wire.FailureCode_FAILURE_DISK), 1, both},
		{&control.Error{Code: wire.FailureCode_FAILURE_NO_QUORUM, Message: "no", Unknown: true}, 7, "peer: error: no\n"},
		{hinted(&unknownOutcome{name: "demo", id: []byte{0xab}, last: context.DeadlineExceeded}, "again"), 7, unknown("context deadline exceeded") + "peer: hint: again\n"},
		{fmt.Errorf("no: %w", &unknownOutcome{name: "demo", id: []byte{0xab}, last: refused(wire.FailureCode_FAILURE_NO_QUORUM)}), 7, strings.Replace(unknown("no"), "push", "no: push", 1) + "peer: hint: yes\n"},
		{&unknownOutcome{name: "demo", id: []byte{0xab}, last: control.ErrNotRunning}, 7, unknown(control.ErrNotRunning.Error())},
		{fmt.Errorf("no: %w", context.DeadlineExceeded), 6, "peer: error: no: context deadline exceeded\n"},
		{context.Canceled, 1, "peer: error: context canceled\n"},
		{exitStatus(42), 42, ""},
		{hinted(refused(wire.FailureCode_FAILURE_NOT_FOUND), "ours"), 4, "peer: error: no\npeer: hint: ours\n"},
		{errors.New("two\nlines\x1b[2J\r"), 1, "peer: error: two\n  lines?[2J\n"},
	} {
		var out bytes.Buffer
		if code := report(&out, tc.err); code != tc.code || out.String() != tc.out {
			t.Errorf("%v: code %d, want %d; printed %q, want %q", tc.err, code, tc.code, out.String(), tc.out)
		}
	}
}

func FuzzShellQuote(f *testing.F) {
	for _, s := range []string{"", "plain", "with space", "it's", "$HOME", "a\nb", "*", "-n", "\\", "~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if bytes.IndexByte([]byte(s), 0) >= 0 {
			t.Skip("no argument has a zero byte")
		}
		got, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+shellQuote("x"+s)).Output()
		if err != nil || string(got) != "x"+s {
			t.Fatalf("%q became %q, %v", s, got, err)
		}
	})
}
