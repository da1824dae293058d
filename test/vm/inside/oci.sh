#!/bin/bash
# What berth-oci does with bundles on cgroup v2 alone, as root who has every
# capability, with AppArmor.
. inside/check.sh
b=/root/oci
# run FILTER SCRIPT: what the script prints in a container.
run() { bundle $b "$1" "$2" && timeout 60 berth-oci run --bundle $b once 2>&1; }
# start FILTER SCRIPT: the same in the background, as "c".
start() { bundle $b "$1" "$2" && quiet berth-oci run --detach --bundle $b c; }
inside() { timeout 60 berth-oci exec c "$@" 2>&1; }
group() { echo /sys/fs/cgroup"$(cut -d: -f3 < /proc/"$(berth-oci state c | jq .pid)"/cgroup)"; }
rm -rf $b

check 'oci: oom_score_adj below 0' '-777' "$(run '.process.oomScoreAdj = -777' 'cat /proc/self/oom_score_adj')"
check 'oci: limits above the caller'\''s' '900000 1000000 1073741824 123456' "$(ulimit -Hn 5000; run '.process.rlimits = [
	{type: "RLIMIT_NOFILE", soft: 900000, hard: 1000000}, {type: "RLIMIT_MEMLOCK", soft: 1073741824, hard: 1073741824},
	{type: "RLIMIT_MSGQUEUE", soft: 123456, hard: 123456}]' \
	'cat /proc/self/limits' | awk '/open files/ {print $4, $5} /locked memory/ {print $4} /msgqueue/ {print $4} /berth-oci/' | xargs)"

