package script

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/test/berthtest"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { berthtest.Main(m) }

// instance is the key of a script's berth.
type instance struct{}

// TestScripts runs each file of testdata with a berth of its own.
func TestScripts(t *testing.T) {
	berthtest.Binaries(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// A socket's path must be short, and testscript's directory is not.
			dir, err := os.MkdirTemp("", "b-")
			if err != nil {
				return err
			}
			i := berthtest.New(t, dir)
			env.Values[instance{}] = i
			env.Vars = append(env.Vars, i.Env()...)
			env.Vars = append(env.Vars, "HOME="+env.WorkDir)
			env.Defer(func() {
				if err := i.Close(); err != nil {
					env.T().Log(err, "\nberthd's log:\n"+i.Log())
					env.T().FailNow()
				}
				if err := os.RemoveAll(dir); err != nil {
					env.T().Log(err)
					env.T().FailNow()
				}
			})
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":   exitCode,
			"until":  until,
			"daemon": killDaemon,
			"let":    let,
		},
	})
}

// exitCode is `code N COMMAND...`: the command must end with that exit code.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // testscript returns it as it is
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s ended with exit code %d, want %d\nstderr: %s", strings.Join(args[1:], " "), got, want, ts.ReadFile("stderr"))
	}
}

// until is `until COMMAND...`: the command must succeed before long.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: until COMMAND [ARG...]")
	}
	err := berthtest.Poll(func() error {
		err := ts.Exec(args[0], args[1:]...)
		if (err != nil) != neg {
			return fmt.Errorf("%s: %v", strings.Join(args, " "), err) //nolint:errorlint // only to read
		}
		return nil
	})
	if err != nil {
		ts.Fatalf("%v", err)
	}
}

// killDaemon is `daemon SIGNAL`: the script's berthd gets it and ends.
func killDaemon(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM}
	if neg || len(args) != 1 || signals[args[0]] == 0 {
		ts.Fatalf("usage: daemon KILL|TERM")
	}
	ts.Check(ts.Value(instance{}).(*berthtest.Instance).Kill(signals[args[0]]))
}

// let is `let NAME stdout`: the last output, without its line end, as $NAME.
func let(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: let NAME stdout|stderr|FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}
