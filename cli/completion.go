package cli

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"

	"berth/cli/command"

	"github.com/spf13/pflag"
)

func completion() command.Command {
	return command.Command{
		Name: "completion", Group: command.GroupGeneral, Args: "bash|zsh|fish", Min: 1, Max: 1,
		Summary: "Print a script that completes berth's words in a shell",
		Examples: []string{
			"berth completion bash > /etc/bash_completion.d/berth",
			"berth completion zsh > /usr/share/zsh/site-functions/_berth",
			"berth completion fish > ~/.config/fish/completions/berth.fish",
		},
		Setup: func(*pflag.FlagSet) command.Func {
			return func(_ context.Context, c *command.CLI, args []string) error {
				write, ok := map[string]func() string{"bash": bash, "zsh": zsh, "fish": fish}[args[0]]
				if !ok {
					return command.BadUsage("no completion for the shell %q: give bash, zsh or fish", args[0])
				}
				_, err := io.WriteString(c.Out, write())
				return err
			}
		},
	}
}

// lookUps are the commands that list what an argument can name.
const (
	listContainers = `berth ps -a --format '{{.Names}}' 2>/dev/null`
	listImages     = `berth images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null`
)

// flagsOf are a command's flags as they are typed, those with a value marked.
func flagsOf(cmd *command.Command) (all, withValue []string) {
	fs := newFlags(cmd)
	cmd.Setup(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		names := []string{"--" + f.Name}
		if f.Shorthand != "" {
			names = append(names, "-"+f.Shorthand)
		}
		all = append(all, names...)
		if f.NoOptDefVal == "" {
			withValue = append(withValue, names...)
		}
	})
	sort.Strings(all)
	sort.Strings(withValue)
	return append(all, "--help"), withValue
}

func names() []string {
	var out []string
	for _, c := range commands() {
		out = append(out, c.Name)
	}
	sort.Strings(out)
	return out
}

func bash() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# bash completion for berth
_berth() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= i flags= values= noun=
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-H | --host | --root | --run) ((i++)) ;;
		-*) ;;
		*) cmd=${COMP_WORDS[i]}; break ;;
		esac
	done
	case $cmd in
	"") COMPREPLY=($(compgen -W "%s --host --root --run --version --help" -- "$cur")); return ;;
`, strings.Join(names(), " "))
	for _, c := range commands() {
		all, values := flagsOf(&c)
		fmt.Fprintf(&b, "\t%s) flags=%q; values=%q; noun=%s ;;\n", c.Name, strings.Join(all, " "), strings.Join(values, " "), c.Complete)
	}
	fmt.Fprintf(&b, `	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
		return
	fi
	if [[ " $values " == *" $prev "* ]]; then
		COMPREPLY=($(compgen -f -- "$cur"))
		return
	fi
	case $noun in
	containers) COMPREPLY=($(compgen -W "$(%s)" -- "$cur")) ;;
	images) COMPREPLY=($(compgen -W "$(%s)" -- "$cur")); type __ltrim_colon_completions &>/dev/null && __ltrim_colon_completions "$cur" ;;
	commands) COMPREPLY=($(compgen -W "%s" -- "$cur")) ;;
	files) COMPREPLY=($(compgen -f -- "$cur")) ;;
	esac
}
complete -F _berth berth
`, listContainers, listImages, strings.Join(names(), " "))
	return b.String()
}

func zsh() string {
	var b strings.Builder
	b.WriteString("#compdef berth\n_berth() {\n\tlocal -a commands\n\tcommands=(\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "\t\t%s\n", quote(c.Name+":"+strings.ReplaceAll(c.Summary, ":", "\\:")))
	}
	b.WriteString("\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	for _, c := range commands() {
		all, _ := flagsOf(&c)
		fmt.Fprintf(&b, "\t%s)\n\t\tif [[ $PREFIX == -* ]]; then compadd -- %s\n\t\telse %s\n\t\tfi ;;\n", c.Name, strings.Join(all, " "), zshNoun(c.Complete))
	}
	b.WriteString("\tesac\n}\n_berth \"$@\"\n")
	return b.String()
}

func zshNoun(n command.Noun) string {
	switch n {
	case command.Containers:
		return "compadd -- ${(f)\"$(" + listContainers + ")\"}"
	case command.Images:
		return "compadd -- ${(f)\"$(" + listImages + ")\"}"
	case command.Commands:
		return "_describe command commands"
	}
	return "_files"
}

func fish() string {
	var b strings.Builder
	b.WriteString("# fish completion for berth\ncomplete -c berth -f\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "complete -c berth -n __fish_use_subcommand -a %s -d %s\n", c.Name, quote(c.Summary))
		seen := quote("__fish_seen_subcommand_from " + c.Name)
		switch c.Complete {
		case command.Containers:
			fmt.Fprintf(&b, "complete -c berth -n %s -a %s\n", seen, fishLookUp(listContainers))
		case command.Images:
			fmt.Fprintf(&b, "complete -c berth -n %s -a %s\n", seen, fishLookUp(listImages))
		case command.Files:
			fmt.Fprintf(&b, "complete -c berth -n %s -F\n", seen)
		case command.Commands:
			fmt.Fprintf(&b, "complete -c berth -n %s -a %s\n", seen, quote(strings.Join(names(), " ")))
		}
		fs := newFlags(&c)
		c.Setup(fs)
		fs.VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			fmt.Fprintf(&b, "complete -c berth -n %s -l %s", seen, f.Name)
			if f.Shorthand != "" {
				fmt.Fprintf(&b, " -s %s", f.Shorthand)
			}
			if f.NoOptDefVal == "" {
				b.WriteString(" -r")
			}
			fmt.Fprintf(&b, " -d %s\n", quote(f.Usage))
		})
	}
	return b.String()
}

// fishLookUp is a command substitution that fish runs when it completes.
func fishLookUp(cmd string) string { return `"(` + strings.ReplaceAll(cmd, `"`, `\"`) + `)"` }

// quote writes a word in single quotes for bash, zsh and fish.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
