// SPDX-License-Identifier: GPL-2.0
/*
 * Boots an arm64 Image by kexec on the lab's machine (1 GiB or more at
 * 0x40000000): kexec IMAGE FROM. It shows what --expect-reset asks of a test:
 * lab.from= edited in place in the device tree, the initramfs left where it is.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/kexec.h>

#define ENTRY_AT  0x5fdff000UL
#define DTB_AT    0x5fe00000UL
#define KERNEL_AT 0x60000000UL

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static char *slurp(const char *path, size_t *size)
{
	size_t room = 128 << 20, have = 0;
	char *data = malloc(room);
	int fd = open(path, O_RDONLY);
	ssize_t got;

	if (fd < 0 || !data)
		fail(path);
	while ((got = read(fd, data + have, room - have)) > 0)
		have += got;
	close(fd);
	*size = have;
	return data;
}

int main(int argc, char **argv)
{
	struct { uint32_t code[6]; uint64_t dtb, kernel; } entry = {
		{ 0x580000c0,	/* ldr x0, dtb */
		  0x580000e4,	/* ldr x4, kernel */
		  0xaa1f03e1, 0xaa1f03e2, 0xaa1f03e3,	/* x1 = x2 = x3 = 0 */
		  0xd61f0080 },	/* br x4 */
		DTB_AT, KERNEL_AT
	};
	struct kexec_segment segments[3];
	size_t dtb_size, size, i;
	uint64_t memory;
	char *dtb, *image, digits[5];

	if (argc != 3)
		return 2;
	printf("before kexec\n");
	fflush(stdout);
	dtb = slurp("/sys/firmware/fdt", &dtb_size);
	snprintf(digits, sizeof(digits), "%04d", atoi(argv[2]));
	for (i = 0; i + 13 < dtb_size; i++)
		if (!memcmp(dtb + i, "lab.from=none", 13))
			memcpy(dtb + i + 9, digits, 4);
	image = slurp(argv[1], &size);
	memcpy(&memory, image + 16, 8);
#define ROUND(x) (((x) + 0xffff) & ~0xffffUL)
	segments[0] = (struct kexec_segment){ &entry, sizeof(entry), (void *)ENTRY_AT, 0x1000 };
	segments[1] = (struct kexec_segment){ dtb, dtb_size, (void *)DTB_AT, ROUND(dtb_size) };
	segments[2] = (struct kexec_segment){ image, size, (void *)KERNEL_AT, ROUND(memory) };
	if (syscall(SYS_kexec_load, ENTRY_AT, 3, segments, KEXEC_ARCH_AARCH64))
		fail("kexec_load");
	usleep(200000);		/* let the output reach the build machine */
	syscall(SYS_reboot, 0xfee1dead, 672274793, 0x45584543, 0);
	fail("reboot");
}
