# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What to set up, decided once and kept: the kernel's version and the exact
# package files of the build root, of the VMMs and of the guest.  A plan is made when there is none for the
# present lists of packages and series, or when `make update` asks for a new
# one; so a full cache needs no network, and a kernel does not change under a
# developer's feet.

plan_key() {
	{ printf '%s\n' "$SUITE" "$MACHINE_ARCH"
	  list "$HERE/packages"
	  list "$HERE/vmm-packages"
	  list "$HERE/guest-packages"
	  list "$HERE/kernel-series"; } | digest
}

root_packages() {
	if [ "$MACHINE_ARCH" = arm64 ]; then
		sed 's/#.*//; /^@cross/d' "$HERE/packages" | xargs -n1
	else
		sed 's/#.*//; s/^@cross//' "$HERE/packages" | xargs -n1
	fi
}

# arm64_resolve WHAT LIST: the package files of an arm64 system, as lines of a plan.
arm64_resolve() {
	# shellcheck disable=SC2046
	APT_CONFIG=$APT_CONFIG_ARM64 apt-get install -qq --print-uris $(list "$2") |
		awk -v what="$1" '{ print what, $2 }' | sort
}

# Prints "RELEASE PACKAGE-VERSION SERIES" of the newest kernel that is complete,
# and on standard error what the others lack.
choose_kernel() {
	local series release version part chosen=''

	for series in $(list "$HERE/kernel-series"); do
		for release in $(apt-cache pkgnames "linux-headers-$series." |
			sed -n "s/^linux-headers-\([^-]*\)-arm64\(:arm64\)\?$/\1/p" | sort -uV); do
			version=$(apt_versions "linux-headers-$release-arm64:arm64" | head -n 1)
			[ -n "$version" ] || continue
			for part in "linux-binary-$release-arm64:arm64" \
				    "linux-modules-$release-arm64:arm64" \
				    "linux-source-$series"; do
				if ! apt_versions "$part" | grep -qxF "$version"; then
					echo "  $release-arm64: no $part in version $version" >&2
					continue 2
				fi
			done
			chosen=$(printf '%s\n%s\n' "$chosen" \
				"$release $version $series" | sort -V | tail -n 1)
		done
	done
	[ -n "$chosen" ] && printf '%s\n' "$chosen"
}

plan_make() {
	local plan=$1 kernel tmp=$1.tmp packages what

	apt_prepare
	step "package lists of $SUITE and $SUITE-backports" "$CACHE/log/update.log" \
		"the Debian mirror cannot be reached, or does not have what is needed (see above)." \
		"Nothing is in the cache yet for this version of the project, so set-up needs the" \
		"network once: check the machine's apt sources and proxy, then run the same command again." \
		"If a signature was refused: apt-get install debian-archive-keyring (a newer one)." \
		-- apt_update

	say "choosing kernel and packages"
	kernel=$(choose_kernel 2>"$CACHE/log/kernels.log") ||
		die "no complete arm64 kernel of the series $(list "$HERE/kernel-series" | xargs) in $SUITE-backports." \
		    "Needed in one version: linux-headers, linux-binary, linux-modules and linux-source. Found:" \
		    "$(cat "$CACHE/log/kernels.log")" \
		    "The supported series are named in tools/setup/kernel-series."
	# shellcheck disable=SC2086
	set -- $kernel

	packages=$(root_packages)
	{ printf 'KERNEL_RELEASE=%s-arm64\nKERNEL_VERSION=%s\nKERNEL_SERIES=%s\n' "$1" "$2" "$3"
	  # shellcheck disable=SC2086
	  apt-get install -qq --print-uris $packages | awk '{ print "deb " $2 }' | sort
	  arm64_resolve vmm "$HERE/vmm-packages"
	  arm64_resolve guest "$HERE/guest-packages"
	} >"$tmp" 2>"$CACHE/log/resolve.log"
	for what in deb vmm guest; do
		grep -q "^$what " "$tmp" || die "apt cannot resolve the packages in tools/setup:" \
		    "$(cat "$CACHE/log/resolve.log")"
	done
	mv "$tmp" "$plan"
	say "kernel: Linux $1-arm64 ($2)"
}

plan_value() {
	sed -n "s/^$1=//p" "$PLAN"
}

# plan_debs [WHAT]: the package files of the build root, or of the VMMs or the guest.
plan_debs() {
	sed -n "s/^${1:-deb} //p" "$PLAN"
}
