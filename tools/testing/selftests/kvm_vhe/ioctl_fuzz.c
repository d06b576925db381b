// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that no ioctl number, size or pointer does harm: every number of type
 * KVMIO in every direction and several sizes, with pointers that lead nowhere,
 * on the system fd, on a VM fd and on a vCPU's, initialised or not. The table below
 * says what the module answers; everything that is not in it is EINVAL.
 * Runs on the module and on C KVM, as root. C KVM implements more, so there the
 * system fd's answers are held against the table and the others only have to be
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

/* The descriptors. */
enum { SYSTEM, VM, VCPU, INITIALISED, N_FDS };
#define ON(fd)		(1U << (fd))
#define ON_VCPUS	(ON(VCPU) | ON(INITIALISED))

static const char * const names[N_FDS] = { "system", "VM", "new vCPU", "vCPU" };

static int kvm;
/* The one address that can be read, a page of 0xa5; none can be written. */
static unsigned long readable;

/* What an implemented ioctl answers to arg; a new descriptor counts as 0. */
static bool version(unsigned long arg, long got)
{
	return got == (arg ? -EINVAL : 12);
}

static bool mmap_size(unsigned long arg, long got)
{
	return got == (arg ? -EINVAL : 2 * getpagesize());
}

static bool create_vm(unsigned long arg, long got)
{
	long limit = kvm_ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);
	unsigned long bits = arg ? arg : IPA_DEFAULT;

	return got == (bits >= IPA_MIN && bits <= (unsigned long)limit ? 0 : -EINVAL);
}

static bool capability(unsigned long arg, long got)
{
	struct capability want = capability_of(arg);

	return want.low <= got && got <= want.high;
}

static bool create_vcpu(unsigned long arg, long got)
{
	long limit = kvm_ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);

	return arg < (unsigned long)limit ? got == 0 || got == -EEXIST : got == -EINVAL;
}

static bool run(unsigned long arg, long got)
{
	return got == (arg ? -EINVAL : -ENOEXEC);
}

/* immediate_exit is set. If there is a GIC by now, it has no frames. */
static bool run_initialised(unsigned long arg, long got)
{
	return arg ? got == -EINVAL : got == -EINTR || got == -ENXIO;
}

/* No target, flag, group or the like has the value of 0xa5. */
static bool reads(unsigned long arg, long got)
{
	return got == (arg == readable ? -EINVAL : -EFAULT);
}

static bool reads_device(unsigned long arg, long got)
{
	return got == (arg == readable ? -ENODEV : -EFAULT);
}

/* A GICv2, which C KVM lacks here. It can be made once, unless a vCPU has run. */
static bool makes_gic(unsigned long arg, long got)
{
	(void)arg;
	if (!host_is_module())
		return got == -ENODEV;
	return got == 0 || got == -EEXIST || got == -EBUSY;
}

static bool reads_address(unsigned long arg, long got)
{
	return got == (arg == readable ? -ENODEV : -EFAULT);
}

static bool reads_attr(unsigned long arg, long got)
{
	return got == (arg == readable ? -ENXIO : -EFAULT);
}

static bool reads_reg(unsigned long arg, long got)
{
	return got == (arg == readable ? -ENOENT : -EFAULT);
}

static bool writes(unsigned long arg, long got)
{
	(void)arg;
	return got == -EFAULT;
}

static bool not_yet(unsigned long arg, long got)
{
	(void)arg;
	return got == -ENOEXEC;
}

static bool signal_mask(unsigned long arg, long got)
{
	return arg ? reads(arg, got) : got == 0;
}

/* The argument is not looked at. */
static bool opens(unsigned long arg, long got)
{
	(void)arg;
	return got == 0;
}

