#!/bin/sh
# tour.sh BERTH: the main job of berth on the embedded image. At a terminal, an
# interactive shell in a new container; else a look around inside one.
set -eu
berth=$1

if [ -t 0 ] && [ -t 1 ]; then
	echo "A shell in a new container; exit or Ctrl-D ends it." >&2
	code=0
	"$berth" run --rm -ti --network none toolbox || code=$?
	case $code in
	125 | 126 | 127) exit "$code" ;; # it did not start, and said why
	esac
	exit 0 # what the shell ended with is the user's business
fi

"$berth" run --rm -i --network none toolbox <<'TOUR'
show() { echo; echo "# $*"; "$@"; }
echo "Inside a new container:"
show id
show ps aux
show hostname
show mount
show ip addr
show cat /proc/self/uid_map
TOUR
