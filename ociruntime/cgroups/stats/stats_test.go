package stats

import (
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \n")
	f.Add("8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n")
	f.Add("low 0\nmax max\noom_kill 1\nx -1\n")
	f.Fuzz(func(t *testing.T, data string) {
		m, err := parseFlat(data)
		if err == nil && len(m) > strings.Count(data, "\n")+1 {
			t.Error("more keys than lines")
		}
		_, _, _ = parseIOStat(data)
		_, _ = parseBlkio(data)
	})
}
