package conformance

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTAP(t *testing.T) {
	for _, test := range []struct {
		name, output string
		want         TAP
	}{
		{"nothing", "", TAP{}},
		{"tests of each kind", "TAP version 13\nok 1 - a\nnot ok 2 - b\n  ---\n  { \"error\": \"e\" }\n  ...\nok 3 # SKIP c\nnot ok 4 # TODO d\n1..4\n", TAP{
			OK: 2, NotOK: 1, Skip: 1, Planned: 4, Good: []string{"a", "# TODO d"}, Bad: []string{"b"},
		}},
		{"two parts", "TAP version 13\nok 1 - a\n1..1\nTAP version 13\nok 1 - b\n1..1\n", TAP{
			OK: 2, Planned: 2, Good: []string{"a", "b"},
		}},
		{"lines of a diagnostic are no tests", "ok 1 - a\n  ---\nnot ok 2 - b\n  ...\n1..1\n", TAP{
			OK: 1, Planned: 1, Good: []string{"a"},
		}},
		{"an error without a test", "TAP version 13\n  ---\n  {\n    \"error\": \"too early\"\n  }\n  ...\n1..0\n", TAP{
			Complaints: []string{"too early"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseTAP(strings.NewReader(test.output))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ParseTAP of %q (-want +got):\n%s", test.output, diff)
			}
		})
	}
}

func TestResultPassed(t *testing.T) {
	for _, test := range []struct {
		name   string
		result Result
		want   bool
	}{
		{"without a test", Result{}, true},
		{"exit code", Result{ExitCode: 1}, false},
		{"time", Result{TimedOut: true}, false},
		{"a failed test", Result{TAP: TAP{OK: 1, NotOK: 1, Planned: 2, Bad: []string{"b"}}}, false},
		{"died half way", Result{TAP: TAP{OK: 1, Planned: 2}}, false},
		{"a complaint", Result{TAP: TAP{Complaints: []string{"late"}}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.result.Passed(); got != test.want {
				t.Errorf("Passed() = %v, want %v (%s)", got, test.want, test.result.Why())
			}
		})
	}
}

func TestResultBehind(t *testing.T) {
	passed := &Result{Program: "p", TAP: TAP{OK: 2, Planned: 2, Good: []string{"a", "b"}}}
	half := &Result{Program: "p", TAP: TAP{OK: 1, NotOK: 1, Planned: 2, Good: []string{"a"}, Bad: []string{"b"}}}
	other := &Result{Program: "p", TAP: TAP{OK: 1, NotOK: 1, Planned: 2, Good: []string{"b"}, Bad: []string{"a"}}}
	complains := &Result{Program: "p", TAP: TAP{Complaints: []string{"late"}}}
	for _, test := range []struct {
		name       string
		ours, peer *Result
		want       []string
	}{
		{"both pass", passed, passed, nil},
		{"the peer fails", passed, half, nil},
		{"we fail", half, passed, []string{"the whole program: b"}},
		{"each fails another test", half, other, []string{"b"}},
		{"only we are complained of", complains, passed, []string{"it complains: late"}},
		{"outdated", &Result{Program: "prestart", ExitCode: 1}, &Result{Program: "prestart"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.ours.Behind(test.peer)); diff != "" {
				t.Errorf("Behind (-want +got):\n%s", diff)
			}
		})
	}
}