static const struct answer {
	unsigned int cmd;
	bool (*right)(unsigned long arg, long got);
	unsigned int on;
	bool makes_fd;
} answers[] = {
	{ KVM_GET_API_VERSION, version, ON(SYSTEM), false },
	{ KVM_GET_VCPU_MMAP_SIZE, mmap_size, ON(SYSTEM), false },
	{ KVM_CREATE_VM, create_vm, ON(SYSTEM), true },
	{ KVM_CHECK_EXTENSION, capability, ON(SYSTEM) | ON(VM), false },
	{ KVM_CREATE_VCPU, create_vcpu, ON(VM), true },
	{ KVM_SET_USER_MEMORY_REGION, reads, ON(VM), false },
	{ KVM_SET_USER_MEMORY_REGION2, reads, ON(VM), false },
	{ KVM_GET_DIRTY_LOG, reads, ON(VM), false },
	{ KVM_CLEAR_DIRTY_LOG, reads, ON(VM), false },
	{ KVM_ENABLE_CAP, reads, ON(VM), false },
	{ KVM_CREATE_IRQCHIP, makes_gic, ON(VM), false },
	{ KVM_ARM_SET_DEVICE_ADDR, reads_address, ON(VM), false },
	{ KVM_CREATE_DEVICE, reads_device, ON(VM), false },
	{ KVM_SIGNAL_MSI, reads, ON(VM), false },
	{ KVM_ARM_SET_COUNTER_OFFSET, reads, ON(VM), false },
	{ KVM_IRQ_LINE, reads, ON(VM), false },
	{ KVM_IRQ_LINE_STATUS, reads, ON(VM), false },
	{ KVM_REGISTER_COALESCED_MMIO, reads, ON(VM), false },
	{ KVM_UNREGISTER_COALESCED_MMIO, reads, ON(VM), false },
	{ KVM_SET_GSI_ROUTING, reads, ON(VM), false },
	{ KVM_IRQFD, reads, ON(VM), false },
	{ KVM_IOEVENTFD, reads, ON(VM), false },
	{ KVM_GET_STATS_FD, opens, ON(VM) | ON_VCPUS, true },
	{ KVM_ARM_PREFERRED_TARGET, writes, ON(VM), false },
	{ KVM_ARM_GET_REG_WRITABLE_MASKS, reads, ON(VM), false },
	{ KVM_SET_DEVICE_ATTR, reads_attr, ON(VM) | ON_VCPUS, false },
	{ KVM_GET_DEVICE_ATTR, reads_attr, ON(VM) | ON_VCPUS, false },
	{ KVM_HAS_DEVICE_ATTR, reads_attr, ON(VM) | ON_VCPUS, false },
	{ KVM_RUN, run, ON(VCPU), false },
	{ KVM_RUN, run_initialised, ON(INITIALISED), false },
	{ KVM_ARM_VCPU_INIT, reads, ON_VCPUS, false },
	{ KVM_SET_SIGNAL_MASK, signal_mask, ON_VCPUS, false },
	{ KVM_GET_MP_STATE, writes, ON_VCPUS, false },
	{ KVM_SET_MP_STATE, reads, ON_VCPUS, false },
	{ KVM_SET_GUEST_DEBUG, reads, ON_VCPUS, false },
	{ KVM_GET_VCPU_EVENTS, not_yet, ON(VCPU), false },
	{ KVM_SET_VCPU_EVENTS, not_yet, ON(VCPU), false },
	{ KVM_GET_ONE_REG, not_yet, ON(VCPU), false },
	{ KVM_SET_ONE_REG, not_yet, ON(VCPU), false },
	{ KVM_GET_REG_LIST, not_yet, ON(VCPU), false },
	{ KVM_ARM_VCPU_FINALIZE, not_yet, ON(VCPU), false },
	{ KVM_GET_VCPU_EVENTS, writes, ON(INITIALISED), false },
	{ KVM_SET_VCPU_EVENTS, reads, ON(INITIALISED), false },
	{ KVM_GET_ONE_REG, reads_reg, ON(INITIALISED), false },
	{ KVM_SET_ONE_REG, reads_reg, ON(INITIALISED), false },
	{ KVM_GET_REG_LIST, writes, ON(INITIALISED), false },
	{ KVM_PRE_FAULT_MEMORY, not_yet, ON(VCPU), false },
	{ KVM_PRE_FAULT_MEMORY, reads, ON(INITIALISED), false },
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
	KVM_PRE_FAULT_MEMORY,
};

FIXTURE(ioctl_fuzz)
{
	int fd[N_FDS], low;
	unsigned long bad[10];
	unsigned int n_bad;
	unsigned long done;
};

