package conformance

import (
	"bufio"
	"encoding/json"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// TAP is what a program said about its tests, in the Test Anything Protocol. A
// program may say it in several parts, each with numbers of its own.
type TAP struct {
	OK, NotOK, Skip int
	Planned         int
	Good, Bad       []string // descriptions of the tests
	// Complaints are errors that a program reports where it has no test to
	// fail: some print only these, or nothing.
	Complaints []string
}

var (
	testLine = regexp.MustCompile(`^(not )?ok\b\s*(\d+)?\s*-?\s*(.*)$`)
	planLine = regexp.MustCompile(`^1\.\.(\d+)`)
	skipMark = regexp.MustCompile(`(?i)#\s*skip`)
	todoMark = regexp.MustCompile(`(?i)#\s*todo`)
)

// ParseTAP reads a program's output.
func ParseTAP(r io.Reader) (TAP, error) {
	var t TAP
	var block []string // a diagnostic, between --- and ...
	inBlock := false
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		switch strings.TrimSpace(line) {
		case "---":
			inBlock, block = true, nil
			continue
		case "...":
			if inBlock {
				t.diagnostic(strings.Join(block, "\n"))
			}
			inBlock = false
			continue
		}
		if inBlock {
			block = append(block, line)
			continue
		}
		t.line(line)
	}
	return t, lines.Err()
}

func (t *TAP) line(line string) {
	if m := planLine.FindStringSubmatch(line); m != nil {
		n, err := strconv.Atoi(m[1])
		if err == nil {
			t.Planned += n
		}
		return
	}
	m := testLine.FindStringSubmatch(line)
	switch {
	case m == nil:
	case skipMark.MatchString(m[3]):
		t.Skip++
	case m[1] == "" || todoMark.MatchString(m[3]):
		t.OK++
		t.Good = append(t.Good, m[3])
	default:
		t.NotOK++
		t.Bad = append(t.Bad, m[3])
	}
}

// diagnostic takes the error out of a diagnostic that follows no test.
func (t *TAP) diagnostic(text string) {
	if t.OK+t.NotOK+t.Skip > 0 {
		return // it explains a test
	}
	var d struct{ Error, Stderr string }
	if err := json.Unmarshal([]byte(text), &d); err == nil && d.Error != "" {
		t.Complaints = append(t.Complaints, strings.TrimSpace(d.Error+" "+d.Stderr))
	}
}
