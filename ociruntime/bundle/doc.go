// Package bundle reads OCI bundles: config.json, and the process documents of exec.
//
// Level: R.
// Owns: what of these documents is accepted, and which container ids.
// May import: ociruntime/plan/number, internal/linux, internal/jsonscan, internal/fault, errdefs, runtime-spec.
// Must not know: how a container is made.
//
// What a document asks for is checked here as far as that needs no look at the
// host: enumerations hold only what the specification names, what needs a
// namespace has one, numbers are in their ranges. An error is one line that names
// the property, what is wrong, and what to do. What other runtimes only warn
// about is a warning here too: a capability without a meaning, a destination
// that is not absolute.
package bundle
