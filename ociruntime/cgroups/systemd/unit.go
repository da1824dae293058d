package systemd

import (
	"context"
	"encoding/binary"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// Property is one of a unit's (systemd.unit(5), systemd.resource-control(5)). Value is
// one of the types that encoder.variant takes.
type Property struct {
	Name  string
	Value any
}

// Unit is the unit that a container is for systemd.
type Unit struct {
	// Slice is the slice that it is in, Name its own name.
	Slice, Name string
	// User: it is of the user's systemd.
	User bool
}

// Parse reads the spec's cgroupsPath as runc does with --systemd-cgroup:
// "slice:prefix:name", or nothing.
func Parse(cgroupsPath, id string, user bool) (Unit, error) {
	slice, prefix, name := "", "berth", id
	if cgroupsPath != "" {
		parts := strings.Split(cgroupsPath, ":")
		if len(parts) != 3 {
			return Unit{}, fmt.Errorf("cgroupsPath %q: with --systemd-cgroup it is slice:prefix:name, such as system.slice:runc:%s: %w", cgroupsPath, id, errdefs.ErrInvalidArgument)
		}
		slice, prefix, name = parts[0], parts[1], parts[2]
	}
	u := Unit{Slice: slice, Name: prefix + "-" + name + ".scope", User: user}
	if strings.HasSuffix(name, ".slice") {
		u.Name = name
	}
	if u.Slice == "" {
		u.Slice = "system.slice"
		if user {
			u.Slice = "user.slice"
		}
	}
	if len(u.Name) > 255 || name == "" || strings.ContainsAny(u.Name, "/\x00\n") {
		return Unit{}, fmt.Errorf("cgroupsPath %q: it makes no name of a unit: %w", cgroupsPath, errdefs.ErrInvalidArgument)
	}
	_, err := u.Path("")
	return u, err
}

// isSlice: the unit is a slice of its own, which holds scopes and no processes.
func (u Unit) isSlice() bool { return strings.HasSuffix(u.Name, ".slice") }

// Path is the unit's cgroup below that of its systemd, such as
// /machine.slice/libpod-1.scope. A slice's name says where it is:
// a-b.slice is in a.slice.
func (u Unit) Path(manager string) (string, error) {
	slice, err := expand(u.Slice)
	if err != nil {
		return "", err
	}
	if u.isSlice() {
		own, err := expand(u.Name)
		return path.Join("/", manager, own), err
	}
	return path.Join("/", manager, slice, u.Name), nil
}

func expand(slice string) (string, error) {
	bad := fmt.Errorf("slice %q: a name such as machine.slice or a-b.slice: %w", slice, errdefs.ErrInvalidArgument)
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || name == "" || len(slice) > 255 || strings.ContainsAny(name, "/\x00\n") {
		return "", bad
	}
	if name == "-" {
		return "", nil
	}
	dir, prefix := "", ""
	for part := range strings.SplitSeq(name, "-") {
		if part == "" || part == "." || part == ".." {
			return "", bad
		}
		dir += "/" + prefix + part + ".slice"
		prefix += part + "-"
	}
	return dir, nil
}

// Start has systemd make the unit around process pid, and returns when the
// cgroup is there.
func (c *Conn) Start(ctx context.Context, u Unit, pid int, properties []Property) error {
	props := []Property{{"Description", "berth container " + u.Name}}
	if u.isSlice() {
		props = append(props, Property{"Wants", []string{u.Slice}})
	} else {
		props = append(props, Property{"Slice", u.Slice}, Property{"Delegate", true}, Property{"PIDs", []uint32{uint32(pid)}})
	}
	body, err := transient(u.Name, append(props, properties...))
	if err == nil {
		err = c.follow(ctx)
	}
	if err != nil {
		return fmt.Errorf("start unit %s: %w", u.Name, err)
	}
	reply, err := c.manager(ctx, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)
	if is(err, "UnitExists") { // it may be one that failed, which only stands there to be looked at
		if c.ResetFailed(ctx, u.Name) == nil {
			reply, err = c.manager(ctx, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)
		}
	}
	if is(err, "UnitExists") {
		return fmt.Errorf("start unit %s: %w: %w", u.Name, err, errdefs.ErrAlreadyExists)
	}
	if err != nil {
		return fmt.Errorf("start unit %s: %w", u.Name, err)
	}
	result, err := c.job(ctx, reply)
	if err == nil && result == "done" {
		return nil
	}
	_ = c.ResetFailed(context.WithoutCancel(ctx), u.Name) // it is in the way of the next one; the error is why it failed
	if err == nil {
		err = fmt.Errorf("systemd's job ended with %q; journalctl -u %s says more: %w", result, u.Name, errdefs.ErrFailedPrecondition)
	}
	return fmt.Errorf("start unit %s: %w", u.Name, err)
}

// transient is the body of StartTransientUnit.
func transient(name string, properties []Property) ([]byte, error) {
	var e encoder
	e.string(name)
	e.string("replace")
	if err := e.properties(properties); err != nil {
		return nil, err
	}
	e.array(8, func() {}) // no auxiliary units
	return e.b, nil
}

func (e *encoder) properties(list []Property) (err error) {
	e.array(8, func() {
		for _, p := range list {
			e.align(8)
			e.string(p.Name)
			if verr := e.variant(p.Value); verr != nil && err == nil {
				err = fmt.Errorf("property %s: %w", p.Name, verr)
			}
		}
	})
	return err
}

// Stop has systemd stop the unit and forget it. One that is gone is stopped.
func (c *Conn) Stop(ctx context.Context, name string) error {
	if err := c.follow(ctx); err != nil {
		return fmt.Errorf("stop unit %s: %w", name, err)
	}
	var e encoder
	e.string(name)
	e.string("replace")
	reply, err := c.manager(ctx, "StopUnit", "ss", e.b)
	if is(err, "NoSuchUnit") {
		return nil
	}
	if err == nil {
		_, err = c.job(ctx, reply) // however it ended: what is left is removed by hand
	}
	if err != nil {
		return fmt.Errorf("stop unit %s: %w", name, err)
	}
	_ = c.ResetFailed(ctx, name) // it has mostly not failed, and is then not there any more
	return nil
}

// ResetFailed lets systemd forget a unit that failed.
func (c *Conn) ResetFailed(ctx context.Context, name string) error {
	var e encoder
	e.string(name)
	_, err := c.manager(ctx, "ResetFailedUnit", "s", e.b)
	return err
}

// Set changes properties of the unit until it ends.
func (c *Conn) Set(ctx context.Context, name string, properties []Property) error {
	if len(properties) == 0 {
		return nil
	}
	var e encoder
	e.string(name)
	e.bool(true) // not for the unit's next run
	err := e.properties(properties)
	if err == nil {
		_, err = c.manager(ctx, "SetUnitProperties", "sba(sv)", e.b)
	}
	if err != nil {
		return fmt.Errorf("change unit %s: %w", name, err)
	}
	return nil
}

// get reads a property of the manager that is a string.
func (c *Conn) get(ctx context.Context, property string) (string, error) {
	var e encoder
	e.string(managerFace)
	e.string(property)
	reply, err := c.call(ctx, managerName, managerPath, "org.freedesktop.DBus.Properties", "Get", "ss", e.b)
	if err != nil {
		return "", fmt.Errorf("ask systemd for its %s: %w", property, err)
	}
	d := &decoder{b: reply.body, order: binary.LittleEndian}
	if d.signature() != "s" {
		return "", fmt.Errorf("ask systemd for its %s: %w", property, errFormat)
	}
	return d.string(), d.err
}

// ControlGroup is the cgroup of systemd itself: "" or "/" on a host, and
// /user.slice/user-1000.slice/user@1000.service of a user.
func (c *Conn) ControlGroup(ctx context.Context) (string, error) {
	return c.get(ctx, "ControlGroup")
}

// Version is systemd's version number, such as 252.
func (c *Conn) Version(ctx context.Context) (int, error) {
	text, err := c.get(ctx, "Version")
	if err != nil {
		return 0, err
	}
	text = strings.TrimLeft(text, "v")
	if i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		text = text[:i]
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("systemd's version: %w", err)
	}
	return n, nil
}
