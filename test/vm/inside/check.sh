# check NAME WANT GOT: says whether they are equal; sets failed.
failed=0
check() {
	[ "$2" = "$3" ] && { echo "ok  	vm: $1"; return; }
	failed=1
	printf -- '--- FAIL: %s\n    got  %s\n    want %s\n' "$1" "$3" "$2"
}

# like NAME PATTERN GOT: the same, with a pattern of the shell.
like() {
	# shellcheck disable=SC2053 # a pattern
	[[ $3 == $2 ]] && { echo "ok  	vm: $1"; return; }
	failed=1
	printf -- '--- FAIL: %s\n    got  %s\n    want something like %s\n' "$1" "$3" "$2"
}

# bundle DIR FILTER SCRIPT: makes DIR a bundle whose command is SCRIPT, with what
# the jq filter changes in berth-oci spec's document.
bundle() {
	mkdir -p "$1/rootfs/bin" "$1/rootfs/data"
	[ -e "$1/rootfs/bin/busybox" ] || { cp /bin/busybox "$1/rootfs/bin/" && busybox --list | (cd "$1/rootfs/bin" && xargs -n 1 ln -s busybox 2>/dev/null); }
	rm -f "$1/config.json"
	berth-oci spec ${rootless:+--rootless} --bundle "$1" &&
		jq --arg script "$3" '.process.terminal = false | .process.args = ["sh", "-c", $script] | .root.readonly = false | '"$2" "$1/config.json" > "$1/new" &&
		mv "$1/new" "$1/config.json"
}

# quiet COMMAND...: prints its output only if it fails. A container that goes on
# in the background keeps the files, so they are no pipe that somebody reads.
quiet() { timeout 60 "$@" < /dev/null > "$HOME/quiet" 2>&1 || cat "$HOME/quiet"; }
