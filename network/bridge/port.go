package bridge

import "errors"

// Port makes a host's end a port of a bridge again, after somebody has deleted
// the bridge. An end that is gone is no error: its container has ended.
func (l *Links) Port(host, bridge string, isolated, hairpin bool) error {
	end, err := find(l.h, host)
	if err != nil || end == nil {
		return err
	}
	to, err := find(l.h, bridge)
	if err != nil {
		return err
	}
	if to == nil {
		return errors.New("make " + host + " a port: bridge " + bridge + " does not exist")
	}
	return l.join(end, to, isolated, hairpin)
}

// Index is the number of a device, 0 if there is none of that name.
func (l *Links) Index(name string) (uint32, error) {
	link, err := find(l.h, name)
	if err != nil || link == nil {
		return 0, err
	}
	return uint32(link.Attrs().Index), nil //nolint:gosec // indexes are positive
}

// Exists says whether the host has a device of that name.
func (l *Links) Exists(name string) (bool, error) {
	link, err := find(l.h, name)
	return link != nil, err
}
