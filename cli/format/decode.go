package format

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Decode makes maps and lists of an answer for templates. Whole numbers are
// int64, so that they print and compare as such. As docker's Go structure calls
// it, .ID is .Id.
func Decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode the answer of berthd: %w", err)
	}
	v = numbers(v)
	if m, ok := v.(map[string]any); ok {
		m["ID"] = m["Id"]
	}
	return v, nil
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // the decoder has checked its form
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}
