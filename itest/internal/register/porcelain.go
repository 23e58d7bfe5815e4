package register

import (
	"fmt"
	"strings"

	"peer/itest/internal/people"
)

// ReadPorcelain reads what `git push --porcelain` says of each ref. Where it says
// nothing, what the helper said must tell whether anything may have happened.
func ReadPorcelain(r people.Result, refs []string) ([]Answer, error) {
	answers := make([]Answer, len(refs))
	for i, ref := range refs {
		answers[i] = porcelainOf(r.Out, ref)
		if answers[i].Verdict == "" || answers[i].Verdict == OK && r.Code != 0 {
			answers[i] = Answer{Verdict: Unknown, Value: "whether it was committed is not known"}
			switch {
			case r.Code == -1:
				answers[i].Value = "the client died"
			case strings.Contains(r.Err, "is not known"):
			case strings.Contains(r.Err, "peer: error:"):
				answers[i] = Answer{Verdict: Refused, Value: helperSaid(r.Err)}
			default:
				return answers, fmt.Errorf("it can't be told what became of %s: %v", ref, r)
			}
		}
	}
	return answers, nil
}

func porcelainOf(out, ref string) Answer {
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 || !strings.HasSuffix(fields[1], ":"+ref) {
			continue
		}
		switch {
		case fields[0] != "!":
			return Answer{Verdict: OK}
		case strings.Contains(fields[2], "(stale info)"):
			return Answer{Verdict: Stale, Value: fields[2]}
		}
		return Answer{Verdict: Refused, Value: fields[2]}
	}
	return Answer{}
}

// helperSaid is the kind of an error: numbers and names would make each its own.
func helperSaid(text string) string {
	_, text, _ = strings.Cut(text, "peer: error: ")
	text, _, _ = strings.Cut(text, "\n")
	return text[:min(len(text), 100)]
}
