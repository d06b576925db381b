# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# An apt of our own beside the machine's: it takes the machine's mirror and
# proxy settings, but has its own package lists, an empty list of installed
# packages and the suite of the build root.  So apt resolves and verifies, and
# nothing of the machine is touched.

SUITE=trixie
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The archive that this machine downloads from: MIRROR if given, otherwise the
# one that its own sources name for its own release. Others may name that release
# as well; the archive of the distribution has updates for it.
machine_mirror() {
	local codename archives mirror

	if [ -n "${MIRROR:-}" ]; then
		printf '%s\n' "${MIRROR%/}"
		return
	fi
	codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
	archives=$(env -u APT_CONFIG apt-get update --print-uris 2>/dev/null | sed -nE \
		"s#^'(.*)/dists/(${codename:-stable}|stable|oldstable|testing)(-updates)?/InRelease'.*#\\1#p")
	mirror=$(sort <<<"$archives" | uniq -c | sort -k1,1nr -s | sed -n '1s/^ *[0-9]* //p')
	[ -n "$mirror" ] ||
		die "apt's sources name no archive for this machine's release (${codename:-unknown})." \
		    "Set-up downloads from the same Debian mirror as the machine itself:" \
		    "add it to /etc/apt/sources.list, or name one: make ... MIRROR=http://..."
	printf '%s\n' "${mirror%/}"
}

# Writes the configuration; APT_CONFIG makes every apt program use it.
apt_prepare() {
	local dir=$CACHE/apt mirror arch
	mirror=$(machine_mirror) || exit 1

	[ -r "$KEYRING" ] ||
		die "$KEYRING is missing, without which downloads cannot be verified." \
		    "Install it: apt-get install debian-archive-keyring"

	mkdir -p "$dir/state/lists/partial" "$dir/archives/partial" "$dir/empty"
	: >"$dir/status"
	for arch in "$SUITE" "$SUITE-backports"; do
		printf 'deb [signed-by=%s] %s %s main\n' "$KEYRING" "$mirror" "$arch"
	done >"$dir/sources.list"
	printf '%s\n' 'Package: qemu-*' "Pin: release n=$SUITE-backports" \
		'Pin-Priority: 990' >"$dir/preferences"
	cat >"$dir/apt.conf" <<-EOF
		Dir::State "$dir/state";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir";
		Dir::Cache::archives "$dir/archives";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "$dir/empty";
		Dir::Etc::preferences "$dir/preferences";
		Dir::Etc::preferencesparts "$dir/empty";
		APT::Architecture "$MACHINE_ARCH";
		APT::Architectures { "$MACHINE_ARCH"; "arm64"; };
		APT::Install-Recommends "false";
		APT::Sandbox::User "root";
		APT::Keep-Downloaded-Packages "true";
		Acquire::Languages "none";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
		Acquire::Retries "3";
		Dpkg::Use-Pty "false";
	EOF
	export APT_CONFIG=$dir/apt.conf

	# The same, for what runs on arm64.
	APT_CONFIG_ARM64=$dir/apt-arm64.conf
	sed -e 's/^APT::Architecture .*/APT::Architecture "arm64";/' \
		-e 's/^APT::Architectures .*/APT::Architectures { "arm64"; };/' \
		"$APT_CONFIG" >"$APT_CONFIG_ARM64"
}

apt_update() {
	apt-get -q update -o APT::Update::Error-Mode=any &&
		cp "$CACHE/apt/sources.list" "$CACHE/apt/sources.updated"
}

# Before a download: the lists must be those of the mirror that is named now.
apt_lists() {
	cmp -s "$CACHE/apt/sources.list" "$CACHE/apt/sources.updated" || apt_update
}

# apt_versions PACKAGE: the versions on offer, newest first.
apt_versions() {
	apt-cache madison "$1" 2>/dev/null | awk -F' *[|] *' '{ print $2 }' | uniq
}
