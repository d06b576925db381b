# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The disks of the lab for VMs: one with Debian's VMMs and what a guest boots
# from, for the host; one that is a guest's own, a Debian that is installed.

# Bumped when the functions below make something else of the same input.
VMM_RECIPE=1
GUEST_RECIPE=1

vmm_path() {
	printf '%s/vmm-%s.ext4\n' "$CACHE" "$({ echo "$VMM_RECIPE"; plan_debs vmm
		basename "$KERNEL"; basename "$INITRAMFS"; cat "$CLONE/tools/guest/init"; } | digest)"
}

guest_path() {
	printf '%s/guest-%s.ext4\n' "$CACHE" "$({ echo "$GUEST_RECIPE"; plan_debs guest
		cat "$CLONE/tools/guest/install"; } | digest)"
}

# arm64_download WHAT LIST: the package files of a part of the plan.
arm64_download() {
	local deb

	apt_lists
	# shellcheck disable=SC2046
	APT_CONFIG=$APT_CONFIG_ARM64 apt-get install -q -y --download-only $(list "$2")
	for deb in $(plan_debs "$1"); do
		if [ ! -e "$CACHE/apt/archives/$deb" ]; then
			echo "the archive has moved on, it no longer offers $deb"
			return 1
		fi
	done
}

arm64_debs() {
	local title=$1
	shift

	apt_prepare
	step "$title" "$CACHE/log/download-$1.log" \
		"the packages for it could not be downloaded (see above)." \
		"What has arrived is kept: run the same command again when the mirror can be reached;" \
		"if the mirror no longer has these versions, make a new plan first: make update" \
		-- arm64_download "$@"
}

vmm_unpack() {
	local folder=$1

	rm -rf "$folder" "$folder.ext4"
	unpack_debs "$folder" vmm
	mkdir -p "$folder"/{boot,dev,proc,sys,tmp}
	"$HERE/enter" tools/lab/mkinitramfs --busybox /kernel/busybox --init tools/guest/init \
		--modules /kernel/modules/lib/modules --release "$(plan_value KERNEL_RELEASE)" \
		--module virtio_net --out "/cache/${folder##*/}/boot/initrd"
	cp "$KERNEL/image" "$folder/boot/vmlinuz"
	# A fifth for the file system itself.
	"$HERE/enter" mke2fs -q -t ext4 -m 0 -O ^has_journal -d "/cache/${folder##*/}" \
		"/cache/${folder##*/}.ext4" "$(($(du -sm "$folder" | cut -f1) * 6 / 5 + 8))m"
	rm -rf "$folder"
}

vmm_make() {
	local file=$1 tmp=${1%.ext4}.tmp

	arm64_debs "Debian's VMMs for the lab (about 45 MB)" vmm "$HERE/vmm-packages"
	ROOT=$ROOT KERNEL=$KERNEL step "the disk with Debian's VMMs" "$CACHE/log/vmm.log" \
		"the disk with Debian's VMMs could not be made (see above)." \
		-- vmm_unpack "$tmp"
	mv "$tmp.ext4" "$file"
	rm -f "$CACHE"/apt/archives/*.deb
}

# The packages are unpacked here, so that there is a dpkg to install them with, and
# installed in the lab, where their scripts can run.
guest_install() {
	local folder=$1 inside=/cache/${1##*/} deb

	rm -rf "$folder" "$folder.ext4"
	unpack_debs "$folder" guest
	mkdir -p "$folder/debs"
	for deb in $(plan_debs guest); do
		cp "$CACHE/apt/archives/$deb" "$folder/debs/"
	done
	"$HERE/enter" mke2fs -q -t ext4 -d "$inside" "$inside.ext4" 640m
	"$HERE/enter" tools/lab/lab --kernel /kernel/image --initramfs "/cache/${INITRAMFS##*/}" \
		--memory 2G --disk "$inside.ext4" --timeout 900 --test-timeout 840 \
		--out "$inside/lab" tools/guest/install || {
		tail -n 30 "$folder/lab/install.tap"
		return 1
	}
	rm -rf "$folder"
}

guest_make() {
	local file=$1 tmp=${1%.ext4}.tmp

	arm64_debs "a guest's Debian (about 35 MB)" guest "$HERE/guest-packages"
	ROOT=$ROOT KERNEL=$KERNEL step "installing Debian for a guest (about 3 min on 2 cores)" "$CACHE/log/guest.log" \
		"Debian could not be installed for a guest (see above)." \
		-- guest_install "$tmp"
	mv "$tmp.ext4" "$file"
	rm -f "$CACHE"/apt/archives/*.deb
}
