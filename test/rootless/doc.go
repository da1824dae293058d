// Package rootless tests berth as an ordinary user end to end: the real binaries
// and kernel, and another host at the end of a cable. The machine's users stay as they
// are: each command runs in a mount namespace of its own, in which /etc/passwd, /etc/subuid
// and /etc/subgid know one user more, and /dev/net/tun is open to users. The test process
// runs in a network namespace of its own, which is "the host" here.
//
// Level: L5, tests only.
// Owns: the tests of what an ordinary user sees.
// May import: test/berthtest, internal.
// Must not know: how namespaces are made, and packets led.
package rootless
