// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what a vCPU's file descriptor is and answers: making one, its shared page,
 * KVM_ARM_VCPU_INIT, who may use it. What runs it is in vcpu_run.c.
 * Runs on the module and on C KVM, as root.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

FIXTURE(vcpu_fd)
{
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(vcpu_fd)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_open(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(vcpu_fd)
{
	kick_every(0);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))
#define PSCI			(1 << KVM_ARM_VCPU_PSCI_0_2)

GUEST uint64_t add_one(uint64_t arg);
GUEST uint64_t add_one(uint64_t arg)
{
	return arg + 1;
}

GUEST uint64_t spin(uint64_t arg);
GUEST uint64_t spin(uint64_t arg)
{
	for (;;)
		asm volatile("" : "+r" (arg));
}

TEST_F(vcpu_fd, create_errors)
{
	long ids = IOCTL(self->vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);
	int fds = open_fds(), fd;

	ASSERT_LT(0, ids);
	EXPECT_EQ(-EEXIST, IOCTL(self->vm.fd, KVM_CREATE_VCPU, 0));
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_CREATE_VCPU, ids));
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_CREATE_VCPU, ids + 1));
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_CREATE_VCPU, 1UL << 31));
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_CREATE_VCPU, 1UL << 32));
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_CREATE_VCPU, ~0UL));
	EXPECT_EQ(fds, open_fds());
	/* The numbers need not be close together, and a closed one is still in use. */
	fd = IOCTL(self->vm.fd, KVM_CREATE_VCPU, ids - 1);
	ASSERT_LE(0, fd);
	close(fd);
	EXPECT_EQ(-EEXIST, IOCTL(self->vm.fd, KVM_CREATE_VCPU, ids - 1));
	/* Making one goes on after the first has been initialised and has run. */
	ASSERT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	EXPECT_EQ(-EEXIST, IOCTL(self->vm.fd, KVM_CREATE_VCPU, 0));
	ASSERT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
	fd = IOCTL(self->vm.fd, KVM_CREATE_VCPU, 7);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST_F(vcpu_fd, as_many_as_promised)
{
	long n = IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS), i;
	int fd;

	ASSERT_LT(0, n);
	ASSERT_LE(n, raise_nofile(n + 64));
	for (i = 1; i < n; i++) {
		fd = IOCTL(self->vm.fd, KVM_CREATE_VCPU, i);
		ASSERT_LE(0, fd) TH_LOG("vCPU %ld: %s", i, strerror(-fd));
		if (i % 2)
			close(fd);
	}
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_CREATE_VCPU, n));
}

TEST_F(vcpu_fd, emfile_leaves_nothing)
{
	int low = fcntl(0, F_DUPFD, 0), fd;
	struct rlimit old, limit;

	close(low);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	limit = old;
	limit.rlim_cur = low;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(-EMFILE, IOCTL(self->vm.fd, KVM_CREATE_VCPU, 1));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	fd = IOCTL(self->vm.fd, KVM_CREATE_VCPU, 1);
	EXPECT_EQ(low, fd) TH_LOG("the number was not taken by the failure");
	close(fd);
}

