// SPDX-License-Identifier: GPL-2.0
/*
 * PIR_EL1 and PIRE0_EL1, which are saved only if the guest has written them: what it has
 * written is what it finds and what user space finds, whatever comes in between, and what is
 * not written is not saved. Also that a VM without FEAT_S1PIE does not have them.
 * Runs on the module and on C KVM, as root. LAB_SCALE=N per cent makes it longer.
 */
#include <errno.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"
#include "churn.h"

#define PARAMETER	"/sys/module/kvm_vhe/parameters/lazy_save"
#define SMCCC_VERSION	0x80000000UL

#define PIRE0		"s3_0_c10_c2_2"
#define PIR		"s3_0_c10_c2_3"
#define REG_PIRE0	ARM64_SYS_REG(3, 0, 10, 2, 2)
#define REG_PIR		ARM64_SYS_REG(3, 0, 10, 2, 3)
#define REG_MMFR3	ARM64_SYS_REG(3, 0, 0, 7, 3)
#define MMFR3_S1PIE	(0xfUL << 8)
#define MMFR3_S1POE	(0xfUL << 16)

/* A macro, for guest and test: a function can be compiled for one of them only. */
#define value_of(seed, n)	(((seed) * 2 + (n) + 1) * 0x9e3779b97f4a7c15UL)

GUEST_INLINE void write_both(uint64_t seed)
{
	GUEST_MSR(PIRE0, value_of(seed, 0));
	GUEST_MSR(PIR, value_of(seed, 1));
}

GUEST_INLINE uint64_t check_both(uint64_t seed)
{
	return (GUEST_MRS(PIRE0) != value_of(seed, 0)) + (GUEST_MRS(PIR) != value_of(seed, 1));
}

GUEST uint64_t hvcs(uint64_t n);
GUEST uint64_t hvcs(uint64_t n)
{
	while (n--)
		guest_hvc(SMCCC_VERSION, 0, 0, 0);
	return 0;
}

/* Writes each time, one of them every other time, or not but for the first; then exits. */
#define ALWAYS	1
#define ONCE	2
#define KIND(k)	((uint64_t)(k) << 32)
GUEST uint64_t exits(uint64_t n);
GUEST uint64_t exits(uint64_t n)
{
	uint64_t kind = n >> 32, bad = 0, seed = 0;

	write_both(seed);
	for (n = (uint32_t)n; n; n--) {
		guest_say(1, n);
		bad += check_both(seed);
		if (kind == ALWAYS)
			write_both(seed = n);
	}
	return bad;
}

/* What user space has set; then other values for it, of one or both. */
GUEST uint64_t check_and_write(uint64_t seed);
GUEST uint64_t check_and_write(uint64_t seed)
{
	uint64_t bad = check_both(seed);

	if (seed % 3)
		GUEST_MSR(PIR, value_of(seed + 1, 1));
	if (seed % 3 != 1)
		GUEST_MSR(PIRE0, value_of(seed + 1, 0));
	return bad;
}

/* For ever: writes at random. */
GUEST uint64_t churn_pir(uint64_t seed);
GUEST uint64_t churn_pir(uint64_t seed)
{
	uint64_t round, bad, spin, random = seed, written = seed;

	write_both(written);
	for (round = 0;; round++) {
		random = random * 6364136223846793005UL + 1442695040888963407UL;
		if (random >> 62 == 0)
			write_both(written = seed + round);
		if (random >> 60 & 1)
			guest_hvc(SMCCC_VERSION, 0, 0, 0);
		for (spin = random >> 40 & 1023; spin; spin--)
			asm volatile("");
		if (round % 16 == 3)
			guest_say(SAY_TURN, round);
		bad = check_both(written);
		if (bad)
			guest_say(SAY_BAD, bad | round << 8);
	}
}

GUEST uint64_t undefined(uint64_t arg);
GUEST uint64_t undefined(uint64_t arg)
{
	volatile struct guest_area *area = guest_area();

	area->catch = 1;
	GUEST_MSR(PIR, arg);
	GUEST_MSR(PIRE0, arg);
	GUEST_MRS(PIR);
	GUEST_MRS(PIRE0);
	return ESR_EC(area->esr) == EC_UNKNOWN ? area->caught : 0;
}

FIXTURE(lazy_save)
{
	struct vm vm;
	struct vcpu vcpu;
	cpu_set_t cpus;
	char before[16];
};

FIXTURE_VARIANT(lazy_save)
{
	const char *policy;
};

FIXTURE_VARIANT_ADD(lazy_save, eager) { "0" };
FIXTURE_VARIANT_ADD(lazy_save, lazy) { "1" };
FIXTURE_VARIANT_ADD(lazy_save, adaptive) { "2" };

#define IS(p)	(variant->policy[0] == (p)[0])

