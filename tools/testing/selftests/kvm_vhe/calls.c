// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what a guest's calls do, PSCI's and others, and with what they come back to user
 * space; and its sleep, by WFI and CPU_SUSPEND.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "exits.h"

#define SMCCC_VERSION	0x80000000UL
#define PSCI(n)		(0x84000000UL | (n))
#define PSCI64(n)	(0xc4000000UL | (n))
#define FN_PSCI_VERSION		PSCI(0)
#define FN_CPU_OFF		PSCI(2)
#define FN_CPU_ON		PSCI64(3)
#define FN_AFFINITY_INFO	PSCI64(4)
#define FN_SYSTEM_OFF		PSCI(8)
#define FN_SYSTEM_RESET	PSCI(9)
#define FN_FEATURES		PSCI(10)
#define FN_CPU_SUSPEND		PSCI64(1)
#define FN_SYSTEM_RESET2	PSCI64(18)
#define FN_SYSTEM_OFF2		PSCI64(21)
#define HIBERNATE_OFF		1
#define TRNG(n)			(0x84000050UL | (n))
#define FN_TRNG_VERSION		TRNG(0)
#define FN_TRNG_FEATURES	TRNG(1)
#define FN_TRNG_UUID		TRNG(2)
#define FN_TRNG_RND32		TRNG(3)
#define FN_TRNG_RND64		(0xc4000053UL)
#define NOT_SUPPORTED		(-1L)
#define INVALID_PARAMETERS	(-2L)
#define ALREADY_ON		(-4L)
#define INTERNAL_FAILURE	(-6L)

/* data[0..3]: function and arguments. */
GUEST uint64_t do_hvc(uint64_t arg);
GUEST uint64_t do_hvc(uint64_t arg)
{
	struct guest_area *area = guest_area();

	(void)arg;
	return guest_hvc(area->data[0], area->data[1], area->data[2], area->data[3]);
}

