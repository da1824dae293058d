// Package spec turns an image's configuration and a request in Docker's terms
// into an OCI runtime spec.
//
// Level: L1.
// Owns: what each option of a request means, its defaults and its limits.
// May import: internal/*, ociruntime/seccomp, moby/moby/api, moby/profiles/seccomp, image-spec, runtime-spec.
// Must not know: the engine, stored images and containers, how a spec is run.
//
// [Build] is pure: what it needs to know of the host comes as plain values in
// [Host]. A wrong request is an error of class invalid argument with one line
// that names the option, what is wrong and what to do.
//
// The order of use: [Merge] the image's configuration into the request,
// [ResolveUser] against the image's /etc/passwd and /etc/group, [Mounts] to
// learn which volumes the request needs, fill in their sources, [Build].
package spec
