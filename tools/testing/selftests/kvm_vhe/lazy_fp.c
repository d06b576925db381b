// SPDX-License-Identifier: GPL-2.0
/*
 * FP/SIMD registers that are moved when the guest uses them: nothing is moved for a guest
 * that does not, little for one that does, and the guest's and the VMM's registers are
 * theirs by each policy, whatever interrupts them: other threads, a signal's handler with
 * FP of its own, a debugger that reads and writes them.
 * Runs on the module and on C KVM, as root. LAB_SCALE=N per cent makes it longer.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"
#include "churn.h"

#define PARAMETER	"/sys/module/kvm_vhe/parameters/lazy_fp"
#define SMCCC_VERSION	0x80000000UL
#define SEED		0x1234500000000000UL
#define V		32

extern char fp_behind_syscall[];

GUEST uint64_t hvcs(uint64_t n);
GUEST uint64_t hvcs(uint64_t n)
{
	while (n--)
		guest_hvc(SMCCC_VERSION, 0, 0, 0);
	return 0;
}

/* How many registers changed over hypercalls. */
GUEST uint64_t hvcs_with_fp(uint64_t n);
GUEST uint64_t hvcs_with_fp(uint64_t n)
{
	uint64_t bad = 0;

	for (fp_fill(SEED); n; n--) {
		guest_hvc(SMCCC_VERSION, 0, 0, 0);
		bad += fp_check(SEED);
	}
	return bad;
}

/* FP once, or each time, between exits to user space. */
#define OFTEN	(1UL << 32)
GUEST uint64_t exits(uint64_t n);
GUEST uint64_t exits(uint64_t n)
{
	uint64_t often = n & OFTEN, bad = 0;

	fp_fill(SEED);
	for (n &= ~OFTEN; n; n--) {
		guest_say(1, n);
		if (often || n == 1)
			bad += fp_check(SEED);
	}
	return bad;
}

/* What user space has set; then another pattern for it. */
GUEST uint64_t check_and_fill(uint64_t seed);
GUEST uint64_t check_and_fill(uint64_t seed)
{
	uint64_t bad = fp_check(seed);

	fp_fill(seed + 1);
	return bad;
}

FIXTURE(lazy_fp)
{
	struct vm vm;
	struct vcpu vcpu;
	cpu_set_t cpus;
	char before[16];
};

FIXTURE_VARIANT(lazy_fp)
{
	const char *policy;
};

FIXTURE_VARIANT_ADD(lazy_fp, eager) { "0" };
FIXTURE_VARIANT_ADD(lazy_fp, lazy) { "1" };
FIXTURE_VARIANT_ADD(lazy_fp, adaptive) { "2" };

FIXTURE_SETUP(lazy_fp)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->cpus), &self->cpus));
	if (host_is_module()) {
		ASSERT_TRUE(read_text(PARAMETER, self->before, sizeof(self->before)));
		ASSERT_EQ(0, write_text(PARAMETER, variant->policy));
	} else if (variant->policy[0] != '1') {
		SKIP(return, "C KVM has one policy");
	}
}

FIXTURE_TEARDOWN(lazy_fp)
{
	kick_every(0);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	if (self->before[0])
		write_text(PARAMETER, self->before);
}

struct counts {
	long restores, saves, traps, loads;
};

static struct counts counts(struct vcpu *vcpu)
{
	return (struct counts) {
		.restores = vcpu_counter(vcpu, "fp_restores"),
		.saves = vcpu_counter(vcpu, "fp_saves"),
		.traps = vcpu_counter(vcpu, "fp_traps"),
		.loads = vcpu_counter(vcpu, "loads"),
	};
}

#define IS(p)	(variant->policy[0] == (p)[0])

TEST_F(lazy_fp, none_for_a_guest_that_uses_none)
{
	struct counts c;

	ASSERT_EQ(0, guest_finish(&self->vcpu, hvcs, 5000, 0)) TH_LOG("no end");
	if (!host_is_module())
		return;
	c = counts(&self->vcpu);
	EXPECT_EQ(0, c.traps);
	EXPECT_EQ(c.restores, c.saves);
	if (IS("0")) {
		EXPECT_LE(c.loads, c.restores);
	} else {
		EXPECT_EQ(0, c.restores);
	}
}

TEST_F(lazy_fp, kept_over_exits_in_the_kernel)
{
	struct counts c;

	ASSERT_EQ(0, guest_finish(&self->vcpu, hvcs_with_fp, 5000, 0));
	EXPECT_EQ(0, self->vcpu.value);
	if (!host_is_module())
		return;
	c = counts(&self->vcpu);
	EXPECT_EQ(c.restores, c.saves);
	/* There are other threads, and ticks, but not so many. */
	EXPECT_GT(1000, c.restores);
	if (IS("0")) {
		EXPECT_EQ(0, c.traps);
	} else {
		EXPECT_LE(1, c.traps);
	}
	if (IS("1")) {
		EXPECT_EQ(c.traps, c.restores);
	}
}

