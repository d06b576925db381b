# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# How set-up talks: progress for whoever waits, errors for whoever has to act.

say() {
	printf 'setup: %s\n' "$*" >&2
}

# die WHAT REMEDY...: what is wrong in a sentence, what to do about it in the
# next ones.
die() {
	printf '\nsetup: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '       %s\n' "$@" >&2
	exit 1
}

# step TITLE LOG WHAT REMEDY... -- COMMAND...: runs a command that takes a while.
# Its output goes to LOG; the last line of it is shown on a terminal while it
# runs, a sign of life every half a minute elsewhere. If it fails, the end of its
# output is shown, and set-up dies with WHAT and REMEDY. Not to be used in a
# condition: a function would then run on after an error.
step() {
	local title=$1 log=$2 start=$SECONDS shown=0 status=0 words=() last pid
	shift 2
	while [ "$1" != -- ]; do
		words+=("$1")
		shift
	done
	shift

	say "$title ..."
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.5
		if [ -t 2 ]; then
			last=$(tail -n 1 "$log" | tr -d '\r' | cut -c1-60)
			printf '\r\033[K       %3d s  %s' $((SECONDS - start)) "$last" >&2
		elif [ $((SECONDS - start - shown)) -ge 30 ]; then
			shown=$((SECONDS - start))
			say "  ... $shown s: $(tail -n 1 "$log" | cut -c1-60)"
		fi
	done
	[ ! -t 2 ] || printf '\r\033[K' >&2
	wait "$pid" || status=$?
	if [ "$status" -ne 0 ]; then
		tail -n 25 "$log" >&2
		die "${words[@]}" "All of its output is in $log."
	fi
	say "$title: done in $((SECONDS - start)) s"
}

# digest: the key of what is read, short enough for a folder's name.
digest() {
	sha256sum | cut -c1-12
}

# list FILE: the words of a list file without its comments.
list() {
	sed 's/#.*//' "$1" | xargs -n1
}
