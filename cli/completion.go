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
	listNetworks   = `berth network ls --format '{{.Name}}' 2>/dev/null`
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

// words are the words that can come after berth.
func words() []string {
	seen := map[string]bool{}
	var out []string
	for _, c := range commands() {
		word, _, _ := strings.Cut(c.Name, " ")
		if !seen[word] {
			seen[word] = true
			out = append(out, word)
		}
	}
	sort.Strings(out)
	return out
}

// families are the words that need a second one, with a summary.
func families() []command.Command {
	var out []command.Command
	for _, word := range words() {
		if find(word) == nil {
			out = append(out, command.Command{Name: word, Summary: "Manage " + word + "s"})
		}
	}
	return out
}

func bash() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# bash completion for berth
_berth() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= i= j= n=0 flags= values= noun= then=
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
`, strings.Join(words(), " "))
	for _, f := range families() {
		fmt.Fprintf(&b, `	%s)
		((++i))
		if ((i == COMP_CWORD)); then COMPREPLY=($(compgen -W "%s" -- "$cur")); return; fi
		cmd+=" ${COMP_WORDS[i]}" ;;
`, f.Name, strings.Join(verbsOf(f.Name), " "))
	}
	b.WriteString("\tesac\n\tcase $cmd in\n")
	for _, c := range commands() {
		all, values := flagsOf(&c)
		then := c.Then
		if then == command.NoNoun {
			then = c.Complete
		}
		fmt.Fprintf(&b, "\t%q) flags=%q; values=%q; noun=%s; then=%s ;;\n", c.Name, strings.Join(all, " "), strings.Join(values, " "), c.Complete, then)
	}
	fmt.Fprintf(&b, `	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
		return
	fi
	for ((j = i + 1; j < COMP_CWORD; j++)); do
		if [[ " $values " == *" ${COMP_WORDS[j]} "* ]]; then ((++j)); elif [[ ${COMP_WORDS[j]} != -* ]]; then ((++n)); fi
	done
	((n > 0)) && noun=$then
	if [[ " $values " == *" $prev "* ]]; then
		noun=files
		[[ $prev == --network ]] && noun=networks
	fi
	case $noun in
	containers) COMPREPLY=($(compgen -W "$(%s)" -- "$cur")) ;;
	networks) COMPREPLY=($(compgen -W "$(%s)" -- "$cur")) ;;
	images) COMPREPLY=($(compgen -W "$(%s)" -- "$cur")); type __ltrim_colon_completions &>/dev/null && __ltrim_colon_completions "$cur" ;;
	commands) COMPREPLY=($(compgen -W "%s" -- "$cur")) ;;
	files) COMPREPLY=($(compgen -f -- "$cur")) ;;
	esac
}
complete -F _berth berth
`, listContainers, listNetworks, listImages, strings.Join(words(), " "))
	return b.String()
}

func zsh() string {
	var b strings.Builder
	b.WriteString("#compdef berth\n_berth() {\n\tlocal -a commands\n\tlocal cmd=$words[2] word\n\tlocal -i at=2 n=0\n")
	fmt.Fprintf(&b, "\tcommands=(\n%s\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tcase $cmd in\n", zshWords(""))
	for _, f := range families() {
		fmt.Fprintf(&b, "\t%s)\n\t\tcommands=(\n%s\t\t)\n\t\tif ((CURRENT == 3)); then\n\t\t\t_describe command commands\n\t\t\treturn\n\t\tfi\n\t\tcmd+=\" $words[3]\"; at=3 ;;\n", f.Name, zshWords(f.Name+" "))
	}
	b.WriteString("\tesac\n\tfor word in $words[at+1,CURRENT-1]; do [[ $word == -* ]] || ((++n)); done\n")
	fmt.Fprintf(&b, "\tif [[ $words[CURRENT-1] == --network ]]; then\n\t\t%s\n\t\treturn\n\tfi\n\tcase $cmd in\n", zshNoun(command.Networks))
	for _, c := range commands() {
		all, _ := flagsOf(&c)
		then := ""
		if c.Then != command.NoNoun {
			then = "elif ((n > 0)); then " + zshNoun(c.Then) + "\n\t\t"
		}
		fmt.Fprintf(&b, "\t%q)\n\t\tif [[ $PREFIX == -* ]]; then compadd -- %s\n\t\t%selse %s\n\t\tfi ;;\n", c.Name, strings.Join(all, " "), then, zshNoun(c.Complete))
	}
	b.WriteString("\tesac\n}\n_berth \"$@\"\n")
	return b.String()
}

// zshWords lists the words that can come after a prefix, with their summaries.
func zshWords(prefix string) string {
	var b strings.Builder
	list := commands()
	if prefix == "" {
		list = append(list, families()...)
	}
	for _, c := range list {
		if word, ok := strings.CutPrefix(c.Name, prefix); ok && !strings.Contains(word, " ") {
			fmt.Fprintf(&b, "\t\t%s\n", quote(word+":"+strings.ReplaceAll(c.Summary, ":", "\\:")))
		}
	}
	return b.String()
}

func zshNoun(n command.Noun) string {
	switch n {
	case command.Containers:
		return "compadd -- ${(f)\"$(" + listContainers + ")\"}"
	case command.Images:
		return "compadd -- ${(f)\"$(" + listImages + ")\"}"
	case command.Networks:
		return "compadd -- ${(f)\"$(" + listNetworks + ")\"}"
	case command.Commands:
		return "_describe command commands"
	}
	return "_files"
}

func fish() string {
	var b strings.Builder
	b.WriteString("# fish completion for berth\ncomplete -c berth -f\n")
	for _, f := range families() {
		fmt.Fprintf(&b, "complete -c berth -n __fish_use_subcommand -a %s -d %s\n", f.Name, quote(f.Summary))
	}
	for _, c := range commands() {
		family, word, two := strings.Cut(c.Name, " ")
		offer, seen := "__fish_use_subcommand", "__fish_seen_subcommand_from "+c.Name
		switch {
		case two:
			in := "__fish_seen_subcommand_from " + family
			offer = in + "; and not __fish_seen_subcommand_from " + strings.Join(verbsOf(family), " ")
			seen = in + "; and __fish_seen_subcommand_from " + word
		default:
			word = c.Name
			for _, f := range families() { // `network create` is not `create`
				seen = "not __fish_seen_subcommand_from " + f.Name + "; and " + seen
			}
		}
		fmt.Fprintf(&b, "complete -c berth -n %s -a %s -d %s\n", quote(offer), word, quote(c.Summary))
		fishCommand(&b, &c, quote(seen))
	}
	return b.String()
}

// fishCommand writes what follows a command's words.
func fishCommand(b *strings.Builder, c *command.Command, seen string) {
	for _, noun := range []command.Noun{c.Complete, c.Then} {
		switch noun {
		case command.Containers:
			fmt.Fprintf(b, "complete -c berth -n %s -a %s\n", seen, fishLookUp(listContainers))
		case command.Images:
			fmt.Fprintf(b, "complete -c berth -n %s -a %s\n", seen, fishLookUp(listImages))
		case command.Networks:
			fmt.Fprintf(b, "complete -c berth -n %s -a %s\n", seen, fishLookUp(listNetworks))
		case command.Files:
			fmt.Fprintf(b, "complete -c berth -n %s -F\n", seen)
		case command.Commands:
			fmt.Fprintf(b, "complete -c berth -n %s -a %s\n", seen, quote(strings.Join(words(), " ")))
		}
	}
	fs := newFlags(c)
	c.Setup(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		fmt.Fprintf(b, "complete -c berth -n %s -l %s", seen, f.Name)
		if f.Shorthand != "" {
			fmt.Fprintf(b, " -s %s", f.Shorthand)
		}
		if f.NoOptDefVal == "" {
			b.WriteString(" -r")
		}
		if f.Name == "network" {
			fmt.Fprintf(b, " -a %s", fishLookUp(listNetworks))
		}
		fmt.Fprintf(b, " -d %s\n", quote(f.Usage))
	})
}

// fishLookUp is a command substitution that fish runs when it completes.
func fishLookUp(cmd string) string { return `"(` + strings.ReplaceAll(cmd, `"`, `\"`) + `)"` }

// quote writes a word in single quotes for bash, zsh and fish.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
