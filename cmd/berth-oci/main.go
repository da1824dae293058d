// Command berth-oci is an OCI runtime with runc's command line.
//
// Level: L5.
// Owns: nothing; it hands its arguments to package runc.
// May import: api/runc.
// Must not know: what the commands do.
package main

import (
	"context"
	"os"

	"berth/api/runc"
)

// version and commit are set by the linker (-X main.version=...).
var (
	version = "unknown"
	commit  = ""
)

func main() { os.Exit(runc.Main(context.Background(), os.Args[1:], version, commit)) }
