#!/bin/bash
# build.sh DIR: makes a virtual machine of Debian 12 with Linux 6.1, the oldest
# kernel that berth supports, and cgroup v2 alone:
#   DIR/vmlinuz, DIR/initrd.gz   the kernel, and what finds the disk
#   DIR/disk.ext4                the root file system; runs never change it
# Needs root for the owners of files. DIR is a cache: nothing is done if this
# script made it before. It takes about 20 s, because the packages are only
# unpacked: what their scripts would set up and the tests need is in root/.
set -euo pipefail
dir=$(realpath -m "${1:?usage: build.sh DIR}")
here=$(dirname "$(realpath "$0")")

packages="apparmor base-files base-passwd bash coreutils dash dbus dbus-user-session findutils grep gzip hostname
	iproute2 jq kmod libc-bin libpam-runtime libpam-systemd login mawk mount nftables passwd procps sed systemd systemd-sysv
	tar uidmap util-linux util-linux-extra"

main() {
	[ "$(id -u)" = 0 ] || { echo "build.sh: run it as root: the disk's files have owners" >&2; exit 1; }
	mkdir -p "$(dirname "$dir")"
	exec 9> "$dir.lock"
	flock 9
	made=$(cd "$here" && find build.sh root initrd -type f -printf '%p %m ' -exec sha256sum {} \; | sort | sha256sum)
	[ "$(cat "$dir/made" 2>/dev/null || true)" != "$made" ] || return 0
	rm -rf "$dir" "$dir.new"
	mkdir -p "$dir.new"
	cd "$dir.new"
	fetch
	unpack
	settle
	initrd
	mke2fs -q -t ext4 -m 0 -O ^metadata_csum -d root -E lazy_itable_init=1,lazy_journal_init=1,discard,root_owner=0:0 disk.ext4 6G
	rm -rf root initrd debs sysusers.log
	echo "$made" > made
	mv "$dir.new" "$dir"
}

# fetch leaves the packages, with what they depend on, in debs/.
fetch() {
	mkdir -p debs/partial
	: > debs/status
	download || { apt-get update -qq && download; } ||
		{ cat debs/log >&2; echo "build.sh: no packages: this needs a Debian 12 mirror, where linux-image-cloud-amd64 is Linux 6.1" >&2; exit 1; }
	rm -f debs/perl* debs/libperl* debs/usrmerge* debs/lib*-perl_* debs/debconf* debs/adduser*
}

# download is fetch with the lists of packages that apt has.
download() {
	local apt="-qq -o APT::Sandbox::User=root" kernel
	kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-6\.1/ {print $2; exit}')
	# An empty list of what is installed: apt takes all dependencies.
	# shellcheck disable=SC2086 # lists
	[ -n "$kernel" ] && (cd debs && apt-get download $apt "$kernel") > debs/log 2>&1 &&
		apt-get install $apt -y --no-install-recommends --download-only -o Dir::State::status="$PWD/debs/status" \
			-o Dir::Cache::archives="$PWD/debs" $packages > debs/log 2>&1
}

# unpack fills root/, and leaves the kernel at vmlinuz.
unpack() {
	mkdir -p root/usr/{bin,sbin,lib,lib64}
	chmod 755 . root
	ln -s usr/bin usr/sbin usr/lib usr/lib64 root/
	# dpkg-deb -x would make directories of the symbolic links.
	printf '%s\n' debs/*.deb | xargs -P "$(nproc)" -I '{}' sh -c 'dpkg-deb --fsys-tarfile {} | tar -x --keep-directory-symlink -C root'
	version=$(ls root/lib/modules)
	mv "root/boot/vmlinuz-$version" vmlinuz
	rm -rf root/boot root/usr/share/{doc,locale,man,info} root/lib/modules/"$version"/kernel/drivers/{gpu,media,infiniband,net/ethernet,scsi}
	chroot root depmod "$version"
	cp /bin/busybox root/usr/bin/
}

# settle does what the packages' scripts would do.
settle() {
	ln -sf dash root/usr/bin/sh
	ln -sf mawk root/usr/bin/awk
	ln -sf /proc/self/mounts root/etc/mtab
	cp root/usr/share/base-passwd/passwd.master root/etc/passwd
	cp root/usr/share/base-passwd/group.master root/etc/group
	cp root/usr/share/libc-bin/nsswitch.conf root/etc/
	chroot root systemd-sysusers 2> sysusers.log || { cat sysusers.log >&2; exit 1; }
	cat >> root/etc/passwd <<-'END'
		user:x:1000:1000::/home/user:/bin/bash
	END
	echo user:x:1000: >> root/etc/group
	echo user:100000:65536 | tee root/etc/subuid > root/etc/subgid
	install -d -m 755 root/mnt/share root/var/lib/systemd/linger
	install -d -o 1000 -g 1000 root/home/user
	chmod u+s root/usr/bin/new[ug]idmap
	: > root/var/lib/systemd/linger/user
	# What systemd would do at boot and the tests do not need.
	rm -f root/usr/lib/systemd/system/*.target.wants/* root/usr/lib/systemd/system-generators/* root/usr/lib/systemd/user-generators/*
	rm -f root/etc/systemd/system/*.wants/*
	rm -rf root/var/run
	ln -s /run root/var/run
	cp -r "$here/root/." root/
	ldconfig -r root
}

# initrd makes initrd.gz of busybox and the modules of the disk and the console.
initrd() {
	mkdir -p initrd/{bin,proc,dev,root,modules}
	cp /bin/busybox initrd/bin/
	cp "$here/initrd/init" initrd/
	for m in virtio_pci virtio_blk virtio_console; do
		chroot root modprobe -S "$version" --show-depends "$m" | awk '/^insmod/ {print $2}'
	done | awk '!seen[$0]++' | while read -r file; do
		cp "root$file" initrd/modules/
		basename "$file" >> initrd/modules/order
	done
	(cd initrd && find . | cpio -o -H newc --quiet | gzip -1) > initrd.gz
}

main
