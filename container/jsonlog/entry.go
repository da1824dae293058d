package jsonlog

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Entry is one line, or a part of a long one.
type Entry struct {
	Log    string    `json:"log"`
	Stream string    `json:"stream"`
	Time   time.Time `json:"time"`
}

const hexDigits = "0123456789abcdef"

// appendEntry appends the entry and "\n". Bytes that are not UTF-8 become
// U+FFFD: JSON has no others (Docker does the same).
func appendEntry(buf, line []byte, stream string, at time.Time) []byte {
	buf = append(buf, `{"log":"`...)
	for i := 0; i < len(line); {
		b := line[i]
		switch {
		case b == '"' || b == '\\':
			buf = append(buf, '\\', b)
		case b == '\n':
			buf = append(buf, `\n`...)
		case b == '\r':
			buf = append(buf, `\r`...)
		case b == '\t':
			buf = append(buf, `\t`...)
		case b < ' ':
			buf = append(buf, `\u00`...)
			buf = append(buf, hexDigits[b>>4], hexDigits[b&15])
		case b >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(line[i:])
			buf = utf8.AppendRune(buf, r)
			i += size
			continue
		default:
			buf = append(buf, b)
		}
		i++
	}
	buf = append(buf, `","stream":"`...)
	buf = append(buf, stream...)
	buf = append(buf, `","time":"`...)
	buf = at.AppendFormat(buf, time.RFC3339Nano)
	return append(buf, "\"}\n"...)
}

// parseEntry reads one line of a log file; false if a crash or somebody else's
// hand has left something else there.
func parseEntry(line []byte) (Entry, bool) {
	var e Entry
	err := json.Unmarshal(line, &e)
	return e, err == nil
}
