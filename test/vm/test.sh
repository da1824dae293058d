#!/bin/bash
# test.sh DIR [PACKAGE...]: builds the tests that need a kernel, and bin/berth is
# there already; runs them in the virtual machine of DIR, which is made first.
# What needs tools that the machine lacks is left to make test.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=${1:?usage: test.sh DIR [PACKAGE...]}
shift
packages=${*:-internal/linux ociruntime/lifecycle ociruntime/cgroups ociruntime/program snapshot/overlay layer spec image cli/launch cmd/berthd test/integration}

test/vm/build.sh "$dir"
share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT
cp test/vm/inside.sh test/vm/berth.sh bin/berth bin/berthd "$share/"
for p in $packages; do
	mkdir -p "$share/tests/$p"
	CGO_ENABLED=0 go test -c -o "$share/tests/$p/test" "./$p"
	[ ! -d "$p/testdata" ] || cp -r "$p/testdata" "$share/tests/$p/"
done
test/vm/run.sh "$dir" "$share" "bash inside.sh $packages"
