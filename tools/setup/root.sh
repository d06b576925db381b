# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The build root: the plan's packages unpacked into a folder, without running
# their install scripts, which a build needs none of.  So it is made by any
# user, in seconds, and the same everywhere.

# Bumped when root_make() makes something else of the same packages.
ROOT_RECIPE=1

root_path() {
	printf '%s/root-%s\n' "$CACHE" "$({ echo "$ROOT_RECIPE"; plan_debs; } | digest)"
}

root_download() {
	local deb

	apt_lists
	# shellcheck disable=SC2046
	apt-get install -q -y --download-only $(root_packages)
	for deb in $(plan_debs); do
		if [ ! -e "$CACHE/apt/archives/$deb" ]; then
			echo "the archive has moved on, it no longer offers $deb"
			return 1
		fi
	done
}

# unpack_debs FOLDER WHAT: unpacks a part of the plan, without manuals.
unpack_debs() {
	local folder=$1 deb

	mkdir -p "$folder"
	# base-files first: it has the links of the merged /usr.
	for deb in $(plan_debs "$2" | grep '^base-files_') $(plan_debs "$2" | grep -v '^base-files_'); do
		echo "$deb"
		dpkg-deb --fsys-tarfile "$CACHE/apt/archives/$deb" |
			tar -x -C "$folder" --no-same-owner --keep-directory-symlink \
				--exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
				--exclude='./usr/share/locale/*' --exclude='./usr/share/info/*'
	done
}

root_unpack() {
	local root=$1

	unpack_debs "$root" deb

	# What install scripts would have set up and a build relies on.
	ln -sf gawk "$root/usr/bin/awk"
	ln -sf gcc "$root/usr/bin/cc"
	printf 'root:x:0:0:root:/tmp:/bin/bash\n' >"$root/etc/passwd"
	printf 'root:x:0:\n' >"$root/etc/group"

	# Crates come from the librust-*-dev packages.
	mkdir -p "$root/.cargo"
	printf '[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "%s"\n' \
		/usr/share/cargo/registry >"$root/.cargo/config.toml"

	# Where the clone, its kernel and the cache appear.
	mkdir -p "$root/src" "$root/kernel" "$root/cache"
}

root_make() {
	local root=$1 tmp=$1.tmp

	apt_prepare
	step "packages of the build root (about 400 MB)" "$CACHE/log/download.log" \
		"the packages of the build root could not be downloaded (see above)." \
		"What has arrived is kept: run the same command again when the mirror can be reached;" \
		"if the mirror no longer has these versions, make a new plan first: make update" \
		-- root_download
	rm -rf "$tmp"
	step "unpacking the build root" "$CACHE/log/root.log" \
		"the build root could not be unpacked (see above)." \
		-- root_unpack "$tmp"
	mv "$tmp" "$root"
	rm -f "$CACHE"/apt/archives/*.deb
}
