// Package tun makes network devices whose packets a program reads and writes
// (the kernel's Documentation/networking/tuntap.rst).
//
// Level: L0.
// Owns: nothing.
// May import: the standard library, golang.org/x/sys/unix.
// Must not know: what the packets are.
package tun

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// path is the device that makes others.
const path = "/dev/net/tun"

// HeaderSize is the length of struct virtio_net_hdr, which precedes each packet.
const HeaderSize = 10

// The fields of struct virtio_net_hdr that matter here (linux/virtio_net.h).
const (
	NeedsChecksum = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM // flags: the checksum is to be completed
	TCP4          = unix.VIRTIO_NET_HDR_GSO_TCPV4    // gso_type: to be cut into segments
	TCP6          = unix.VIRTIO_NET_HDR_GSO_TCPV6
)

// Open makes a device of the calling process's network namespace that carries IP
// packets. Each is read and written whole, after a header of HeaderSize bytes; one of
// TCP may be as large as 64 KiB and without checksum, in both directions. The device is gone
// when the last copy of the file is closed.
func Open(name string) (_ *os.File, err error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return nil, fmt.Errorf("open %s: the kernel has no tun devices: as root, load them with \"modprobe tun\": %w", path, err)
	case errors.Is(err, unix.EACCES):
		return nil, fmt.Errorf("open %s: it is closed to users: as root, open it with \"chmod 666 %s\": %w", path, path, err)
	case err != nil:
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd) // nothing was written
		}
	}()
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("make network device %q: %w", name, err)
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return nil, fmt.Errorf("make network device %s: %w", name, os.NewSyscallError("ioctl TUNSETIFF", err))
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, HeaderSize); err != nil {
		return nil, os.NewSyscallError("ioctl TUNSETVNETHDRSZ", err)
	}
	const offload = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offload); err != nil {
		return nil, os.NewSyscallError("ioctl TUNSETOFFLOAD", err)
	}
	return os.NewFile(uintptr(fd), "tun "+name), nil
}
