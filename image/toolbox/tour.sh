#!/bin/sh
# tour.sh BERTH: the main job of berth on the embedded image. At a terminal, an
# interactive shell in a new container; else a look around inside one.
set -eu
berth=$1

if [ -t 0 ] && [ -t 1 ]; then
	echo "A shell in a new container; exit or Ctrl-D ends it." >&2
	exec "$berth" run --rm -ti toolbox
fi

exec "$berth" run --rm toolbox /bin/sh -c '
show() {
	echo
	echo "# $*"
	"$@"
}
show id
show ps aux
show hostname
show mount
show ip addr
show cat /proc/self/uid_map
'
