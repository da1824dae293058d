#!/bin/bash
# What a user does with berth, with the real programs: run, limits, binds,
# exec, a daemon that is killed, cleaning up.
. inside/check.sh
export BERTH_ROOT=/var/lib/berth BERTH_RUN=/run/berth
run() { timeout 60 berth run --rm --network none "$@" 2>&1; }

check 'berth: run' 'uid=0(root) gid=0(root) groups=0(root)' "$(run toolbox id)"
check 'berth: memory' '16777216 16777216' "$(run --memory 16m toolbox sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.swap.max' | xargs)"
check 'berth: cpu and pids' '50000 100000 33 0' "$(run --cpus 0.5 --pids-limit 33 --cpuset-cpus 0 toolbox sh -c 'cd /sys/fs/cgroup; cat cpu.max pids.max cpuset.cpus' | xargs)"
timeout 60 berth run --network none --name oom --memory 16m toolbox dd if=/dev/zero of=/dev/shm/x bs=1M count=40 > /dev/null 2>&1
check 'berth: out of memory' 'true 137' "$(berth inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' oom)"
mkdir -p /srv/bind && echo hello > /srv/bind/f
check 'berth: bind' 'hello 0' "$(run -v /srv/bind:/v toolbox sh -c 'cat /v/f; echo x > /v/new; ls -ln /v/f' | awk 'NR == 1 {print $1} NR == 2 {print $3}' | xargs)"
check 'berth: bind: owner on the host' '0' "$(stat -c %u /srv/bind/new)"
check 'berth: volume' 'x' "$(run -v data:/v toolbox sh -c 'echo x > /v/new; cat /v/new')"
# Idmapped tmpfs came with 6.3: the error says what to do.
mkdir -p /run/bind
run -v /run/bind:/v toolbox true | grep -q 'takes no id map: use --userns host'
check 'berth: bind of a tmpfs' 0 $?
check 'berth: tmpfs' 'ok' "$(run --tmpfs /s:size=1m toolbox sh -c 'echo x > /s/a && echo ok')"
check 'berth: userns host' '0 0 4294967295' "$(run --userns host toolbox cat /proc/self/uid_map | xargs)"
check 'berth: privileged' '/dev/kmsg' "$(run --privileged toolbox ls /dev/kmsg)"
check 'berth: oom_score_adj' '-500' "$(run --oom-score-adj -500 toolbox cat /proc/self/oom_score_adj)"
# The hard limit: a program in Go raises its soft one.
check 'berth: ulimit' 200000 "$(run --ulimit nofile=100000:200000 toolbox cat /proc/self/limits | awk '/open files/ {print $5}')"
run toolbox no-such-command > /dev/null
check 'berth: exit code of a missing command' 127 $?

berth run -d --network none --name sleeper toolbox sleep 1000 > /dev/null
berth run -d --network none --name seven toolbox sh -c 'sleep 3; exit 7' > /dev/null
check 'berth: exec' '/dev/pts/0' "$(berth exec -t sleeper tty | tr -d '\r')"
berth pause sleeper > /dev/null
check 'berth: pause' 'frozen 1' "$(grep frozen /sys/fs/cgroup/berth/"$(berth inspect -f '{{.Id}}' sleeper)"/cgroup.events)"
berth unpause sleeper > /dev/null
kill -9 "$(pgrep -x berthd)"
check 'berth: exit code after kill -9 of berthd' 7 "$(timeout 30 berth wait seven)"
check 'berth: exec after kill -9 of berthd' 'ok' "$(berth exec sleeper echo ok)"
check 'berth: remove' 'sleeper seven oom' "$(berth rm -f sleeper seven oom | xargs)"
check 'berth: nothing left' '' "$(berth ps -aq; grep berth /proc/self/mounts; find /sys/fs/cgroup/berth -mindepth 1 -type d)"
exit $failed
