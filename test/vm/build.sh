#!/bin/bash
# build.sh DIR: makes a virtual machine of Debian 12 with Linux 6.1, the oldest
# kernel that berth supports, and cgroup v2 alone:
#   DIR/vmlinuz, DIR/initrd.gz   the kernel, and what finds the disk
#   DIR/disk.ext4                the root file system; runs never change it
# Needs root. DIR is a cache: nothing is done if this script made it before.
set -euo pipefail
dir=$(realpath -m "${1:?usage: build.sh DIR}")
made=$(sha256sum < "$0")
[ "$(cat "$dir/made" 2>/dev/null || true)" != "$made" ] || exit 0

missing=$(for p in qemu-system-x86 qemu-system-common debootstrap busybox-static cpio kmod e2fsprogs xz-utils; do
	dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q '^install ok installed' || echo "$p"
done)
apt-get update -qq
# shellcheck disable=SC2086 # a list
[ -z "$missing" ] || DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $missing > /dev/null

rm -rf "$dir"
mkdir -p "$dir/kernel"
chmod 755 "$dir" "$dir/kernel"
package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-6\.1/ {print $2; exit}')
[ -n "$package" ] || { echo "build.sh: linux-image-cloud-amd64 of this Debian is not Linux 6.1" >&2; exit 1; }
(cd "$dir/kernel" && apt-get download -qq "$package" 2>/dev/null && dpkg -x "$package"_*.deb .)
version=$(ls "$dir/kernel/lib/modules")
cp "$dir/kernel/boot/vmlinuz-$version" "$dir/vmlinuz"

root=$dir/root
debootstrap --variant=minbase --include=iproute2,kmod,procps,nftables,util-linux,util-linux-extra,apparmor bookworm "$root" > "$dir/debootstrap.log" ||
	{ tail -5 "$dir/debootstrap.log" >&2; exit 1; }
cp /bin/busybox "$root/bin/busybox"
mkdir -p "$root/lib/modules"
mv "$dir/kernel/lib/modules/$version" "$root/lib/modules/"
depmod -b "$root" "$version"

cat > "$root/sbin/vm-init" <<'IN'
#!/bin/bash
# PID 1: what systemd would do, then the command on the second disk.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
ln -sf /proc/self/fd /dev/fd
mount -t tmpfs -o mode=755 tmpfs /run
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
mount --make-rshared / # as systemd does
modprobe -qa virtio_blk virtio_console virtiofs overlay bridge veth nf_tables nft_chain_nat nft_masq nft_ct fuse loop
mkdir /sys/fs/cgroup/init.scope
echo $$ > /sys/fs/cgroup/init.scope/cgroup.procs
for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$c" > /sys/fs/cgroup/cgroup.subtree_control; done
ip link set lo up
hostname vm
echo 127.0.0.1 localhost vm > /etc/hosts
mkdir -p /mnt/share
mount -t virtiofs share /mnt/share
tr -d '\0' < /dev/vdb > /run/command
stty -F /dev/hvc0 raw -echo
cd /mnt/share
setsid bash /run/command < /dev/null > /dev/hvc0 2>&1
printf 'exit=%d\n' $? | dd of=/dev/vdc conv=notrunc,fsync bs=512 2>/dev/null
umount /mnt/share
sync
echo o > /proc/sysrq-trigger
sleep 60
IN
chmod 755 "$root/sbin/vm-init"

initrd=$dir/initrd
mkdir -p "$initrd"/{bin,proc,dev,root,modules}
cp /bin/busybox "$initrd/bin/"
for m in virtio_pci virtio_blk virtio_console ext4 virtiofs; do
	modprobe -d "$root" -S "$version" --show-depends "$m" | awk '/^insmod/ {print $2}'
done | awk '!seen[$0]++' | while read -r file; do
	cp "$file" "$initrd/modules/"
	basename "$file" >> "$initrd/modules/order"
done
cat > "$initrd/init" <<'IN'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t devtmpfs dev /dev
while read m; do $b insmod /modules/$m; done < /modules/order
until [ -b /dev/vda ]; do $b sleep 0.1; done
$b mount -t ext4 -o noatime /dev/vda /root || $b sh
$b umount /proc
exec $b switch_root /root /sbin/vm-init
IN
chmod 755 "$initrd/init"
(cd "$initrd" && find . | cpio -o -H newc --quiet | gzip -1) > "$dir/initrd.gz"
mke2fs -q -t ext4 -m 0 -d "$root" -E lazy_itable_init=1,lazy_journal_init=1 "$dir/disk.ext4" 6G
rm -rf "$root" "$initrd" "$dir/kernel"
echo "$made" > "$dir/made"
