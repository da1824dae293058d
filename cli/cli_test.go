package cli

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"berth/cli/command"

	"github.com/spf13/pflag"
)

func capture(t *testing.T, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	c := &command.CLI{Out: &out, Err: &errOut, Version: "1.2.3"}
	c.Settings.Root, c.Settings.Run = "/nonexistent", "/nonexistent"
	if code := Run(t.Context(), c, args); code != 0 || errOut.Len() > 0 {
		t.Fatalf("berth %s: exit code %d, %s", strings.Join(args, " "), code, errOut.String())
	}
	return out.String()
}

func TestVersionFlag(t *testing.T) {
	if got := capture(t, "--version"); got != "berth version 1.2.3\n" {
		t.Errorf("got %q", got)
	}
}

// TestHelp checks that each command tells what the rules ask for.
func TestHelp(t *testing.T) {
	overview := capture(t, "help")
	for _, c := range commands() {
		t.Run(c.Name, func(t *testing.T) {
			if !strings.Contains(overview, "\n  "+c.Name+" ") {
				t.Errorf("the overview lacks it")
			}
			words := strings.Fields(c.Name)
			text := capture(t, append(words, "--help")...)
			if text != capture(t, append([]string{"help"}, words...)...) {
				t.Errorf("berth help %s and berth %s --help differ", c.Name, c.Name)
			}
			for _, want := range []string{"Usage: berth " + c.Name, "Exit codes:"} {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing in\n%s", want, text)
				}
			}
			if len(c.Examples) == 0 && c.Name != "help" {
				t.Error("it has no example")
			}
			if len(c.Summary) > 70 || strings.HasSuffix(c.Summary, ".") {
				t.Errorf("summary %q is too long or ends with a full stop", c.Summary)
			}
		})
	}
}

// TestFlagsHaveOneMeaning defines all flags, which panics if a command defines
// one twice, and checks that each says what it is for.
func TestFlagsHaveOneMeaning(t *testing.T) {
	for _, c := range commands() {
		fs := newFlags(&c)
		c.Setup(fs)
		fs.VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("berth %s --%s does not say what it is for", c.Name, f.Name)
			}
		})
	}
}

func TestLongerSpellings(t *testing.T) {
	for _, object := range []string{"container", "image", "network", "system"} {
		verbs, _ := objects(object)
		if text := capture(t, object, "--help"); text != capture(t, "help", object) || !strings.Contains(text, "Usage: berth "+object+" COMMAND") {
			t.Errorf("berth %s --help prints\n%s", object, text)
		}
		for verb, name := range verbs {
			if find(name) == nil {
				t.Errorf("berth %s %s leads to %q, which is no command", object, verb, name)
			}
		}
	}
}

func TestCompletionParses(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			script := capture(t, "completion", shell)
			for _, word := range []string{"run", "memory", "rmi", "network", "disconnect", "gw-priority"} {
				if !strings.Contains(script, word) {
					t.Errorf("the script lacks %q", word)
				}
			}
			path, err := exec.LookPath(shell)
			if err != nil {
				return // only the shells of the machine can check
			}
			cmd := exec.Command(path, "-n")
			cmd.Stdin = strings.NewReader(script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s -n: %v\n%s", shell, err, out)
			}
		})
	}
}

func TestBashCompletionOffers(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"berth ru":                             "run",
		"berth run --memory-":                  "--memory-reservation --memory-swap --memory-swappiness",
		"berth --root /x inf":                  "info",
		"berth help expl":                      "explain",
		"berth netw":                           "network",
		"berth network con":                    "connect",
		"berth network d":                      "disconnect",
		"berth network create --int":           "--internal",
		"berth create --int":                   "--interactive",
		"berth network rm b":                   "back bridge",
		"berth network connect b":              "back bridge",
		"berth network connect --ip 1 b":       "back bridge",
		"berth network connect --ip 1 back":    "back",
		"berth network connect back we":        "web",
		"berth network connect --ip w back we": "web",
		"berth run --network ba":               "back",
		"berth port we":                        "web",
	} {
		script := "berth() { case $1 in ps) echo web; echo db ;; network) echo back; echo bridge ;; esac; }\n" +
			capture(t, "completion", "bash") + `
COMP_WORDS=(` + line + `); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _berth; echo "${COMPREPLY[*]}"`
		cmd := exec.Command(bash)
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%q completes to %q, %v, want %q", line, out, err, want)
		}
	}
}
