#!/bin/bash
# What berth-oci does with systemd as PID 1, as root and as a user who is logged in.
. inside/check.sh
b=/root/oci
show() { systemctl show --property="$2" --value "$1" | xargs; }
check 'systemd: PID 1' systemd "$(cat /proc/1/comm)"

bundle $b '.linux.cgroupsPath = "system.slice:berth:one" | .linux.resources = {memory: {limit: 33554432}, pids: {limit: 44}, cpu: {quota: 20000, period: 100000}}' 'exec sleep 1000'
check 'systemd: run' '' "$(quiet berth-oci --systemd-cgroup run --detach --bundle $b one)"
check 'systemd: the scope' 'active system.slice 33554432 44 200ms' "$(for p in ActiveState Slice MemoryMax TasksMax CPUQuotaPerSecUSec; do show berth-one.scope $p; done | xargs)"
check 'systemd: its cgroup' '33554432 44 20000 100000' "$(cd /sys/fs/cgroup/system.slice/berth-one.scope && cat memory.max pids.max cpu.max | xargs)"
check 'systemd: exec' '0::/' "$(timeout 60 berth-oci exec one cat /proc/self/cgroup 2>&1)"
check 'systemd: update' '67108864 55 67108864 55' "$( (berth-oci update --memory 67108864 --pids-limit 55 one 2>&1
	show berth-one.scope MemoryMax; show berth-one.scope TasksMax; cat /sys/fs/cgroup/system.slice/berth-one.scope/{memory,pids}.max) | xargs)"
# What systemd writes again when somebody reloads it is what update said.
systemctl daemon-reload
check 'systemd: after a reload' '67108864 55' "$(cat /sys/fs/cgroup/system.slice/berth-one.scope/{memory,pids}.max | xargs)"
check 'systemd: delete' 'inactive' "$(berth-oci delete --force one 2>&1; show berth-one.scope ActiveState)"
check 'systemd: nothing left' '' "$(find /sys/fs/cgroup -name '*berth*'; systemctl --failed --no-legend; ls -A /run/berth-oci 2>/dev/null)"

inside/as-user.sh bash inside/rootless.sh || failed=1
exit $failed
