// SPDX-License-Identifier: GPL-2.0
/* The kernel's trace buffer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "kvm_vhe_test.h"

int trace_enable(const char *event, bool on)
{
	char path[160];

	snprintf(path, sizeof(path), TRACING "/events/%s/enable", event);
	return write_text(path, on ? "1" : "0");
}

int trace_clear(void)
{
	/* Truncating it is what clears it. */
	int fd = open(TRACING "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	return fd < 0 ? -errno : close(fd);
}

int trace_mark(const char *text)
{
	return write_text(TRACING "/trace_marker", text);
}
