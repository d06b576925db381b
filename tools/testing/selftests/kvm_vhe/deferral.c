// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a guest's registers are the guest's, wherever they are kept: written
 * from user space and read in the guest and the other way round, while the vCPU's
 * thread is preempted, moved from CPU to CPU, and shares a CPU with another VM.
 * The same for FP/SIMD, of the guest and of the host's own threads.
 * Runs on the module and on C KVM, as root. LAB_SCALE=N per cent makes it longer.
 */
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"
#include "churn.h"

/* Name, name in assembly, and the bits that keep any value while the MMU is off. */
#define REGISTERS(R)							\
	R(TTBR0_EL1, "ttbr0_el1", 0x00ff00fffffff000)			\
	R(TTBR1_EL1, "ttbr1_el1", 0x00ff00fffffff000)			\
	R(TCR_EL1, "tcr_el1", 0x003f003f)				\
	R(MAIR_EL1, "mair_el1", ~0UL)					\
	R(CONTEXTIDR_EL1, "contextidr_el1", 0xffffffff)			\
	R(TPIDR_EL1, "tpidr_el1", ~0UL)					\
	R(TPIDR_EL0, "tpidr_el0", ~0UL)					\
	R(TPIDRRO_EL0, "tpidrro_el0", ~0UL)				\
	R(VBAR_EL1, "vbar_el1", 0x00007ffffffff800)			\
	R(ESR_EL1, "esr_el1", 0xfeffffff)				\
	R(FAR_EL1, "far_el1", ~0UL)					\
	R(REG_ELR_EL1, "elr_el1", ~0UL)					\
	R(REG_SPSR_EL1, "spsr_el1", 0xf00003c0)				\
	R(REG_SP, "sp_el0", ~0UL)					\
	R(CNTKCTL_EL1, "cntkctl_el1", 0x3)				\
	R(CSSELR_EL1, "csselr_el1", 0x1)

static const struct {
	uint64_t id, mask;
	const char *name;
} regs[] = {
#define ROW(id, name, mask) { id, mask, name },
	REGISTERS(ROW)
};

#define N_REGS	ARRAY_LEN(regs)

/* A macro, for guest and test: a function can be compiled for one of them only. */
#define pattern(seed, i)						\
({									\
	uint64_t v_ = ((seed) * 64 + (i) + 1) * 0x9e3779b97f4a7c15;	\
									\
	v_ ^ v_ >> 31;							\
})

/* All registers from the seed; then what is in them into data[]. */
GUEST void write_all(uint64_t seed);
GUEST void write_all(uint64_t seed)
{
	unsigned int i = 0;

#define WRITE(id, name, mask) GUEST_MSR(name, pattern(seed, i) & (mask)); i++;
	REGISTERS(WRITE)
	GUEST_ISB();
}

/* The number of the first that is not as written, N_REGS if none. */
GUEST uint64_t check_all(uint64_t seed);
GUEST uint64_t check_all(uint64_t seed)
{
	unsigned int i = 0;

#define CHECK(id, name, mask)					\
	if ((GUEST_MRS(name) & (mask)) != (pattern(seed, i) & (mask)))	\
		return i;					\
	i++;
	REGISTERS(CHECK)
	return i;
}

GUEST uint64_t read_all(uint64_t arg);
GUEST uint64_t read_all(uint64_t arg)
{
	unsigned int i = 0;

#define READ(id, name, mask) guest_say(0x10 + i, GUEST_MRS(name)); i++;
	REGISTERS(READ)
	return arg;
}

GUEST uint64_t write_and_wait(uint64_t seed);
GUEST uint64_t write_and_wait(uint64_t seed)
{
	write_all(seed);
	guest_say(SAY_TURN, 0);
	/* User space has set them to the next seed's. */
	if (check_all(seed + 1) != N_REGS)
		return 0;
	write_all(seed + 2);
	return 1;
}

/* For ever: writes, spins or exits or does nothing, checks. */
GUEST uint64_t churn(uint64_t seed);
GUEST uint64_t churn(uint64_t seed)
{
	uint64_t round, bad, spin;

	for (round = 0;; round++) {
		write_all(seed + round);
		if (round % 4 == 1)
			guest_hvc(0x80000000, 0, 0, 0);
		for (spin = (round * 37) % 1024; spin; spin--)
			asm volatile("");
		if (round % 16 == 3)
			guest_say(SAY_TURN, round);
		bad = check_all(seed + round);
		if (bad != N_REGS)
			guest_say(SAY_BAD, bad | round << 8);
	}
}