TEST_F(vcpu_fd, name_and_flags)
{
	char path[64], link[64];
	ssize_t got;
	char byte = 0;
	int fd = IOCTL(self->vm.fd, KVM_CREATE_VCPU, 5);

	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	got = readlink(path, link, sizeof(link) - 1);
	ASSERT_GT(got, 0);
	link[got] = 0;
	EXPECT_STREQ("anon_inode:kvm-vcpu:5", link);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(O_RDWR, fcntl(fd, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(-1, read(fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
}

TEST_F(vcpu_fd, unknown_ioctls)
{
	static const unsigned long cmds[] = {
		KVM_GET_API_VERSION, KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_CHECK_EXTENSION,
		KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_GET_FPU,
		KVM_SET_FPU, KVM_TRANSLATE, KVM_INTERRUPT, KVM_NMI, _IO(KVMIO, 0xff),
		_IO('x', 0x80), 0, ~0U,
	};
	char room[4096] = { 0 };
	unsigned int i, round;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < ARRAY_LEN(cmds); i++) {
			EXPECT_EQ(-EINVAL, IOCTL(self->vcpu.fd, cmds[i], room)) {
				TH_LOG("ioctl %#lx, round %u", cmds[i], round);
			}
		}
		ASSERT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	}
}

/* The shared page belongs to the vCPU and outlives its descriptor. */
TEST_F(vcpu_fd, mmap_is_shared)
{
	long size = IOCTL(self->vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), page = getpagesize();
	struct kvm_run *run;
	int copy;

	ASSERT_LE(page, size);
	EXPECT_EQ(0, size % page);
	copy = dup(self->vcpu.fd);
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0);
	ASSERT_NE(MAP_FAILED, run);
	close(copy);
	self->vcpu.run->immediate_exit = 1;
	EXPECT_EQ(1, run->immediate_exit);
	ASSERT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	EXPECT_EQ(-EINTR, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	run->immediate_exit = 0;
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 41, 0));
	EXPECT_EQ(42, self->vcpu.value);
	EXPECT_EQ(KVM_EXIT_MMIO, run->exit_reason);
	EXPECT_EQ(0, munmap(run, size));
	EXPECT_EQ(KVM_EXIT_MMIO, self->vcpu.run->exit_reason);
}

/* Each vCPU has a page of its own. */
TEST_F(vcpu_fd, mmap_is_per_vcpu)
{
	struct vcpu other;

	ASSERT_EQ(0, vcpu_open(&self->vm, &other, 1));
	self->vcpu.run->immediate_exit = 0x5a;
	EXPECT_EQ(0, other.run->immediate_exit);
	vcpu_destroy(&other);
}

TEST_F(vcpu_fd, mmap_private_and_read_only)
{
	long page = getpagesize();
	struct kvm_run *priv, *ro;

	/* A private map has what was there, and what is written to it is its own. */
	self->vcpu.run->immediate_exit = 7;
	priv = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->vcpu.fd, 0);
	ro = mmap(NULL, page, PROT_READ, MAP_SHARED, self->vcpu.fd, 0);
	ASSERT_NE(MAP_FAILED, priv);
	ASSERT_NE(MAP_FAILED, ro);
	EXPECT_EQ(7, priv->immediate_exit);
	priv->immediate_exit = 9;
	EXPECT_EQ(7, ro->immediate_exit);
	EXPECT_EQ(7, self->vcpu.run->immediate_exit);
	munmap(priv, page);
	munmap(ro, page);
}

static int touch_child(volatile unsigned char *p)
{
	int child = fork();

	if (!child) {
		signal(SIGBUS, SIG_DFL);
		(void)*p;
		_exit(0);
	}
	return wait_child(child);
}

/* Behind the pages that there are is SIGBUS, not memory of the kernel. */
TEST_F(vcpu_fd, mmap_behind_the_end)
{
	long size = IOCTL(self->vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), page = getpagesize();
	static const unsigned long pages[] = { 2, 3, 63, 64, 65, 1UL << 20, 1UL << 39 };
	unsigned char *map;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(pages); i++) {
		map = mmap(NULL, page, PROT_READ, MAP_SHARED, self->vcpu.fd, pages[i] * page);
		if (map == MAP_FAILED)
			continue;
		EXPECT_EQ(256 + SIGBUS, touch_child(map)) TH_LOG("page %#lx", pages[i]);
		munmap(map, page);
	}
	map = mmap(NULL, size + page, PROT_READ, MAP_SHARED, self->vcpu.fd, 0);
	if (map != MAP_FAILED) {
		EXPECT_EQ(0, touch_child(map));
		EXPECT_EQ(256 + SIGBUS, touch_child(map + size));
		munmap(map, size + page);
	}
}

struct runner {
	struct vcpu *vcpu;
	enum guest_event event;
};

static void *run_thread(void *arg)
{
	struct runner *runner = arg;

	kick_every(200000);
	runner->event = guest_run(runner->vcpu);
	kick_every(0);
	return NULL;
}

