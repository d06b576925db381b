// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that CPUs may go and come under vCPUs that run on them: the guests keep
 * their registers and go on.
 * Runs on the module and on C KVM, as root, with two CPUs or more.
 */
#include <pthread.h>
#include <sched.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define VCPUS	3
#define SAY_ON	1
#define SAY_BAD	2

/* Has values of its own in registers that live in the CPU, and looks after them. */
GUEST uint64_t keep(uint64_t seed);
GUEST uint64_t keep(uint64_t seed)
{
	uint64_t round, i;

	for (round = 0;; round++) {
		uint64_t v = (seed + round) * 0x9e3779b97f4a7c15;

		GUEST_MSR("tpidr_el1", v);
		GUEST_MSR("tpidr_el0", ~v);
		GUEST_MSR("ttbr1_el1", v & 0x00ff00fffffff000);
		GUEST_MSR("contextidr_el1", v >> 32);
		GUEST_MSR("far_el1", v + 1);
		asm volatile(".arch_extension fp\n fmov d31, %0" : : "r" (v));
		for (i = 0; i < 1000; i++)
			asm volatile("");
		if (round % 4 == 0)
			guest_hvc(0x80000000, 0, 0, 0);
		asm volatile(".arch_extension fp\n fmov %0, d31" : "=r" (i));
		if (GUEST_MRS("tpidr_el1") != v || GUEST_MRS("tpidr_el0") != ~v ||
		    GUEST_MRS("ttbr1_el1") != (v & 0x00ff00fffffff000) ||
		    GUEST_MRS("contextidr_el1") != v >> 32 || GUEST_MRS("far_el1") != v + 1 ||
		    i != v)
			guest_say(SAY_BAD, round);
		if (round % 64 == 0)
			guest_say(SAY_ON, round);
	}
}

FIXTURE(hotplug_run)
{
	struct vm vm;
	int cpus;
};

static int set_online(int cpu, bool online)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	return write_text(path, online ? "1" : "0");
}

FIXTURE_SETUP(hotplug_run)
{
	self->cpus = sysconf(_SC_NPROCESSORS_CONF);
	if (self->cpus < 2)
		SKIP(return, "one CPU only");
	ASSERT_EQ(0, vm_create(&self->vm));
}

FIXTURE_TEARDOWN(hotplug_run)
{
	int cpu;

	for (cpu = 1; cpu < self->cpus; cpu++)
		set_online(cpu, true);
	vm_destroy(&self->vm);
}

struct runner {
	struct vcpu vcpu;
	int cpu;
	bool stop;
	unsigned long said;
	char wrong[200];
};

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	enum guest_event event;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(r->cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
	kick_every(10000);
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE) && !r->wrong[0]) {
		event = guest_run(&r->vcpu);
		if (event == GUEST_SAID && r->vcpu.what == SAY_ON)
			__atomic_fetch_add(&r->said, 1, __ATOMIC_RELAXED);
		else if (event != GUEST_ERROR || r->vcpu.error != -EINTR)
			snprintf(r->wrong, sizeof(r->wrong), "%s", guest_told(&r->vcpu, event));
	}
	kick_every(0);
	return NULL;
}

static bool all_go_on(struct runner *r)
{
	unsigned long was[VCPUS];
	unsigned int i, tries;

	for (i = 0; i < VCPUS; i++)
		was[i] = __atomic_load_n(&r[i].said, __ATOMIC_RELAXED);
	for (i = tries = 0; i < VCPUS && tries < 1000; ) {
		if (__atomic_load_n(&r[i].said, __ATOMIC_RELAXED) > was[i]) {
			i++;
			continue;
		}
		msleep(5);
		tries++;
	}
	return i == VCPUS;
}

TEST_F_TIMEOUT(hotplug_run, off_and_on, 300)
{
	unsigned int round, rounds = scaled(50);
	struct runner r[VCPUS];
	pthread_t thread[VCPUS];
	cpu_set_t one;
	int i, cpu;

	memset(r, 0, sizeof(r));
	for (i = 0; i < VCPUS; i++) {
		r[i].cpu = i % self->cpus;
		ASSERT_EQ(0, vcpu_create(&self->vm, &r[i].vcpu, i));
		ASSERT_EQ(0, vcpu_start(&r[i].vcpu, keep, (uint64_t)(i + 1) << 48, 0));
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, runner_main, &r[i]));
	}
	EXPECT_TRUE(all_go_on(r));
	for (round = 0; round < rounds; round++) {
		for (cpu = 1; cpu < self->cpus; cpu++) {
			/* Its threads are driven off it, and put back when it is there again. */
			EXPECT_EQ(0, set_online(cpu, false)) TH_LOG("CPU %d off", cpu);
			if (round % 4 == 0) {
				EXPECT_TRUE(all_go_on(r)) TH_LOG("CPU %d is off", cpu);
			}
			EXPECT_EQ(0, set_online(cpu, true)) TH_LOG("CPU %d on", cpu);
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			for (i = 0; i < VCPUS; i++)
				if (r[i].cpu == cpu)
					pthread_setaffinity_np(thread[i], sizeof(one), &one);
		}
	}
	EXPECT_TRUE(all_go_on(r));
	for (i = 0; i < VCPUS; i++) {
		__atomic_store_n(&r[i].stop, true, __ATOMIC_RELEASE);
		pthread_join(thread[i], NULL);
		EXPECT_STREQ("", r[i].wrong);
		TH_LOG("vCPU %d: %lu turns", i, r[i].said);
		vcpu_destroy(&r[i].vcpu);
	}
}

TEST_HARNESS_MAIN