GUEST uint64_t do_smc(uint64_t arg);
GUEST uint64_t do_smc(uint64_t arg)
{
	register uint64_t x0 asm("x0") = arg;

	asm volatile("smc #0" : "+r" (x0) : : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8",
		     "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "memory");
	return x0;
}

static long call(struct vcpu *vcpu, uint64_t fn, uint64_t a1, uint64_t a2, uint64_t a3)
{
	uint64_t args[4] = { fn, a1, a2, a3 };

	memcpy(vcpu->area->data, args, sizeof(args));
	if (guest_finish(vcpu, do_hvc, 0, 0))
		return -999;
	return vcpu->value;
}

TEST_F(exits, calls)
{
	struct vcpu *v = &self->vcpu;
	uint64_t psci = vcpu_reg(v, KVM_REG_ARM_PSCI_VERSION);

	EXPECT_EQ(0x10001, call(v, SMCCC_VERSION, 0, 0, 0));
	EXPECT_EQ(psci, call(v, FN_PSCI_VERSION, 0, 0, 0));
	EXPECT_EQ(0, call(v, FN_FEATURES, FN_CPU_ON, 0, 0));
	EXPECT_EQ(0, call(v, FN_FEATURES, FN_SYSTEM_OFF, 0, 0));
	EXPECT_EQ(0, call(v, FN_FEATURES, SMCCC_VERSION, 0, 0));
	EXPECT_EQ(NOT_SUPPORTED, call(v, FN_FEATURES, PSCI(31), 0, 0));
	EXPECT_EQ(NOT_SUPPORTED, call(v, FN_FEATURES, PSCI(0), 0, 0) - 1);
	EXPECT_EQ(NOT_SUPPORTED, call(v, PSCI(31), 0, 0, 0));
	EXPECT_EQ(NOT_SUPPORTED, call(v, 0, 0, 0, 0));
	EXPECT_EQ(NOT_SUPPORTED, call(v, ~0UL, 0, 0, 0));
	EXPECT_EQ(NOT_SUPPORTED, call(v, 0x12345678, 0, 0, 0));
	EXPECT_EQ(0, call(v, FN_AFFINITY_INFO, vcpu_reg(v, MPIDR_EL1) & 0xff00ffffff, 0, 0));
	EXPECT_EQ(INVALID_PARAMETERS, call(v, FN_AFFINITY_INFO, 0x7654, 0, 0));
	EXPECT_EQ(INVALID_PARAMETERS, call(v, FN_CPU_ON, 0x7654, GUEST_FREE, 0));
	EXPECT_EQ(ALREADY_ON, call(v, FN_CPU_ON, vcpu_reg(v, MPIDR_EL1) & 0xff00ffffff,
				   GUEST_FREE, 0));
	/* SMC is a conduit as good as HVC. */
	ASSERT_EQ(0, guest_finish(v, do_smc, SMCCC_VERSION, 0));
	EXPECT_EQ(0x10001, v->value);
	ASSERT_EQ(0, guest_finish(v, do_smc, FN_PSCI_VERSION, 0));
	EXPECT_EQ(psci, v->value);
	ASSERT_EQ(0, guest_finish(v, do_smc, 0x12345678, 0));
	EXPECT_EQ(~0UL, v->value);
}

static const struct {
	uint64_t fn, arg;
	unsigned int event;
	uint64_t flags;
} system_calls[] = {
	{ FN_SYSTEM_OFF, 0, KVM_SYSTEM_EVENT_SHUTDOWN, 0 },
	{ FN_SYSTEM_RESET, 0, KVM_SYSTEM_EVENT_RESET, 0 },
	{ FN_SYSTEM_RESET2, 0, KVM_SYSTEM_EVENT_RESET,
	  KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2 },
	{ FN_SYSTEM_OFF2, HIBERNATE_OFF, KVM_SYSTEM_EVENT_SHUTDOWN,
	  KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2 },
	/* 0 means the same. */
	{ FN_SYSTEM_OFF2, 0, KVM_SYSTEM_EVENT_SHUTDOWN,
	  KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2 },
};

/* All vCPUs stand still then; whoever goes on nevertheless sees a failure. */
TEST_F(exits, system_events)
{
	struct kvm_mp_state state = { KVM_MP_STATE_RUNNABLE };
	struct kvm_run *run = self->vcpu.run;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(system_calls); i++) {
		self->vcpu.area->data[0] = system_calls[i].fn;
		self->vcpu.area->data[1] = system_calls[i].arg;
		ASSERT_EQ(0, vcpu_start(&self->vcpu, do_hvc, 0, 0));
		ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
		ASSERT_EQ(KVM_EXIT_SYSTEM_EVENT, run->exit_reason);
		EXPECT_EQ(system_calls[i].event, run->system_event.type);
		EXPECT_EQ(1, run->system_event.ndata);
		EXPECT_EQ(system_calls[i].flags, run->system_event.data[0]);
		EXPECT_EQ(INTERNAL_FAILURE, (long)vcpu_reg(&self->vcpu, REG_X(0)));
		ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_MP_STATE, &state));
		EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(INTERNAL_FAILURE, (long)self->vcpu.value);
	}
}

/* All four registers that a call answers in, in place of its arguments. */
GUEST uint64_t do_hvc_all(uint64_t arg);
GUEST uint64_t do_hvc_all(uint64_t arg)
{
	struct guest_area *area = guest_area();
	register uint64_t x0 asm("x0") = area->data[0];
	register uint64_t x1 asm("x1") = area->data[1];
	register uint64_t x2 asm("x2") = 0;
	register uint64_t x3 asm("x3") = 0;

	asm volatile("hvc #0" : "+r" (x0), "+r" (x1), "+r" (x2), "+r" (x3) : :
		     "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
		     "x15", "x16", "x17", "memory");
	area->data[0] = x0;
	area->data[1] = x1;
	area->data[2] = x2;
	area->data[3] = x3;
	return arg;
}

/* The answer's four registers, or NULL. */
static uint64_t *call_all(struct vcpu *vcpu, uint64_t fn, uint64_t a1)
{
	vcpu->area->data[0] = fn;
	vcpu->area->data[1] = a1;
	return guest_finish(vcpu, do_hvc_all, 0, 0) ? NULL : vcpu->area->data;
}

