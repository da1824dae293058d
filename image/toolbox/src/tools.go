//go:build tools

// Package toolbox pins the modules that mk builds but no package here imports:
// u-root's commands and the program that joins them into one binary.
package toolbox

import (
	_ "github.com/u-root/gobusybox/src/cmd/makebb"
	_ "github.com/u-root/u-root/cmds/core/ls"
)
