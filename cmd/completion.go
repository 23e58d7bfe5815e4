package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints the completion script of a shell, made from the grammar.
func (c *completionCmd) Run(a *app, k *kong.Kong) error {
	commands := completions(k.Model.Node, "")
	switch c.Shell {
	case "bash":
		return completeBash(a.out, commands)
	case "zsh":
		return completeZsh(a.out, commands)
	default:
		return completeFish(a.out, commands)
	}
}

// completion is what may follow the words of one command.
type completion struct {
	path     string // "repo lock"; empty for peer itself
	commands []word
	flags    []word
	git      string // the git command that it is thin over
}

type word struct {
	name, help string
	value      bool // a flag that takes one
}

func completions(node *kong.Node, path string) []completion {
	c := completion{path: path}
	if node.Passthrough {
		c.git = node.Name
	}
	for _, flag := range node.Flags {
		if !flag.Hidden {
			c.flags = append(c.flags, word{"--" + flag.Name, firstSentence(flag.Help), !flag.IsBool()})
		}
	}
	if path != "" { // kong has it at the top alone
		c.flags = append(c.flags, word{name: "--help", help: "Show help"})
	}
	out := []completion{}
	for _, child := range node.Children {
		if child.Hidden {
			continue
		}
		c.commands = append(c.commands, word{name: child.Name, help: firstSentence(child.Help)})
		out = append(out, completions(child, strings.TrimSpace(path+" "+child.Name))...)
	}
	return append([]completion{c}, out...)
}

func firstSentence(s string) string {
	s, _, _ = strings.Cut(s, ";")
	return strings.TrimSuffix(s, ".")
}

func names(words ...[]word) string {
	var out []string
	for _, list := range words {
		for _, w := range list {
			out = append(out, w.name)
		}
	}
	return strings.Join(out, " ")
}

// walkBash finds the command that the line so far names. Flags are skipped;
// whatever is no command of the one before ends the search.
const walkBash = `# bash completion for peer. Load it: source <(peer completion bash)
_peer() {
	local cur=${COMP_WORDS[COMP_CWORD]} path="" w i known
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		w=${COMP_WORDS[i]}
		case $w in -*) continue ;; esac
		known=" $(_peer_words "$path") "
		case $known in *" $w "*) path="${path:+$path }$w" ;; esac
	done
	case $path in
%s	esac
	if [[ ${COMP_WORDS[COMP_CWORD-1]} == --@(dir|home|repos-dir|priv-key) ]]; then
		COMPREPLY=($(compgen -f -- "$cur"))
		return
	fi
	COMPREPLY=($(compgen -W "$(_peer_words "$path")" -- "$cur"))
}
_peer_words() {
	case $1 in
%s	esac
}
complete -F _peer peer git-peer
`

func completeBash(w io.Writer, commands []completion) error {
	var git, words strings.Builder
	for _, c := range commands {
		if c.git != "" {
			fmt.Fprintf(&git, "	%s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", shellQuote(c.path))
			continue
		}
		fmt.Fprintf(&words, "	%s) echo %s ;;\n", shellQuote(c.path), shellQuote(names(c.commands, c.flags)))
	}
	_, err := fmt.Fprintf(w, walkBash, git.String(), words.String())
	return err
}

const walkZsh = `#compdef peer git-peer
# zsh completion for peer. Load it: source <(peer completion zsh)
_peer() {
	local path_so_far="" w i
	local -a words_here
	for ((i = 2; i < CURRENT; i++)); do
		w=${words[i]}
		[[ $w == -* ]] && continue
		_peer_words "$path_so_far"
		(( ${words_here[(I)${w}:*]} )) && path_so_far="${path_so_far:+$path_so_far }$w"
	done
	_peer_words "$path_so_far"
	if (( $#words_here )); then
		_describe 'peer' words_here
	else
		_files
	fi
}
_peer_words() {
	case $1 in
%s	*) words_here=() ;;
	esac
}
compdef _peer peer git-peer
`

func completeZsh(w io.Writer, commands []completion) error {
	var words strings.Builder
	for _, c := range commands {
		if c.git != "" {
			continue
		}
		fmt.Fprintf(&words, "	%s) words_here=(", shellQuote(c.path))
		for _, word := range append(c.commands, c.flags...) {
			fmt.Fprintf(&words, " %s", "'"+strings.ReplaceAll(word.name+":"+strings.ReplaceAll(word.help, ":", ","), "'", `'\''`)+"'")
		}
		fmt.Fprintln(&words, " ) ;;")
	}
	_, err := fmt.Fprintf(w, walkZsh, words.String())
	return err
}

func completeFish(w io.Writer, commands []completion) error {
	var b strings.Builder
	b.WriteString("# fish completion for peer. Load it: peer completion fish | source\n")
	for _, c := range commands {
		var when string
		path := strings.Fields(c.path)
		switch {
		case len(path) == 0:
			when = "__fish_use_subcommand"
		default:
			when = "__fish_seen_subcommand_from " + path[len(path)-1]
			if len(path) > 1 {
				when = "__fish_seen_subcommand_from " + path[0] + "; and " + when
			}
		}
		for _, word := range c.commands {
			skip := ""
			if len(path) > 0 {
				skip = "; and not __fish_seen_subcommand_from " + names(c.commands)
			}
			fmt.Fprintf(&b, "complete -c peer -f -n %s -a %s -d %s\n", shellQuote(when+skip), word.name, shellQuote(word.help))
		}
		for _, flag := range c.flags {
			value := ""
			if flag.value {
				value = " -r"
			}
			if c.path == "" {
				fmt.Fprintf(&b, "complete -c peer -l %s%s -d %s\n", strings.TrimPrefix(flag.name, "--"), value, shellQuote(flag.help))
				continue
			}
			fmt.Fprintf(&b, "complete -c peer -n %s -l %s%s -d %s\n", shellQuote(when), strings.TrimPrefix(flag.name, "--"), value, shellQuote(flag.help))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
