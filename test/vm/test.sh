#!/bin/bash
# test.sh DIR [PACKAGE...]: builds the tests of these packages (all that need a
# kernel) and runs them, and bin/, in the virtual machine of DIR, which is made
# first. inside/run.sh says what runs in each of its boots. Variables narrow it down:
#   SET      runtime: without the packages that make images (.ci/run)
#   BOOTS    which boots: plain, systemd (both, one after the other)
#   SCRIPTS  which scripts of inside/ after them: oci, berth, systemd (all, if no
#            PACKAGE is given)
#   RUN      a regular expression: the tests whose names match
#   COMMAND  a shell command that runs in place of the tests, with bin/ in PATH
#            and the test binaries at tests/PACKAGE/test
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=${1:?usage: test.sh DIR [PACKAGE...]}
shift

test/vm/build.sh "$dir"
share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT
cp -r test/vm/inside bin "$share/"
mkdir -p "$share/tests/built"
if [ $# = 0 ] && [ -z "${COMMAND-}" ]; then
	# Root tests of rooms that talk to the kernel, and of what is built on them.
	set -- internal/linux test/integration cmd/berth-oci
	[ "${SET-}" = runtime ] || set -- "$@" snapshot/overlay layer spec image cli/launch cmd/berthd
	for p in ociruntime/*/; do
		[ -z "$(find "$p" -maxdepth 1 -name '*_test.go')" ] || set -- "${p%/}" "$@"
	done
	: "${SCRIPTS=oci berth systemd}"
fi
if [ $# != 0 ]; then
	# shellcheck disable=SC2046 # a list
	CGO_ENABLED=0 go test -c -ldflags '-s -w' -o "$share/tests/built/" $(printf './%s ' "$@")
fi
for p in "$@"; do
	mkdir -p "$share/tests/$p"
	mv "$share/tests/built/$(basename "$p").test" "$share/tests/$p/test"
	[ ! -d "$p/testdata" ] || cp -r "$p/testdata" "$share/tests/$p/"
done

# scripts BOOT: those of SCRIPTS that are for this boot.
scripts() {
	for s in ${SCRIPTS-}; do
		case $1:$s in systemd:systemd | plain:oci | plain:berth) echo "$s" ;; esac
	done | xargs
}

failed=0
for boot in ${BOOTS:-plain systemd}; do
	if [ -n "${COMMAND-}" ]; then
		command="PATH=/mnt/share/bin:\$PATH; $COMMAND"
	else
		command="BOOT=$boot RUN='${RUN-}' SCRIPTS='$(scripts "$boot")' bash inside/run.sh $*"
	fi
	BOOT=$boot test/vm/run.sh "$dir" "$share" "$command" || failed=$?
done
exit $failed
