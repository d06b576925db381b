// SPDX-License-Identifier: GPL-2.0
/* Loading and unloading the module. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm_vhe_test.h"

int module_insert(const char *path, const char *params)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, params, 0))
		ret = -errno;
	close(fd);
	return ret;
}

int module_remove(void)
{
	return syscall(SYS_delete_module, MODULE_NAME, O_NONBLOCK) ? -errno : 0;
}

bool module_present(void)
{
	return !access("/sys/module/" MODULE_NAME, F_OK);
}

int module_ensure(const char *path, bool present)
{
	int tries = 0;
	int ret;

	if (module_present() == present)
		return 0;
	if (present)
		return module_insert(path, "");
	/* A file of it that was just closed may still be on its way out. */
	while ((ret = module_remove()) == -EAGAIN && tries++ < 100)
		msleep(10);
	return ret;
}