/* The kernel has its own way to the page: unmapping it does no harm. */
TEST_F(vcpu_fd, munmap_while_running)
{
	long size = IOCTL(self->vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct runner runner = { &self->vcpu, GUEST_SAID };
	struct kvm_run *run = self->vcpu.run;
	pthread_t thread;

	ASSERT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	ASSERT_EQ(0, vcpu_start(&self->vcpu, spin, 0, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_thread, &runner));
	msleep(50);
	ASSERT_EQ(0, munmap(run, size));
	pthread_join(thread, NULL);
	EXPECT_EQ(GUEST_ERROR, runner.event);
	EXPECT_EQ(-EINTR, self->vcpu.error);
	self->vcpu.run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, self->vcpu.fd, 0);
	ASSERT_NE(MAP_FAILED, self->vcpu.run);
	EXPECT_EQ(KVM_EXIT_INTR, self->vcpu.run->exit_reason);
}

TEST_F(vcpu_fd, not_initialised)
{
	struct kvm_reg_list list = { .n = 0 };
	struct kvm_vcpu_events events = { 0 };
	uint64_t value = 0;
	int feature = KVM_ARM_VCPU_SVE;

	EXPECT_EQ(-ENOEXEC, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	self->vcpu.run->immediate_exit = 1;
	EXPECT_EQ(-ENOEXEC, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	self->vcpu.run->immediate_exit = 0;
	EXPECT_EQ(-ENOEXEC, reg_get(self->vcpu.fd, REG_PC, &value));
	EXPECT_EQ(-ENOEXEC, reg_set(self->vcpu.fd, REG_PC, &value));
	EXPECT_EQ(-ENOEXEC, reg_get(self->vcpu.fd, ~0UL, &value));
	EXPECT_EQ(-ENOEXEC, IOCTL(self->vcpu.fd, KVM_GET_REG_LIST, &list));
	EXPECT_EQ(-ENOEXEC, IOCTL(self->vcpu.fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(-ENOEXEC, IOCTL(self->vcpu.fd, KVM_SET_VCPU_EVENTS, &events));
	EXPECT_EQ(-ENOEXEC, IOCTL(self->vcpu.fd, KVM_ARM_VCPU_FINALIZE, &feature));
	/* The argument comes first. */
	EXPECT_EQ(-EINVAL, IOCTL(self->vcpu.fd, KVM_RUN, 1));
	EXPECT_EQ(-EFAULT, IOCTL(self->vcpu.fd, KVM_ARM_VCPU_INIT, 8));
	EXPECT_EQ(-ENOEXEC, IOCTL(self->vcpu.fd, KVM_RUN, 0));
}

TEST_F(vcpu_fd, init_refusals)
{
	struct kvm_vcpu_init good, init;
	unsigned int i;

	ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_ARM_PREFERRED_TARGET, &good));
	EXPECT_LT(good.target, KVM_ARM_NUM_TARGETS);
	for (i = 0; i < ARRAY_LEN(good.features); i++) {
		EXPECT_EQ(0, good.features[i]);
	}
	for (i = 0; i < 64; i++) {
		init = good;
		init.target = i < 32 ? i : 1U << (i - 32);
		if (init.target == good.target || init.target == KVM_ARM_TARGET_GENERIC_V8)
			continue;
		EXPECT_EQ(-EINVAL, IOCTL(self->vcpu.fd, KVM_ARM_VCPU_INIT, &init)) {
			TH_LOG("target %#x", init.target);
		}
	}
	/* A feature nobody knows is ENOENT; the last known one has number 9. */
	for (i = 10; i < 32 * ARRAY_LEN(good.features); i++) {
		init = good;
		init.features[i / 32] |= 1U << i % 32;
		EXPECT_EQ(-ENOENT, IOCTL(self->vcpu.fd, KVM_ARM_VCPU_INIT, &init)) {
			TH_LOG("feature %u", i);
		}
	}
	/* Both of pointer authentication or none; strictness needs a PMU. */
	for (i = KVM_ARM_VCPU_PTRAUTH_ADDRESS; i <= KVM_ARM_VCPU_PTRAUTH_GENERIC; i++) {
		EXPECT_EQ(-EINVAL, vcpu_init(&self->vcpu, 1U << i));
	}
	EXPECT_EQ(-EINVAL, vcpu_init(&self->vcpu, 1U << 9));
	if (IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_EL2) <= 0) {
		EXPECT_EQ(-EINVAL, vcpu_init(&self->vcpu, 1U << KVM_ARM_VCPU_HAS_EL2));
	}
	if (IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_SVE) <= 0) {
		EXPECT_EQ(-EINVAL, vcpu_init(&self->vcpu, 1U << KVM_ARM_VCPU_SVE));
	}
	if (IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_EL1_32BIT) <= 0) {
		EXPECT_EQ(-EINVAL, vcpu_init(&self->vcpu, 1U << KVM_ARM_VCPU_EL1_32BIT));
	}
	if (IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_PMU_V3) <= 0) {
		EXPECT_EQ(-EINVAL, vcpu_init(&self->vcpu, 1U << KVM_ARM_VCPU_PMU_V3));
	}
	/* None of that initialised it. */
	EXPECT_EQ(-ENOEXEC, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	init = good;
	init.target = KVM_ARM_TARGET_GENERIC_V8;
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_ARM_VCPU_INIT, &init));
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 0, 0));
}

