package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is what ps shows of one, from /proc.
type process struct {
	pid, ppid, uid, gid int
	tty, nice           int
	state, name         string
	commandLine         string
	cpu                 time.Duration
	start               time.Duration // after the boot
	threads             uint64
	virtual, resident   uint64
}

// host is what times are measured against.
type host struct {
	now    time.Time
	uptime time.Duration
}

// ticks is sysconf(_SC_CLK_TCK), which Linux has fixed for programs.
const ticks = time.Second / 100

func readHost() (h host, err error) {
	text, err := read("/proc/uptime")
	if err != nil {
		return h, err
	}
	seconds, _, _ := strings.Cut(text, " ")
	up, err := strconv.ParseFloat(seconds, 64)
	return host{time.Now(), time.Duration(up * float64(time.Second))}, err
}

// readProcess reads a process: fs.ErrNotExist if it has ended.
func readProcess(pid int) (p process, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := read(dir + "/stat")
	if errors.Is(err, syscall.ESRCH) {
		return p, fs.ErrNotExist
	}
	if err != nil {
		return p, err
	}
	if p, err = parseStat(stat); err != nil {
		return p, fmt.Errorf("read %s/stat: %w", dir, err)
	}
	info, err := os.Stat(dir) // owned by the effective user
	if err != nil {
		return p, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		p.uid, p.gid = int(st.Uid), int(st.Gid)
	}
	line, err := read(dir + "/cmdline")
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return p, err
	}
	p.commandLine = strings.TrimRight(strings.ReplaceAll(line, "\x00", " "), " ")
	if p.commandLine == "" { // a zombie, or one that has none
		p.commandLine = "[" + p.name + "]"
		if p.state == "Z" {
			p.commandLine += " <defunct>"
		}
	}
	return p, nil
}

// parseStat reads proc_pid_stat(5). The name, in brackets, may hold anything.
func parseStat(stat string) (p process, err error) {
	begin, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if begin < 1 || end < begin {
		return p, fmt.Errorf("no name in %.100q", stat)
	}
	p.name = stat[begin+1 : end]
	if p.pid, err = strconv.Atoi(strings.TrimSpace(stat[:begin])); err != nil {
		return p, err
	}
	const fields = 22 // from the state, number 3, up to rss, number 24
	f := strings.Fields(stat[end+1:])
	if len(f) < fields {
		return p, fmt.Errorf("only %d fields in %.200q", len(f), stat)
	}
	p.state = f[0]
	var n [fields]int64
	for i := 1; i < fields; i++ {
		if n[i], err = strconv.ParseInt(f[i], 10, 64); err != nil {
			return p, err
		}
	}
	p.ppid, p.tty, p.nice = int(n[1]), int(n[4]), int(n[16])
	p.cpu = time.Duration(n[11]+n[12]) * ticks
	p.threads, p.start = uint64(n[17]), time.Duration(n[19])*ticks
	p.virtual, p.resident = uint64(n[20]), uint64(n[21])*uint64(os.Getpagesize())
	return p, nil
}

func (h host) age(p process) time.Duration { return max(0, h.uptime-p.start) }

// load is the share of a CPU that the process has used in its life, in percent.
func (h host) load(p process) string {
	age := h.age(p)
	if age <= 0 {
		return "0"
	}
	const most = 99
	return strconv.Itoa(min(most, int(100*p.cpu/age)))
}

// started is when the process started: the time on the same day, else the date.
func (h host) started(p process) string {
	t := h.now.Add(-h.age(p))
	switch {
	case h.now.YearDay() == t.YearDay() && h.now.Year() == t.Year():
		return t.Format("15:04")
	case h.now.Year() == t.Year():
		return t.Format("Jan02")
	}
	return t.Format("2006")
}
