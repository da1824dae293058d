package stats

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"berth/internal/linux"
)

// Field reads the number behind key in a file of lines "key number"; 0 if the
// key is not there.
func Field(path, key string) (uint64, error) {
	data, err := linux.ReadControl(path)
	if err != nil {
		return 0, err
	}
	m, err := parseFlat(data)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return m[key], nil
}

// Number reads a file that holds one number or "max".
func Number(path string) (uint64, error) {
	data, err := linux.ReadControl(path)
	if err != nil {
		return 0, err
	}
	n, err := parseNumber(strings.TrimSpace(data))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// parseNumber reads a number; "max" is the greatest, and a negative one, which
// some counters of version 1 show for a moment, is 0.
func parseNumber(s string) (uint64, error) {
	if s == "max" {
		return math.MaxUint64, nil
	}
	if strings.HasPrefix(s, "-") {
		_, err := strconv.ParseInt(s, 10, 64)
		return 0, err
	}
	return strconv.ParseUint(s, 10, 64)
}

// parseFlat reads lines "key number".
func parseFlat(data string) (map[string]uint64, error) {
	m := make(map[string]uint64, strings.Count(data, "\n"))
	for line := range strings.Lines(data) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok {
			return nil, fmt.Errorf("line %q is not a key and a number", line)
		}
		n, err := parseNumber(value)
		if err != nil {
			return nil, err
		}
		m[key] = n
	}
	return m, nil
}