TEST_F(vcpu_fd, init_again_resets)
{
	struct vcpu other;
	uint64_t mpidr;

	ASSERT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	mpidr = vcpu_reg(&self->vcpu, MPIDR_EL1);
	ASSERT_EQ(0, guest_finish(&self->vcpu, add_one, 77, 0));
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_X(5), 5));
	/* Other features are refused and change nothing. */
	EXPECT_EQ(-EINVAL, vcpu_init(&self->vcpu, 0));
	EXPECT_EQ(5, vcpu_reg(&self->vcpu, REG_X(5)));
	/* The VM's features are those of its first vCPU. */
	ASSERT_EQ(0, vcpu_open(&self->vm, &other, 1));
	EXPECT_EQ(-EINVAL, vcpu_init(&other, 0));
	EXPECT_EQ(-ENOEXEC, IOCTL(other.fd, KVM_RUN, 0));
	EXPECT_EQ(0, vcpu_init(&other, PSCI));
	vcpu_destroy(&other);

	EXPECT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	EXPECT_EQ(0, vcpu_reg(&self->vcpu, REG_X(5)));
	EXPECT_EQ(0, vcpu_reg(&self->vcpu, REG_PC));
	EXPECT_EQ(0x3c5, vcpu_reg(&self->vcpu, REG_PSTATE));
	EXPECT_EQ(0, vcpu_reg(&self->vcpu, SCTLR_EL1) & (SCTLR_M | SCTLR_C));
	EXPECT_EQ(mpidr, vcpu_reg(&self->vcpu, MPIDR_EL1));
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
	EXPECT_EQ(2, self->vcpu.value);
}

TEST_F(vcpu_fd, power_off_is_not_a_feature)
{
	struct kvm_mp_state state = { ~0U };

	ASSERT_EQ(0, vcpu_init(&self->vcpu, PSCI | 1 << KVM_ARM_VCPU_POWER_OFF));
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_MP_STATE, &state));
	EXPECT_EQ(KVM_MP_STATE_STOPPED, state.mp_state);
	EXPECT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_MP_STATE, &state));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, state.mp_state);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

TEST_F(vcpu_fd, foreign_process_gets_eio)
{
	static const unsigned long cmds[] = {
		KVM_RUN, KVM_ARM_VCPU_INIT, KVM_GET_ONE_REG, KVM_GET_REG_LIST, KVM_GET_MP_STATE,
		KVM_SET_SIGNAL_MASK, KVM_GET_VCPU_EVENTS, KVM_SET_GUEST_DEBUG, _IO('x', 1), 0,
	};
	unsigned int i;
	int child;

	ASSERT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		for (i = 0; i < ARRAY_LEN(cmds); i++)
			if (IOCTL(self->vcpu.fd, cmds[i], 0) != -EIO)
				_exit(i + 1);
		_exit(0);
	}
	EXPECT_EQ(0, wait_child(child)) TH_LOG("the code is the place in cmds[], from 1");
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

/* A vCPU holds its VM: it runs after every other descriptor is closed. */
TEST_F(vcpu_fd, outlives_the_vm_fd)
{
	ASSERT_EQ(0, vcpu_init(&self->vcpu, PSCI));
	close(self->vm.fd);
	close(self->vm.kvm);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
	EXPECT_EQ(2, self->vcpu.value);
	self->vm.kvm = kvm_open();
	self->vm.fd = -1;
}

TEST_HARNESS_MAIN
