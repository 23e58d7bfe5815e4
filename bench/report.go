package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is all that a run found.
type report struct {
	Machine *machine  `json:"machine"`
	Rows    []*result `json:"rows"`
}

// ok says that every row was measured, whatever came out.
func (r *report) ok() bool {
	for _, row := range r.Rows {
		if row.failed() {
			return false
		}
	}
	return true
}

func (r *result) failed() bool {
	return r.Error != "" || slices.ContainsFunc(r.Entries, func(e *entry) bool { return e.Error != "" })
}

func (r *report) print(w io.Writer, cfg config) error {
	switch {
	case cfg.json:
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	case cfg.markdown:
		_, err := io.WriteString(w, r.markdown())
		return err
	}
	_, err := io.WriteString(w, r.text())
	return err
}

// text is for a terminal.
func (r *report) text() string {
	var s strings.Builder
	for _, line := range r.Machine.lines() {
		s.WriteString(line + "\n")
	}
	for _, row := range r.Rows {
		fmt.Fprintf(&s, "\n%s: %s (%d rounds)\n", row.Row, row.What, row.Rounds)
		t := tabwriter.NewWriter(&s, 0, 0, 2, ' ', 0)
		for _, e := range row.Entries {
			fmt.Fprintf(t, "  %s\t%s\n", e.Name, strings.Join(e.cells(row.Unit), "\t"))
		}
		for _, c := range row.Comparisons {
			fmt.Fprintf(t, "  = %s\t%s\n", c.What, strings.Join(c.cells(), "\t"))
		}
		for _, f := range row.Facts {
			fmt.Fprintf(t, "  %s\t%s\n", f.What, number(f.Value, f.Unit))
		}
		_ = t.Flush() // a strings.Builder takes everything
		if row.Error != "" {
			fmt.Fprintf(&s, "  FAILED: %s\n", row.Error)
		}
	}
	return s.String()
}

func (m *machine) lines() []string {
	lines := []string{
		fmt.Sprintf("%d cores; fsync p50 %s (p90 %s); load %s before, %s after.", m.Cores,
			number(m.FsyncMs.P50, "ms"), number(m.FsyncMs.P90, "ms"), m.LoadBefore, m.LoadAfter),
		fmt.Sprintf("peer %s; git %s; %s.", m.Peer, m.Git, m.Go),
	}
	if m.Quick {
		lines = append(lines, "Taken with -quick: these numbers show that it works, and nothing else.")
	}
	return lines
}

// cells are the columns after a contender's name: value, spread, and what was
// measured beside.
func (e *entry) cells(unit string) []string {
	switch {
	case e.Error != "":
		return []string{"FAILED: " + e.Error}
	case e.Skipped != "":
		return []string{"skipped: " + e.Skipped}
	}
	cells := []string{number(e.Summary.P50, unit), between(e.Summary.P10, e.Summary.P90)}
	if beside := e.besideText(); beside != "" {
		cells = append(cells, beside)
	}
	return cells
}

// besideText gives means: times of /proc come in steps of 10 ms, and only many
// together say something.
func (e *entry) besideText() string {
	var parts []string
	for _, what := range sortedKeys(e.Beside) {
		name, unit, _ := strings.Cut(what, ", ")
		v := e.Beside[what]
		value := v.Mean
		if unit == "MB" {
			value, name = v.Max, name+" max"
		}
		parts = append(parts, name+" "+number(value, unit))
	}
	return strings.Join(parts, "; ")
}

func (c *comparison) cells() []string {
	if c.Error != "" {
		return []string{"none: " + c.Error}
	}
	verdict := "MISSED"
	if c.Met {
		verdict = "met"
	}
	return []string{number(c.Spread.Value, c.Target.Unit), c.spreadText(), "target " + c.Target.String(), verdict}
}

func (c *comparison) spreadText() string {
	if !c.Paired || c.Error != "" {
		return ""
	}
	return between(c.Spread.P10, c.Spread.P90)
}

func (t target) String() string {
	sign := "≤ "
	if t.AtLeast {
		sign = "≥ "
	}
	return sign + strings.TrimSpace(fmt.Sprintf("%g %s", t.Limit, t.Unit))
}

// number writes a value with three digits or so.
func number(v float64, unit string) string {
	var text string
	switch size := max(v, -v); {
	case size >= 100:
		text = fmt.Sprintf("%.0f", v)
	case size >= 10:
		text = fmt.Sprintf("%.1f", v)
	default:
		text = fmt.Sprintf("%.2f", v)
	}
	if unit == "" {
		return text
	}
	return text + " " + unit
}

func between(low, high float64) string { return "(" + number(low, "") + "–" + number(high, "") + ")" }
