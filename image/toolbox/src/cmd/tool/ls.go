package main

import (
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type lsOptions struct {
	all, almost, long, dir, human, one, recursive, numeric, inode bool
	byTime, bySize, reverse                                       bool
	width                                                         int
	users, groups                                                 map[int]string
}

type lsEntry struct {
	name, path string
	info       fs.FileInfo
}

func ls(e *env) error {
	o := lsOptions{width: columns()}
	var paths []string
	for i, a := range e.args {
		if a == "--" {
			paths = append(paths, e.args[i+1:]...)
			break
		}
		if len(a) < 2 || a[0] != '-' {
			paths = append(paths, a)
			continue
		}
		if strings.HasPrefix(a, "--") {
			continue // --color and such change nothing here
		}
		for _, c := range a[1:] {
			if !o.set(c) {
				return usageError("unknown option -" + string(c) + ": known are -a -A -l -d -h -1 -R -n -i -t -S -r")
			}
		}
	}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	if o.long && !o.numeric {
		o.users, o.groups = names("/etc/passwd"), names("/etc/group")
	}
	failed := false
	complain := func(err error) {
		fmt.Fprintf(os.Stderr, "ls: %v\n", err)
		failed = true
	}
	var files, dirs []lsEntry
	for _, p := range paths {
		info, err := os.Lstat(p)
		if err == nil && info.Mode()&fs.ModeSymlink != 0 && !o.long && !o.dir {
			if target, err := os.Stat(p); err == nil {
				info = target
			}
		}
		switch {
		case err != nil:
			complain(err)
		case info.IsDir() && !o.dir:
			dirs = append(dirs, lsEntry{p, p, info})
		default:
			files = append(files, lsEntry{p, p, info})
		}
	}
	o.print(e, files)
	for i, d := range dirs {
		if i > 0 || len(files) > 0 {
			fmt.Fprintln(e.out)
		}
		o.directory(e, d.path, len(paths) > 1 || o.recursive, complain)
	}
	if failed {
		return exitCode(1)
	}
	return nil
}

func (o *lsOptions) set(c rune) bool {
	switch c {
	case 'a':
		o.all = true
	case 'A':
		o.almost = true
	case 'l':
		o.long = true
	case 'd':
		o.dir = true
	case 'h':
		o.human = true
	case '1':
		o.one = true
	case 'R':
		o.recursive = true
	case 'n':
		o.long, o.numeric = true, true
	case 'i':
		o.inode = true
	case 't':
		o.byTime = true
	case 'S':
		o.bySize = true
	case 'r':
		o.reverse = true
	case 'C', 'F', 'q':
	default:
		return false
	}
	return true
}

func (o *lsOptions) directory(e *env, path string, title bool, complain func(error)) {
	if title {
		fmt.Fprintf(e.out, "%s:\n", path)
	}
	names, err := os.ReadDir(path)
	if err != nil {
		complain(err)
	}
	var entries []lsEntry
	if o.all {
		for _, dot := range []string{".", ".."} {
			if info, err := os.Lstat(path + "/" + dot); err == nil {
				entries = append(entries, lsEntry{dot, path + "/" + dot, info})
			}
		}
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), ".") && !o.all && !o.almost {
			continue
		}
		info, err := n.Info()
		if err != nil {
			continue // it went away
		}
		entries = append(entries, lsEntry{n.Name(), path + "/" + n.Name(), info})
	}
	if o.long {
		var blocks int64
		for _, x := range entries {
			blocks += x.info.Sys().(*syscall.Stat_t).Blocks
		}
		fmt.Fprintf(e.out, "total %d\n", blocks/2)
	}
	o.print(e, entries)
	if o.recursive {
		for _, x := range entries {
			if x.info.IsDir() && x.name != "." && x.name != ".." {
				fmt.Fprintln(e.out)
				o.directory(e, x.path, true, complain)
			}
		}
	}
}

func (o *lsOptions) print(e *env, entries []lsEntry) {
	sort.SliceStable(entries, func(i, j int) bool {
		if o.reverse {
			i, j = j, i
		}
		a, b := entries[i], entries[j]
		switch {
		case o.byTime && !a.info.ModTime().Equal(b.info.ModTime()):
			return a.info.ModTime().After(b.info.ModTime())
		case o.bySize && a.info.Size() != b.info.Size():
			return a.info.Size() > b.info.Size()
		}
		return a.name < b.name
	})
	switch {
	case o.long:
		o.printLong(e, entries)
	case o.one || o.width == 0:
		for _, x := range entries {
			fmt.Fprintln(e.out, o.label(x))
		}
	default:
		o.printColumns(e, entries)
	}
}

