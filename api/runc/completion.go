package runc

import (
	"context"
	"fmt"
	"strings"

	"berth/api/runc/command"
)

func completion() command.Command {
	return command.Command{
		Name: "completion", Args: "bash|zsh|fish", Min: 1, Max: 1,
		Summary: "Print a script that completes berth-oci's words in a shell",
		Examples: []string{
			"berth-oci completion bash > /etc/bash_completion.d/berth-oci",
			"berth-oci completion zsh > /usr/share/zsh/site-functions/_berth-oci",
			"berth-oci completion fish > ~/.config/fish/completions/berth-oci.fish",
		},
		Setup: func(*command.Flags) command.Func {
			return func(_ context.Context, c *command.CLI, args []string) (int, error) {
				script, ok := map[string]func(*command.CLI) string{"bash": bash, "zsh": zsh, "fish": fish}[args[0]]
				if !ok {
					return 0, fmt.Errorf("no completion for the shell %q: give bash, zsh or fish", args[0])
				}
				return 0, write(c.Out, script(c))
			}
		},
	}
}

// listContainers prints the ids that an argument can name.
const listContainers = `berth-oci list -q 2>/dev/null`

// words are flags as they are typed, those with a value marked.
func words(f *command.Flags) (all, withValue []string) {
	for _, flag := range f.All() {
		if flag.Hidden {
			continue
		}
		names := []string{"--" + flag.Name}
		if flag.Short != "" {
			names = append(names, "-"+flag.Short)
		}
		all = append(all, names...)
		if flag.Value != "" {
			withValue = append(withValue, names...)
		}
	}
	return append(all, "--help"), withValue
}

// each calls do with each command and its flags.
func each(do func(cmd command.Command, f *command.Flags)) {
	for _, make := range commands() {
		cmd, flags := make(), &command.Flags{}
		cmd.Setup(flags)
		do(cmd, flags)
	}
}

func bash(c *command.CLI) string {
	var b strings.Builder
	all, values := words(newGlobals(c).flags)
	var names []string
	each(func(cmd command.Command, _ *command.Flags) { names = append(names, cmd.Name) })
	fmt.Fprintf(&b, `# bash completion for berth-oci
_berth_oci() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= i flags= values= ids=
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		%s) ((i++)) ;;
		-*) ;;
		*) cmd=${COMP_WORDS[i]}; break ;;
		esac
	done
	case $cmd in
	"") flags=%q; values=%q ;;
`, strings.Join(values, " | "), strings.Join(all, " "), strings.Join(values, " "))
	each(func(cmd command.Command, f *command.Flags) {
		all, values := words(f)
		ids := ""
		if cmd.Container {
			ids = "1"
		}
		fmt.Fprintf(&b, "\t%s) flags=%q; values=%q; ids=%s ;;\n", cmd.Name, strings.Join(all, " "), strings.Join(values, " "), ids)
	})
	fmt.Fprintf(&b, `	esac
	if [[ " $values " == *" $prev "* ]]; then
		COMPREPLY=($(compgen -f -- "$cur"))
	elif [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
	elif [[ -z $cmd ]]; then
		COMPREPLY=($(compgen -W "%s" -- "$cur"))
	elif [[ -n $ids ]]; then
		COMPREPLY=($(compgen -W "$(%s)" -- "$cur"))
	fi
}
complete -F _berth_oci berth-oci
`, strings.Join(names, " "), listContainers)
	return b.String()
}

func zsh(*command.CLI) string {
	var b strings.Builder
	b.WriteString("#compdef berth-oci\n_berth_oci() {\n\tlocal -a commands\n\tcommands=(\n")
	each(func(cmd command.Command, _ *command.Flags) {
		fmt.Fprintf(&b, "\t\t%s\n", quote(cmd.Name+":"+strings.ReplaceAll(cmd.Summary, ":", "\\:")))
	})
	b.WriteString("\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	each(func(cmd command.Command, f *command.Flags) {
		all, _ := words(f)
		args := "_files"
		if cmd.Container {
			args = "compadd -- ${(f)\"$(" + listContainers + ")\"}"
		}
		fmt.Fprintf(&b, "\t%s)\n\t\tif [[ $PREFIX == -* ]]; then compadd -- %s\n\t\telse %s\n\t\tfi ;;\n", cmd.Name, strings.Join(all, " "), args)
	})
	b.WriteString("\tesac\n}\n_berth_oci \"$@\"\n")
	return b.String()
}

func fish(*command.CLI) string {
	var b strings.Builder
	b.WriteString("# fish completion for berth-oci\ncomplete -c berth-oci -f\n")
	each(func(cmd command.Command, f *command.Flags) {
		fmt.Fprintf(&b, "complete -c berth-oci -n __fish_use_subcommand -a %s -d %s\n", cmd.Name, quote(cmd.Summary))
		seen := quote("__fish_seen_subcommand_from " + cmd.Name)
		if cmd.Container {
			fmt.Fprintf(&b, "complete -c berth-oci -n %s -a \"(%s)\"\n", seen, listContainers)
		}
		for _, flag := range f.All() {
			if flag.Hidden {
				continue
			}
			fmt.Fprintf(&b, "complete -c berth-oci -n %s -l %s", seen, flag.Name)
			if flag.Short != "" {
				fmt.Fprintf(&b, " -s %s", flag.Short)
			}
			if flag.Value != "" {
				b.WriteString(" -r -F")
			}
			first, _, _ := strings.Cut(flag.Usage, "\n")
			fmt.Fprintf(&b, " -d %s\n", quote(first))
		}
	})
	return b.String()
}

// quote writes a word in single quotes for the shells.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
