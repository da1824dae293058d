package facts

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"berth/internal/linux"
)

// maxPasswd is how much of an /etc/passwd is read.
const maxPasswd = 10 << 20

// Passwd opens the container's /etc/passwd with flags of open(2).
type Passwd func(flags int) (*os.File, error)

// PasswdIn is how the file is opened below the directory that is the container's
// "/": no link leads out of it.
func PasswdIn(root string) Passwd {
	return func(flags int) (_ *os.File, err error) {
		dir, err := linux.OpenPath(root)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, dir.Close()) }()
		return linux.OpenInRoot(dir, "/etc/passwd", flags, 0)
	}
}

// Environment completes a process's environment as runc does: of a variable
// given twice the last counts, and HOME is what the container's own file says. The file is opened only if HOME is
// not set. Without an entry for the user, or a file that can be read, HOME is "/".
func Environment(env []string, uid uint32, passwd Passwd) []string {
	out := make([]string, 0, len(env)+1)
	seen := map[string]bool{}
	for _, e := range slices.Backward(env) {
		name, value, _ := strings.Cut(e, "=")
		if seen[name] || name == "HOME" && value == "" {
			continue
		}
		seen[name] = true
		out = append(out, e)
	}
	slices.Reverse(out)
	if seen["HOME"] {
		return out
	}
	home, err := lookUp(passwd, uid)
	if err != nil || home == "" {
		home = "/"
	}
	return append(out, "HOME="+home)
}

// lookUp finds a user's home (passwd(5)). Only a regular file is read: opening
// another could block.
func lookUp(passwd Passwd, uid uint32) (home string, err error) {
	f, err := passwd(syscall.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", fmt.Errorf("read %s: it is no regular file (%w)", f.Name(), err)
	}
	want := strconv.FormatUint(uint64(uid), 10)
	part := []byte(":" + want + ":")
	lines := bufio.NewScanner(io.LimitReader(f, maxPasswd))
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), part) {
			continue // most lines of a large file, at little cost
		}
		fields := strings.Split(lines.Text(), ":")
		if len(fields) > 5 && fields[2] == want && !strings.ContainsRune(fields[5], 0) {
			return fields[5], nil
		}
	}
	return "", lines.Err()
}
