// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that VMIDs may run out: more VMs are run than there are numbers, beside some
 * that run all the time and keep theirs, and some that wait and get another.
 * Runs on the module that was loaded with vmid_bits=8, and needs root. QEMU drops its
 * TLBs when the VMID changes, so what is seen is that all go on and see their own
 * memory; that no number has two VMs is shown by the model in rust/core/tests/vmid.rs.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define VMIDS		256
#define ROUNDS		2	/* how often they run out at least */
#define MAKERS		4
#define KEEPERS		3	/* that run all the time, more than there are CPUs */
#define WAITERS		3
#define SAY_TURN	1
#define SAY_BAD		2
#define DATA		GUEST_FREE
#define WORDS		512

/* For ever: writes memory and a register, exits, and finds both as they were. */
GUEST uint64_t keep(uint64_t seed);
GUEST uint64_t keep(uint64_t seed)
{
	volatile uint64_t *data = (uint64_t *)DATA;
	uint64_t i, n;

	for (n = seed;; n++) {
		GUEST_MSR("tpidr_el1", n);
		for (i = 0; i < WORDS; i++)
			data[8 * i] = n ^ i;
		guest_say(SAY_TURN, n);
		for (i = 0; i < WORDS; i++)
			if (data[8 * i] != (n ^ i))
				guest_say(SAY_BAD, n);
		if (GUEST_MRS("tpidr_el1") != n)
			guest_say(SAY_BAD, n);
	}
}

GUEST uint64_t add_up(uint64_t seed);
GUEST uint64_t add_up(uint64_t seed)
{
	volatile uint64_t *data = (uint64_t *)DATA;

	*data += seed;
	return *data;
}

struct keeper {
	struct vm vm;
	struct vcpu vcpu;
	bool stop;
	unsigned long turns;
	char wrong[200];
};

static void *keeper_main(void *arg)
{
	struct keeper *k = arg;
	enum guest_event event;

	kick_every(10000);
	while (!__atomic_load_n(&k->stop, __ATOMIC_ACQUIRE) && !k->wrong[0]) {
		event = guest_run(&k->vcpu);
		if (event == GUEST_SAID && k->vcpu.what == SAY_TURN)
			__atomic_fetch_add(&k->turns, 1, __ATOMIC_RELAXED);
		else if (event != GUEST_ERROR || k->vcpu.error != -EINTR)
			snprintf(k->wrong, sizeof(k->wrong), "%s", guest_told(&k->vcpu, event));
	}
	kick_every(0);
	return NULL;
}

struct maker {
	unsigned int made;
	char wrong[100];
};

/* A VM takes its number when it first runs, and leaves it to the next generation. */
static void *maker_main(void *arg)
{
	struct maker *m = arg;
	struct vcpu vcpu;
	struct vm vm;
	unsigned int i;

	for (i = 0; i < ROUNDS * VMIDS / MAKERS && !m->wrong[0]; i++) {
		if (vm_create(&vm) || vcpu_create(&vm, &vcpu, 0))
			snprintf(m->wrong, sizeof(m->wrong), "VM %u cannot be made", i);
		else if (guest_finish(&vcpu, add_up, i, GUEST_MMU) || vcpu.value != i)
			snprintf(m->wrong, sizeof(m->wrong), "VM %u: %#lx", i, (long)vcpu.value);
		else
			m->made++;
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
	return NULL;
}

FIXTURE(vmids)
{
	int unused;
};

FIXTURE_SETUP(vmids)
{
}

FIXTURE_TEARDOWN(vmids)
{
}

TEST_F_TIMEOUT(vmids, run_out, 280)
{
	struct keeper keepers[KEEPERS] = { 0 }, waiters[WAITERS] = { 0 };
	struct maker makers[MAKERS] = { 0 };
	pthread_t keeper[KEEPERS], maker[MAKERS];
	unsigned long turns;
	unsigned int i, tries;

	if (!host_is_module() || module_found("VMID 8") != 1)
		SKIP(return, "the module, loaded with vmid_bits=8");
	for (i = 0; i < WAITERS; i++) {
		ASSERT_EQ(0, vm_create(&waiters[i].vm));
		ASSERT_EQ(0, vcpu_create(&waiters[i].vm, &waiters[i].vcpu, 0));
		ASSERT_EQ(0, guest_finish(&waiters[i].vcpu, add_up, 1000 + i, GUEST_MMU));
		EXPECT_EQ(1000 + i, waiters[i].vcpu.value);
	}
	for (i = 0; i < KEEPERS; i++) {
		ASSERT_EQ(0, vm_create(&keepers[i].vm));
		ASSERT_EQ(0, vcpu_create(&keepers[i].vm, &keepers[i].vcpu, 0));
		ASSERT_EQ(0, vcpu_start(&keepers[i].vcpu, keep, (uint64_t)(i + 1) << 48, GUEST_MMU));
		ASSERT_EQ(0, pthread_create(&keeper[i], NULL, keeper_main, &keepers[i]));
	}
	for (i = 0; i < MAKERS; i++) {
		ASSERT_EQ(0, pthread_create(&maker[i], NULL, maker_main, &makers[i]));
	}
	for (i = 0; i < MAKERS; i++) {
		pthread_join(maker[i], NULL);
		EXPECT_STREQ("", makers[i].wrong);
		EXPECT_EQ(ROUNDS * VMIDS / MAKERS, makers[i].made);
	}
	for (i = 0; i < WAITERS; i++) {
		EXPECT_EQ(0, guest_finish(&waiters[i].vcpu, add_up, 1, GUEST_MMU));
		EXPECT_EQ(1001 + i, waiters[i].vcpu.value);
		vcpu_destroy(&waiters[i].vcpu);
		vm_destroy(&waiters[i].vm);
	}
	for (i = 0; i < KEEPERS; i++) {
		/* It goes on. */
		turns = __atomic_load_n(&keepers[i].turns, __ATOMIC_RELAXED);
		for (tries = 0; tries < 1000 && !keepers[i].wrong[0]; tries++) {
			if (__atomic_load_n(&keepers[i].turns, __ATOMIC_RELAXED) > turns)
				break;
			msleep(10);
		}
		EXPECT_GT(1000, tries);
		__atomic_store_n(&keepers[i].stop, true, __ATOMIC_RELEASE);
		pthread_join(keeper[i], NULL);
		EXPECT_STREQ("", keepers[i].wrong);
		TH_LOG("VM %u that runs all the time: %lu turns", i, keepers[i].turns);
		vcpu_destroy(&keepers[i].vcpu);
		vm_destroy(&keepers[i].vm);
	}
}

TEST_HARNESS_MAIN
