package rootless

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/linux/netns"
	"berth/internal/testutil"
	"berth/test/berthtest"

	"github.com/miekg/dns"
)

// roleEnv makes this program a server or a client in a container, not a test.
const roleEnv = "BERTH_ROOTLESS_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "serve":
		serve()
	case "ask":
		answer, err := ask(os.Args[1], os.Args[2])
		fmt.Print(answer)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	berthtest.Main(m)
}

// serve answers at port 80 of TCP and UDP with the client's address.
func serve() {
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		panic(err)
	}
	p, err := net.ListenPacket("udp", ":80")
	if err != nil {
		panic(err)
	}
	go answerUDP(p)
	berthtest.Answer(l)
}

func answerUDP(p net.PacketConn) {
	b := make([]byte, 65535)
	for {
		n, from, err := p.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = fmt.Fprint(writerTo{p, from}, berthtest.Host(from), " ", n)
	}
}

type writerTo struct {
	net.PacketConn
	to net.Addr
}

func (w writerTo) Write(b []byte) (int, error) { return w.WriteTo(b, w.to) }

// large is more than a packet holds, and than the windows of TCP at first.
const large = 4 << 20

// ask returns how a server sees this client; of TCP after much was sent there and
// back, of UDP for a datagram of several fragments.
func ask(proto, addr string) (string, error) {
	c, err := net.DialTimeout(proto, addr, 10*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	if proto == "udp" {
		b := make([]byte, 100)
		if _, err := c.Write(make([]byte, 5000)); err != nil {
			return "", err
		}
		n, err := c.Read(b)
		return string(b[:n]), err
	}
	go func() { // ends with the connection
		_, _ = c.Write(bytes.Repeat([]byte("x"), large))
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	all, err := io.ReadAll(c)
	line, rest, _ := strings.Cut(string(all), "\n")
	if err == nil && len(rest) != large {
		err = fmt.Errorf("%d bytes of %d came back", len(rest), large)
	}
	return line, err
}

const (
	hostAddr  = "192.0.2.1"
	otherAddr = "192.0.2.2"
	farAddr   = "198.51.100.7" // behind the other host
)

// lab is an ordinary user with a berth, and another host.
type lab struct {
	t     *testing.T
	dir   string
	uid   int
	other *os.File
	// setup are further commands of root before each of the user's.
	setup string
	env   []string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	bin := berthtest.Binaries(t)
	testutil.RequireRoot(t)
	dir, err := os.MkdirTemp("", "u-")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: dir, uid: 1_000_000 + os.Getpid()}
	t.Cleanup(func() {
		l.end()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l.sh(fmt.Sprintf(`cd %s; chmod 755 .; mkdir home run bin etc; cp %s/berth %s/berthd bin; cp %s bin/x; chmod 755 bin/*; chmod 700 run
		(cat /etc/passwd; echo tester:x:%d:%d::%s/home:/bin/sh) > etc/passwd
		echo tester:%d:65536 > etc/subid; echo nameserver 127.0.0.53 > etc/resolv.conf; chown %d:%d home run`,
		dir, bin, bin, self, l.uid, l.uid, dir, 1<<28+l.uid*100, l.uid, l.uid))
	l.env = []string{"HOME=" + dir + "/home", "USER=tester", "XDG_RUNTIME_DIR=" + dir + "/run", "PATH=" + dir + "/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	return l
}

func (l *lab) sh(script string) {
	l.t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		l.t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// command is one of the user's.
func (l *lab) command(args ...string) *exec.Cmd {
	script := fmt.Sprintf(`cd %s; mount --bind etc/passwd /etc/passwd; mount --bind etc/subid /etc/subuid; mount --bind etc/subid /etc/subgid
		mount --bind etc/resolv.conf /etc/resolv.conf
		mkdir -p /dev/net; mount -t tmpfs net /dev/net; mknod -m 666 /dev/net/tun c 10 200; %s
		exec setpriv --reuid %d --regid %d --clear-groups "$@"`, l.dir, l.setup, l.uid, l.uid)
	cmd := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "sh", "-ec", script, "sh"}, args...)...)
	cmd.Env = l.env
	return cmd
}

func (l *lab) berth(args ...string) (out string, err error) {
	b, err := l.command(append([]string{"berth"}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(b)), err
}

func (l *lab) must(args ...string) string {
	l.t.Helper()
	out, err := l.berth(args...)
	if err != nil {
		l.t.Fatalf("berth %s: %v: %s\n%s", strings.Join(args, " "), err, out, l.log())
	}
	return out
}

func (l *lab) log() string {
	b, _ := os.ReadFile(l.dir + "/run/berth/berthd.log") // there may be none
	return string(b)
}

// player are the arguments that make a container play a role.
func (l *lab) player(role string) []string {
	return []string{"-v", l.dir + "/bin/x:/x:ro", "-e", roleEnv + "=" + role}
}

// serve runs a container that serves port 80.
func (l *lab) serve(name string, options ...string) {
	l.t.Helper()
	args := append([]string{"run", "-d", "--name", name}, l.player("serve")...)
	l.must(append(append(args, options...), "toolbox", "/x")...)
}

// askFrom asks from a new container.
func (l *lab) askFrom(network, proto, addr string) (string, error) {
	args := append([]string{"run", "--rm", "--network", network}, l.player("ask")...)
	return l.berth(append(args, "toolbox", "/x", proto, addr)...)
}

// processes are those of the user, without those that have ended.
func (l *lab) processes() (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		fi, err := os.Stat(p)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(p + "/stat")
		_, state, _ := strings.Cut(string(stat), ") ")
		st, ok := fi.Sys().(*syscall.Stat_t)
		if err == nil && ok && int(st.Uid) == l.uid && !strings.HasPrefix(state, "Z") {
			pid, _ := strconv.Atoi(filepath.Base(p))
			pids = append(pids, pid)
		}
	}
	return pids
}

// daemons are the two processes of the user's berthd.
func (l *lab) daemons() (pids []int) {
	for _, pid := range l.processes() {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.TrimSpace(string(comm)) == "berthd" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill ends some of the user's processes and waits for it.
func (l *lab) kill(sig syscall.Signal, pids ...int) {
	l.t.Helper()
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig) // it may have ended
	}
	l.poll(func() error {
		if left := l.daemons(); len(left) > 0 {
			return fmt.Errorf("berthd still runs: %v", left)
		}
		return nil
	})
}

func (l *lab) poll(f func() error) {
	l.t.Helper()
	if err := berthtest.Poll(f); err != nil {
		l.t.Fatalf("%v\n%s", err, l.log())
	}
}

// end removes the user's containers and daemon, and says what is left.
func (l *lab) end() {
	if ids, err := l.berth("ps", "-aq"); err == nil && ids != "" {
		l.must(append([]string{"rm", "-f"}, strings.Fields(ids)...)...)
	}
	if d := l.daemons(); len(d) > 0 {
		l.kill(syscall.SIGTERM, d[0])
	}
	for _, pid := range l.processes() {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		l.t.Errorf("left behind: process %d: %q", pid, cmdline)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, dir := range []string{"run/berth/containers", "home/.local/share/berth/containers"} {
		if entries, _ := os.ReadDir(filepath.Join(l.dir, dir)); len(entries) > 0 {
			l.t.Errorf("left behind: %s in %s", entries, dir)
		}
	}
	if l.t.Failed() {
		l.t.Log(l.log())
	}
}

// cable makes the other host, with a server of TCP and UDP at port 80, and a name
// server at the host's loopback address that knows far.test.
func (l *lab) cable() {
	t := l.t
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	l.other = ns
	l.sh(fmt.Sprintf(`ip link add cable type veth peer name eth0 netns /proc/%d/fd/%d; ip addr add %s/24 dev cable
		ip link set cable up; ip route add default via %s`, os.Getpid(), ns.Fd(), hostAddr, otherAddr))
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", "cable").Run() // it may be gone with its end
		_ = ns.Close()
	})
	var tcp net.Listener
	var udp net.PacketConn
	err = netns.Do(ns, func() (err error) {
		l.sh(fmt.Sprintf("ip link set lo up; ip addr add %s/24 dev eth0; ip addr add %s/32 dev lo; ip link set eth0 up", otherAddr, farAddr))
		if tcp, err = net.Listen("tcp4", ":80"); err != nil {
			return err
		}
		udp, err = net.ListenPacket("udp4", ":80")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names, err := net.ListenPacket("udp4", "127.0.0.53:53")
	if err != nil {
		t.Fatal(err)
	}
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Name == "far.test." && q.Question[0].Qtype == dns.TypeA {
			rr, _ := dns.NewRR("far.test. 60 IN A " + farAddr)
			m.Answer = []dns.RR{rr}
		}
		_ = w.WriteMsg(m) // it is asked again
	})
	server := &dns.Server{PacketConn: names, Handler: answer}
	go func() { _ = server.ActivateAndServe() }() // ends below
	go berthtest.Answer(tcp)
	go answerUDP(udp)
	t.Cleanup(func() {
		if err := errors.Join(tcp.Close(), udp.Close(), names.Close()); err != nil {
			t.Error(err)
		}
	})
}

// askFromOther asks from the other host.
func (l *lab) askFromOther(proto, addr string) (answer string, err error) {
	err = netns.Do(l.other, func() (err error) {
		answer, err = ask(proto, addr)
		return err
	})
	return answer, err
}
