// SPDX-License-Identifier: GPL-2.0
/*
 * A vCPU that waits for an event leaves its CPU to another thread that wants it, and does
 * not exit where there is none: by the statistic wfe_exit_stat.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define WAITS	200

/* The host's timer ends each at the latest. */
GUEST uint64_t guest_waits(uint64_t count);
GUEST uint64_t guest_waits(uint64_t count)
{
	for (uint64_t n = 0; n < count; n++)
		asm volatile("wfe" : : : "memory");
	return count;
}

/* With SCTLR_EL1.nTWE clear it is EL1 that gets the exception. */
GUEST uint64_t guest_waits_at_el0(uint64_t count);
GUEST uint64_t guest_waits_at_el0(uint64_t count)
{
	struct guest_area *area = guest_area();

	area->catch = 1;
	guest_el0(guest_waits, count);
	return area->caught;
}

FIXTURE(wfe)
{
	struct vm vm;
	struct vcpu vcpu;
	int stats;
	cpu_set_t before;
};

FIXTURE_SETUP(wfe)
{
	cpu_set_t one;

	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	self->stats = kvm_ioctl(self->vcpu.fd, KVM_GET_STATS_FD, 0);
	ASSERT_LE(0, self->stats);
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->before), &self->before));
	CPU_ZERO(&one);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &one);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));
}

FIXTURE_TEARDOWN(wfe)
{
	sched_setaffinity(0, sizeof(self->before), &self->before);
	close(self->stats);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* Whether a WFE of this machine traps at all; emulators have ones that do nothing. */
static bool traps_at_el0(FIXTURE_DATA(wfe) *self)
{
	if (vcpu_start(&self->vcpu, guest_waits_at_el0, WAITS, GUEST_MMU) ||
	    vcpu_set_reg(&self->vcpu, SCTLR_EL1, vcpu_reg(&self->vcpu, SCTLR_EL1) & ~(1UL << 18)))
		return false;
	return guest_run(&self->vcpu) == GUEST_DONE && self->vcpu.value &&
	       ESR_EC(self->vcpu.area->esr) == EC_WFX;
}

/* How many of the guest's waits were exits; -1 if they did not come to an end. */
static long exits(FIXTURE_DATA(wfe) *self)
{
	long before = statistic(self->stats, "wfe_exit_stat");

	if (before < 0 || guest_finish(&self->vcpu, guest_waits, WAITS, 0))
		return -1;
	return statistic(self->stats, "wfe_exit_stat") - before;
}

/* A thread that wants the same CPU, and says how often it had it. */
struct other {
	atomic_bool stop;
	atomic_ulong turns;
};

static void *wants_the_cpu(void *arg)
{
	struct other *other = arg;

	while (!other->stop)
		other->turns++;
	return NULL;
}

TEST_F_TIMEOUT(wfe, leaves_the_cpu_to_another_thread, 60)
{
	struct other other = { .stop = false };
	unsigned long turns;
	pthread_t thread;
	long count;

	if (!traps_at_el0(self))
		SKIP(return, "no WFE traps on this machine");
	ASSERT_EQ(0, pthread_create(&thread, NULL, wants_the_cpu, &other));
	while (!other.turns)
		sched_yield();
	turns = other.turns;
	count = exits(self);
	/* C KVM yields to a vCPU if it finds one that is ready, and to no other thread. */
	if (host_is_module()) {
		EXPECT_LT(turns, other.turns);
	}
	other.stop = true;
	pthread_join(thread, NULL);
	/* An exception's return is an event, so that every other one may not wait. */
	EXPECT_LE(WAITS / 10, count);
	EXPECT_GE(WAITS, count);
}

/* The host has threads of its own now and then: one try of some is not disturbed. */
TEST_F_TIMEOUT(wfe, does_not_exit_alone, 60)
{
	long least = WAITS;

	for (unsigned int i = 0; i < 20 && least; i++) {
		long count = exits(self);

		ASSERT_LE(0, count);
		if (count < least)
			least = count;
	}
	EXPECT_EQ(0, least);
}

TEST_HARNESS_MAIN
