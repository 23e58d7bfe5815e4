package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// sampleReport has one row that went well but for a contender, and one that failed.
func sampleReport() *report {
	row := &result{Row: "small-push", What: "a push", Unit: "ms", Rounds: 2}
	for name, values := range map[string][]float64{ours: {40, 44}, daemonStock: {80, 88}} {
		e := row.enter(&contender{name: name})
		for _, v := range values {
			e.note(sample{value: v, beside: map[string]float64{"CPU, ms": v / 2, "node1 anon, MB": v}})
		}
	}
	row.enter(&contender{name: pathStock, skip: "no a|b"})
	row.ratio(ours, daemonStock, atMost(1, "x"))
	row.ratio(daemonStock, ours, atMost(1, "x"))
	row.ratio(ours, pathStock, atMost(2, "x"))
	row.absolute("terms begun", 0, atMost(0, ""))
	row.fact("watched", 20, "s")
	return &report{Machine: &machine{Cores: 2}, Rows: []*result{row, {Row: "clone", What: "a clone", Error: "it\nbroke"}}}
}

func TestMarkdown(t *testing.T) {
	text := sampleReport().markdown()
	for _, want := range []string{
		"| small-push | peer, 3 replicas / git daemon, stock | 0.50 x | (0.50–0.50) | ≤ 1 x | met |",
		"| small-push | git daemon, stock / peer, 3 replicas | 2.00 x | (2.00–2.00) | ≤ 1 x | **missed** |",
		"| small-push | peer, 3 replicas / path, stock | none: path, stock was skipped | | ≤ 2 x | |",
		"| small-push | terms begun | 0.00 | | ≤ 0 | met |",
		"| clone | failed: it broke | | | | |",
		"| peer, 3 replicas | 42.0 ms | (40.0–44.0) | CPU 21.0 ms; node1 anon max 44.0 MB |",
		"| path, stock | skipped: no a\\|b | | |",
		"| watched | 20.0 s |",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line\n%s\nin\n%s", want, text)
		}
	}
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "|") != strings.HasSuffix(line, "|") {
			t.Errorf("line %d is half a table line: %s", i+1, line)
		}
	}
}

func TestTextNamesFailures(t *testing.T) {
	text := sampleReport().text()
	for _, want := range []string{"FAILED: it", "skipped: no a|b", "MISSED", "target ≤ 1 x"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestOnlyFailuresMakeAReportFail(t *testing.T) {
	r := sampleReport()
	if r.ok() {
		t.Error("a report with a failed row is fine")
	}
	if r.Rows = r.Rows[:1]; !r.ok() {
		t.Error("a missed target or a contender that was skipped is no failure")
	}
	r.Rows[0].Entries[0].Error = "broken"
	if r.ok() {
		t.Error("a report with a failed contender is fine")
	}
}

// JSON has no infinities: a ratio to nothing must not spoil the whole report.
func TestReportIsJSON(t *testing.T) {
	r := sampleReport()
	none := r.Rows[0].enter(&contender{name: "instant"})
	none.note(sample{value: 0})
	r.Rows[0].ratio(ours, "instant", atMost(1, "x"))
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Rows []struct {
			Comparisons []struct {
				Error string
				Met   bool
			}
		}
	}
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	list := back.Rows[0].Comparisons
	if last := list[len(list)-1]; last.Error == "" || last.Met {
		t.Errorf("a ratio to nothing: %+v", last)
	}
}
