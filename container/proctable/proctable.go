// Package proctable reads from /proc, on the host, what a container's processes
// are. Nothing runs in the container for it.
//
// Level: L2, a subroom of container.
// Owns: the columns of top.
// May import: the standard library.
// Must not know: containers, cgroups.
package proctable

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// Ticks is USER_HZ, in which /proc counts time (100 on all architectures of Linux).
const Ticks = 100

// Titles are the columns of Rows.
func Titles() []string { return []string{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"} }

// maxRows bounds the processes that are listed.
const maxRows = 32768

// Rows describes processes; those that have ended are left out.
func Rows(pids []int) [][]string {
	boot := bootTime()
	rows := [][]string{}
	for _, pid := range pids[:min(len(pids), maxRows)] {
		if r, ok := row(pid, boot); ok {
			rows = append(rows, r)
		}
	}
	return rows
}

// row reads /proc/PID; false if the process has ended.
func row(pid int, boot time.Time) ([]string, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := ReadShort(dir + "/stat")
	if err != nil {
		return nil, false
	}
	// The name, in parentheses, may contain anything: fields follow the last ")".
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return nil, false
	}
	f := strings.Fields(stat[end+1:])
	if len(f) < 20 {
		return nil, false
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(f[i], 10, 64) // the kernel writes numbers
		return n
	}
	started := boot.Add(time.Duration(number(19)) * time.Second / Ticks)
	cpu := time.Duration(number(11)+number(12)) * time.Second / Ticks
	load := int64(0)
	if lived := time.Since(started); lived > 0 {
		load = int64(100 * cpu / lived)
	}
	cmd, err := ReadShort(dir + "/cmdline")
	if err != nil {
		return nil, false
	}
	if cmd = strings.TrimSpace(strings.ReplaceAll(cmd, "\x00", " ")); cmd == "" {
		cmd = "[" + stat[open+1:end] + "]"
	}
	secs := int(cpu.Seconds())
	return []string{
		ownerOf(dir), strconv.Itoa(pid), f[1], strconv.FormatInt(load, 10), started.Format("15:04"), ttyName(number(4)),
		fmt.Sprintf("%02d:%02d:%02d", secs/3600, secs/60%60, secs%60), cmd,
	}, true
}

// ownerOf is the effective user id, a number: names are the host's, and a
// container's ids have none there.
func ownerOf(dir string) string {
	status, err := ReadShort(dir + "/status")
	if err != nil {
		return "?"
	}
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			if f := strings.Fields(rest); len(f) > 1 {
				return f[1]
			}
		}
	}
	return "?"
}

// ttyName names a pseudo terminal by its device number (proc(5), tty_nr).
func ttyName(nr int64) string {
	major, minor := nr>>8&0xfff, nr&0xff|nr>>12&0xfff00
	if major >= 136 && major <= 143 {
		return fmt.Sprintf("pts/%d", (major-136)*256+minor)
	}
	return "?"
}

// ReadShort returns the first 4 KiB of a file.
func ReadShort(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 4096))
	return string(data), err
}

// bootTime is the btime of /proc/stat; the zero time if it is not there.
func bootTime() time.Time {
	sec, _, _ := Total() // shown times only
	return time.Unix(sec, 0)
}

// Total reads from /proc/stat the boot time, the ticks of all processors
// together and their number.
func Total() (boot int64, total uint64, cpus uint32) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, 0, 0
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20) // the line of interrupts is long
	for s.Scan() {
		fields := strings.Fields(s.Text())
		switch {
		case len(fields) > 7 && fields[0] == "cpu":
			for _, v := range fields[1:8] {
				n, _ := strconv.ParseUint(v, 10, 64) // the kernel writes numbers
				total += n
			}
		case len(fields) > 1 && fields[0] == "btime":
			boot, _ = strconv.ParseInt(fields[1], 10, 64)
		case len(fields) > 0 && strings.HasPrefix(fields[0], "cpu"):
			cpus++
		}
	}
	return boot, total, cpus
}
