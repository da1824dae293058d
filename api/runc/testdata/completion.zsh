#compdef berth-oci
_berth_oci() {
	local -a commands
	commands=(
		'create:Make a container from a bundle; its command waits for start'
		'start:Run the command of a created container'
		'run:Make a container from a bundle and run its command'
		'exec:Run a further process in a container'
		'kill:Send a signal to a container'\''s first process'
		'delete:Remove a stopped container'
		'state:Print a container'\''s state as JSON'
		'list:List the containers below --root'
		'ps:List the processes in a container'
		'pause:Freeze all processes of a container'
		'resume:Let a paused container run on'
		'update:Change the limits of a container'
		'events:Print what a container uses, and when it runs out of memory'
		'checkpoint:Write a running container'\''s processes to disk, with CRIU'
		'restore:Make a container whose processes come from a checkpoint'
		'spec:Write a config.json to start from'
		'features:Print what this runtime can do, as JSON'
		'help:Show help'
		'completion:Print a script that completes berth-oci'\''s words in a shell'
	)
	if ((CURRENT == 2)); then
		_describe command commands
		return
	fi
	case $words[2] in
	create)
		if [[ $PREFIX == -* ]]; then compadd -- --bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds --no-pivot --no-new-keyring --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	start)
		if [[ $PREFIX == -* ]]; then compadd -- --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	run)
		if [[ $PREFIX == -* ]]; then compadd -- --bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds --no-pivot --no-new-keyring --detach -d --keep --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	exec)
		if [[ $PREFIX == -* ]]; then compadd -- --process -p --cwd --env -e --tty -t --user -u --additional-gids -g --cap -c --no-new-privs --apparmor --process-label --console-socket --pidfd-socket --pid-file --preserve-fds --detach -d --cgroup --ignore-paused --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	kill)
		if [[ $PREFIX == -* ]]; then compadd -- --all -a --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	delete)
		if [[ $PREFIX == -* ]]; then compadd -- --force -f --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	state)
		if [[ $PREFIX == -* ]]; then compadd -- --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	list)
		if [[ $PREFIX == -* ]]; then compadd -- --format -f --quiet -q --help
		else _files
		fi ;;
	ps)
		if [[ $PREFIX == -* ]]; then compadd -- --format -f --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	pause)
		if [[ $PREFIX == -* ]]; then compadd -- --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	resume)
		if [[ $PREFIX == -* ]]; then compadd -- --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	update)
		if [[ $PREFIX == -* ]]; then compadd -- --resources -r --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --memory --cpu-idle --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	events)
		if [[ $PREFIX == -* ]]; then compadd -- --interval --stats --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	checkpoint)
		if [[ $PREFIX == -* ]]; then compadd -- --image-path --work-path --tcp-established --ext-unix-sk --shell-job --lazy-pages --file-locks --manage-cgroups-mode --empty-ns --auto-dedup --parent-path --leave-running --tcp-skip-in-flight --link-remap --status-fd --page-server --pre-dump --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	restore)
		if [[ $PREFIX == -* ]]; then compadd -- --bundle -b --console-socket --pid-file --detach -d --no-pivot --lsm-profile --lsm-mount-context --image-path --work-path --tcp-established --ext-unix-sk --shell-job --lazy-pages --file-locks --manage-cgroups-mode --empty-ns --auto-dedup --help
		else compadd -- ${(f)"$(berth-oci list -q 2>/dev/null)"}
		fi ;;
	spec)
		if [[ $PREFIX == -* ]]; then compadd -- --bundle -b --rootless --help
		else _files
		fi ;;
	features)
		if [[ $PREFIX == -* ]]; then compadd -- --help
		else _files
		fi ;;
	help)
		if [[ $PREFIX == -* ]]; then compadd -- --help
		else _files
		fi ;;
	completion)
		if [[ $PREFIX == -* ]]; then compadd -- --help
		else _files
		fi ;;
	esac
}
_berth_oci "$@"
