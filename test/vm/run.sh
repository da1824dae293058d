#!/bin/bash
# run.sh DIR SHARE COMMAND: runs COMMAND in the virtual machine that build.sh
# made in DIR, emulated, with SHARE at /mnt/share as its working directory.
# What it changes on its disk is thrown away. Prints its output and exits with
# its code: 124 if it took longer than VM_TIMEOUT (2400) seconds, 125 if the
# machine failed.
set -uo pipefail
dir=${1:?} share=$(realpath "${2:?}") command=${3:?}
work=$(mktemp -d)
fsd=
trap '[ -z "$fsd" ] || kill "$fsd" 2>/dev/null; rm -rf "$work"' EXIT
printf '%s\n' "$command" > "$work/command"
truncate -s 1M "$work/command"
truncate -s 64K "$work/result"
/usr/lib/qemu/virtiofsd --socket-path="$work/fs.sock" -o "source=$share" -o xattr > "$work/fsd.log" 2>&1 &
fsd=$!
for _ in $(seq 100); do [ -S "$work/fs.sock" ] && break; sleep 0.1; done
disk=format=raw,if=virtio
TMPDIR=$work timeout -k 5 "${VM_TIMEOUT:-2400}" qemu-system-x86_64 -nodefaults -no-user-config \
	-machine q35,hpet=off -accel tcg,thread=multi -cpu max,-cx16,-la57,-smap,-smep,-pku -smp 2 \
	-m 3072M -object memory-backend-memfd,id=mem,size=3072M,share=on -numa node,memdev=mem \
	-kernel "$dir/vmlinuz" -initrd "$dir/initrd.gz" \
	-append 'console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off nokaslr tsc=unstable' \
	-display none -no-reboot -nic none -serial "file:$work/console" \
	-drive "file=$dir/disk.ext4,$disk,snapshot=on,cache=unsafe" \
	-drive "file=$work/command,$disk,readonly=on" -drive "file=$work/result,$disk" \
	-device virtio-serial-pci -chardev stdio,id=out,signal=off -device virtconsole,chardev=out -device virtio-rng-pci \
	-chardev "socket,id=fs,path=$work/fs.sock" -device vhost-user-fs-pci,chardev=fs,tag=share < /dev/null
code=$?
result=$(tr -d '\0\n' < "$work/result")
case $result in exit=*) exit "${result#exit=}" ;; esac
[ $code != 124 ] || { echo "run.sh: the command took longer than ${VM_TIMEOUT:-2400} seconds" >&2; exit 124; }
echo "run.sh: the machine ended without a result (qemu: $code)" >&2
tail -20 "$work/console" "$work/fsd.log" >&2
exit 125
