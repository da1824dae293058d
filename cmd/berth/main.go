// Command berth is the command line of the container engine.
//
// Level: L5.
// Owns: nothing; it hands its arguments to package cli.
// May import: cli.
// Must not know: what the commands do.
package main

import (
	"context"
	"os"

	"berth/cli"
)

// version is set by the linker (-X main.version=...).
var version = "unknown"

func main() { os.Exit(cli.Main(context.Background(), os.Args[1:], version)) }
