package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Result is how a program ended with a runtime.
type Result struct {
	Program string
	TAP
	ExitCode  int
	TimedOut  bool
	Leftovers []string // containers, processes, cgroups and mounts that were left, each removed
	Stdout    string
	Stderr    string
	Took      time.Duration
}

// Passed says whether the program's verdict on the runtime is good.
func (r *Result) Passed() bool { return r.Why() == "" }

// Why says why the program did not pass; empty if it did.
func (r *Result) Why() string {
	switch {
	case r.TimedOut:
		return "took longer than its time"
	case r.ExitCode != 0:
		return fmt.Sprintf("exit code %d: %s", r.ExitCode, lastLine(r.Stderr))
	case r.NotOK > 0:
		return r.Bad[0]
	case r.Planned != r.OK+r.NotOK+r.Skip:
		return fmt.Sprintf("planned %d tests, ran %d", r.Planned, r.OK+r.NotOK+r.Skip)
	}
	return ""
}

// Note is what else there is to say: complaints of a program that passes.
func (r *Result) Note() string {
	if len(r.Complaints) == 0 {
		return ""
	}
	first, _, _ := strings.Cut(r.Complaints[0], "\n")
	return first
}

// outdated says why a program's verdict is not a runtime's merit; empty for most.
func outdated(program string) string {
	return map[string]string{
		"hooks":          "compares with a text that its own hooks cannot write",
		"pidfile":        "wants to see the command true running, and then to kill it: a race",
		"poststart_fail": "since version 1.3 of the specification, a failing poststart hook stops the container",
		"prestart":       "since version 1.1 of the specification, prestart hooks are part of create",
		"process_capabilities_fail": "since version 1.1 of the specification, " +
			"a capability that does not exist is worth a warning, no error",
	}[program]
}

// Behind lists in what a runtime is behind another one, whose result is peer:
// the whole program, or single tests of it.
func (r *Result) Behind(peer *Result) []string {
	if outdated(r.Program) != "" {
		return nil
	}
	if peer.Passed() && !r.Passed() {
		return []string{"the whole program: " + r.Why()}
	}
	if peer.Passed() && peer.Note() == "" && r.Note() != "" {
		return []string{"it complains: " + r.Note()}
	}
	var tests []string
	for _, test := range r.Bad {
		if slices.Contains(peer.Good, test) && !slices.Contains(peer.Bad, test) && !slices.Contains(tests, test) {
			tests = append(tests, test)
		}
	}
	return tests
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
