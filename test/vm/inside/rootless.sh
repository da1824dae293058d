#!/bin/bash
# What berth-oci does for an ordinary user with subordinate ids and a cgroup that
# systemd delegated.
. inside/check.sh
rootless=1 b=$HOME/oci
ids='.linux.uidMappings = [{containerID: 0, hostID: 1000, size: 1}, {containerID: 1, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
check 'rootless: the cgroup of a user' 'user@1000.service' "$(cut -d/ -f4 /proc/self/cgroup)"
check 'rootless: controllers' 'cpu memory pids' "$(cat /sys/fs/cgroup"$(cut -d: -f3 /proc/self/cgroup)"/cgroup.controllers)"

bundle "$b" . 'id -u; cat /proc/self/uid_map'
check 'rootless: run, one id' '0 0 1000 1' "$(timeout 60 berth-oci run --bundle "$b" once 2>&1 | xargs)"
bundle "$b" "$ids"' | .process.capabilities |= map_values(. + ["CAP_CHOWN"])' 'touch /data/f; chown 7:8 /data/f; stat -c %u:%g /data/f; cat /proc/self/uid_map'
check 'rootless: run, subordinate ids' '7:8 0 1000 1 1 100000 65536' "$(timeout 60 berth-oci run --bundle "$b" once 2>&1 | xargs)"
check 'rootless: the owner outside' '100006:100007' "$(stat -c %u:%g "$b/rootfs/data/f")"

bundle "$b" "$ids" 'exec sleep 1000'
check 'rootless: create' '' "$(quiet berth-oci create --bundle "$b" c)"
check 'rootless: created' 'created' "$(berth-oci state c | jq -r .status)"
check 'rootless: start' 'running' "$(berth-oci start c 2>&1; berth-oci state c | jq -r .status)"
check 'rootless: exec' '3 4' "$(timeout 60 berth-oci exec --user 3:4 c sh -c 'echo $(id -u) $(id -g)' 2>&1)"
check 'rootless: delete' '' "$(berth-oci delete --force c 2>&1; berth-oci list -q)"

limits='.linux.resources = {memory: {limit: 33554432}, pids: {limit: 44}, cpu: {quota: 20000, period: 100000}}'
bundle "$b" "$ids | $limits" 'cd /sys/fs/cgroup && cat memory.max pids.max cpu.max'
check 'rootless: limits, cgroupfs' '33554432 44 20000 100000' "$(timeout 60 berth-oci run --bundle "$b" once 2>&1 | xargs)"
bundle "$b" "$ids | $limits"' | .linux.cgroupsPath = "user.slice:berth:two"' 'cd /sys/fs/cgroup && cat memory.max pids.max cpu.max; exec sleep 1000'
check 'rootless: limits, systemd' '33554432 44 20000 100000' "$(timeout 60 berth-oci --systemd-cgroup run --detach --bundle "$b" two < /dev/null > "$HOME/out" 2>&1
	timeout 20 sh -c "until [ \$(wc -l < $HOME/out) = 3 ]; do :; done"; xargs < "$HOME/out")"
check 'rootless: its scope' '33554432' "$(systemctl --user show --property=MemoryMax --value berth-two.scope)"
check 'rootless: delete, systemd' 'inactive' "$(berth-oci delete --force two 2>&1; systemctl --user show --property=ActiveState --value berth-two.scope)"
check 'rootless: nothing left' '' "$(ls -A "$XDG_RUNTIME_DIR"/berth-oci 2>/dev/null; grep oci /proc/self/mounts)"
exit $failed