static void run_exits(struct __test_metadata *_metadata, struct vcpu *vcpu, uint64_t n)
{
	uint64_t i;
	long ret;

	ASSERT_EQ(0, vcpu_start(vcpu, exits, n, 0));
	for (i = n & ~OFTEN; i; i--) {
		EXPECT_EQ(0, fp_around_syscall(SYS_ioctl, vcpu->fd, KVM_RUN, 0, i, &ret)) {
			TH_LOG("the VMM's registers, %lu exits before the end", i);
		}
		ASSERT_EQ(GUEST_SAID, guest_news(vcpu, ret));
		ASSERT_EQ(i, vcpu->value);
	}
	ASSERT_EQ(GUEST_DONE, guest_run(vcpu));
	EXPECT_EQ(0, vcpu->value) TH_LOG("of the guest's registers");
}

/* A guest that has used FP does not pay for it after the next exit to user space. */
TEST_F(lazy_fp, used_once)
{
	struct counts c;

	run_exits(_metadata, &self->vcpu, 500);
	if (!host_is_module())
		return;
	c = counts(&self->vcpu);
	EXPECT_EQ(c.restores, c.saves);
	if (IS("0")) {
		EXPECT_LE(500, c.restores);
	} else {
		/* At the beginning and the end, and where another thread was in between. */
		EXPECT_LE(2, c.restores);
		EXPECT_GT(20, c.restores);
		EXPECT_EQ(c.traps, c.restores);
	}
}

/* One that uses it always has a trap each time, or is found out. */
TEST_F(lazy_fp, used_often)
{
	struct counts c;

	run_exits(_metadata, &self->vcpu, 1000 | OFTEN);
	if (!host_is_module())
		return;
	c = counts(&self->vcpu);
	EXPECT_EQ(c.restores, c.saves);
	EXPECT_LE(1000, c.restores);
	if (IS("0")) {
		EXPECT_EQ(0, c.traps);
	} else if (IS("1")) {
		EXPECT_LE(1000, c.traps);
	} else {
		EXPECT_LE(12, c.traps);
		EXPECT_GT(50, c.traps);
	}
}

/* Word n of the pattern of a seed: the halves of V0, those of V1 and so on. */
static uint64_t word(uint64_t seed, unsigned int n)
{
	uint64_t low = seed + n / 2;

	return n & 1 ? ~low : low;
}

TEST_F(lazy_fp, one_reg)
{
	uint32_t fpcr = 0x01400000, fpsr = 0x10;
	uint64_t v[2], seed;
	unsigned int i;

	for (seed = SEED; seed < SEED + 100 * V; seed += V) {
		ASSERT_EQ(0, vcpu_start(&self->vcpu, check_and_fill, seed, 0));
		for (i = 0; i < V; i++) {
			v[0] = word(seed, 2 * i);
			v[1] = word(seed, 2 * i + 1);
			ASSERT_EQ(0, reg_set(self->vcpu.fd, REG_V(i), v));
		}
		ASSERT_EQ(0, reg_set(self->vcpu.fd, REG_FPCR, &fpcr));
		ASSERT_EQ(0, reg_set(self->vcpu.fd, REG_FPSR, &fpsr));
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(0, self->vcpu.value);
		for (i = 0; i < V; i++) {
			ASSERT_EQ(0, reg_get(self->vcpu.fd, REG_V(i), v));
			EXPECT_EQ(word(seed + 1, 2 * i), v[0]);
			EXPECT_EQ(word(seed + 1, 2 * i + 1), v[1]);
		}
	}
}