FIXTURE_SETUP(ioctl_fuzz)
{
	long page = getpagesize();
	char *map = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long *bad = self->bad;
	struct kvm_vcpu_init init;
	struct kvm_run *shared;

	ASSERT_NE(MAP_FAILED, map);
	kvm = self->fd[SYSTEM] = kvm_open();
	ASSERT_GE(kvm, 0) TH_LOG("%s: %s", KVM_DEV, strerror(-kvm));
	self->fd[VM] = kvm_ioctl(kvm, KVM_CREATE_VM, 0);
	ASSERT_GE(self->fd[VM], 0);
	self->fd[VCPU] = kvm_ioctl(self->fd[VM], KVM_CREATE_VCPU, 6);
	ASSERT_GE(self->fd[VCPU], 0);
	self->fd[INITIALISED] = kvm_ioctl(self->fd[VM], KVM_CREATE_VCPU, 7);
	ASSERT_GE(self->fd[INITIALISED], 0);
	ASSERT_EQ(0, kvm_ioctl(self->fd[VM], KVM_ARM_PREFERRED_TARGET, (unsigned long)&init));
	ASSERT_EQ(0, kvm_ioctl(self->fd[INITIALISED], KVM_ARM_VCPU_INIT, (unsigned long)&init));
	/* Nothing is to run: there is no memory. */
	shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd[INITIALISED], 0);
	ASSERT_NE(MAP_FAILED, shared);
	shared->immediate_exit = 1;
	self->low = fcntl(0, F_DUPFD, 0);
	close(self->low);

	memset(map, 0xa5, 3 * page);
	ASSERT_EQ(0, mprotect(map, page, PROT_READ));
	ASSERT_EQ(0, mprotect(map + 2 * page, page, PROT_NONE));
	ASSERT_EQ(0, munmap(map + 3 * page, page));
	readable = (unsigned long)map;
	*bad++ = 0;
	*bad++ = 1;
	*bad++ = readable;
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
	unsigned int i;

	for (i = N_FDS; i-- > 0;)
		close(self->fd[i]);
}

static const struct answer *lookup(unsigned int cmd, unsigned int fd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(answers); i++)
		if (answers[i].cmd == cmd && answers[i].on & ON(fd))
			return &answers[i];
	return NULL;
}

/* One call: what is wrong with its answer, if anything. */
static const char *try_one(FIXTURE_DATA(ioctl_fuzz) *self, unsigned int fd, unsigned int cmd,
			   unsigned long arg)
{
	const struct answer *answer = lookup(cmd, fd);
	bool exact = fd == SYSTEM || host_is_module();
	static char text[160];
	long got;

	/* C KVM has more capabilities than the table knows. */
	if (answer && answer->right == capability && !host_is_module())
		exact = false;
	got = kvm_ioctl(self->fd[fd], cmd, arg);
	self->done++;
	if (got == self->low && fcntl(self->low, F_GETFD) >= 0) {
		close(self->low);
		if (!answer || answer->makes_fd)
			got = 0;
	}
	if (exact ? (answer ? answer->right(arg, got) : got == -EINVAL) : got > -4096)
		return NULL;
	snprintf(text, sizeof(text), "%s fd, cmd %#x, arg %#lx: %ld is wrong", names[fd], cmd, arg,
		 got);
	return text;
}

static void sweep(struct __test_metadata *_metadata, FIXTURE_DATA(ioctl_fuzz) *self,
		  unsigned int fd)
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
					wrong = try_one(self, fd, _IOC(dirs[d], KVMIO, nr, sizes[s]),
							self->bad[p]);
					if (wrong && failures++ < 20)
						TH_LOG("%s", wrong);
				}
	}
	/* Numbers that occur twice, with two sizes (device attributes and their like). */
	for (i = 0; i < ARRAY_LEN(known); i++)
		for (p = 0; p < self->n_bad; p++) {
			wrong = try_one(self, fd, known[i], self->bad[p]);
			if (wrong && failures++ < 20)
				TH_LOG("%s", wrong);
		}
	EXPECT_EQ(0, failures);
	EXPECT_GT(self->done, 256 * 4 * 5 * self->n_bad);
}

TEST_F_TIMEOUT(ioctl_fuzz, system_fd, 300)
{
	sweep(_metadata, self, SYSTEM);
	EXPECT_EQ(12, kvm_ioctl(kvm, KVM_GET_API_VERSION, 0));
}

