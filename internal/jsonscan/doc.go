// Package jsonscan reads and writes JSON documents from front to back, into and
// from what the caller names, without reflection.
//
// Level: L0.
// Owns: nothing.
// May import: the standard library.
// Must not know: what the documents mean.
//
// encoding/json learns a Go type by reflection the first time it meets it: for
// the OCI runtime's specs.Spec that takes a process 2 ms, a tenth of which is
// reading. A process that lives for 5 ms reads its documents with this package:
//
//	r := jsonscan.New(data)
//	for key := range r.Members() {
//		switch key {
//		case "path":
//			jsonscan.String(r, &root.Path)
//		default:
//			r.Skip()
//		}
//	}
//	err := r.End()
//
// It is as strict as RFC 8259, and refuses what two readers could take for two
// things: a name twice in one object, text after the document, a zero byte in
// a string. null leaves a value as it was.
package jsonscan