static void two_vms(struct __test_metadata *_metadata, FIXTURE_DATA(lazy_fp) *self, bool move)
{
	struct churner c[2] = {
		{ .vcpu = &self->vcpu, .fn = churn_fp, .seed = 1UL << 40, .host_fp = true },
		{ .fn = churn_fp, .seed = 2UL << 40, .host_fp = true },
	};
	struct vcpu vcpu;
	struct vm vm;

	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
	c[1].vcpu = &vcpu;
	CPU_ZERO(&c[0].cpus);
	CPU_SET(0, &c[0].cpus);
	c[1].cpus = c[0].cpus;
	churn_for(_metadata, c, 2, &self->cpus, move);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

TEST_F_TIMEOUT(lazy_fp, beside_four_threads, 120)
{
	two_vms(_metadata, self, false);
}

TEST_F_TIMEOUT(lazy_fp, moved_beside_four_threads, 120)
{
	two_vms(_metadata, self, true);
}

static volatile unsigned long handled, handler_bad;

/* Leaves nothing in the registers as it was. */
static void uses_fp(int sig)
{
	long ret;

	(void)sig;
	handler_bad += fp_around_syscall(SYS_getppid, 0, 0, 0, handled << 8, &ret);
	handled++;
}

/* In a child: the guest with FP, the pattern in our own registers, for ever. */
static void run_for_ever(struct vcpu *vcpu)
{
	enum guest_event event;
	long ret;

	if (vcpu_start(vcpu, churn_fp, SEED, 0))
		_exit(1);
	for (;;) {
		if (fp_around_syscall(SYS_ioctl, vcpu->fd, KVM_RUN, 0, SEED + 777, &ret))
			_exit(2);
		event = guest_news(vcpu, ret);
		if ((event != GUEST_SAID || vcpu->what != SAY_TURN) &&
		    (event != GUEST_ERROR || vcpu->error != -EINTR))
			_exit(3);
		if (handler_bad)
			_exit(4);
	}
}

/* A child that has begun; a VM belongs to the process that made it. */
static pid_t start_child(bool with_handler)
{
	struct sigaction action = { .sa_handler = uses_fp };
	struct vcpu vcpu;
	int begun[2];
	struct vm vm;
	char byte;
	pid_t pid;

	if (pipe(begun))
		return -1;
	pid = fork();
	if (pid) {
		close(begun[1]);
		/* Making a VM may be interrupted. */
		if (read(begun[0], &byte, 1) != 1)
			pid = -1;
		close(begun[0]);
		return pid;
	}
	if (with_handler && sigaction(SIGUSR1, &action, NULL))
		_exit(5);
	if (vm_create(&vm) || vcpu_create(&vm, &vcpu, 0))
		_exit(6);
	if (write(begun[1], "", 1) != 1)
		_exit(7);
	run_for_ever(&vcpu);
	_exit(0);
}

TEST_F_TIMEOUT(lazy_fp, handlers, 60)
{
	pid_t pid = start_child(true);
	unsigned int i;

	ASSERT_LT(0, pid);
	for (i = 0; i < scaled(2000) && !kill(pid, SIGUSR1); i++)
		usleep(i % 7 * 200);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG)) TH_LOG("the child found something bad");
	kill(pid, SIGKILL);
	EXPECT_EQ(256 + SIGKILL, wait_child(pid));
}

struct fp_regs {
	uint64_t v[2 * V];
	uint32_t fpsr, fpcr, pad[2];
};

static long regset(int request, pid_t pid, long type, void *data, size_t size)
{
	struct iovec iov = { data, size };

	return ptrace(request, pid, type, &iov);
}

/*
 * A debugger stops the thread in KVM_RUN: what it sees is the VMM's, not the guest's, and
 * what it writes is what the VMM has then.
 */
TEST_F_TIMEOUT(lazy_fp, debugger, 60)
{
	struct { uint64_t x[31], sp, pc, pstate; } gpr;
	unsigned int i, n, stops = 0, bad = 0;
	pid_t pid = start_child(false);
	struct fp_regs fp;
	uint64_t seed;
	int status;

	ASSERT_LT(0, pid);
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, 0));
	for (i = 0; i < scaled(500); i++) {
		usleep(i % 7 * 200);
		ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, pid, 0, 0));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSTOPPED(status)) TH_LOG("the child ended, %#x", status);
		ASSERT_EQ(0, regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &gpr, sizeof(gpr)));
		if (gpr.pc == (uintptr_t)fp_behind_syscall) {
			stops++;
			seed = gpr.x[23];
			ASSERT_EQ(0, regset(PTRACE_GETREGSET, pid, NT_PRFPREG, &fp, sizeof(fp)));
			for (n = 0; n < 2 * V; n++)
				bad += fp.v[n] != word(seed, n);
			gpr.x[23] = ++seed;
			for (n = 0; n < 2 * V; n++)
				fp.v[n] = word(seed, n);
			ASSERT_EQ(0, regset(PTRACE_SETREGSET, pid, NT_PRSTATUS, &gpr, sizeof(gpr)));
			ASSERT_EQ(0, regset(PTRACE_SETREGSET, pid, NT_PRFPREG, &fp, sizeof(fp)));
		}
		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, 0, 0));
	}
	EXPECT_EQ(0, bad);
	EXPECT_LT(scaled(500) / 20, stops) TH_LOG("it was hardly ever in KVM_RUN");
	kill(pid, SIGKILL);
	EXPECT_EQ(256 + SIGKILL, wait_child(pid));
}

TEST_HARNESS_MAIN
