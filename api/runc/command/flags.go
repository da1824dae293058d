package command

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrHelp says that --help was among the flags.
var ErrHelp = errors.New("help is asked for")

// Flags are the flags of one command, in runc's syntax: one dash or two before
// a long or a short name, the value after = or as the next argument; a boolean's
// value only after =.
type Flags struct {
	list []*Flag
}

// Flag is one flag.
type Flag struct {
	Name, Short string
	// Value names the value in help; empty for a boolean.
	Value string
	Usage string
	// Default is shown in help if it is not empty.
	Default string
	// Hidden flags are taken for other programs' sake and not shown.
	Hidden bool
	// Given: it was on the command line.
	Given bool

	set func(value string) error
}

// All returns the flags in the order of their definition.
func (f *Flags) All() []*Flag { return f.list }

// Given says whether a flag was on the command line.
func (f *Flags) Given(name string) bool {
	flag := f.find(name)
	return flag != nil && flag.Given
}

func (f *Flags) find(name string) *Flag {
	for _, flag := range f.list {
		if name != "" && (flag.Name == name || flag.Short == name) {
			return flag
		}
	}
	return nil
}

// add defines a flag. names is "long" or "long,l".
func (f *Flags) add(names, value, usage string, set func(string) error) *Flag {
	name, short, _ := strings.Cut(names, ",")
	flag := &Flag{Name: name, Short: short, Value: value, Usage: usage, set: set}
	f.list = append(f.list, flag)
	return flag
}

// String defines a flag with a text.
func (f *Flags) String(p *string, names, value, usage string) *Flag {
	flag := f.add(names, value, usage, func(v string) error { *p = v; return nil })
	flag.Default = *p
	return flag
}

// Strings defines a flag that may be repeated.
func (f *Flags) Strings(p *[]string, names, value, usage string) *Flag {
	return f.add(names, value, usage, func(v string) error { *p = append(*p, v); return nil })
}

// Bool defines a flag without a value.
func (f *Flags) Bool(p *bool, names, usage string) *Flag {
	return f.add(names, "", usage, func(v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", v)
		}
		*p = b
		return nil
	})
}

// Int defines a flag with a whole number.
func (f *Flags) Int(p *int, names, value, usage string) *Flag {
	flag := f.add(names, value, usage, func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("%q is no whole number", v)
		}
		*p = n
		return nil
	})
	if *p != 0 {
		flag.Default = strconv.Itoa(*p)
	}
	return flag
}

// Duration defines a flag with a time such as 5s.
func (f *Flags) Duration(p *time.Duration, names, value, usage string) *Flag {
	flag := f.add(names, value, usage, func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf("%q is no time such as 5s or 1m30s", v)
		}
		*p = d
		return nil
	})
	flag.Default = p.String()
	return flag
}

// Parse reads args and returns those that are no flags. With endAtArg the first
// of these ends the flags, as -- always does.
func (f *Flags) Parse(args []string, endAtArg bool) (rest []string, err error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return append(rest, args...), nil
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
			if endAtArg {
				return append(rest, args...), nil
			}
			continue
		}
		if args, err = f.parseOne(arg, args); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// parseOne reads the flag arg and, if it needs one, its value from args.
func (f *Flags) parseOne(arg string, args []string) ([]string, error) {
	name, value, has := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	flag := f.find(name)
	switch {
	case flag == nil && (name == "help" || name == "h"):
		return nil, ErrHelp
	case flag == nil:
		return nil, fmt.Errorf("unknown flag %s", arg)
	case flag.Value == "" && !has:
		value = "true"
	case !has && len(args) == 0:
		return nil, fmt.Errorf("%s needs a value", arg)
	case !has:
		value, args = args[0], args[1:]
	}
	if err := flag.set(value); err != nil {
		return nil, fmt.Errorf("--%s: %w", flag.Name, err)
	}
	flag.Given = true
	return args, nil
}

// Help writes a line or more for each flag that is shown.
func (f *Flags) Help() string {
	var b strings.Builder
	width := 0
	for _, flag := range f.list {
		if !flag.Hidden {
			width = max(width, len(flag.head()))
		}
	}
	for _, flag := range f.list {
		if flag.Hidden {
			continue
		}
		usage := flag.Usage
		if flag.Default != "" {
			usage += fmt.Sprintf(" (default %s)", flag.Default)
		}
		lines := strings.Split(usage, "\n")
		fmt.Fprintf(&b, "  %-*s  %s\n", width, flag.head(), lines[0])
		for _, l := range lines[1:] {
			fmt.Fprintf(&b, "  %-*s  %s\n", width, "", l)
		}
	}
	return b.String()
}

// head is the flag as it is typed.
func (f *Flag) head() string {
	head := "    --" + f.Name
	if f.Short != "" {
		head = "-" + f.Short + ", --" + f.Name
	}
	if f.Value != "" {
		head += " " + f.Value
	}
	return head
}
