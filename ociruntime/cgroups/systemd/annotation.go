package systemd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// annotationPrefix begins the annotations that name a property of the unit, as with runc.
const annotationPrefix = "org.systemd.property."

// FromAnnotations returns the properties that annotations ask for, such as
// "org.systemd.property.TimeoutStopUSec": "uint64 30000000". The value is in
// GVariant's text format: true, 'text', 5, uint64 5, ['a', 'b']. A name that ends
// in Sec counts seconds, and becomes microseconds of the property ending in USec.
func FromAnnotations(annotations map[string]string) ([]Property, error) {
	var list []Property
	for key, text := range annotations {
		name, ok := strings.CutPrefix(key, annotationPrefix)
		if !ok {
			continue
		}
		if len(name) < 3 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || len(text) > 4096 {
			return nil, fmt.Errorf("annotation %s: it names no property of a unit: %w", key, errdefs.ErrInvalidArgument)
		}
		value, err := parseVariant(strings.TrimSpace(text))
		if err == nil && strings.HasSuffix(name, "Sec") && !strings.HasSuffix(name, "USec") {
			name = strings.TrimSuffix(name, "Sec") + "USec"
			value, err = microseconds(value)
		}
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %q: %w: %w", key, text, err, errdefs.ErrInvalidArgument)
		}
		list = append(list, Property{name, value})
	}
	slices.SortFunc(list, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

var errVariant = fmt.Errorf("it must be true, false, a number, a type and a number, 'text' or ['text']")

func parseVariant(s string) (any, error) {
	switch {
	case s == "true", s == "false":
		return s == "true", nil
	case strings.HasPrefix(s, "["):
		inner, ok := strings.CutSuffix(s[1:], "]")
		if !ok {
			return nil, errVariant
		}
		list := []string{}
		for inner = strings.TrimSpace(inner); inner != ""; {
			text, rest, err := quoted(inner)
			if err != nil {
				return nil, err
			}
			list = append(list, text)
			if inner = strings.TrimSpace(rest); inner != "" {
				if inner, ok = strings.CutPrefix(inner, ","); !ok {
					return nil, errVariant
				}
				inner = strings.TrimSpace(inner)
			}
		}
		return list, nil
	case strings.HasPrefix(s, "'"), strings.HasPrefix(s, `"`):
		text, rest, err := quoted(s)
		if err != nil || rest != "" {
			return nil, errVariant
		}
		return text, nil
	}
	kind, digits, typed := strings.Cut(s, " ")
	if !typed {
		kind, digits = "int32", s
	}
	return parseNumber(kind, strings.TrimSpace(digits))
}

func parseNumber(kind, digits string) (any, error) {
	sizes := map[string]int{"int32": 32, "uint32": 32, "int64": 64, "uint64": 64, "double": 64}
	size, ok := sizes[kind]
	if !ok {
		return nil, errVariant
	}
	if kind == "double" {
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return nil, errVariant
		}
		return f, nil
	}
	if strings.HasPrefix(kind, "u") {
		n, err := strconv.ParseUint(digits, 0, size)
		switch {
		case err != nil:
			return nil, errVariant
		case size == 32:
			return uint32(n), nil
		}
		return n, nil
	}
	n, err := strconv.ParseInt(digits, 0, size)
	switch {
	case err != nil:
		return nil, errVariant
	case size == 32:
		return int32(n), nil
	}
	return n, nil
}

// quoted takes a quoted string off s. A backslash stands before a quote or another.
func quoted(s string) (text, rest string, err error) {
	if s == "" || s[0] != '\'' && s[0] != '"' {
		return "", "", errVariant
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return b.String(), s[i+1:], nil
		case s[i] == '\\' && i+1 < len(s):
			i++
		case s[i] == 0 || s[i] == '\n':
			return "", "", errVariant
		}
		b.WriteByte(s[i])
	}
	return "", "", errVariant
}

func microseconds(v any) (any, error) {
	const second = 1000000
	switch n := v.(type) {
	case int32:
		if n >= 0 {
			return uint64(n) * second, nil
		}
	case uint32:
		return uint64(n) * second, nil
	case int64:
		if n >= 0 && n < 1<<40 {
			return uint64(n) * second, nil
		}
	case uint64:
		if n < 1<<40 {
			return n * second, nil
		}
	case float64:
		if n >= 0 && n < 1<<40 {
			return uint64(n * second), nil
		}
	}
	return nil, errVariant
}