/*
 * Random numbers (DEN0098): the bits that were asked for and no others, the lowest in
 * the last register, and others each time.
 */
static void random_bits(struct __test_metadata *_metadata, struct vcpu *v, uint64_t fn,
			unsigned int width)
{
	uint64_t seen[3] = { 0 }, mask, *x;
	unsigned int bits, i, round;

	for (bits = 1; bits <= 3 * width; bits++) {
		for (round = 0; round < (bits == 3 * width ? 40 : 1); round++) {
			x = call_all(v, fn, bits);
			ASSERT_NE(NULL, x);
			ASSERT_EQ(0, x[0]) TH_LOG("%u bits", bits);
			for (i = 0; i < 3; i++) {
				mask = bits <= i * width ? 0 :
				       bits - i * width >= 64 ? ~0UL :
				       (1UL << (bits - i * width)) - 1;
				if (width == 32)
					mask &= 0xffffffff;
				EXPECT_EQ(0, x[3 - i] & ~mask) TH_LOG("x%u of %u bits", 3 - i, bits);
				seen[i] |= x[3 - i];
			}
		}
	}
	/* Each bit has been 1: that one never is has a chance of 1 in 2^40. */
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(width == 32 ? 0xffffffff : ~0UL, seen[i]);
	}
	x = call_all(v, fn, 3 * width);
	ASSERT_NE(NULL, x);
	memcpy(seen, x + 1, sizeof(seen));
	x = call_all(v, fn, 3 * width);
	ASSERT_NE(NULL, x);
	EXPECT_NE(0, memcmp(seen, x + 1, sizeof(seen)));
	/* C KVM gives no bits, successfully. */
	EXPECT_EQ(host_is_module() ? INVALID_PARAMETERS : 0, call(v, fn, 0, 0, 0));
	EXPECT_EQ(INVALID_PARAMETERS, call(v, fn, 3 * width + 1, 0, 0));
	EXPECT_EQ(INVALID_PARAMETERS, call(v, fn, 0xffffffff, 0, 0));
}

TEST_F(exits, random_numbers)
{
	struct vcpu *v = &self->vcpu;
	unsigned int i;
	uint64_t *x;

	EXPECT_EQ(0x10000, call(v, FN_TRNG_VERSION, 0, 0, 0));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, call(v, FN_TRNG_FEATURES, TRNG(i), 0, 0));
	}
	EXPECT_EQ(0, call(v, FN_TRNG_FEATURES, FN_TRNG_RND64, 0, 0));
	EXPECT_EQ(NOT_SUPPORTED, call(v, FN_TRNG_FEATURES, FN_PSCI_VERSION, 0, 0));
	x = call_all(v, FN_TRNG_UUID, 0);
	ASSERT_NE(NULL, x);
	/* Any but one whose first word reads as NOT_SUPPORTED. */
	EXPECT_NE(0xffffffff, x[0] & 0xffffffff);
	EXPECT_NE(0, x[0] | x[1] | x[2] | x[3]);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, x[i] >> 32);
	}
	random_bits(_metadata, v, FN_TRNG_RND32, 32);
	random_bits(_metadata, v, FN_TRNG_RND64, 64);
}

GUEST uint64_t second_main(uint64_t arg);
GUEST uint64_t second_main(uint64_t arg)
{
	guest_say(1, arg);
	guest_hvc(FN_CPU_OFF, 0, 0, 0);
	return 0;
}

struct second {
	struct vcpu vcpu;
	enum guest_event event;
	unsigned int said;
	bool stop;
};

static void *second_thread(void *arg)
{
	struct second *s = arg;

	kick_every(10000);
	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		s->event = guest_run(&s->vcpu);
		if (s->event == GUEST_SAID && s->vcpu.what == 1)
			s->said++;
		else if (s->event != GUEST_ERROR || s->vcpu.error != -EINTR)
			break;
	}
	kick_every(0);
	return NULL;
}

