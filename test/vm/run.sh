#!/bin/bash
# run.sh DIR SHARE COMMAND: runs COMMAND in the virtual machine that build.sh
# made in DIR, emulated, with a copy of SHARE at /mnt/share as its working
# directory. What it changes on its disks is thrown away. Prints its output and
# exits with its code: 124 if it took longer than VM_TIMEOUT (2400) seconds,
# 125 if the machine failed. With BOOT=systemd, systemd is PID 1.
set -uo pipefail
dir=${1:?} share=$(realpath "${2:?}") command=${3:?}
work=$(mktemp -d)
machine=
trap '[ -z "$machine" ] || kill "$machine" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 143' INT TERM
printf '%s\n' "$command" > "$share/command"
mke2fs -q -t ext4 -m 0 -d "$share" -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 "$work/share" 3G > "$work/mke2fs" 2>&1 ||
	{ cat "$work/mke2fs" >&2; exit 125; }
truncate -s 64K "$work/result"

# CPU features that are slow to emulate are off. What the kernel would only wait
# for or clear again is, too: nothing in the machine is secret.
cpu=max,-cx16,-la57,-smap,-smep,-pku
append="console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off nokaslr tsc=unstable audit=0
	rcupdate.rcu_expedited=1 init_on_alloc=0 vm.init=${BOOT:-plain} systemd.unit=vm.target"
disk=format=raw,if=virtio
TMPDIR=$work timeout --foreground -k 5 "${VM_TIMEOUT:-2400}" qemu-system-x86_64 -nodefaults -no-user-config \
	-machine q35,hpet=off -accel tcg,thread=multi -cpu "$cpu" -smp 2 -m 3072M \
	-kernel "$dir/vmlinuz" -initrd "$dir/initrd.gz" -append "$(echo $append)" \
	-display none -no-reboot -nic none -serial "file:$work/console" \
	-drive "file=$dir/disk.ext4,$disk,snapshot=on,cache=unsafe" \
	-drive "file=$work/share,$disk,cache=unsafe" -drive "file=$work/result,$disk" \
	-device virtio-serial-pci -chardev stdio,id=out,signal=off -device virtconsole,chardev=out -device virtio-rng-pci < /dev/null &
machine=$!
wait $machine
code=$?
machine=
result=$(tr -d '\0\n' < "$work/result")
case $result in exit=*) exit "${result#exit=}" ;; esac
[ $code != 124 ] || echo "run.sh: the command took longer than ${VM_TIMEOUT:-2400} seconds; the last lines of the console:" >&2
[ $code = 124 ] || echo "run.sh: the machine ended without a result (qemu: $code); the last lines of its console:" >&2
tail -20 "$work/console" >&2
[ $code = 124 ] || code=125
exit $code
