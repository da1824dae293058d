package main

import (
	"bytes"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// process is what ps shows of one.
type process struct {
	pid, ppid, uid  int
	state           string
	tty             int
	session, tpgid  int
	pgrp            int
	nice, threads   int
	ticks           uint64 // user and system time in clock ticks
	start           uint64 // ticks after boot
	vsize, rssPages uint64
	command, args   string
}

const ticksPerSecond = 100 // USER_HZ, the same on every architecture of Linux

func ps(e *env) error {
	flags := strings.Join(e.args, "")
	users := strings.ContainsAny(flags, "u")
	full := strings.Contains(flags, "f") && !users
	// The form of procps without options: this terminal's processes only.
	everyone := strings.ContainsAny(flags, "aAex")
	all, err := processes()
	if err != nil {
		return err
	}
	names, now := names("/etc/passwd"), time.Now()
	var own process
	for _, p := range all {
		if p.pid == os.Getpid() {
			own = p
		}
	}
	width := columns()
	switch {
	case users:
		line(e, width, "USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND")
	case full:
		line(e, width, "UID          PID    PPID  C STIME TTY          TIME CMD")
	default:
		line(e, width, "    PID TTY          TIME CMD")
	}
	boot, memory := bootTime(), memoryKB()
	for _, p := range all {
		if !everyone && (p.tty != own.tty || p.uid != own.uid) {
			continue
		}
		started := boot.Add(time.Duration(p.start) * time.Second / ticksPerSecond)
		seconds := p.ticks / ticksPerSecond
		percent := 0.0
		if age := now.Sub(started).Seconds(); age > 0 {
			percent = float64(p.ticks) / ticksPerSecond / age * 100
		}
		rss := p.rssPages * uint64(os.Getpagesize()) / 1024
		user := nameOf(p.uid, names)
		if len(user) > 8 {
			user = user[:7] + "+"
		}
		switch {
		case users:
			line(e, width, fmt.Sprintf("%-8s %7d %4.1f %4.1f %6d %5d %-8s %-4s %s %6s %s", user, p.pid, percent,
				float64(rss)*100/float64(max(memory, 1)), p.vsize/1024, rss, terminal(p.tty), stat(p),
				clock(started, now), fmt.Sprintf("%d:%02d", seconds/60, seconds%60), p.args))
		case full:
			line(e, width, fmt.Sprintf("%-8s %7d %7d %2.0f %s %-8s %s %s", user, p.pid, p.ppid, percent,
				clock(started, now), terminal(p.tty), hms(seconds), p.args))
		default:
			line(e, width, fmt.Sprintf("%7d %-8s %s %s", p.pid, terminal(p.tty), hms(seconds), p.command))
		}
	}
	return nil
}

func line(e *env, width int, s string) {
	if width > 0 && len(s) > width {
		s = s[:width]
	}
	fmt.Fprintln(e.out, s)
}

func hms(seconds uint64) string {
	return fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

func clock(started, now time.Time) string {
	if now.Sub(started) < 24*time.Hour {
		return started.Format("15:04")
	}
	return started.Format("Jan02")
}

// stat is the state as ps prints it: S, then < N s l +.
func stat(p process) string {
	s := p.state
	switch {
	case p.nice < 0:
		s += "<"
	case p.nice > 0:
		s += "N"
	}
	if p.session == p.pid {
		s += "s"
	}
	if p.threads > 1 {
		s += "l"
	}
	if p.tpgid == p.pgrp && p.tty != 0 {
		s += "+"
	}
	return s
}

// terminal names a device number as in /proc/PID/stat.
func terminal(dev int) string {
	major, minor := dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
	switch {
	case dev == 0:
		return "?"
	case major >= 136 && major < 144:
		return "pts/" + strconv.Itoa((major-136)*256+minor)
	case major == 4:
		return "tty" + strconv.Itoa(minor)
	}
	return "?"
}

func processes() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			all = append(all, p)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].pid < all[j].pid })
	return all, nil
}

// readProcess is false if the process has ended meanwhile.
func readProcess(pid int) (process, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return process{}, false
	}
	p, ok := parseStat(string(b))
	if !ok {
		return process{}, false
	}
	if info, err := os.Stat(dir); err == nil {
		p.uid = int(info.Sys().(*syscall.Stat_t).Uid)
	}
	p.args = "[" + p.command + "]"
	if b, err := os.ReadFile(dir + "/cmdline"); err == nil && len(b) > 0 {
		p.args = string(bytes.ReplaceAll(bytes.TrimRight(b, "\x00"), []byte{0}, []byte{' '}))
	}
	return p, true
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The command may hold
// spaces and brackets, so that the last bracket ends it.
func parseStat(s string) (process, bool) {
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	f := strings.Fields(s[end+1:])
	if len(f) < 22 {
		return process{}, false
	}
	num := func(field int) int { // numbered as in the manual page, from 1
		n, _ := strconv.Atoi(f[field-3])
		return n
	}
	big := func(field int) uint64 {
		n, _ := strconv.ParseUint(f[field-3], 10, 64)
		return n
	}
	pid, err := strconv.Atoi(strings.TrimSpace(s[:open]))
	return process{
		pid: pid, command: s[open+1 : end], state: f[0], ppid: num(4), pgrp: num(5), session: num(6), tty: num(7),
		tpgid: num(8), ticks: big(14) + big(15), nice: num(19), threads: num(20), start: big(22), vsize: big(23), rssPages: big(24),
	}, err == nil
}

func bootTime() time.Time {
	b, err := os.ReadFile("/proc/stat")
	if err == nil {
		for l := range strings.Lines(string(b)) {
			if after, ok := strings.CutPrefix(l, "btime "); ok {
				if n, err := strconv.ParseInt(strings.TrimSpace(after), 10, 64); err == nil {
					return time.Unix(n, 0)
				}
			}
		}
	}
	return time.Time{}
}

func memoryKB() uint64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.ParseUint(f[1], 10, 64)
	return n
}

// columns is the terminal's width, 0 if the output is none.
func columns() int {
	var size struct{ rows, cols, x, y uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 1, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0
	}
	return int(size.cols)
}