TEST_F_TIMEOUT(ioctl_fuzz, vm_fd, 300)
{
	sweep(_metadata, self, VM);
	EXPECT_EQ(1, kvm_ioctl(self->fd[VM], KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM));
}

TEST_F_TIMEOUT(ioctl_fuzz, vcpu_fd, 300)
{
	sweep(_metadata, self, VCPU);
	EXPECT_EQ(-ENOEXEC, kvm_ioctl(self->fd[VCPU], KVM_RUN, 0));
}

TEST_F_TIMEOUT(ioctl_fuzz, initialised_vcpu_fd, 300)
{
	struct kvm_mp_state state = { ~0U };

	sweep(_metadata, self, INITIALISED);
	EXPECT_EQ(-EINTR, kvm_ioctl(self->fd[INITIALISED], KVM_RUN, 0));
	EXPECT_EQ(0, kvm_ioctl(self->fd[INITIALISED], KVM_GET_MP_STATE, (unsigned long)&state));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, state.mp_state);
}

TEST_F(ioctl_fuzz, create_vm_takes_no_pointer)
{
	unsigned int i;

	for (i = 1; i < self->n_bad; i++) {
		EXPECT_EQ(-EINVAL, kvm_ioctl(kvm, KVM_CREATE_VM, self->bad[i]));
	}
	EXPECT_EQ(-EINVAL, kvm_ioctl(kvm, KVM_CREATE_VM, (unsigned long)&i));
}

/* Commands of other drivers, and of the VFS for files that these are not. */
TEST_F(ioctl_fuzz, other_types)
{
	static const unsigned int cmds[] = {
		0, 0xffffffff, TCGETS, TIOCGWINSZ, FIONREAD, BLKGETSIZE64, FS_IOC_GETVERSION,
		_IO('x', 0), _IOWR('K', 0, long), _IO(KVMIO - 1, 0), _IO(KVMIO + 1, 0),
	};
	unsigned int i, type, fd;

	for (i = 0; i < ARRAY_LEN(cmds); i++) {
		for (fd = 0; fd < N_FDS; fd++) {
			EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd[fd], cmds[i], 0))
				TH_LOG("%s fd, %#x", names[fd], cmds[i]);
		}
	}
	/* Every type but KVMIO and those that the VFS answers itself ('f', 'X', 'T', 0x12, 0x94). */
	for (type = 0; type < 256; type++) {
		if (type == KVMIO || strchr("fXT\x12\x94", type))
			continue;
		for (fd = 0; fd < N_FDS; fd++) {
			EXPECT_EQ(-EINVAL, kvm_ioctl(self->fd[fd], _IO(type, 1), ~0UL))
				TH_LOG("%s fd, type %#x", names[fd], type);
		}
	}
}

/* What the VFS answers for every file, it answers for these. */
TEST_F(ioctl_fuzz, vfs_commands)
{
	int *fd = self->fd;
	int on = 1, i;

	for (i = 0; i < N_FDS; i++) {
		EXPECT_EQ(0, ioctl(fd[i], FIONCLEX));
		EXPECT_EQ(0, fcntl(fd[i], F_GETFD));
		EXPECT_EQ(0, ioctl(fd[i], FIOCLEX));
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd[i], F_GETFD));
		EXPECT_EQ(0, ioctl(fd[i], FIONBIO, &on));
		EXPECT_EQ(O_NONBLOCK, fcntl(fd[i], F_GETFL) & O_NONBLOCK);
		EXPECT_EQ(-EFAULT, kvm_ioctl(fd[i], FIONBIO, 1));
	}
}

/* Addresses drawn at random are not to be the test's own. */
static bool is_mapped(unsigned long address)
{
	unsigned long page = getpagesize(), first = address & -page;
	unsigned char seen[2];

	return !mincore((void *)first, page, seen) || errno == EAGAIN ||
	       !mincore((void *)(first + page), page, seen) || errno == EAGAIN;
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
		if (arg != readable && is_mapped(arg))
			arg |= 1UL << 52;
		wrong = try_one(self, random() % N_FDS, cmd, arg);
		if (wrong && failures++ < 20)
			TH_LOG("%s", wrong);
	}
	EXPECT_EQ(0, failures);
}

TEST_HARNESS_MAIN
