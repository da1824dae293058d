// Package seccomp compiles a seccomp profile of the OCI runtime spec to the
// classic BPF program that the kernel runs before every system call.
//
// Level: R.
// Owns: the system call tables, the meaning of a profile, the filter's bytes.
// May import: the standard library, runtime-spec, x/net/bpf, internal/linux.
// Must not know: how a filter is loaded, containers, other rooms.
//
// # What a profile means
//
// The rules are runc's, so that a profile does the same under berth:
//
//   - Names that an ABI does not have are ignored.
//   - A rule whose action equals the default action is ignored.
//   - A rule without arguments decides its call alone; the first one counts.
//     Otherwise the first rule whose arguments match decides.
//   - The arguments of one rule must all match. But if one argument is
//     named twice, each comparison is a rule of its own: they are alternatives.
//   - A call newer than every call that the profile names gets ENOSYS, so that
//     programs fall back to an older one, unless the default action permits.
//   - Where arguments have 32 bits (386, arm, x32), the low half of values counts.
//   - A call of an architecture that the profile does not list kills the thread.
//
// The filters give libseccomp's verdicts, with runc's ENOSYS before it, and
// tests compare the two. They differ on purpose in this:
//
//   - On 386, a rule for a call that socketcall(2) or ipc(2) also reach covers
//     that way in too. Its arguments lie behind a pointer, where a filter cannot
//     see them: a rule on arguments that permits permits nothing this way, one
//     that forbids, traces or logs does so with all. libseccomp compares the
//     pointer instead, and lets socketcall open what a rule on socket(2) denies.
//   - ipc(2) has a version in its upper half, which says nothing about the call.
//     libseccomp looks for version 0 only, so any other goes around its rules.
//   - Calls that x32 and arm number apart do not count for which call is new:
//     for runc nothing on these is new any more.
//   - Of rules of one call that hold at once the first counts. For libseccomp it
//     is the order of its tree, which depends on operators and values, and of
//     some such rules version 2.5 forgets one.
//
// # Shape of the program
//
// A step function over the call numbers is searched by halves, where
// libseccomp compares one number after the other: about ten instructions
// decide any call instead of up to a thousand. On the way to an action that
// needs no arguments only the operations are used that the kernel can evaluate
// when the filter is loaded (kernel/seccomp.c, seccomp_is_const_allow, Linux
// 5.11): calls that are always allowed then do not run the filter at all.
package seccomp

//go:generate go run ./mksyscalls
