package bundle

import (
	"bytes"

	"berth/internal/jsonscan"
)

// withoutProfile returns config with null for linux.seccomp if that is known: it
// is most of a config.json, and to read its thousand strings takes a fresh
// process longer than to find the filter that was made of it the last time. What
// is wrong elsewhere is found afterwards, in the same line.
func withoutProfile(config []byte, known func(profile []byte) bool) []byte {
	if known == nil {
		return config
	}
	start, end := findProfile(config)
	if end == 0 || !known(config[start:end:end]) {
		return config
	}
	short := append(make([]byte, 0, len(config)-(end-start)+64), config[:start]...)
	short = append(short, "null"...)
	short = append(short, bytes.Repeat([]byte("\n"), bytes.Count(config[start:end], []byte("\n")))...)
	return append(short, config[end:]...)
}

// findProfile finds linux.seccomp; end is 0 if there is none, or the document is wrong.
func findProfile(config []byte) (start, end int) {
	r := jsonscan.New(config)
	for key := range r.Members() {
		if key != "linux" {
			r.Skip()
			continue
		}
		for key := range r.Members() {
			from := r.Offset()
			if r.Skip(); key == "seccomp" {
				start, end = from, r.Offset()
			}
		}
	}
	if r.End() != nil {
		return 0, 0
	}
	return start, end
}
