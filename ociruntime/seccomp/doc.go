// Package seccomp compiles a seccomp profile of the OCI runtime spec to the
// classic BPF program that the kernel runs before every system call.
//
// Level: R.
// Owns: the system call tables, the meaning of a profile, the filter's bytes.
// May import: the standard library, runtime-spec, x/net/bpf.
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
//   - On 386, a rule for a call that socketcall(2) or ipc(2) also reach covers
//     that way in too. As a filter cannot see arguments there, a rule on them
//     that forbids forbids all, and one that permits permits nothing.
//   - A call of an architecture that the profile does not list kills the thread.
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
