// Package network tests networks end to end: the real binaries and kernel, clients
// inside, on the host and on another host, which is a network namespace at the
// end of a cable ([outside]). The whole test process runs in a network namespace of its
// own, which is "the host" here. In containers the test's own binary is server,
// client and resolver (role).
//
// Level: L5, tests only.
// Owns: the tests of what users see of networks: ports, names, isolation, recovery.
// May import: test/berthtest, internal.
// Must not know: how networks are made; it looks at what can be reached.
package network