/* A vCPU starts another, which says hello and goes off, again and again. */
TEST_F(exits, cpu_on_and_off)
{
	struct second s = { .said = 0 };
	struct vcpu *v = &self->vcpu;
	unsigned int i, tries;
	pthread_t thread;
	uint64_t mpidr;

	ASSERT_EQ(0, vcpu_open(&self->vm, &s.vcpu, 1));
	ASSERT_EQ(0, vcpu_init(&s.vcpu,
			       1 << KVM_ARM_VCPU_PSCI_0_2 | 1 << KVM_ARM_VCPU_POWER_OFF));
	s.vcpu.area->entry = guest_address(second_main);
	s.vcpu.area->arg = 0xabc;
	mpidr = vcpu_reg(&s.vcpu, MPIDR_EL1) & 0xff00ffffff;
	EXPECT_NE(vcpu_reg(v, MPIDR_EL1) & 0xff00ffffff, mpidr);
	EXPECT_EQ(1, call(v, FN_AFFINITY_INFO, mpidr, 0, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, second_thread, &s));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, call(v, FN_CPU_ON, mpidr, guest_address(guest_secondary),
				  GUEST_AREA(1)));
		for (tries = 0; tries < 500; tries++) {
			if (call(v, FN_AFFINITY_INFO, mpidr, 0, 0) == 1)
				break;
			msleep(10);
		}
		EXPECT_EQ(i + 1, __atomic_load_n(&s.said, __ATOMIC_RELAXED));
		EXPECT_EQ(0xabc, s.vcpu.value);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	EXPECT_EQ(GUEST_ERROR, s.event);
	vcpu_destroy(&s.vcpu);
}

GUEST uint64_t wait_for_interrupt(uint64_t arg);
GUEST uint64_t wait_for_interrupt(uint64_t arg)
{
	for (;;) {
		asm volatile("wfi" : : : "memory");
		arg++;
		guest_area()->data[0] = arg;
	}
}

/* WFI sleeps until a signal comes, and costs nothing meanwhile. */
TEST_F(exits, wfi_sleeps)
{
	struct timespec cpu[2], wall[2];
	long cpu_ms, wall_ms;
	unsigned int i;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, wait_for_interrupt, 0, 0));
	ASSERT_EQ(0, kick_every(200000));
	EXPECT_EQ(-EINTR, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	clock_gettime(CLOCK_MONOTONIC, &wall[0]);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu[0]);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(-EINTR, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	}
	clock_gettime(CLOCK_MONOTONIC, &wall[1]);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu[1]);
	cpu_ms = (cpu[1].tv_sec - cpu[0].tv_sec) * 1000 +
		 (cpu[1].tv_nsec - cpu[0].tv_nsec) / 1000000;
	wall_ms = (wall[1].tv_sec - wall[0].tv_sec) * 1000 +
		  (wall[1].tv_nsec - wall[0].tv_nsec) / 1000000;
	EXPECT_LE(700, wall_ms);
	EXPECT_GT(wall_ms / 2, cpu_ms) TH_LOG("%ld ms of %ld ms", cpu_ms, wall_ms);
}

/* CPU_SUSPEND is a standby like WFI: nothing is lost, a signal ends it with success. */
TEST_F(exits, cpu_suspend)
{
	struct timespec wall[2];
	long wall_ms;

	self->vcpu.area->data[0] = FN_CPU_SUSPEND;
	ASSERT_EQ(0, vcpu_start(&self->vcpu, do_hvc, 0, 0));
	clock_gettime(CLOCK_MONOTONIC, &wall[0]);
	ASSERT_EQ(0, kick_every(300000));
	EXPECT_EQ(-EINTR, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	kick_every(0);
	clock_gettime(CLOCK_MONOTONIC, &wall[1]);
	wall_ms = (wall[1].tv_sec - wall[0].tv_sec) * 1000 +
		  (wall[1].tv_nsec - wall[0].tv_nsec) / 1000000;
	EXPECT_LE(250, wall_ms);
	EXPECT_EQ(0, vcpu_reg(&self->vcpu, REG_X(0)));
	EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	EXPECT_EQ(0, self->vcpu.value);
}

TEST_HARNESS_MAIN
