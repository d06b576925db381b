# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The stock kernel of the lab, and what a Rust module for it is built against:
# Debian's image, modules, .config and Module.symvers, and the Rust side of its
# source, compiled as Debian compiled it.  The kernel itself is not built.
#
#   src/       source             image      the kernel to boot
#   obj/       its Rust side      modules/   lib/modules of the stock kernel
#   headers/   UAPI headers       busybox    for the lab's initramfs

# Bumped when kernel_make() or kernel-build make something else of the same input.
KERNEL_RECIPE=1

# The packages whose version decides what the compiled Rust side is.
KERNEL_TOOLS='^(rustc|libstd-rust-[0-9.]+|rust-src|bindgen|pahole|libclang1-[0-9]+|gcc-[0-9]+-aarch64-linux-gnu|binutils-aarch64-linux-gnu)_'

kernel_path() {
	local release
	release=$(plan_value KERNEL_RELEASE)
	printf '%s/kernel-%s-%s\n' "$CACHE" "$release" \
		"$({ echo "$KERNEL_RECIPE"; plan_value KERNEL_VERSION
		     plan_debs | grep -E "$KERNEL_TOOLS" |
			grep -E "_($MACHINE_ARCH|all)\\.deb\$"; } | digest)"
}

kernel_download() {
	local dir=$1 release=$2 version=$3 series=$4

	apt_lists
	mkdir -p "$dir"
	cd "$dir"
	apt-get download -q "linux-source-$series=$version" "busybox-static:arm64" \
		"linux-headers-$release:arm64=$version" \
		"linux-binary-$release:arm64=$version" \
		"linux-modules-$release:arm64=$version"
}

kernel_unpack() {
	local dir=$1 release=$2 deb

	for deb in "$dir"/debs/*.deb; do
		echo "${deb##*/}"
		dpkg-deb -x "$deb" "$dir/unpacked"
	done
	mv "$dir/unpacked/usr/lib/modules/$release/vmlinuz" "$dir/image"
	mkdir -p "$dir/modules/lib/modules" "$dir/obj"
	mv "$dir/unpacked/usr/lib/modules/$release" "$dir/modules/lib/modules/"
	mv "$dir/unpacked/usr/bin/busybox" "$dir/busybox"
	cp "$dir/unpacked/usr/src/linux-headers-$release/.config" "$dir/stock.config"
	cp "$dir/unpacked/usr/src/linux-headers-$release/Module.symvers" "$dir/obj/"
	mv "$dir"/unpacked/usr/src/linux-source-*.tar.xz "$dir/source.tar.xz"
	rm -rf "$dir/unpacked" "$dir/debs"
}

kernel_make() {
	local kernel=$1 tmp=$1.tmp release version series
	release=$(plan_value KERNEL_RELEASE)
	version=$(plan_value KERNEL_VERSION)
	series=$(plan_value KERNEL_SERIES)

	# A half-made one is continued where its last finished step left it.
	if [ ! -e "$tmp/source.tar.xz" ] && [ ! -e "$tmp/src/Makefile" ]; then
		apt_prepare
		step "Linux $release: image, modules, headers, source (about 270 MB)" \
			"$CACHE/log/kernel-download.log" \
			"the kernel's packages could not be downloaded (see above)." \
			"Run the same command again when the mirror can be reached;" \
			"if the mirror no longer has $version, look for a newer one: make update" \
			-- kernel_download "$tmp/debs" "$release" "$version" "$series"
		step "unpacking Linux $release" "$CACHE/log/kernel-unpack.log" \
			"the kernel's packages could not be unpacked (see above)." \
			-- kernel_unpack "$tmp" "$release"
	fi
	ROOT=$(root_path) KERNEL=$tmp step "the Rust side of Linux $release (about 2 min on 2 cores)" \
		"$CACHE/log/kernel-build.log" "the kernel's Rust side could not be built (see above)." \
		-- "$HERE/enter" /src/tools/setup/kernel-build "$release"
	mv "$tmp" "$kernel"
}
