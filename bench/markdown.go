package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// markdown is the results section of docs/benchmarks.md, ready to paste.
func (r *report) markdown() string {
	var s strings.Builder
	for _, line := range r.Machine.lines() {
		s.WriteString(line + "\n")
	}
	s.WriteString("\n| row | what | result | p10–p90 of rounds | target | |\n|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		for _, c := range row.Comparisons {
			tableLine(&s, row.Row, c.What, c.resultText(), c.spreadText(), c.Target.String(), c.verdict())
		}
		if row.Error != "" {
			tableLine(&s, row.Row, "failed: "+row.Error, "", "", "", "")
		}
	}
	for _, row := range r.Rows {
		row.markdown(&s)
	}
	return s.String()
}

func (c *comparison) resultText() string {
	if c.Error != "" {
		return "none: " + c.Error
	}
	return number(c.Spread.Value, c.Target.Unit)
}

// verdict is empty where there is no result.
func (c *comparison) verdict() string {
	switch {
	case c.Error != "":
		return ""
	case c.Met:
		return "met"
	}
	return "**missed**"
}

// markdown is the detail of one row.
func (r *result) markdown(s *strings.Builder) {
	fmt.Fprintf(s, "\n**%s**: %s, %d rounds.\n", r.Row, r.What, r.Rounds)
	if len(r.Entries) > 0 {
		s.WriteString("\n| contender | p50 | p10–p90 | beside (means; memory: largest) |\n|---|---|---|---|\n")
		for _, e := range r.Entries {
			cells := append(e.cells(r.Unit), "", "")
			tableLine(s, append([]string{e.Name}, cells[:3]...)...)
		}
	}
	if len(r.Facts) > 0 {
		s.WriteString("\n| beside it | |\n|---|---|\n")
		for _, f := range r.Facts {
			tableLine(s, f.What, number(f.Value, f.Unit))
		}
	}
}

func tableLine(s *strings.Builder, cells ...string) {
	for i, cell := range cells {
		if cell = strings.NewReplacer("|", "\\|", "\n", " ").Replace(cell); cell != "" {
			cells[i] = cell + " "
		}
	}
	s.WriteString("| " + strings.Join(cells, "| ") + "|\n")
}

func sortedKeys(m map[string]summary) []string { return slices.Sorted(maps.Keys(m)) }
