package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// Command is one verb of the command line.
type Command struct {
	// Name is one word, or two for a verb of an object that has no shorter
	// spelling, as "network create".
	Name string
	// Group is the heading under which the list of commands shows it.
	Group Group
	// Args is how its arguments are written in the usage line.
	Args string
	// Min and Max bound the number of arguments; Max -1 is no bound.
	Min, Max int
	// Summary is one line for the list of commands.
	Summary string
	// Help is what the command does beyond its summary.
	Help string
	// Examples are whole lines to try.
	Examples []string
	// ExitCodes documents codes beyond those that all commands share.
	ExitCodes string
	// Complete says what its arguments name, for shell completion; Then what those
	// after the first name, if that is something else.
	Complete, Then Noun
	// ArgsEndFlags is set where the first argument ends the flags, because what
	// follows belongs to somebody else's command (run, exec).
	ArgsEndFlags bool
	// Setup defines the flags and returns the work that reads them.
	Setup func(fs *pflag.FlagSet) Func
}

// Func does a command's work. The arguments' number is already checked.
type Func func(ctx context.Context, c *CLI, args []string) error

// Group is a heading in the list of commands.
type Group string

// The headings, in the order of the list.
const (
	GroupRun     Group = "Run containers"
	GroupWatch   Group = "Look at containers"
	GroupImage   Group = "Images"
	GroupNetwork Group = "Networks"
	GroupGeneral Group = "General"
)

// Noun is what an argument names.
type Noun string

// What shell completion can offer.
const (
	NoNoun     Noun = ""
	Containers Noun = "containers"
	Images     Noun = "images"
	Networks   Noun = "networks"
	Files      Noun = "files"
	Commands   Noun = "commands"
)

// Usage is the command's usage line.
func (c *Command) Usage() string {
	u := "berth " + c.Name + " [OPTIONS]"
	if c.Args != "" {
		u += " " + c.Args
	}
	return u
}

// CheckArgs tests the number of arguments.
func (c *Command) CheckArgs(args []string) error {
	n := len(args)
	switch {
	case c.Max >= 0 && n > c.Max && c.Max == 0:
		return BadUsage("berth %s takes no arguments, but was given %q", c.Name, strings.Join(args, " "))
	case c.Max >= 0 && n > c.Max:
		return BadUsage("berth %s takes at most %s, but was given %d: usage: %s", c.Name, arguments(c.Max), n, c.Usage())
	case n < c.Min:
		return BadUsage("berth %s needs at least %s: usage: %s", c.Name, arguments(c.Min), c.Usage())
	}
	return nil
}

func arguments(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}
