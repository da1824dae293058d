package toolbox

import "embed"

// The directory always holds a README, so that this compiles before the archive
// is built.
//
//go:embed embed/amd64
var files embed.FS

const dir = "embed/amd64"
