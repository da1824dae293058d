package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"berth/api/runc/command"
)

// Ps prints the processes in a container.
func Ps() command.Command {
	return command.Command{
		Name: "ps", Args: "ID [PS OPTION...]", Min: 1, Max: -1, Container: true, ArgsEndFlags: true,
		Summary: "List the processes in a container",
		Help: `Pids are those of the host. The table has the columns of ps -ef; after the id,
-o COLUMN[,COLUMN] chooses others: ` + columnNames() + `.
No program is run for it: other options of ps are not known.`,
		Examples: []string{"berth-oci ps web", "berth-oci ps --format json web", "berth-oci ps web -o pid,rss,args"},
		Setup: func(f *command.Flags) command.Func {
			format := "table"
			f.String(&format, "format,f", "FORMAT", formats)
			return func(_ context.Context, c *command.CLI, args []string) (int, error) {
				if format != "table" && format != "json" {
					return 0, badFormat(format)
				}
				columns, err := psColumns(args[1:])
				if err != nil {
					return 0, err
				}
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				pids, err := rt.Pids(args[0])
				if err != nil {
					return 0, toEngines(err)
				}
				if format == "json" {
					if pids == nil {
						pids = []int{}
					}
					return 0, json.NewEncoder(c.Out).Encode(pids)
				}
				return 0, printProcesses(c, pids, columns)
			}
		},
	}
}

// psColumns reads the options after the id.
func psColumns(options []string) ([]column, error) {
	chosen := "uid_name,pid,ppid,c,stime,tty,time,cmd"
	for len(options) > 0 {
		o := options[0]
		options = options[1:]
		switch {
		case o == "-ef" || o == "-e" || o == "-f":
		case (o == "-o" || o == "-eo") && len(options) > 0:
			chosen, options = options[0], options[1:]
		default:
			return nil, fmt.Errorf("ps: option %q is not known: give -ef, or -o with columns of %s", o, columnNames())
		}
	}
	var columns []column
	for name := range strings.SplitSeq(chosen, ",") {
		c, ok := columnOf(strings.TrimSpace(name))
		if !ok {
			return nil, fmt.Errorf("ps: column %q is not known: give some of %s", name, columnNames())
		}
		columns = append(columns, c)
	}
	return columns, nil
}

func printProcesses(c *command.CLI, pids []int, columns []column) error {
	rows := [][]string{nil}
	for _, col := range columns {
		rows[0] = append(rows[0], col.title)
	}
	h, err := readHost()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		p, err := readProcess(pid)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return err
		}
		var row []string
		for _, col := range columns {
			row = append(row, col.value(h, p))
		}
		rows = append(rows, row)
	}
	widths := make([]int, len(columns))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell), columns[i].width)
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			switch last := i == len(row)-1; {
			case columns[i].left && last:
				b.WriteString(cell)
			case columns[i].left:
				fmt.Fprintf(&b, "%-*s ", widths[i], cell)
			case last:
				fmt.Fprintf(&b, "%*s", widths[i], cell)
			default:
				fmt.Fprintf(&b, "%*s ", widths[i], cell)
			}
		}
		b.WriteByte('\n')
	}
	_, err = c.Out.Write([]byte(b.String()))
	return err
}

// column is one of ps.
type column struct {
	name, title string
	width       int
	left        bool
	value       func(h host, p process) string
}

func columnOf(name string) (column, bool) {
	switch name { // other names of the same
	case "args", "command":
		name = "cmd"
	case "tt", "tname":
		name = "tty"
	case "%cpu", "pcpu":
		name = "c"
	}
	for _, c := range psTable() {
		if c.name == name {
			return c, true
		}
	}
	return column{}, false
}

func columnNames() string {
	var names []string
	for _, c := range psTable() {
		if c.name != "uid_name" {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, ", ")
}

func psTable() []column {
	number := func(n func(process) uint64) func(host, process) string {
		return func(_ host, p process) string { return strconv.FormatUint(n(p), 10) }
	}
	text := func(s func(process) string) func(host, process) string {
		return func(_ host, p process) string { return printable(s(p)) }
	}
	return []column{
		{"uid_name", "UID", 8, true, func(_ host, p process) string { return userName(p.uid) }},
		{"user", "USER", 8, true, func(_ host, p process) string { return userName(p.uid) }},
		{"uid", "UID", 5, false, number(func(p process) uint64 { return uint64(p.uid) })},
		{"gid", "GID", 5, false, number(func(p process) uint64 { return uint64(p.gid) })},
		{"pid", "PID", 7, false, number(func(p process) uint64 { return uint64(p.pid) })},
		{"ppid", "PPID", 7, false, number(func(p process) uint64 { return uint64(p.ppid) })},
		{"c", "C", 2, false, host.load},
		{"stime", "STIME", 5, true, host.started},
		{"tty", "TTY", 8, true, func(_ host, p process) string { return ttyName(p.tty) }},
		{"time", "TIME", 8, false, func(_ host, p process) string { return clock(p.cpu, true) }},
		{"etime", "ELAPSED", 11, false, func(h host, p process) string { return clock(h.age(p), false) }},
		{"stat", "STAT", 4, true, text(func(p process) string { return p.state })},
		{"ni", "NI", 3, false, func(_ host, p process) string { return strconv.Itoa(p.nice) }},
		{"nlwp", "NLWP", 4, false, number(func(p process) uint64 { return p.threads })},
		{"vsz", "VSZ", 6, false, number(func(p process) uint64 { return p.virtual >> 10 })},
		{"rss", "RSS", 5, false, number(func(p process) uint64 { return p.resident >> 10 })},
		{"comm", "COMMAND", 15, true, text(func(p process) string { return p.name })},
		{"cmd", "CMD", 4, true, text(func(p process) string { return p.commandLine })},
	}
}

// userName is the user's name, or its number where ps would cut the name short.
func userName(uid int) string {
	const longest = 8
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil || len(u.Username) > longest {
		return strconv.Itoa(uid)
	}
	return u.Username
}

// printable replaces what would move the cursor or end the line: a process
// chooses its own name.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// clock writes a time as [DD-]HH:MM:SS, or without hours where ps leaves them out.
func clock(d time.Duration, hours bool) string {
	s := int64(d / time.Second)
	days, h, m := s/86400, s/3600%24, s/60%60
	switch {
	case days > 0:
		return fmt.Sprintf("%02d-%02d:%02d:%02d", days, h, m, s%60)
	case h > 0 || hours:
		return fmt.Sprintf("%02d:%02d:%02d", h, m, s%60)
	}
	return fmt.Sprintf("%02d:%02d", m, s%60)
}

// ttyName names a terminal by its device number (proc_pid_stat(5)).
func ttyName(dev int) string {
	major, minor := dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
	const ttys, ptsFirst, ptsLast = 4, 136, 143
	switch {
	case major == ttys && minor < 64:
		return "tty" + strconv.Itoa(minor)
	case major == ttys:
		return "ttyS" + strconv.Itoa(minor-64)
	case major >= ptsFirst && major <= ptsLast:
		return "pts/" + strconv.Itoa(minor+(major-ptsFirst)<<8)
	}
	return "?"
}

// read reads a small file of /proc.
func read(path string) (string, error) {
	b, err := os.ReadFile(path)
	return string(b), err
}
