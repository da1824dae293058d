#!/bin/bash
# as-user.sh COMMAND...: runs it as the user with the id 1000, in a service of that
# user's systemd with a cgroup that is delegated, and exits with its code.
exec setpriv --reuid 1000 --regid 1000 --clear-groups env HOME=/home/user USER=user XDG_RUNTIME_DIR=/run/user/1000 \
	DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus \
	systemd-run --user --quiet --pipe --wait --collect --working-directory="$PWD" --property=Delegate=yes \
	--setenv=BERTH_TEST_ROOT= --setenv=BERTH_TEST_BIN="$BERTH_TEST_BIN" --setenv=BERTH_TEST_VM="$BERTH_TEST_VM" --setenv=PATH="$PATH" --setenv=TMPDIR=/tmp "$@"
