package cmd

import (
	"errors"
	"strings"

	"github.com/alecthomas/kong"
)

// explainParse puts kong's message into our form: what is wrong, then what to
// type. Nothing but kong's text tells its errors apart.
func explainParse(err error) error {
	var f *fault
	if errors.As(err, &f) {
		return f // without the name of the flag that kong was at
	}
	selected := selectedBy(err)
	what, suggestion, suggested := strings.Cut(err.Error(), ", did you mean ")
	hint := "see: peer --help"
	if suggested {
		hint = "did you mean " + likeliest(what, strings.TrimSuffix(suggestion, "?")) + "?"
	} else if selected != nil {
		hint = "see: " + selected.FullPath() + " --help"
	}
	if word, ok := strings.CutPrefix(what, "unexpected argument "); ok {
		if selected == nil || len(selected.Children) > 0 {
			what = "no command is called '" + word + "'"
		} else {
			what = "unexpected argument '" + word + "'"
		}
	}
	if word, ok := strings.CutPrefix(what, `expected "<`); ok {
		what = "missing argument <" + strings.TrimSuffix(word, `"`)
	}
	return usage(hint, "%s", strings.ReplaceAll(what, `"`, "'"))
}

// selectedBy is the command whose arguments were wrong; nil at the top.
func selectedBy(err error) *kong.Node {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		return parse.Context.Selected()
	}
	return nil
}

// likeliest drops suggestions that begin otherwise than what was typed: kong
// takes every short name for a slip of every other.
func likeliest(what, suggestions string) string {
	list := strings.TrimPrefix(suggestions, "one of ")
	typed := strings.TrimLeft(what[strings.LastIndexByte(what, ' ')+1:], "-")
	var same, all []string
	for quoted := range strings.SplitSeq(list, ", ") {
		name := strings.Trim(quoted, `"`)
		all = append(all, "'"+name+"'")
		if bare := strings.TrimLeft(name, "-"); typed != "" && bare != "" && bare[0] == typed[0] {
			same = append(same, "'"+name+"'")
		}
	}
	if len(same) > 0 {
		all = same
	}
	return strings.Join(all, " or ")
}
