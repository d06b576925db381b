// SPDX-License-Identifier: GPL-2.0
/* Small helpers: files, descriptors, the host's kind. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kvm_vhe_test.h"

bool host_is_module(void)
{
	const char *host = getenv("LAB_HOST");

	return host ? !strcmp(host, "module") : module_present();
}

unsigned int scaled(unsigned int n)
{
	const char *scale = getenv("LAB_SCALE");
	unsigned long per_cent = scale ? strtoul(scale, NULL, 10) : 100;
	unsigned long result = n * per_cent / 100;

	return result ? result : 1;
}

/*
 * The harness waits for a test with poll(), as tests do for what has to come: on a
 * kernel that is LAB_SLOW times as slow, so many times as long. The linker has all
 * calls of poll() come here.
 */
int __real_poll(struct pollfd *fds, nfds_t nfds, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t nfds, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
	const char *slow = getenv("LAB_SLOW");
	long times = slow ? strtol(slow, NULL, 10) : 1;

	if (times > 1 && timeout > 0)
		timeout = timeout < INT_MAX / times ? timeout * times : INT_MAX;
	return __real_poll(fds, nfds, timeout);
}

int kvm_open(void)
{
	int fd = open(KVM_DEV, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

long kvm_ioctl(int fd, unsigned long cmd, unsigned long arg)
{
	long ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

bool read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return false;
	got = read(fd, buf, size - 1);
	close(fd);
	if (got < 0)
		return false;
	if (got && buf[got - 1] == '\n')
		got--;
	buf[got] = 0;
	return true;
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

void *read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t room = 1 << 16, have = 0;
	char *data = malloc(room);
	ssize_t got = -1;

	while (fd >= 0 && data && (got = read(fd, data + have, room - have)) > 0) {
		have += got;
		if (have == room) {
			char *bigger = realloc(data, room *= 2);

			if (!bigger) {
				got = -1;
				break;
			}
			data = bigger;
		}
	}
	if (fd >= 0)
		close(fd);
	if (got < 0) {
		free(data);
		return NULL;
	}
	*size = have;
	return data;
}

long read_field(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	size_t len = strlen(name);
	long value = -1;
	char line[256];

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, name, len) && line[len] == ':') {
			value = strtol(line + len + 1, NULL, 10);
			break;
		}
	}
	fclose(file);
	return value;
}

int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3;	/* ".", ".." and the directory's own */
}

void msleep(unsigned int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

unsigned int raise_nofile(unsigned int n)
{
	struct rlimit limit = { n + 64, n + 64 };
	char number[24];

	if (read_text("/proc/sys/fs/nr_open", number, sizeof(number)) &&
	    strtoul(number, NULL, 10) < n + 64) {
		snprintf(number, sizeof(number), "%u", n + 64);
		write_text("/proc/sys/fs/nr_open", number);
	}
	if (!setrlimit(RLIMIT_NOFILE, &limit))
		return n;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > 64 ? limit.rlim_cur - 64 : 0;
}

int wait_child(int pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}
