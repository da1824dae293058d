# bash completion for berth-oci
_berth_oci() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= i flags= values= ids=
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--log | --log-format | --root | --rootless | --criu) ((i++)) ;;
		-*) ;;
		*) cmd=${COMP_WORDS[i]}; break ;;
		esac
	done
	case $cmd in
	"") flags="--debug --log --log-format --root --systemd-cgroup --rootless --criu --version -v --help"; values="--log --log-format --root --rootless --criu" ;;
	create) flags="--bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds --no-pivot --no-new-keyring --help"; values="--bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds"; ids=1 ;;
	start) flags="--help"; values=""; ids=1 ;;
	run) flags="--bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds --no-pivot --no-new-keyring --detach -d --keep --help"; values="--bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds"; ids=1 ;;
	exec) flags="--process -p --cwd --env -e --tty -t --user -u --additional-gids -g --cap -c --no-new-privs --apparmor --process-label --console-socket --pidfd-socket --pid-file --preserve-fds --detach -d --cgroup --ignore-paused --help"; values="--process -p --cwd --env -e --user -u --additional-gids -g --cap -c --apparmor --process-label --console-socket --pidfd-socket --pid-file --preserve-fds --cgroup"; ids=1 ;;
	kill) flags="--all -a --help"; values=""; ids=1 ;;
	delete) flags="--force -f --help"; values=""; ids=1 ;;
	state) flags="--help"; values=""; ids=1 ;;
	list) flags="--format -f --quiet -q --help"; values="--format -f"; ids= ;;
	ps) flags="--format -f --help"; values="--format -f"; ids=1 ;;
	pause) flags="--help"; values=""; ids=1 ;;
	resume) flags="--help"; values=""; ids=1 ;;
	update) flags="--resources -r --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --memory --cpu-idle --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema --help"; values="--resources -r --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --memory --cpu-idle --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema"; ids=1 ;;
	events) flags="--interval --stats --help"; values="--interval"; ids=1 ;;
	checkpoint) flags="--image-path --work-path --tcp-established --ext-unix-sk --shell-job --lazy-pages --file-locks --manage-cgroups-mode --empty-ns --auto-dedup --parent-path --leave-running --tcp-skip-in-flight --link-remap --status-fd --page-server --pre-dump --help"; values="--image-path --work-path --manage-cgroups-mode --empty-ns --parent-path --status-fd --page-server"; ids=1 ;;
	restore) flags="--bundle -b --console-socket --pid-file --detach -d --no-pivot --lsm-profile --lsm-mount-context --image-path --work-path --tcp-established --ext-unix-sk --shell-job --lazy-pages --file-locks --manage-cgroups-mode --empty-ns --auto-dedup --help"; values="--bundle -b --console-socket --pid-file --lsm-profile --lsm-mount-context --image-path --work-path --manage-cgroups-mode --empty-ns"; ids=1 ;;
	spec) flags="--bundle -b --rootless --help"; values="--bundle -b"; ids= ;;
	features) flags="--help"; values=""; ids= ;;
	help) flags="--help"; values=""; ids= ;;
	completion) flags="--help"; values=""; ids= ;;
	esac
	if [[ " $values " == *" $prev "* ]]; then
		COMPREPLY=($(compgen -f -- "$cur"))
	elif [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
	elif [[ -z $cmd ]]; then
		COMPREPLY=($(compgen -W "create start run exec kill delete state list ps pause resume update events checkpoint restore spec features help completion" -- "$cur"))
	elif [[ -n $ids ]]; then
		COMPREPLY=($(compgen -W "$(berth-oci list -q 2>/dev/null)" -- "$cur"))
	fi
}
complete -F _berth_oci berth-oci