FIXTURE(deferral)
{
	struct vm vm;
	struct vcpu vcpu;
	cpu_set_t cpus;
};

FIXTURE_SETUP(deferral)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->cpus), &self->cpus));
}

FIXTURE_TEARDOWN(deferral)
{
	kick_every(0);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

TEST_F(deferral, user_writes_guest_reads)
{
	unsigned int i, seed;

	for (seed = 1; seed < 20; seed++) {
		ASSERT_EQ(0, vcpu_start(&self->vcpu, read_all, seed, 0));
		for (i = 0; i < N_REGS; i++) {
			ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, regs[i].id,
						  pattern(seed, i) & regs[i].mask));
		}
		for (i = 0; i < N_REGS; i++) {
			ASSERT_EQ(GUEST_SAID, guest_run(&self->vcpu));
			ASSERT_EQ(0x10 + i, self->vcpu.what);
			EXPECT_EQ(pattern(seed, i) & regs[i].mask,
				  self->vcpu.value & regs[i].mask) TH_LOG("%s", regs[i].name);
		}
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	}
}

TEST_F(deferral, guest_writes_user_reads)
{
	unsigned int i, seed;

	for (seed = 1; seed < 20; seed++) {
		ASSERT_EQ(0, vcpu_start(&self->vcpu, write_and_wait, seed, 0));
		ASSERT_EQ(GUEST_SAID, guest_run(&self->vcpu));
		for (i = 0; i < N_REGS; i++) {
			EXPECT_EQ(pattern(seed, i) & regs[i].mask,
				  vcpu_reg(&self->vcpu, regs[i].id) & regs[i].mask) {
				TH_LOG("%s", regs[i].name);
			}
			ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, regs[i].id,
						  pattern(seed + 1, i) & regs[i].mask));
		}
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(1, self->vcpu.value) TH_LOG("the guest did not find what was set");
		for (i = 0; i < N_REGS; i++) {
			EXPECT_EQ(pattern(seed + 2, i) & regs[i].mask,
				  vcpu_reg(&self->vcpu, regs[i].id) & regs[i].mask) {
				TH_LOG("%s", regs[i].name);
			}
		}
	}
}

/* Its name; for the guest there are only numbers. */
static const char *register_name(unsigned int n)
{
	return regs[n % N_REGS].name;
}

/* A second VM's vCPU; with it on the first CPU only, or anywhere. */
static void churn_two(struct __test_metadata *_metadata, FIXTURE_DATA(deferral) *self, void *fn0,
		      void *fn1, bool host_fp, bool move)
{
	struct churner c[2] = {
		{ .vcpu = &self->vcpu, .fn = fn0, .seed = 1UL << 40, .host_fp = host_fp,
		  .name = register_name },
		{ .fn = fn1, .seed = 2UL << 40, .host_fp = host_fp, .name = register_name },
	};
	struct vcpu vcpu;
	unsigned int cpu;
	struct vm vm;

	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
	c[1].vcpu = &vcpu;
	for (cpu = 0; !CPU_ISSET(cpu, &self->cpus); cpu++)
		;
	CPU_ZERO(&c[0].cpus);
	CPU_SET(cpu, &c[0].cpus);
	c[1].cpus = c[0].cpus;
	churn_for(_metadata, c, 2, &self->cpus, move);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

TEST_F_TIMEOUT(deferral, moved_and_preempted, 120)
{
	struct churner c = { .vcpu = &self->vcpu, .fn = churn, .seed = 1UL << 40,
			     .cpus = self->cpus, .name = register_name };

	churn_for(_metadata, &c, 1, &self->cpus, true);
}

TEST_F_TIMEOUT(deferral, two_vms_on_one_cpu, 120)
{
	churn_two(_metadata, self, churn, churn, false, false);
}

TEST_F_TIMEOUT(deferral, two_vms_moved, 120)
{
	churn_two(_metadata, self, churn, churn, false, true);
}

TEST_F_TIMEOUT(deferral, fp_on_one_cpu, 120)
{
	churn_two(_metadata, self, churn_fp, churn_fp, true, false);
}

TEST_F_TIMEOUT(deferral, fp_moved, 120)
{
	churn_two(_metadata, self, churn_fp, churn_fp, true, true);
}

/* A guest that uses no FP beside one that does: the host's is still its own. */
TEST_F_TIMEOUT(deferral, fp_not_used, 120)
{
	churn_two(_metadata, self, churn, churn_fp, true, true);
}

TEST_HARNESS_MAIN
