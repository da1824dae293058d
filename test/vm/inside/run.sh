#!/bin/bash
# run.sh PACKAGE...: what runs in the virtual machine: the tests of these
# packages and then SCRIPTS. Prints what go test prints: of a package that fails,
# its failed tests with their output.
export BERTH_TEST_ROOT=1 BERTH_TEST_VM=$BOOT BERTH_TEST_BIN=/mnt/share/bin TMPDIR=/tmp PATH=/mnt/share/bin:$PATH
share=/mnt/share
failed=0

# What the machine lacks: qemu-user, the go command, debootstrap, libseccomp-dev, runc, docker.
lacking='^(TestArm64|TestDisassembly|TestPullDebian|TestInstructionsExecuted|TestLikeRunc|.*DockerCLI|.*AgainstLibseccomp)$'
# Of these the systemd boot is the place, as root and as the user who is logged in.
systemd='Systemd' rootless='Rootless'

# tests NAME ARGUMENT...: runs the test binary in this directory.
# A skip is a failure here, where everything is.
tests() {
	local name=$1 start=$EPOCHREALTIME code=0
	shift
	"$@" -test.v -test.timeout 4m > /tmp/output 2>&1 || code=$?
	awk -v code=$code -v name="$name" -v seconds="$(( (${EPOCHREALTIME/./} - ${start/./}) / 100000 ))" \
		-f $share/inside/report.awk /tmp/output || failed=1
}

# matching PATTERN: a regular expression for the tests here that match it and RUN.
matching() {
	./test -test.list "${RUN:-.}" | grep -e "$1" | grep -v -x -e TestSystemdDriverInNamespaces | sed 's/.*/^&$/' | paste -sd '|'
}

for p in "$@"; do
	cd "$share/tests/$p" || exit 1
	case $BOOT in
	plain) tests "$p" ./test -test.run "$RUN" -test.skip "$lacking|$systemd|$rootless" ;;
	systemd)
		root=$(matching "$systemd") user=$(matching "$rootless")
		[ -z "$root" ] || tests "$p, systemd" ./test -test.run "$root"
		[ -z "$user" ] || tests "$p, as a user" "$share/inside/as-user.sh" ./test -test.run "$user"
		;;
	esac
done
cd $share || exit 1
for script in $SCRIPTS; do
	"inside/$script.sh" || failed=1
done
exit $failed
