// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a kernel started by kexec while a VM existed finds the machine as it
 * needs it: it boots, and the module loads there and works.
 * Runs in the lab (--expect-reset kexec), as root: kexec IMAGE [/lib/kvm_vhe.ko].
 * The lab runs it twice: first to start IMAGE, with the old device tree in which
 * lab.from=none becomes this test's own number, and then, LAB_RESUMED=1, in the
 * second kernel. The initramfs stays in memory (retain_initrd). Debian's kernel
 * has no CONFIG_KEXEC_FILE, so this is kexec_load() of the Image, the device tree
 * and three instructions between them. Also on C KVM, there without the module.
 */
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"

#define CHUNK	0x10000UL

static const char *module_file = MODULE_FILE;

struct range {
	unsigned long start, end;
};

static unsigned long round_up(unsigned long value, unsigned long unit)
{
	return (value + unit - 1) / unit * unit;
}

/*
 * RAM for the new kernel: the lower half of the largest "System RAM" is the old
 * kernel's, the upper one ours, but the initramfs stays where it is.
 */
static bool find_room(const struct range *keep, unsigned long size, unsigned long *at)
{
	FILE *file = fopen("/proc/iomem", "re");
	struct range ram, best = { 0 };
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (line[0] != ' ' && strstr(line, "System RAM") &&
		    sscanf(line, "%lx-%lx", &ram.start, &ram.end) == 2 &&
		    ram.end - ram.start > best.end - best.start)
			best = ram;
	if (file)
		fclose(file);
	/* An Image wants 2 MiB alignment. */
	*at = round_up(best.start + (best.end - best.start) / 2, 2UL << 20);
	if (*at < keep->end && *at + size > keep->start)
		*at = round_up(keep->end, 2UL << 20);
	return best.end && *at + size <= best.end;
}

static unsigned int be32(const unsigned char *p)
{
	return (unsigned int)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

/* A property of /chosen, found by its name: one cell or two. */
static unsigned long chosen_address(const char *name)
{
	char path[128];
	unsigned char *cell;
	unsigned long value = 0;
	size_t size = 0;

	snprintf(path, sizeof(path), "/sys/firmware/devicetree/base/chosen/%s", name);
	cell = read_file(path, &size);
	if (cell && size == 4)
		value = be32(cell);
	else if (cell && size == 8)
		value = (unsigned long)be32(cell) << 32 | be32(cell + 4);
	free(cell);
	return value;
}

static const char *load(const char *image_path, const char *index)
{
	static struct {
		unsigned int code[4];
		unsigned long dtb, kernel;
	} entry = { {
		0x58000080,	/* ldr x0, dtb */
		0x580000a4,	/* ldr x4, kernel */
		0xd61f0080,	/* br x4 */
		0xd503201f,	/* nop */
	}, 0, 0 };
	struct range initrd = { chosen_address("linux,initrd-start"),
				chosen_address("linux,initrd-end") };
	size_t image_size, dtb_size, i, edited = 0;
	unsigned long at, memory, dtb_room;
	char *image = read_file(image_path, &image_size);
	char *dtb = read_file("/sys/firmware/fdt", &dtb_size);
	char digits[8];

	if (!image || image_size < 64 || memcmp(image + 56, "ARM\x64", 4))
		return "no arm64 Image";
	if (!dtb)
		return "no device tree";
	snprintf(digits, sizeof(digits), "%04d", atoi(index));
	for (i = 0; i + 13 <= dtb_size; i++)
		if (!memcmp(dtb + i, "lab.from=none", 13)) {
			memcpy(dtb + i + 9, digits, 4);
			edited++;
		}
	if (edited != 1)
		return "no lab.from=none on the command line (the lab's --expect-reset)";
	memcpy(&memory, image + 16, 8);
	memory = round_up(memory, CHUNK);
	dtb_room = round_up(dtb_size, CHUNK);
	if (!find_room(&initrd, memory + CHUNK + dtb_room, &at))
		return "no room in memory";
	entry.kernel = at;
	entry.dtb = at + memory + CHUNK;

	struct kexec_segment segments[] = {
		{ image, image_size, (void *)entry.kernel, memory },
		{ &entry, sizeof(entry), (void *)(at + memory), CHUNK },
		{ dtb, dtb_size, (void *)entry.dtb, dtb_room },
	};

	if (syscall(SYS_kexec_load, at + memory, ARRAY_LEN(segments), segments, KEXEC_ARCH_AARCH64))
		return strerror(errno);
	return NULL;
}

/* Comes back only if something is wrong. */
static const char *leave(const char *image)
{
	const char *index = getenv("LAB_INDEX");
	const char *wrong;
	int kvm, vm;

	if (!index)
		return "not in the lab";
	if (host_is_module() && module_ensure(module_file, true))
		return "the module does not load";
	kvm = kvm_open();
	if (kvm < 0)
		return "no " KVM_DEV;
	vm = kvm_ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return "KVM_CREATE_VM failed";
	wrong = load(image, index);
	if (wrong)
		return wrong;
	printf("# a VM is open; now the next kernel\n");
	fflush(stdout);
	msleep(300);	/* let the output reach the build machine */
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	return strerror(errno);
}

/* The points of the second kernel. */
TEST(all_cpus_came_back)
{
	const char *cpus = getenv("LAB_CPUS");

	if (!cpus)
		SKIP(return, "LAB_CPUS is not set");
	EXPECT_EQ(atoi(cpus), sysconf(_SC_NPROCESSORS_ONLN));
}

TEST(kvm_works_again)
{
	bool load_it = host_is_module() && !module_present();
	int kvm, vm;

	if (load_it) {
		ASSERT_EQ(0, module_insert(module_file, ""));
	}
	kvm = kvm_open();
	ASSERT_GE(kvm, 0);
	EXPECT_EQ(12, kvm_ioctl(kvm, KVM_GET_API_VERSION, 0));
	vm = kvm_ioctl(kvm, KVM_CREATE_VM, 0);
	EXPECT_GE(vm, 0);
	close(vm);
	close(kvm);
	if (load_it) {
		EXPECT_EQ(0, module_ensure(module_file, false));
	}
}

int main(int argc, char **argv)
{
	const char *resumed = getenv("LAB_RESUMED");

	if (argc > 2)
		module_file = argv[2];
	if (!resumed || strcmp(resumed, "1")) {
		printf("Bail out! %s\n", argc > 1 ? leave(argv[1]) : "usage: kexec IMAGE [FILE]");
		return KSFT_FAIL;
	}
	return test_harness_run(1, argv);
}
