// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that no ioctl number, size or pointer does harm: every number of type
 * KVMIO in every direction and several sizes, with pointers that lead nowhere,
 * on the system fd and on a VM fd. The table below says what the module answers;
 * everything that is not in it is EINVAL.
 * Runs on the module and on C KVM, as root. C KVM implements more, so there the
 * system fd's answers are held against the table and a VM fd's only have to be
 * an answer.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"

#define IPA_DEFAULT	40
#define IPA_MIN		32
#define KERNEL_ADDRESS	0xffff800080000000UL	/* where the kernel's image is mapped */
#define LINEAR_ADDRESS	0xffff000000000000UL	/* where memory is mapped linearly */

static long ipa_limit;

/* What an implemented ioctl answers to arg; a new descriptor counts as 0. */
static long version(unsigned long arg)
{
	return arg ? -EINVAL : 12;
}

static long mmap_size(unsigned long arg)
{
	return arg ? -EINVAL : 2 * getpagesize();
}

static long create_vm(unsigned long arg)
{
	unsigned long bits = arg ? arg : IPA_DEFAULT;

	return bits >= IPA_MIN && bits <= (unsigned long)ipa_limit ? 0 : -EINVAL;
}

static long capability(unsigned long arg)
{
	return arg == KVM_CAP_CHECK_EXTENSION_VM ? 1 :
	       arg == KVM_CAP_ARM_VM_IPA_SIZE ? ipa_limit : 0;
}

static const struct answer {
	unsigned int cmd;
	long (*expect)(unsigned long arg);
	bool makes_fd;
	bool on_system, on_vm;
} answers[] = {
	{ KVM_GET_API_VERSION, version, .on_system = true },
	{ KVM_GET_VCPU_MMAP_SIZE, mmap_size, .on_system = true },
	{ KVM_CREATE_VM, create_vm, .makes_fd = true, .on_system = true },
	{ KVM_CHECK_EXTENSION, capability, .on_system = true, .on_vm = true },
};

/* The sizes in this kernel's linux/kvm.h, for numbers whose arguments have one. */
static const unsigned int known[] = {
	KVM_SET_USER_MEMORY_REGION, KVM_SET_USER_MEMORY_REGION2, KVM_GET_DIRTY_LOG,
	KVM_CLEAR_DIRTY_LOG, KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS, KVM_IRQFD, KVM_IOEVENTFD,
	KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_CREATE_DEVICE, KVM_SET_DEVICE_ATTR,
	KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_ENABLE_CAP, KVM_ARM_SET_DEVICE_ADDR,
	KVM_ARM_PREFERRED_TARGET, KVM_ARM_MTE_COPY_TAGS, KVM_ARM_SET_COUNTER_OFFSET,
	KVM_ARM_GET_REG_WRITABLE_MASKS, KVM_CREATE_GUEST_MEMFD, KVM_REGISTER_COALESCED_MMIO,
	KVM_UNREGISTER_COALESCED_MMIO, KVM_SET_ONE_REG, KVM_GET_ONE_REG, KVM_GET_REG_LIST,
	KVM_ARM_VCPU_INIT, KVM_ARM_VCPU_FINALIZE, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
	KVM_SET_GUEST_DEBUG, KVM_SET_SIGNAL_MASK, KVM_GET_MP_STATE, KVM_SET_MP_STATE,
	KVM_TRANSLATE, KVM_INTERRUPT, KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS,
	KVM_SET_SREGS, KVM_GET_FPU, KVM_SET_FPU, KVM_GET_STATS_FD, KVM_RESET_DIRTY_RINGS,
};

FIXTURE(ioctl_fuzz)
{
	int kvm, vm, low;
	unsigned long bad[10];
	unsigned int n_bad;
	unsigned long done;
};

