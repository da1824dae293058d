package rootless

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxRanges bounds how many of a user's ranges are used: the kernel takes 340
// lines of a map (user_namespaces(7)).
const maxRanges = 32

// maxSubid bounds what is read of a table of ranges.
const maxSubid = 16 << 20

// maxID is the highest id; one more means "none".
const maxID = 1<<32 - 2

// subid is one of the two tables of subordinate ids (subuid(5), subgid(5)).
type subid struct {
	path, flag, kind string
}

// ids are the maps of a user: its own id is root, then come the ranges.
func (t subid) ids(uid, own int) ([]specs.LinuxIDMapping, error) {
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	} else if v := os.Getenv("USER"); v != "" { // of a directory service
		name = v
	}
	f, err := os.Open(t.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(own), Size: 1}}
	if err == nil {
		defer f.Close()
		maps = append(maps, parseRanges(io.LimitReader(f, maxSubid), name, uid)...)
	}
	if len(maps) == 1 {
		return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"user %s has no range of %s ids in %s: as root, give one with \"usermod --add-sub%ss 100000-165535 %s\"", name, t.kind, t.path, t.flag, name))
	}
	return maps, nil
}

// parseRanges reads the ranges of a user, by name or number, and puts them one
// after the other from id 1 on. Lines that make no sense are left out, as
// newuidmap does.
func parseRanges(r io.Reader, name string, uid int) (maps []specs.LinuxIDMapping) {
	next := uint64(1)
	for lines := bufio.NewScanner(r); lines.Scan() && len(maps) < maxRanges; {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(fields) != 3 || fields[0] != name && fields[0] != strconv.Itoa(uid) {
			continue
		}
		first, err1 := strconv.ParseUint(fields[1], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 != nil || err2 != nil || count == 0 || first == 0 || first+count-1 > maxID || next+count-1 > maxID {
			continue
		}
		maps = append(maps, specs.LinuxIDMapping{ContainerID: uint32(next), HostID: uint32(first), Size: uint32(count)})
		next += count
	}
	return maps
}
