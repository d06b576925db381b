/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guests that run for ever and look whether their registers are theirs, each in a thread
 * that is preempted by others and moved about. For tests with the harness, after it.
 */
#ifndef KVM_VHE_CHURN_H
#define KVM_VHE_CHURN_H

#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "kvm_vhe_test.h"
#include "guest.h"

/* What the guest says. */
#define SAY_TURN	1
#define SAY_BAD		2	/* which in bits 0-7, then the round */
#define SAY_BAD_FP	3

extern void fp_fill(uint64_t seed);
extern uint64_t fp_check(uint64_t seed);
extern uint64_t fp_around_syscall(long nr, long a, long b, long c, uint64_t seed, long *result);

/* The same with V0-V31, FPSR and FPCR; some rounds leave them alone. */
GUEST uint64_t churn_fp(uint64_t seed);
GUEST uint64_t churn_fp(uint64_t seed)
{
	uint64_t round, bad, spin;

	for (round = 0;; round++) {
		if (round % 3)
			fp_fill(seed + round);
		if (round % 4 == 1)
			guest_hvc(0x80000000, 0, 0, 0);
		for (spin = (round * 37) % 2048; spin; spin--)
			asm volatile("");
		if (round % 16 == 3)
			guest_say(SAY_TURN, round);
		bad = round % 3 ? fp_check(seed + round) : 0;
		if (bad)
			guest_say(SAY_BAD_FP, bad | round << 8);
	}
}

/* A thread that runs a guest until told to stop, or until something is wrong. */
struct churner {
	struct vcpu *vcpu;
	void *fn;
	uint64_t seed;
	cpu_set_t cpus;
	bool host_fp;		/* check our own FP registers around KVM_RUN */
	const char *(*name)(unsigned int n);	/* of a register that the guest finds bad */
	bool stop;
	pid_t tid;
	unsigned long turns, interrupted;
	char wrong[200];
};

static void *churner_main(void *arg)
{
	struct churner *c = arg;
	enum guest_event event;
	uint64_t bad;
	long ret;

	sched_setaffinity(0, sizeof(c->cpus), &c->cpus);
	__atomic_store_n(&c->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	if (vcpu_start(c->vcpu, c->fn, c->seed, 0) || kick_every(3000))
		snprintf(c->wrong, sizeof(c->wrong), "no start");
	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE) && !c->wrong[0]) {
		if (c->host_fp) {
			bad = fp_around_syscall(SYS_ioctl, c->vcpu->fd, KVM_RUN, 0, c->seed + 999,
						&ret);
			if (bad)
				snprintf(c->wrong, sizeof(c->wrong),
					 "%lu of the host's FP registers changed", bad);
			event = guest_news(c->vcpu, ret);
		} else {
			event = guest_run(c->vcpu);
		}
		if (event == GUEST_SAID && c->vcpu->what == SAY_TURN)
			__atomic_fetch_add(&c->turns, 1, __ATOMIC_RELAXED);
		else if (event == GUEST_ERROR && c->vcpu->error == -EINTR)
			c->interrupted++;
		else if (event == GUEST_SAID && c->vcpu->what == SAY_BAD)
			snprintf(c->wrong, sizeof(c->wrong), "%s in round %lu",
				 c->name ? c->name(c->vcpu->value & 0xff) : "a register",
				 c->vcpu->value >> 8);
		else if (event == GUEST_SAID && c->vcpu->what == SAY_BAD_FP)
			snprintf(c->wrong, sizeof(c->wrong),
				 "%lu of the guest's FP registers in round %lu",
				 c->vcpu->value & 0xff, c->vcpu->value >> 8);
		else
			snprintf(c->wrong, sizeof(c->wrong), "%s", guest_told(c->vcpu, event));
	}
	kick_every(0);
	return NULL;
}

/* Threads of the host that take CPU time, with FP patterns of their own. */
struct busy {
	bool stop;
	unsigned long bad;
	uint64_t seed;
};

static void *busy_main(void *arg)
{
	struct busy *b = arg;
	uint64_t bad;
	long ret;

	while (!__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE)) {
		bad = fp_around_syscall(SYS_sched_yield, 0, 0, 0, b->seed, &ret);
		__atomic_fetch_add(&b->bad, bad, __ATOMIC_RELAXED);
	}
	return NULL;
}

#define MOVES	2000
#define BUSY	4

/*
 * Runs the churners, n of them, beside busy threads; moves them from CPU to CPU if
 * asked to, else they stay where they are put.
 */
static void churn_for(struct __test_metadata *_metadata, struct churner *c, unsigned int n,
		      const cpu_set_t *cpus, bool move)
{
	pthread_t thread[2], busy_thread[BUSY];
	unsigned int i, round, cpu = 0;
	struct busy busy[BUSY] = { 0 };
	unsigned long turns[2] = { 0 };
	cpu_set_t one;

	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, churner_main, &c[i]));
		while (!__atomic_load_n(&c[i].tid, __ATOMIC_ACQUIRE))
			msleep(1);
	}
	for (i = 0; i < BUSY; i++) {
		busy[i].seed = 0x1000 * (i + 1);
		ASSERT_EQ(0, pthread_create(&busy_thread[i], NULL, busy_main, &busy[i]));
	}
	for (round = 0; round < scaled(MOVES) / n; round++) {
		do {
			cpu = (cpu + 1) % CPU_SETSIZE;
		} while (!CPU_ISSET(cpu, cpus));
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		/* It fails when the thread has already found something wrong, and ended. */
		if (move && sched_setaffinity(c[round % n].tid, sizeof(one), &one))
			break;
		if (!move || round % 8 == 0)
			usleep(1000);
	}
	/* However slow the machine is, each has to get somewhere. */
	for (i = 0; i < n; i++) {
		for (round = 0; round < 500 && turns[i] < 50 && !c[i].wrong[0]; round++) {
			turns[i] = __atomic_load_n(&c[i].turns, __ATOMIC_RELAXED);
			msleep(10);
		}
	}
	for (i = 0; i < n; i++)
		__atomic_store_n(&c[i].stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < BUSY; i++)
		__atomic_store_n(&busy[i].stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < n; i++) {
		pthread_join(thread[i], NULL);
		EXPECT_STREQ("", c[i].wrong);
		EXPECT_LT(20, c[i].turns);
		TH_LOG("vCPU %u: %lu turns, interrupted %lu times", i, c[i].turns, c[i].interrupted);
	}
	for (i = 0; i < BUSY; i++) {
		pthread_join(busy_thread[i], NULL);
		EXPECT_EQ(0, busy[i].bad) TH_LOG("FP registers of a thread beside the guest");
	}
}

#endif