apparmor_parser -r <<-'END'
	profile berth-vm flags=(attach_disconnected) {
		file, signal, network, capability, mount, ptrace,
		deny /data/** w,
	}
	profile berth-vm-exec flags=(attach_disconnected) { file, signal, deny /bin/ w, }
END
apparmor='.process.apparmorProfile = "berth-vm"'
check 'oci: AppArmor profile' 'berth-vm (enforce)' "$(run "$apparmor" 'cat /proc/self/attr/apparmor/current /proc/self/attr/current | uniq')"
like 'oci: AppArmor holds' "*can't create /data/x: Permission denied*" "$(run "$apparmor" 'touch /free; echo x > /data/x')"
like 'oci: AppArmor profile that is not loaded' '*berth-vm-none*' "$(run '.process.apparmorProfile = "berth-vm-none"' 'echo ran')"
start "$apparmor" 'exec sleep 1000'
check 'oci: AppArmor of exec' 'berth-vm (enforce)' "$(inside cat /proc/self/attr/current)"
check 'oci: AppArmor of exec, another profile' 'berth-vm-exec (enforce)' "$(timeout 60 berth-oci exec --apparmor berth-vm-exec c cat /proc/self/attr/current 2>&1)"
check 'oci: exec is in the container'\''s cgroup' "0::/" "$(inside cat /proc/self/cgroup)"
berth-oci delete --force c

check 'oci: cgroup v2 settings' '200 50000000 61000000 77 30000 200000 0 0' "$(run '.linux.resources = {
	unified: {"cpu.weight": "200", "memory.high": "50003968"}, memory: {limit: 60997632}, pids: {limit: 77}, cpu: {quota: 30000, period: 200000, cpus: "0", mems: "0"}}' \
	'cd /sys/fs/cgroup; cat cpu.weight; cat memory.high memory.max | sed "s/50003968/50000000/; s/60997632/61000000/"; cat pids.max cpu.max cpuset.cpus cpuset.mems' | xargs)"
device=$(cat /sys/block/vda/dev)
check 'oci: io.max' "$device rbps=1048576 wbps=max riops=max wiops=500" "$(run ".linux.resources.blockIO = {
	throttleReadBpsDevice: [{major: ${device%:*}, minor: ${device#*:}, rate: 1048576}], throttleWriteIOPSDevice: [{major: ${device%:*}, minor: ${device#*:}, rate: 500}]}" \
	'cat /sys/fs/cgroup/io.max')"
like 'oci: a setting the kernel refuses' '*cpu.weight*' "$(run '.linux.resources.unified = {"cpu.weight": "0"}' 'echo ran')"
check 'oci: device rules' 'null 0 loop 1' "$(run '.linux.devices = [{path: "/dev/loop-control", type: "c", major: 10, minor: 237, fileMode: 438}]' \
	'(echo x > /dev/null) 2> /dev/null; echo null $?; (: < /dev/loop-control) 2> /dev/null; echo loop $?' | xargs)"
check 'oci: a device that is allowed' 'loop 0' "$(run '.linux.devices = [{path: "/dev/loop-control", type: "c", major: 10, minor: 237, fileMode: 438}] |
	.linux.resources.devices = [{allow: false, access: "rwm"}, {allow: true, type: "c", major: 10, minor: 237, access: "r"}]' '(: < /dev/loop-control) 2> /dev/null; echo loop $?')"

check 'oci: time namespace' 'yes' "$(run '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 1000000, nanosecs: 0}}' \
	'up=$(cut -d. -f1 /proc/uptime); [ $up -gt 1000000 ] && [ $up -lt 1100000 ] && echo yes || echo $up')"
mkdir -p /srv/map && touch /srv/map/f && chown 5:6 /srv/map /srv/map/f
userns='.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 600000, size: 1000}] | .linux.gidMappings = .linux.uidMappings'
chown 600000:600000 $b/rootfs
check 'oci: id map of a mount, in a user namespace' '0:1 0:0' "$(run "$userns"' | .mounts += [{destination: "/data", source: "/srv/map", options: ["rbind"],
	uidMappings: [{containerID: 5, hostID: 600000, size: 10}], gidMappings: [{containerID: 5, hostID: 600000, size: 10}]}]' 'stat -c %u:%g /data/f; touch /data/new; stat -c %u:%g /data/new' | xargs)"
check 'oci: the same, on the disk' '5:5' "$(stat -c %u:%g /srv/map/new)"
check 'oci: id map of a mount, without one' '105:206' "$(run '.mounts += [{destination: "/data", source: "/srv/map", options: ["bind", "idmap"],
	uidMappings: [{containerID: 0, hostID: 100, size: 10}], gidMappings: [{containerID: 0, hostID: 200, size: 10}]}]' 'stat -c %u:%g /data/f')"

start '.linux.resources.memory = {limit: 16777216, swap: 16777216}' 'sleep 1000 & exec sleep 1000'
check 'oci: exec that runs out of memory' 137 "$(inside dd if=/dev/zero of=/dev/shm/x bs=1M count=40 > /dev/null; echo $?)"
check 'oci: it is counted' 'oom_kill 1' "$(grep '^oom_kill ' "$(group)/memory.events")"
check 'oci: update' '33554432 44 20000 100000' "$(berth-oci update --memory 33554432 --memory-swap 33554432 --pids-limit 44 --cpu-quota 20000 --cpu-period 100000 c 2>&1;
	cd "$(group)" && cat memory.max pids.max cpu.max | xargs)"
check 'oci: update, unified' '150' "$(echo '{"unified": {"cpu.weight": "150"}}' | berth-oci update --resources - c 2>&1; cat "$(group)/cpu.weight")"
check 'oci: stats' 'stats c 44' "$(berth-oci events --stats c | jq -r '"\(.type) \(.id) \(.data.pids.limit)"')"
berth-oci pause c
check 'oci: pause' 'paused frozen 1' "$(berth-oci state c | jq -r .status) $(grep frozen "$(group)/cgroup.events")"
like 'oci: exec in a paused container' '*paused*' "$(inside true)"
berth-oci resume c
check 'oci: resume' 'running frozen 0' "$(berth-oci state c | jq -r .status) $(grep frozen "$(group)/cgroup.events")"
g=$(group) first=$(berth-oci state c | jq .pid)
berth-oci kill --all c KILL
timeout 20 tail --pid="$first" -f /dev/null
check 'oci: kill --all' 'populated 0' "$(timeout 10 sh -c "until grep -q 'populated 0' $g/cgroup.events; do :; done"; grep populated "$g/cgroup.events")"
check 'oci: delete' 'gone' "$(berth-oci delete c 2>&1; [ -d "$g" ] || echo gone)"
start . 'trap "" TERM; sleep 1000 & sleep 1000'
berth-oci pause c
check 'oci: delete --force of a paused container' '' "$(berth-oci delete --force c 2>&1; berth-oci list -q)"
check 'oci: nothing left' '' "$(grep oci /proc/self/mounts; ls -A /run/berth-oci 2>/dev/null; find /sys/fs/cgroup -mindepth 1 -type d | grep -v -e init.scope -e /berth)"
exit $failed