FIXTURE_SETUP(ioctl_fuzz)
{
	long page = getpagesize();
	char *map = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long *bad = self->bad;

	ASSERT_NE(MAP_FAILED, map);
	self->kvm = kvm_open();
	ASSERT_GE(self->kvm, 0) TH_LOG("%s: %s", KVM_DEV, strerror(-self->kvm));
	ipa_limit = kvm_ioctl(self->kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);
	self->vm = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
	ASSERT_GE(self->vm, 0);
	self->low = fcntl(0, F_DUPFD, 0);
	close(self->low);

	memset(map, 0xa5, 3 * page);
	ASSERT_EQ(0, mprotect(map, page, PROT_READ));
	ASSERT_EQ(0, mprotect(map + 2 * page, page, PROT_NONE));
	ASSERT_EQ(0, munmap(map + 3 * page, page));
	*bad++ = 0;
	*bad++ = 1;
	*bad++ = (unsigned long)map;			/* read-only */
	*bad++ = (unsigned long)map + 2 * page - 3;	/* its end is not there */
	*bad++ = (unsigned long)map + 2 * page;		/* no access */
	*bad++ = (unsigned long)map + 3 * page;		/* unmapped */
	*bad++ = KERNEL_ADDRESS;
	*bad++ = LINEAR_ADDRESS;
	*bad++ = 1UL << 52;				/* not canonical */
	*bad++ = ~0UL;
	self->n_bad = bad - self->bad;
}

FIXTURE_TEARDOWN(ioctl_fuzz)
{
	close(self->vm);
	close(self->kvm);
}

static const struct answer *lookup(unsigned int cmd, bool vm)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(answers); i++)
		if (answers[i].cmd == cmd && (vm ? answers[i].on_vm : answers[i].on_system))
			return &answers[i];
	return NULL;
}

/* One call: what it was and what it should be differ only in a returned string. */
static const char *try_one(FIXTURE_DATA(ioctl_fuzz) *self, bool vm, unsigned int cmd,
			   unsigned long arg)
{
	const struct answer *answer = lookup(cmd, vm);
	bool exact = !vm || host_is_module();
	static char text[160];
	long got, want;

	/* C KVM has more capabilities than the table knows. */
	if (answer && answer->expect == capability && !host_is_module() &&
	    arg != KVM_CAP_CHECK_EXTENSION_VM && arg != KVM_CAP_ARM_VM_IPA_SIZE)
		exact = false;
	got = kvm_ioctl(vm ? self->vm : self->kvm, cmd, arg);
	self->done++;
	if (got == self->low && fcntl(self->low, F_GETFD) >= 0) {
		close(self->low);
		if (!answer || answer->makes_fd)
			got = 0;
	}
	want = answer ? answer->expect(arg) : -EINVAL;
	if (got == want || (!exact && got > -4096))
		return NULL;
	snprintf(text, sizeof(text), "%s fd, cmd %#x, arg %#lx: %ld, not %ld",
		 vm ? "VM" : "system", cmd, arg, got, want);
	return text;
}

static void sweep(struct __test_metadata *_metadata, FIXTURE_DATA(ioctl_fuzz) *self, bool vm)
{
	static const unsigned int dirs[] = { _IOC_NONE, _IOC_READ, _IOC_WRITE,
					     _IOC_READ | _IOC_WRITE };
	unsigned int sizes[] = { 0, 1, 4, 8, 16383, 0 };
	unsigned int nr, d, s, p, i, failures = 0;
	const char *wrong;

	for (nr = 0; nr < 256; nr++) {
		sizes[5] = 0;
		for (i = 0; i < ARRAY_LEN(known); i++)
			if (_IOC_NR(known[i]) == nr)
				sizes[5] = _IOC_SIZE(known[i]);
		for (d = 0; d < ARRAY_LEN(dirs); d++)
			for (s = 0; s < ARRAY_LEN(sizes); s++)
				for (p = 0; p < self->n_bad; p++) {
					wrong = try_one(self, vm, _IOC(dirs[d], KVMIO, nr, sizes[s]),
							self->bad[p]);
					if (wrong && failures++ < 20)
						TH_LOG("%s", wrong);
				}
	}
	/* Numbers that occur twice, with two sizes (device attributes and their like). */
	for (i = 0; i < ARRAY_LEN(known); i++)
		for (p = 0; p < self->n_bad; p++) {
			wrong = try_one(self, vm, known[i], self->bad[p]);
			if (wrong && failures++ < 20)
				TH_LOG("%s", wrong);
		}
	EXPECT_EQ(0, failures);
	EXPECT_GT(self->done, 256 * 4 * 5 * self->n_bad);
}

