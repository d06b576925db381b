# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The lab's base initramfs: a busybox and the virtio and file system modules of
# $KERNEL, which is Linux $RELEASE.  The tests of a run are a layer on top of it.

initramfs_path() {
	printf '%s/initramfs-%s.cpio\n' "$CACHE" "$({ basename "$KERNEL"
		cd "$CLONE/tools/lab" && cat applets lablib/baselayer.py \
			lablib/kmodules.py lablib/cpio.py; } | digest)"
}

initramfs_make() {
	local file=$1

	ROOT=$ROOT KERNEL=$KERNEL step "the lab's initramfs" "$CACHE/log/initramfs.log" \
		"the lab's initramfs could not be made (see above)." \
		-- "$CLONE/tools/setup/enter" /src/tools/lab/mkinitramfs --busybox /kernel/busybox \
		--modules "/kernel/modules/lib/modules" \
		--release "$RELEASE" --out "/cache/${file##*/}.tmp"
	mv "$file.tmp" "$file"
}
