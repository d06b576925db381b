// SPDX-License-Identifier: GPL-2.0
/*
 * Runs kvm_vhe_test.ko, the tests of rust/host that need a CPU at EL2: it loads
 * the module, which runs them, and hands on their TAP from the kernel's log. Two
 * points are its own: the warnings that are provoked are the only ones, and the
 * module goes away again.
 * Runs on a machine with VHE whose EL2 nobody uses, as root:
 *	host [FILE [PARAMETERS]]
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm_vhe_test.h"

#define PREFIX	"kvm_vhe_test: "
/* A register that is not to be read, and a window in an inner section. */
#define WARNINGS	2

static unsigned int points;

static void point(bool passed, const char *name)
{
	printf("%s %u %s\n", passed ? "ok" : "not ok", ++points, name);
}

int main(int argc, char **argv)
{
	const char *file = argc > 1 ? argv[1] : "/lib/kvm_vhe_test.ko";
	const char *parameters = argc > 2 ? argv[2] : "";
	unsigned int warnings = 0, planned = 0;
	bool failed = false;
	char line[1024];
	int log = kmsg_open();
	int ret;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (log < 0) {
		printf("Bail out! /dev/kmsg: %s\n", strerror(-log));
		return 1;
	}
	ret = module_insert(file, parameters);
	while (kmsg_next(log, line, sizeof(line)) >= 0) {
		const char *text = line + strlen(PREFIX);

		warnings += !strncmp(line, "WARNING: ", strlen("WARNING: "));
		if (strncmp(line, PREFIX, strlen(PREFIX)))
			continue;
		/* The plan is ours, since there are points of ours. */
		if (sscanf(text, "1..%u", &planned) == 1)
			continue;
		puts(text);
		points += !strncmp(text, "ok ", 3) || !strncmp(text, "not ok ", 7);
		failed |= !strncmp(text, "not ok ", 7);
	}
	if (ret) {
		printf("Bail out! %s: %s\n", file, strerror(-ret));
		return 1;
	}
	if (!planned || planned != points) {
		printf("Bail out! %u points in the log, the module reported %u\n", points, planned);
		return 1;
	}
	failed |= warnings != WARNINGS;
	point(warnings == WARNINGS, "the kernel has warned as often as it should");
	ret = syscall(SYS_delete_module, "kvm_vhe_test", 0);
	failed |= ret;
	point(!ret, "the module goes away");
	printf("1..%u\n", points);
	return failed;
}