// printColumns fills the terminal's width, downwards.
func (o *lsOptions) printColumns(e *env, entries []lsEntry) {
	longest := 0
	for _, x := range entries {
		longest = max(longest, len(o.label(x)))
	}
	cell := longest + 2
	across := max(1, o.width/cell)
	rows := (len(entries) + across - 1) / across
	for r := range rows {
		for i := r; i < len(entries); i += rows {
			x := entries[i]
			label := o.label(x)
			e.out.WriteString(color(x.info.Mode(), label))
			if i+rows < len(entries) {
				e.out.WriteString(strings.Repeat(" ", cell-len(label)))
			}
		}
		e.out.WriteByte('\n')
	}
}

func color(mode fs.FileMode, s string) string {
	switch {
	case mode.IsDir():
		return "\x1b[1;34m" + s + "\x1b[m"
	case mode&fs.ModeSymlink != 0:
		return "\x1b[1;36m" + s + "\x1b[m"
	case mode.IsRegular() && mode&0o111 != 0:
		return "\x1b[1;32m" + s + "\x1b[m"
	}
	return s
}

func (o *lsOptions) label(x lsEntry) string {
	s := x.name
	if o.inode {
		s = strconv.FormatUint(x.info.Sys().(*syscall.Stat_t).Ino, 10) + " " + s
	}
	return s
}

func (o *lsOptions) printLong(e *env, entries []lsEntry) {
	rows := make([][]string, len(entries))
	widths := make([]int, 6)
	for i, x := range entries {
		st := x.info.Sys().(*syscall.Stat_t)
		size := strconv.FormatInt(x.info.Size(), 10)
		if o.human {
			size = humanSize(x.info.Size())
		}
		if x.info.Mode()&fs.ModeDevice != 0 {
			size = fmt.Sprintf("%d, %d", uint64(st.Rdev)>>8&0xfff, uint64(st.Rdev)&0xff|uint64(st.Rdev)>>12&0xfff00)
		}
		rows[i] = []string{
			modeString(st.Mode), strconv.FormatUint(uint64(st.Nlink), 10),
			nameOf(int(st.Uid), o.users), nameOf(int(st.Gid), o.groups), size, lsTime(x.info.ModTime()),
		}
		for c, s := range rows[i] {
			widths[c] = max(widths[c], len(s))
		}
	}
	for i, x := range entries {
		name := o.label(x)
		if x.info.Mode()&fs.ModeSymlink != 0 {
			if target, err := os.Readlink(x.path); err == nil {
				name += " -> " + target
			}
		}
		r := rows[i]
		fmt.Fprintf(e.out, "%s %*s %-*s %-*s %*s %*s %s\n", r[0], widths[1], r[1], widths[2], r[2], widths[3], r[3],
			widths[4], r[4], widths[5], r[5], name)
	}
}

func lsTime(t time.Time) string {
	if age := time.Since(t); age > 180*24*time.Hour || age < -time.Hour {
		return t.Format("Jan _2  2006")
	}
	return t.Format("Jan _2 15:04")
}

func humanSize(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	f, u := float64(n), -1
	for f >= 1024 && u < len(units)-1 {
		f /= 1024
		u++
	}
	if f < 10 {
		return fmt.Sprintf("%.1f%c", f, units[u])
	}
	return fmt.Sprintf("%.0f%c", f, units[u])
}

// modeString is the ten characters of ls -l.
func modeString(mode uint32) string {
	kind := map[uint32]byte{
		syscall.S_IFDIR: 'd', syscall.S_IFLNK: 'l', syscall.S_IFCHR: 'c',
		syscall.S_IFBLK: 'b', syscall.S_IFIFO: 'p', syscall.S_IFSOCK: 's',
	}[mode&syscall.S_IFMT]
	if kind == 0 {
		kind = '-'
	}
	b := []byte{kind}
	for i, c := range "rwxrwxrwx" {
		if mode>>(8-i)&1 == 0 {
			c = '-'
		}
		b = append(b, byte(c))
	}
	special := func(bit uint32, at int, set, only byte) {
		switch {
		case mode&bit == 0:
		case b[at] == 'x':
			b[at] = set
		default:
			b[at] = only
		}
	}
	special(syscall.S_ISUID, 3, 's', 'S')
	special(syscall.S_ISGID, 6, 's', 'S')
	special(syscall.S_ISVTX, 9, 't', 'T')
	return string(b)
}
