package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
)

// maxConf bounds a configuration file, in bytes.
const maxConf = 1 << 20

// find reads the configuration list of a network.
func (n *Networks) find(name string) (*libcni.NetworkConfigList, error) {
	if !validName(name) {
		return nil, invalid("invalid CNI network name %.60q: it is letters, digits, '_', '.' and '-'", name)
	}
	var broken error
	for _, dir := range n.c.ConfDirs {
		files, err := libcni.ConfFiles(dir, []string{".conflist", ".conf", ".json"})
		if err != nil {
			return nil, fmt.Errorf("look for CNI network %s: %w", name, err)
		}
		for _, f := range files {
			list, err := readConf(f)
			switch {
			case err == nil && list.Name == name:
				return list, nil
			case err != nil && broken == nil:
				broken = fmt.Errorf("%s cannot be read: %w", f, &oneLine{err})
			}
		}
	}
	where := strings.Join(n.c.ConfDirs, " or ")
	if broken != nil {
		return nil, fault.Errorf(errdefs.ErrNotFound, "CNI network %s not found in %s: %w", name, where, broken)
	}
	return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("CNI network %s not found in %s: a configuration list there has this name", name, where))
}

// validName says whether a name is one as the specification has it, and bounded:
// it is part of file names.
func validName(name string) bool {
	ok, err := regexp.MatchString(`^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`, name)
	return err == nil && ok && len(name) <= 128
}

// readConf reads a list, or one configuration as a list of its own.
func readConf(file string) (*libcni.NetworkConfigList, error) {
	data, err := readFile(file, maxConf)
	if err != nil {
		return nil, err
	}
	if filepath.Ext(file) != ".conflist" {
		one, err := libcni.NetworkPluginConfFromBytes(data)
		if err != nil {
			return nil, err
		}
		return libcni.ConfListFromConf(one)
	}
	list, err := libcni.NetworkConfFromBytes(data)
	if err != nil {
		return nil, err
	}
	if !validName(list.Name) {
		return nil, fmt.Errorf("invalid name %.60q", list.Name)
	}
	if !list.LoadOnlyInlinedPlugins {
		more, err := libcni.NetworkPluginConfsFromFiles(filepath.Dir(file), list.Name)
		if err != nil {
			return nil, err
		}
		list.Plugins = append(list.Plugins, more...)
	}
	if len(list.Plugins) == 0 {
		return nil, errors.New("it has no plugins")
	}
	return list, nil
}

// readFile reads a regular file of at most so many bytes.
func readFile(name string, most int64) ([]byte, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return data, err
}

// list is a configuration list as plugins were given it: that on disk may change.
type list struct {
	Name, CNIVersion string
	DisableCheck     bool
	Plugins          []json.RawMessage
}

func recorded(l *libcni.NetworkConfigList) list {
	out := list{Name: l.Name, CNIVersion: l.CNIVersion, DisableCheck: l.DisableCheck}
	for _, p := range l.Plugins {
		out.Plugins = append(out.Plugins, p.Bytes)
	}
	return out
}

func (l list) read() (*libcni.NetworkConfigList, error) {
	out := &libcni.NetworkConfigList{Name: l.Name, CNIVersion: l.CNIVersion, DisableCheck: l.DisableCheck}
	for _, data := range l.Plugins {
		p, err := libcni.NetworkPluginConfFromBytes(data)
		if err != nil {
			return nil, err
		}
		out.Plugins = append(out.Plugins, p)
	}
	return out, nil
}
