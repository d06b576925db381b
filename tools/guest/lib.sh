# SPDX-License-Identifier: GPL-2.0
#
# For the scripts here, which run in the lab's host: the VMM's Debian at $vmm, from
# the first disk, and what runs boot.exp in it.

vmm=/mnt

# vmm_ready NAME: mounts it, once.
vmm_ready() {
	if [ ! -d $vmm/boot ]; then
		mount -t ext4 -o ro /dev/vda $vmm &&
			mount --rbind /dev $vmm/dev &&
			mount --bind /proc $vmm/proc &&
			mount --rbind /sys $vmm/sys &&
			mount -t tmpfs tmp $vmm/tmp &&
			mount --bind $vmm/tmp $vmm/var/tmp || {
			echo "$1: give the lab the disk with the VMMs as its first: --disk /cache/\$VMM:ro"
			exit 1
		}
	fi
	[ -b /dev/vdb ] || {
		echo "$1: give the lab the guest's disk as its second: --disk /cache/\$GUEST:ro"
		exit 1
	}
	[ -c /dev/kvm ] || {
		echo "$1: there is no /dev/kvm; load the module, or boot C KVM's host"
		exit 1
	}
	cp /lab/guest/boot.exp $vmm/tmp/ || exit 1
}

# vmm_boot [NAME=VALUE]...: boots a guest, see boot.exp.
vmm_boot() {
	chroot $vmm /usr/bin/expect /tmp/boot.exp "$@"
}
