// Command sh is the toolbox image's shell: mvdan.cc/sh's interpreter with line
// editing on a terminal and the duties of PID 1.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// line is a parsed command line of the shell itself.
type line struct {
	command            string // of -c
	hasCommand         bool
	interactive, stdin bool
	options            []string // for set: -e, -x, -o pipefail
	params             []string
	name               string // $0 or the script
}

// parse reads sh [-ceilsuxfn] [-o OPTION] [COMMAND | SCRIPT] [ARGUMENT...].
func parse(args []string) (line, error) {
	l := line{name: "sh"}
	args = args[1:]
	wantCommand := false
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		a := args[0]
		args = args[1:]
		if a == "--" {
			break
		}
		if strings.HasPrefix(a, "--") {
			continue // --login and such change nothing here
		}
		for _, c := range a[1:] {
			switch c {
			case 'c':
				wantCommand = true
			case 'i':
				l.interactive = true
			case 's':
				l.stdin = true
			case 'l':
			case 'o':
				if len(args) == 0 {
					return l, errors.New("-o needs an option's name")
				}
				l.options = append(l.options, a[:1]+"o", args[0])
				args = args[1:]
			default:
				l.options = append(l.options, a[:1]+string(c))
			}
		}
	}
	if wantCommand {
		if len(args) == 0 {
			return l, errors.New("-c needs a command")
		}
		l.command, l.hasCommand, args = args[0], true, args[1:]
	}
	if len(args) > 0 && !l.stdin {
		l.name, args = args[0], args[1:]
	}
	l.params = args
	return l, nil
}

func main() {
	l, err := parse(os.Args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "sh: %v\n", err)
		os.Exit(2)
	}
	err = run(l)
	var status interp.ExitStatus
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &status):
		os.Exit(int(status))
	case errors.Is(err, context.Canceled):
		os.Exit(128 + int(syscall.SIGINT))
	}
	fmt.Fprintf(os.Stderr, "sh: %v\n", err)
	var bad syntax.ParseError
	if errors.As(err, &bad) {
		os.Exit(2)
	}
	os.Exit(1)
}

func run(l line) error {
	// As PID 1 of a container the shell gets only the signals that it asks for.
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGHUP)
	go func() { os.Exit(128 + int((<-asked).(syscall.Signal))) }()
	c := newChildren()
	if os.Getpid() == 1 {
		go c.reapOrphans()
	}
	params := append(append([]string{}, l.options...), "--")
	r, err := interp.New(
		interp.StdIO(os.Stdin, os.Stdout, os.Stderr),
		interp.Params(append(params, l.params...)...),
		interp.ExecHandlers(c.handler),
		interp.CallHandler(missing),
	)
	if err != nil {
		return err
	}
	fromStdin := !l.hasCommand && (l.stdin || l.name == "sh")
	if fromStdin && (l.interactive || term.IsTerminal(0)) {
		return interact(r)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var source io.Reader
	switch {
	case l.hasCommand:
		source = strings.NewReader(l.command)
	case fromStdin:
		return runLines(ctx, r, os.Stdin)
	default:
		f, err := os.Open(l.name)
		if err != nil {
			fmt.Fprintf(os.Stderr, "sh: %v\n", err)
			return interp.ExitStatus(127)
		}
		defer f.Close()
		source = f
	}
	prog, err := syntax.NewParser().Parse(source, l.name)
	if err != nil {
		return err
	}
	return r.Run(ctx, prog)
}

// runLines runs commands as they come: a line that is there runs before the next
// is read, and a command that reads standard input gets what follows its line.
func runLines(ctx context.Context, r *interp.Runner, stdin io.Reader) error {
	parser := syntax.NewParser()
	var status error
	for stmts, err := range parser.InteractiveSeq(byteReader{stdin}) {
		if err != nil {
			return err
		}
		if parser.Incomplete() {
			continue
		}
		for _, stmt := range stmts {
			if status = r.Run(ctx, stmt); r.Exited() || ctx.Err() != nil {
				return status
			}
		}
	}
	return status
}

// byteReader reads no further than it must.
type byteReader struct{ r io.Reader }

func (b byteReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return b.r.Read(p[:1])
}
