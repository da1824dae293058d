// Package rootless gives the daemon of an ordinary user what root's has from the
// start: a user namespace in which it is root, with the mounts and the network that
// belong to it.
//
// Level: R.
// Owns: how these three namespaces are made, found again and entered.
// May import: ociruntime/program, ociruntime/lifecycle, ociruntime/userns, internal/linux, internal/cleanup, errdefs, runtime-spec.
// Must not know: what the daemon does there, networks.
//
// # Life
//
// A process that enters a user namespace must have a single thread, and one that
// makes one cannot map its ids itself. So a program of a few steps (ociruntime/program)
// makes or enters the namespaces and becomes the daemon, while its parent stays outside:
//
//	outside                        the program
//	start -----------------------> unshare user, mount, network
//	newuidmap, newgidmap <-------- a byte
//	a byte ----------------------> execve: root of the namespace, all capabilities
//
// Nothing holds the namespaces but who is in them. While no daemon runs those are
// the keepers of running containers: the next daemon enters the namespaces of any
// of them. Where none is, there is nothing to find again, and they are made anew.
package rootless

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"berth/internal/cleanup"
	"berth/internal/linux"
	"berth/ociruntime/lifecycle"
	"berth/ociruntime/program"
	"berth/ociruntime/userns"
)

// Args say what to run inside.
type Args struct {
	// Records is the directory of the run directories of containers.
	Records string
	// Argv and Env are the daemon's; it is this executable again.
	Argv, Env []string
	// Files become its descriptors FirstFile, FirstFile+1, ...
	Files []*os.File
	// Anew is called before new namespaces are made: those before are gone, with all
	// that was in them.
	Anew func() error
}

// FirstFile is the descriptor of the first of Args.Files.
const FirstFile = program.VerdictFD + 1

// Start runs this executable again as a child, in namespaces of this user's. The
// child is killed when the calling thread ends, if it asks for it
// (linux.DieWithParent).
func Start(a Args) (pid int, err error) {
	keeper, err := lifecycle.RunningKeeper(a.Records)
	if err != nil {
		return 0, err
	}
	var opened cleanup.Stack
	defer opened.Run(&err)
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	opened.Add(exe.Close)
	p := &inside{Builder: program.NewBuilder(), args: a, files: []*os.File{os.Stdin, os.Stdout, os.Stderr, nil}}
	p.files = append(p.files, a.Files...)
	p.exe = p.file(exe)
	if keeper != 0 {
		namespaces, err := open(keeper)
		for _, f := range namespaces {
			opened.Add(f.Close)
		}
		if err != nil {
			return 0, err
		}
		p.enter(namespaces)
		return p.start(nil)
	}
	if err := a.Anew(); err != nil {
		return 0, err
	}
	uid, gid := os.Getuid(), os.Getgid()
	uids, err := subid{"/etc/subuid", "uid", "user"}.ids(uid, uid)
	if err != nil {
		return 0, err
	}
	gids, err := subid{"/etc/subgid", "gid", "group"}.ids(uid, gid)
	if err != nil {
		return 0, err
	}
	ours, theirs, err := linux.Socketpair()
	if err != nil {
		return 0, err
	}
	opened.Add(ours.Close)
	p.make(theirs)
	return p.start(func(pid int) error {
		// Closed here, so that the end of the program is an end of file.
		if err := errors.Join(theirs.Close(), wait(ours)); err != nil {
			return err
		}
		if err := userns.Map(pid, uids, gids); err != nil {
			return err
		}
		_, err := ours.Write([]byte{1})
		return err
	})
}

// makeLimit bounds the time that it takes to make the namespaces.
const makeLimit = 30 * time.Second

// errNoStep says that the program has ended before it said a byte: its verdict
// tells more.
var errNoStep = errors.New("the program that makes namespaces has ended")

