package spec

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// User is who the process runs as, in the container's ids.
type User struct {
	UID, GID uint32
	// AdditionalGids are the supplementary groups: the primary group first,
	// then the others ascending. None are inherited from berth.
	AdditionalGids []uint32
	// Home is the home directory; empty leaves HOME to the image.
	Home string
}

const (
	// maxUserFile bounds what is read of an image's passwd and group files.
	maxUserFile = 10 << 20
	// maxID is the highest id that can be asked for, as in Docker.
	maxID = 1<<31 - 1
)

// ResolveUser finds the user of a request, "user[:group]", each a name or a
// number, and the groups to add, in an image's /etc/passwd and /etc/group.
// Nil readers are missing files.
//
// A string of digits is always a number, even if a user has it as its name;
// anything else is always a name. A number need not be in the files. Without a
// group the user's groups are those of the files.
func ResolveUser(userspec string, groupAdd []string, passwd, group io.Reader) (User, error) {
	userName, groupName, hasGroup := strings.Cut(userspec, ":")
	u, found, err := findUser(userName, passwd)
	if err != nil {
		return User{}, err
	}
	groups, err := readGroups(group)
	if err != nil {
		return User{}, err
	}
	supplementary := make(map[uint32]bool)
	switch {
	case hasGroup && groupName != "":
		if u.GID, err = groupID(groupName, groups); err != nil {
			return User{}, err
		}
	case found != "":
		for _, g := range groups {
			if slices.Contains(g.members, found) {
				supplementary[g.gid] = true
			}
		}
	}
	for _, name := range groupAdd {
		gid, err := groupID(name, groups)
		if err != nil {
			return User{}, err
		}
		supplementary[gid] = true
	}
	delete(supplementary, u.GID)
	u.AdditionalGids = []uint32{u.GID}
	for gid := range supplementary {
		u.AdditionalGids = append(u.AdditionalGids, gid)
	}
	slices.Sort(u.AdditionalGids[1:])
	return u, nil
}

// findUser returns the user and the name that the file gives it, if it does.
func findUser(name string, passwd io.Reader) (u User, found string, err error) {
	uid, numeric, err := parseID(name)
	if err != nil {
		return User{}, "", invalid("invalid user %q: %v", name, err)
	}
	if name == "" {
		numeric = true // root, whatever the file calls it
	}
	err = eachLine(passwd, "/etc/passwd", func(f []string) bool {
		if len(f) < 4 {
			return true
		}
		id, isID, err := parseID(f[2])
		if err != nil || !isID || numeric && id != uid || !numeric && f[0] != name {
			return true
		}
		gid, isID, err := parseID(f[3])
		if err != nil || !isID {
			return true
		}
		u, found = User{UID: id, GID: gid}, f[0]
		if len(f) > 5 && path.IsAbs(f[5]) {
			u.Home = path.Clean(f[5])
		}
		return false
	})
	switch {
	case err != nil:
		return User{}, "", err
	case found == "" && !numeric:
		return User{}, "", invalid("unknown user %q: the image's /etc/passwd has none of that name, use one that it has or a number", name)
	case found == "":
		u.UID = uid
	}
	if u.Home == "" {
		u.Home = "/"
		if u.UID == 0 {
			u.Home = "/root"
		}
	}
	return u, found, nil
}

// parseID reads a decimal number. A string with any other character is none;
// a number too high or with leading zeros is an error.
func parseID(s string) (id uint32, numeric bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false, nil
	}
	if len(s) > 1 && s[0] == '0' {
		return 0, true, errors.New("a number starts with another digit than 0")
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxID {
		return 0, true, fmt.Errorf("a number is at most %d", maxID)
	}
	return uint32(n), true, nil
}

type groupLine struct {
	name    string
	gid     uint32
	members []string
}

func readGroups(r io.Reader) ([]groupLine, error) {
	var groups []groupLine
	err := eachLine(r, "/etc/group", func(f []string) bool {
		if len(f) < 3 {
			return true
		}
		gid, isID, err := parseID(f[2])
		if err != nil || !isID {
			return true
		}
		g := groupLine{name: f[0], gid: gid}
		if len(f) > 3 {
			g.members = strings.Split(f[3], ",")
		}
		groups = append(groups, g)
		return true
	})
	return groups, err
}

func groupID(name string, groups []groupLine) (uint32, error) {
	gid, numeric, err := parseID(name)
	if err != nil {
		return 0, invalid("invalid group %q: %v", name, err)
	}
	if numeric {
		return gid, nil
	}
	for _, g := range groups {
		if g.name == name && name != "" {
			return g.gid, nil
		}
	}
	return 0, invalid("unknown group %q: the image's /etc/group has none of that name, use one that it has or a number", name)
}

// eachLine calls f with the fields of each line until it returns false. Lines
// without a name and those of NIS (+, -) are left out.
func eachLine(r io.Reader, name string, f func(fields []string) bool) error {
	if r == nil {
		return nil
	}
	limited := &io.LimitedReader{R: r, N: maxUserFile + 1}
	s := bufio.NewScanner(limited)
	s.Buffer(nil, maxUserFile+1)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.ContainsAny(line[:1], "#+-:") || strings.ContainsRune(line, 0) {
			continue
		}
		if !f(strings.Split(line, ":")) {
			break
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read the image's %s: %w", name, err)
	}
	if limited.N <= 0 {
		return invalid("the image's %s is larger than 10 MiB", name)
	}
	return nil
}

// setUser checks that the ids exist in the container.
func (b *builder) setUser() error {
	u := b.User
	if b.userns {
		ids := append([]uint32{u.UID, u.GID}, u.AdditionalGids...)
		if highest := slices.Max(ids); highest >= b.IDs.Size {
			return invalid("id %d does not exist in the container, which has %d: use --userns host to run with the host's ids", highest, b.IDs.Size)
		}
	}
	b.spec.Process.User.UID = u.UID
	b.spec.Process.User.GID = u.GID
	b.spec.Process.User.AdditionalGids = u.AdditionalGids
	if m := b.HostConfig.Umask; m != nil {
		if *m > 0o777 {
			return invalid("umask %#o is above 0777", *m)
		}
		b.spec.Process.User.Umask = m
	}
	return nil
}
