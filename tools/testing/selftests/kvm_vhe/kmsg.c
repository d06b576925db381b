// SPDX-License-Identifier: GPL-2.0
/* Reads the kernel log. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm_vhe_test.h"

int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	lseek(fd, 0, SEEK_END);
	return fd;
}

int kmsg_next(int fd, char *buf, size_t size)
{
	char record[4096];
	ssize_t got;
	char *text;

	do {
		got = read(fd, record, sizeof(record) - 1);
	} while (got < 0 && errno == EPIPE);	/* overwritten before we read it */
	if (got < 0)
		return -1;
	record[got] = 0;
	text = strchr(record, ';');
	if (!text)
		return -1;
	text[strcspn(text, "\n")] = 0;
	snprintf(buf, size, "%s", text + 1);
	return atoi(record) & 7;
}

int kmsg_find(int fd, const char *text, char *buf, size_t size)
{
	int level;

	while ((level = kmsg_next(fd, buf, size)) >= 0)
		if (strstr(buf, text))
			return level;
	return -1;
}

int module_found(const char *feature)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char line[1024], word[64], *features;
	int found = -ENODATA;

	if (fd < 0)
		return -errno;
	snprintf(word, sizeof(word), " %s ", feature);
	while (kmsg_find(fd, MODULE_NAME ": ", line, sizeof(line) - 1) >= 0) {
		features = strstr(line, ": VHE, ");
		if (!strstr(line, " on Linux ") || !features)
			continue;
		strcat(line, " ");
		found = !!strstr(features, word);
	}
	close(fd);
	return found;
}