func wait(socket *os.File) error {
	if err := socket.SetReadDeadline(time.Now().Add(makeLimit)); err != nil {
		return err
	}
	_, err := io.ReadFull(socket, make([]byte, 1))
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return errNoStep
	}
	return err
}

// inside is the program that becomes the daemon.
type inside struct {
	*program.Builder
	args  Args
	files []*os.File
	exe   int
}

// file adds an open file and tells its number.
func (p *inside) file(f *os.File) int {
	p.files = append(p.files, f)
	return len(p.files) - 1
}

// namespaces are the daemon's, in the order in which they are entered: the first
// gives the right to the others.
var namespaces = [...]struct {
	name string
	flag uint64
}{{"user", linux.CloneNewuser}, {"mnt", linux.CloneNewns}, {"net", linux.CloneNewnet}}

// open opens the namespaces of a keeper.
func open(keeper int) (files []*os.File, err error) {
	for _, n := range namespaces {
		f, err := os.Open("/proc/" + strconv.Itoa(keeper) + "/ns/" + n.name)
		if err != nil {
			return files, fmt.Errorf("open the namespaces of running containers: %w", err)
		}
		files = append(files, f)
	}
	return files, nil
}

func (p *inside) enter(files []*os.File) {
	p.Do("enter the namespaces of running containers")
	for i, n := range namespaces {
		p.Call("setns", linux.SysSetns, program.Int(p.file(files[i])), program.Flags(n.flag, n.name))
	}
}

func (p *inside) make(sync *os.File) {
	fd, word := p.file(sync), p.Words("word", 0)
	p.Do("make a user namespace")
	p.Remedy("user namespaces are switched off here: as root, allow them with \"sysctl user.max_user_namespaces=10000\", and \"sysctl kernel.unprivileged_userns_clone=1\" where that exists")
	p.Call("unshare", linux.SysUnshare, program.Flags(linux.CloneNewuser, "CLONE_NEWUSER"))
	p.Do("make a mount and a network namespace")
	p.Call("unshare", linux.SysUnshare, program.Flags(linux.CloneNewns|linux.CloneNewnet, "CLONE_NEWNS|CLONE_NEWNET"))
	p.Do("wait for ids")
	p.Call("write", syscall.SYS_WRITE, program.Int(fd), word.At(0), program.Int(1))
	p.Call("read", syscall.SYS_READ, program.Int(fd), word.At(0), program.Int(1))
}

// start runs the program until it is the daemon. meanwhile is done while it runs.
func (p *inside) start(meanwhile func(pid int) error) (pid int, err error) {
	p.Do("start berthd in its namespaces")
	first := FirstFile + len(p.args.Files)
	p.Call("fcntl", syscall.SYS_FCNTL, program.Int(program.VerdictFD), program.Flags(syscall.F_SETFD, "F_SETFD"), program.Flags(syscall.FD_CLOEXEC, "FD_CLOEXEC"))
	p.Call("close_range", linux.SysCloseRange, program.Int(first), program.Flags(1<<32-1, "all"), program.Flags(linux.CloseRangeCloexec, "CLOEXEC"))
	p.Call("execve", syscall.SYS_EXECVE, p.String("/proc/self/fd/"+strconv.Itoa(p.exe)), p.Strings(p.args.Argv, "argv"), p.Strings(p.args.Env, "env"))
	prog, err := p.Assemble()
	if err != nil {
		return 0, err
	}
	started, err := prog.Start(program.StartArgs{Argv: []string{"berthd"}, Files: p.files})
	if err != nil {
		return 0, err
	}
	if meanwhile != nil {
		err = meanwhile(started.Pid)
	}
	if err != nil && !errors.Is(err, errNoStep) {
		started.Kill() // it waits for ids that do not come
	}
	if verr := started.Verdict(); verr != nil && (err == nil || errors.Is(err, errNoStep)) {
		err = verr
	}
	if err != nil {
		started.Kill()
		_, werr := started.Wait()
		return 0, errors.Join(err, werr)
	}
	return started.Pid, nil
}