FIXTURE_SETUP(lazy_save)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->cpus), &self->cpus));
	if (host_is_module()) {
		ASSERT_TRUE(read_text(PARAMETER, self->before, sizeof(self->before)));
		ASSERT_EQ(0, write_text(PARAMETER, variant->policy));
	} else if (!IS("1")) {
		SKIP(return, "C KVM has one policy");
	}
	if (!(vcpu_reg(&self->vcpu, REG_MMFR3) & MMFR3_S1PIE))
		SKIP(return, "no FEAT_S1PIE");
}

FIXTURE_TEARDOWN(lazy_save)
{
	kick_every(0);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	if (self->before[0])
		write_text(PARAMETER, self->before);
}

TEST_F(lazy_save, not_written)
{
	long loads;

	ASSERT_EQ(0, guest_finish(&self->vcpu, hvcs, 2000, 0));
	if (!host_is_module())
		return;
	loads = vcpu_counter(&self->vcpu, "puts");
	EXPECT_EQ(0, vcpu_counter(&self->vcpu, "lazy_save_traps"));
	EXPECT_EQ(0, vcpu_counter(&self->vcpu, "lazy_saves"));
	EXPECT_EQ(IS("0") ? 0 : loads, vcpu_counter(&self->vcpu, "lazy_saves_skipped"));
}

static void run_exits(struct __test_metadata *_metadata, struct vcpu *vcpu, unsigned int n,
		      unsigned int kind)
{
	ASSERT_EQ(0, vcpu_start(vcpu, exits, KIND(kind) | n, 0));
	while (n--)
		ASSERT_EQ(GUEST_SAID, guest_run(vcpu));
	ASSERT_EQ(GUEST_DONE, guest_run(vcpu));
	EXPECT_EQ(0, vcpu->value);
}

TEST_F(lazy_save, written_once)
{
	run_exits(_metadata, &self->vcpu, 300, ONCE);
	if (!host_is_module())
		return;
	EXPECT_EQ(IS("0") ? 0 : 1, vcpu_counter(&self->vcpu, "lazy_save_traps"));
	if (IS("0")) {
		EXPECT_EQ(0, vcpu_counter(&self->vcpu, "lazy_saves"));
	} else {
		EXPECT_EQ(1, vcpu_counter(&self->vcpu, "lazy_saves"));
		EXPECT_LE(300, vcpu_counter(&self->vcpu, "lazy_saves_skipped"));
	}
}

TEST_F(lazy_save, written_always)
{
	long traps;

	run_exits(_metadata, &self->vcpu, 1000, ALWAYS);
	if (!host_is_module())
		return;
	traps = vcpu_counter(&self->vcpu, "lazy_save_traps");
	EXPECT_LE(IS("0") ? 0 : 1000, vcpu_counter(&self->vcpu, "lazy_saves"));
	if (IS("0")) {
		EXPECT_EQ(0, traps);
	} else if (IS("1")) {
		EXPECT_LE(1000, traps);
	} else {
		EXPECT_LE(12, traps);
		EXPECT_GT(50, traps);
	}
}

TEST_F(lazy_save, one_reg)
{
	uint64_t seed, pir, pire0;

	for (seed = 0; seed < 200; seed++) {
		ASSERT_EQ(0, vcpu_start(&self->vcpu, check_and_write, seed, 0));
		ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PIRE0, value_of(seed, 0)));
		ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PIR, value_of(seed, 1)));
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(0, self->vcpu.value);
		pir = value_of(seed + !!(seed % 3), 1);
		pire0 = value_of(seed + (seed % 3 != 1), 0);
		EXPECT_EQ(pir, vcpu_reg(&self->vcpu, REG_PIR));
		EXPECT_EQ(pire0, vcpu_reg(&self->vcpu, REG_PIRE0));
	}
}

/* Gated by the VM's ID register, whatever the policy. */
TEST_F(lazy_save, not_in_the_vm)
{
	uint64_t mmfr3 = vcpu_reg(&self->vcpu, REG_MMFR3);

	/* FEAT_S1POE is nothing without it. */
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_MMFR3, mmfr3 & ~(MMFR3_S1PIE | MMFR3_S1POE)));
	ASSERT_EQ(0, guest_finish(&self->vcpu, undefined, 1, 0));
	EXPECT_EQ(4, self->vcpu.value);
	if (host_is_module()) {
		EXPECT_EQ(0, vcpu_counter(&self->vcpu, "lazy_save_traps"));
		EXPECT_EQ(0, vcpu_counter(&self->vcpu, "lazy_saves"));
		EXPECT_EQ(0, vcpu_counter(&self->vcpu, "lazy_saves_skipped"));
	}
}

static void two_vms(struct __test_metadata *_metadata, FIXTURE_DATA(lazy_save) *self, bool move)
{
	struct churner c[2] = {
		{ .vcpu = &self->vcpu, .fn = churn_pir, .seed = 1UL << 40 },
		{ .fn = churn_pir, .seed = 2UL << 40 },
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

TEST_F_TIMEOUT(lazy_save, beside_four_threads, 120)
{
	two_vms(_metadata, self, false);
}

TEST_F_TIMEOUT(lazy_save, moved_beside_four_threads, 120)
{
	two_vms(_metadata, self, true);
}

TEST_HARNESS_MAIN