TEST_F_TIMEOUT(ioctl_fuzz, system_fd, 300)
{
	sweep(_metadata, self, false);
	EXPECT_EQ(12, kvm_ioctl(self->kvm, KVM_GET_API_VERSION, 0));
}

TEST_F_TIMEOUT(ioctl_fuzz, vm_fd, 300)
{
	sweep(_metadata, self, true);
	EXPECT_EQ(1, kvm_ioctl(self->vm, KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM));
}

TEST_F(ioctl_fuzz, create_vm_takes_no_pointer)
{
	unsigned int i;

	for (i = 1; i < self->n_bad; i++) {
		EXPECT_EQ(-EINVAL, kvm_ioctl(self->kvm, KVM_CREATE_VM, self->bad[i]));
	}
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->kvm, KVM_CREATE_VM, (unsigned long)&i));
}

/* Commands of other drivers, and of the VFS for files that these are not. */
TEST_F(ioctl_fuzz, other_types)
{
	static const unsigned int cmds[] = {
		0, 0xffffffff, TCGETS, TIOCGWINSZ, FIONREAD, BLKGETSIZE64, FS_IOC_GETVERSION,
		_IO('x', 0), _IOWR('K', 0, long), _IO(KVMIO - 1, 0), _IO(KVMIO + 1, 0),
	};
	unsigned int i, type;

	for (i = 0; i < ARRAY_LEN(cmds); i++) {
		EXPECT_EQ(-EINVAL, kvm_ioctl(self->kvm, cmds[i], 0))
			TH_LOG("system fd, %#x", cmds[i]);
		EXPECT_EQ(-EINVAL, kvm_ioctl(self->vm, cmds[i], 0))
			TH_LOG("VM fd, %#x", cmds[i]);
	}
	/* Every type but KVMIO and those that the VFS answers itself ('f', 'X', 'T', 0x12, 0x94). */
	for (type = 0; type < 256; type++) {
		if (type == KVMIO || strchr("fXT\x12\x94", type))
			continue;
		EXPECT_EQ(-EINVAL, kvm_ioctl(self->kvm, _IO(type, 1), ~0UL))
			TH_LOG("system fd, type %#x", type);
		EXPECT_EQ(-EINVAL, kvm_ioctl(self->vm, _IO(type, 1), ~0UL))
			TH_LOG("VM fd, type %#x", type);
	}
}

/* What the VFS answers for every file, it answers for these. */
TEST_F(ioctl_fuzz, vfs_commands)
{
	int fd[] = { self->kvm, self->vm };
	int on = 1, i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, ioctl(fd[i], FIONCLEX));
		EXPECT_EQ(0, fcntl(fd[i], F_GETFD));
		EXPECT_EQ(0, ioctl(fd[i], FIOCLEX));
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd[i], F_GETFD));
		EXPECT_EQ(0, ioctl(fd[i], FIONBIO, &on));
		EXPECT_EQ(O_NONBLOCK, fcntl(fd[i], F_GETFL) & O_NONBLOCK);
		EXPECT_EQ(-EFAULT, kvm_ioctl(fd[i], FIONBIO, 1));
	}
}

/* 200,000 calls with a number, an argument and a descriptor drawn at random. */
TEST_F_TIMEOUT(ioctl_fuzz, random, 300)
{
	unsigned int i, failures = 0, n = scaled(200000);
	const char *seed_text = getenv("LAB_SEED");
	unsigned int seed = seed_text ? strtoul(seed_text, NULL, 0) : (unsigned int)time(NULL);
	const char *wrong;

	TH_LOG("LAB_SEED=%u", seed);
	srandom(seed);
	for (i = 0; i < n; i++) {
		unsigned int cmd = random() << 16 ^ random();
		unsigned long arg = random() % 2 ? self->bad[random() % self->n_bad] :
				    (unsigned long)random() << (random() % 34);

		cmd = (cmd & ~0xff00u) | KVMIO << 8;
		if (random() % 4 == 0)
			cmd = known[random() % ARRAY_LEN(known)];
		wrong = try_one(self, random() % 2, cmd, arg);
		if (wrong && failures++ < 20)
			TH_LOG("%s", wrong);
	}
	EXPECT_EQ(0, failures);
}

TEST_HARNESS_MAIN
