# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Is this a machine that set-up can work on?  What is missing is named, with the
# remedy, before anything is downloaded.

# Megabytes that set-up needs while it works; a finished cache has some 4800.
CACHE_SIZE=6000
# ... and what of these the disks for VMs need, with what they are made from.
IMAGES_SIZE=1600

machine_check() {
	local tool

	for tool in apt-get apt-cache dpkg dpkg-deb tar awk unshare flock mount chroot xargs; do
		command -v "$tool" >/dev/null ||
			die "$tool is missing on this machine." \
			    "Set-up runs on Debian 12 or newer, whose base system has it" \
			    "(packages apt, dpkg, tar, mawk, findutils, coreutils, util-linux and mount):" \
			    "apt-get install the one it is in."
	done
	MACHINE_ARCH=$(dpkg --print-architecture)
	case $MACHINE_ARCH in
	amd64|arm64) ;;
	*)	die "set-up knows amd64 and arm64 machines; this one is $MACHINE_ARCH." ;;
	esac
	dpkg --compare-versions "$(dpkg-query -W -f '${Version}' apt)" ge 2.6 ||
		die "apt on this machine is older than 2.6 and cannot read the $SUITE archive." \
		    "Debian 12 (bookworm) or newer has it."
}

machine_check_namespaces() {
	local why

	if [ "$(id -u)" -eq 0 ]; then
		why=$(unshare --mount --pid --fork --kill-child true 2>&1) ||
			die "this environment does not let root create mount and pid namespaces:" \
			    "$why" \
			    "In a container, start it with CAP_SYS_ADMIN (docker run --privileged)."
	else
		why=$(unshare --user --map-root-user --mount --pid --fork --kill-child true 2>&1) ||
			die "unprivileged user namespaces are switched off here:" \
			    "$why" \
			    "Run as root, or have root allow them: sysctl kernel.unprivileged_userns_clone=1" \
			    "(on Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0)."
	fi
}

# machine_check_disk: for a cache that is empty or begun.
machine_check_disk() {
	machine_check_free $((CACHE_SIZE - $(du -sBM "$CACHE" | cut -f1 | tr -dc 0-9)))
}

# machine_check_free MEGABYTES
machine_check_free() {
	local have

	have=$(df --output=avail -BM "$CACHE" | tail -n 1 | tr -dc 0-9)
	[ "$have" -ge "$1" ] ||
		die "the disk of $CACHE has $have MB free; set-up needs $1 MB." \
		    "Make room, or place the cache elsewhere: make ... CACHE=/some/where"
}
