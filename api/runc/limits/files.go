package limits

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"berth/internal/linux"
	"berth/ociruntime/cgroups"
)

// files reads a container's cgroup beyond what cgroups.Stats has. A file that
// the kernel does not have counts nothing.
type files struct{ dirs []cgroups.Dir }

func filesOf(cg *cgroups.Cgroup) files { return files{cg.Dirs()} }

// dir is the directory of a controller and its hierarchy's version; 0 without one.
func (f files) dir(controller string) (dir string, version int) {
	for _, d := range f.dirs {
		switch {
		case slices.Contains(strings.Split(d.Name, ","), controller):
			return d.Path, 1
		case d.Name == "" || d.Name == "unified":
			data, err := linux.ReadControl(d.Path + "/cgroup.controllers")
			if err == nil && slices.Contains(strings.Fields(data), controller) {
				return d.Path, 2
			}
		}
	}
	return "", 0
}

func text(path string) string {
	data, err := linux.ReadControl(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(data)
}

// number is a file with one number; "max" is the highest there is.
func number(path string) uint64 {
	s := text(path)
	if s == "max" {
		return math.MaxUint64
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// numbers reads a list such as 0-2,7.
func numbers(path string) (list []uint16) {
	for part := range strings.SplitSeq(text(path), ",") {
		from, to, ranged := strings.Cut(part, "-")
		low, err := strconv.ParseUint(from, 10, 16)
		if err != nil {
			return list
		}
		high := low
		if ranged {
			if high, err = strconv.ParseUint(to, 10, 16); err != nil {
				return list
			}
		}
		for n := low; n <= high; n++ {
			list = append(list, uint16(n))
		}
	}
	return list
}

// pressure reads a file of pressure stall information.
func pressure(path string) *psiStats {
	var out psiStats
	for line := range strings.Lines(text(path)) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		var d psiData
		for _, pair := range f[1:] {
			key, value, _ := strings.Cut(pair, "=")
			switch key {
			case "avg10":
				d.Avg10, _ = strconv.ParseFloat(value, 64) // the kernel writes numbers
			case "avg60":
				d.Avg60, _ = strconv.ParseFloat(value, 64)
			case "avg300":
				d.Avg300, _ = strconv.ParseFloat(value, 64)
			case "total":
				d.Total, _ = strconv.ParseUint(value, 10, 64)
			}
		}
		switch f[0] {
		case "some":
			out.Some = d
		case "full":
			out.Full = d
		}
	}
	if out == (psiStats{}) {
		return nil
	}
	return &out
}

// hugePages are the sizes that the kernel has, as files are named: 2MB.
func hugePages() (sizes []string) {
	entries, err := os.ReadDir("/sys/kernel/mm/hugepages")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(e.Name()), "hugepages-"), "kB"), 10, 64)
		switch {
		case err != nil:
		case kb >= 1<<20:
			sizes = append(sizes, strconv.FormatUint(kb>>20, 10)+"GB")
		case kb >= 1<<10:
			sizes = append(sizes, strconv.FormatUint(kb>>10, 10)+"MB")
		default:
			sizes = append(sizes, strconv.FormatUint(kb, 10)+"KB")
		}
	}
	return sizes
}

// flat is one value of a file of lines "key number".
func flat(path, key string) uint64 {
	for line := range strings.Lines(text(path)) {
		if value, ok := strings.CutPrefix(line, key+" "); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}
