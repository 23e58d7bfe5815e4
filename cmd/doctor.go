package cmd

import (
	"context"
	"fmt"
	"io"
	"slices"
)

type doctorCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// doctorName is the command that reports a damaged config file, and does not fail by it.
const doctorName = "doctor"

// A grade says how bad a finding is. The names are part of the contract with scripts.
type grade string

// All grades.
const (
	isFine grade = "ok"
	isOdd  grade = "warn" // it works, and is perhaps not what its people think
	isBad  grade = "fail" // something that people want from peer can't work
)

// finding is what a check has to say: one line.
type finding struct {
	grade grade
	what  string
	fix   string // what to type, or to do; empty where all is well
}

func fine(format string, args ...any) []finding {
	return []finding{{isFine, fmt.Sprintf(format, args...), ""}}
}

func odd(fix, format string, args ...any) []finding {
	return []finding{{isOdd, fmt.Sprintf(format, args...), fix}}
}

func bad(fix, format string, args ...any) []finding {
	return []finding{{isBad, fmt.Sprintf(format, args...), fix}}
}

// badError is an error with its own hint, or else with fix.
func badError(err error, fix string) []finding {
	return bad(firstSet(hintOf(err), fix), "%s", err.Error())
}

// doctorJSON is part of the contract with scripts.
type doctorJSON struct {
	OK     bool         `json:"ok"` // nothing failed
	Checks []doctorLine `json:"checks"`
}

type doctorLine struct {
	Check  string `json:"check"`
	Result grade  `json:"result"`
	What   string `json:"what"`
	Fix    string `json:"fix,omitempty"`
}

// Run looks for what people most often get wrong. It changes nothing.
func (c *doctorCmd) Run(ctx context.Context, a *app) error {
	e, err := a.examine(ctx)
	if err != nil {
		return err
	}
	out := diagnose(e)
	if c.JSON {
		err = printJSON(a.out, out)
	} else {
		err = printDiagnosis(a.out, out)
	}
	if err == nil && !out.OK {
		failed := slices.DeleteFunc(out.Checks, func(l doctorLine) bool { return l.Result != isBad })
		err = hinted(fmt.Errorf("%d of these things keep peer from working", len(failed)), "what to do about each is on its line; then again: peer doctor")
	}
	return err
}

func diagnose(e *examined) doctorJSON {
	out := doctorJSON{OK: true, Checks: []doctorLine{}}
	for _, c := range checks {
		for _, f := range c.run(e) {
			out.Checks = append(out.Checks, doctorLine{Check: c.name, Result: f.grade, What: oneLine(f.what), Fix: oneLine(f.fix)})
			out.OK = out.OK && f.grade != isBad
		}
	}
	return out
}

func printDiagnosis(w io.Writer, d doctorJSON) error {
	return table(w, func(line func(string, ...any)) {
		for _, l := range d.Checks {
			word, what := string(l.Result), l.What
			if l.Result == isBad {
				word = "FAIL"
			}
			if l.Fix != "" {
				what += " -> " + l.Fix
			}
			line("%s\t%s\t%s", word, l.Check, what)
		}
	})
}
