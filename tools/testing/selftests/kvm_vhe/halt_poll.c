// SPDX-License-Identifier: GPL-2.0
/*
 * How a vCPU waits in WFI: it polls before it sleeps if that has helped before, and no
 * longer than KVM_CAP_HALT_POLL or the module's parameter says; what comes meanwhile,
 * another vCPU's SGI, a timer, a signal, ends it; and the statistics say what was done.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"
#include "gic.h"

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))

#define ROUNDS		200
#define VCPUS		2
#define SGI		3
#define TIMER		27
#define SECOND		1000000000UL

/* The next interrupt, in WFI until it comes. */
GUEST_INLINE uint64_t take(void)
{
	uint64_t intid;

	while ((intid = gic_acknowledge()) == GIC_SPURIOUS)
		asm volatile("wfi" : : : "memory");
	gic_end(intid);
	return intid;
}

GUEST_INLINE void send(unsigned int cpu)
{
	GUEST_MSR("s3_0_c12_c11_5", (uint64_t)SGI << 24 | 1 << cpu);	/* ICC_SGI1R_EL1 */
	GUEST_ISB();
}

/* vCPU 1 answers each SGI, vCPU 0 begins: returns how many came. */
GUEST uint64_t guest_answer(uint64_t rounds);
GUEST uint64_t guest_answer(uint64_t rounds)
{
	uint64_t n, good = 0;

	gic_start(1, true);
	guest_say(1, 0);
	for (n = 0; n < rounds; n++) {
		good += take() == SGI;
		send(0);
	}
	return good;
}

GUEST uint64_t guest_ask(uint64_t rounds);
GUEST uint64_t guest_ask(uint64_t rounds)
{
	uint64_t n, good = 0;

	gic_start(0, true);
	for (n = 0; n < rounds; n++) {
		send(1);
		good += take() == SGI;
	}
	return good;
}

/* A timer of so many milliseconds, some times: returns how often it did not come too soon. */
#define TIMES(n, ms)	((uint64_t)(n) << 32 | (ms))
GUEST uint64_t guest_timer(uint64_t times);
GUEST uint64_t guest_timer(uint64_t times)
{
	uint64_t ticks = GUEST_MRS("cntfrq_el0") * (uint32_t)times / 1000, until, n, good = 0;

	gic_start(0, true);
	for (n = 0; n < times >> 32; n++) {
		GUEST_ISB();
		until = GUEST_MRS("cntvct_el0") + ticks;
		GUEST_MSR("cntv_cval_el0", until);
		GUEST_MSR("cntv_ctl_el0", 1);
		GUEST_ISB();
		while (gic_acknowledge() != TIMER)
			asm volatile("wfi" : : : "memory");
		GUEST_ISB();
		good += GUEST_MRS("cntvct_el0") >= until;
		GUEST_MSR("cntv_ctl_el0", 0);
		GUEST_ISB();
		gic_end(TIMER);
	}
	return good;
}

/* Nothing comes. */
GUEST uint64_t guest_wait(uint64_t arg);
GUEST uint64_t guest_wait(uint64_t arg)
{
	gic_start(0, true);
	for (;;)
		asm volatile("wfi" : : : "memory");
	return arg;
}

FIXTURE(halt_poll)
{
	struct vm vm;
	struct vcpu vcpus[VCPUS];
	int stats[VCPUS];
};

FIXTURE_SETUP(halt_poll)
{
	int ret;

	ASSERT_EQ(0, vm_create(&self->vm));
	for (unsigned int n = 0; n < VCPUS; n++) {
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpus[n], n));
		self->stats[n] = IOCTL(self->vcpus[n].fd, KVM_GET_STATS_FD, 0);
		ASSERT_LE(0, self->stats[n]);
	}
	ret = vm_gic(&self->vm);
	if (ret == -ENODEV)
		SKIP(return, "no GICv3 for guests here");
	ASSERT_EQ(0, ret);
}

FIXTURE_TEARDOWN(halt_poll)
{
	kick_every(0);
	for (unsigned int n = 0; n < VCPUS; n++) {
		close(self->stats[n]);
		vcpu_destroy(&self->vcpus[n]);
	}
	vm_destroy(&self->vm);
}

static long limit(struct vm *vm, uint64_t ns)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HALT_POLL, .args = { ns } };

	return IOCTL(vm->fd, KVM_ENABLE_CAP, &cap);
}

/* A parameter of the module that is /dev/kvm's. */
static const char *parameter(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s",
		 host_is_module() ? "kvm_vhe" : "kvm", name);
	return path;
}

TEST_F(halt_poll, capability)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HALT_POLL, .flags = 1 };

	EXPECT_EQ(1, IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_HALT_POLL));
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(-EINVAL, limit(&self->vm, 1UL << 32));
	EXPECT_EQ(-EINVAL, limit(&self->vm, ~0UL));
	EXPECT_EQ(0, limit(&self->vm, ~0U));
	EXPECT_EQ(0, limit(&self->vm, 0));
	EXPECT_EQ(0, limit(&self->vm, 100000));
}

/* The numbers of polls and sleeps fit together. */
static void check(struct __test_metadata *_metadata, int fd)
{
	long good = statistic(fd, "halt_successful_poll");
	long all = statistic(fd, "halt_attempted_poll");

	EXPECT_LE(good, all);
	EXPECT_LE(statistic(fd, "halt_poll_invalid"), good);
	EXPECT_EQ(good, statistic(fd, "halt_poll_success_hist"));
	EXPECT_EQ(all - good, statistic(fd, "halt_poll_fail_hist"));
	EXPECT_EQ(!!good, !!statistic(fd, "halt_poll_success_ns"));
	EXPECT_EQ(all != good, !!statistic(fd, "halt_poll_fail_ns"));
	EXPECT_EQ(!!statistic(fd, "halt_wait_hist"), !!statistic(fd, "halt_wait_ns"));
	if (host_is_module())
		EXPECT_LE(statistic(fd, "halt_wakeup"), statistic(fd, "halt_wait_hist"));
}

static void *pinned(void *arg)
{
	struct vcpu *vcpu = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(vcpu->id, &set);
	sched_setaffinity(0, sizeof(set), &set);
	return guest_thread(vcpu);
}

/* Both vCPUs, each on a CPU of its own. */
static void ask_and_answer(struct __test_metadata *_metadata, struct vcpu *vcpus, uint64_t rounds)
{
	pthread_t thread[VCPUS];
	void *end;

	ASSERT_EQ(0, vcpu_start(&vcpus[1], guest_answer, rounds, 0));
	/* It has to be there for what it is asked. */
	ASSERT_EQ(GUEST_SAID, guest_run(&vcpus[1]));
	ASSERT_EQ(0, vcpu_start(&vcpus[0], guest_ask, rounds, 0));
	for (unsigned int n = 0; n < VCPUS; n++)
		ASSERT_EQ(0, pthread_create(&thread[n], NULL, pinned, &vcpus[n]));
	for (unsigned int n = 0; n < VCPUS; n++) {
		pthread_join(thread[n], &end);
		ASSERT_EQ(GUEST_DONE, (long)end);
		EXPECT_EQ(rounds, vcpus[n].value);
	}
}

TEST_F(halt_poll, polls_for_what_comes_soon)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < VCPUS)
		SKIP(return, "it takes two CPUs");
	ASSERT_EQ(0, limit(&self->vm, SECOND));
	ask_and_answer(_metadata, self->vcpus, ROUNDS);
	for (unsigned int n = 0; n < VCPUS; n++) {
		EXPECT_LT(0, statistic(self->stats[n], "halt_successful_poll"));
		check(_metadata, self->stats[n]);
	}
}

TEST_F(halt_poll, limit_of_zero)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < VCPUS)
		SKIP(return, "it takes two CPUs");
	ASSERT_EQ(0, limit(&self->vm, 0));
	ask_and_answer(_metadata, self->vcpus, ROUNDS);
	for (unsigned int n = 0; n < VCPUS; n++) {
		EXPECT_EQ(0, statistic(self->stats[n], "halt_attempted_poll"));
		EXPECT_EQ(0, statistic(self->stats[n], "halt_poll_success_ns"));
		EXPECT_EQ(0, statistic(self->stats[n], "halt_poll_fail_ns"));
		EXPECT_LT(0, statistic(self->stats[n], "halt_wait_hist"));
		EXPECT_LT(0, statistic(self->stats[n], "halt_wakeup"));
		check(_metadata, self->stats[n]);
	}
}

/* Those of the module are for all VMs that have none of their own, as soon as they change. */
TEST_F(halt_poll, parameters)
{
	struct { const char *name, *value; } defaults[] = {
		{ "halt_poll_ns", "500000" }, { "halt_poll_ns_grow", "2" },
		{ "halt_poll_ns_grow_start", "10000" }, { "halt_poll_ns_shrink", "2" },
	};
	char value[16];
	long before;
	int fd = self->stats[0];

	for (unsigned int n = 0; n < ARRAY_LEN(defaults); n++) {
		ASSERT_TRUE(read_text(parameter(defaults[n].name), value, sizeof(value)));
		EXPECT_STREQ(defaults[n].value, value);
		EXPECT_EQ(-EINVAL, write_text(parameter(defaults[n].name), "-1"));
	}
	ASSERT_EQ(0, write_text(parameter("halt_poll_ns"), "0"));
	EXPECT_EQ(0, guest_finish(&self->vcpus[0], guest_timer, TIMES(20, 2), 0));
	EXPECT_EQ(0, statistic(fd, "halt_attempted_poll"));
	ASSERT_EQ(0, write_text(parameter("halt_poll_ns"), "1000000000"));
	EXPECT_EQ(0, guest_finish(&self->vcpus[0], guest_timer, TIMES(20, 2), 0));
	before = statistic(fd, "halt_attempted_poll");
	EXPECT_LT(0, before);
	/* A limit of the VM's own is what counts then. */
	ASSERT_EQ(0, limit(&self->vm, 0));
	EXPECT_EQ(0, guest_finish(&self->vcpus[0], guest_timer, TIMES(20, 2), 0));
	EXPECT_EQ(before, statistic(fd, "halt_attempted_poll"));
	EXPECT_EQ(0, write_text(parameter("halt_poll_ns"), defaults[0].value));
	check(_metadata, fd);
}

/* A timer that is over while the vCPU polls is not waited for any longer. */
TEST_F(halt_poll, timer)
{
	struct timespec start, end;
	long ms;

	ASSERT_EQ(0, limit(&self->vm, SECOND));
	clock_gettime(CLOCK_MONOTONIC, &start);
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_timer, TIMES(ROUNDS, 5), 0));
	clock_gettime(CLOCK_MONOTONIC, &end);
	EXPECT_EQ(ROUNDS, self->vcpus[0].value);
	EXPECT_LT(0, statistic(self->stats[0], "halt_successful_poll"));
	check(_metadata, self->stats[0]);
	ms = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
	/* With each of them polled for to the end it would be a minute at least. */
	EXPECT_LE(ROUNDS * 5, ms);
	EXPECT_GT(30000, ms);
}

/* A signal ends a wait at once, long as the vCPU might poll. */
TEST_F(halt_poll, signals)
{
	struct timespec start, end;
	unsigned int n;

	ASSERT_EQ(0, limit(&self->vm, ~0U));
	/* So that it polls for longer than it is until a signal. */
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_timer, TIMES(20, 40), 0));
	ASSERT_EQ(0, vcpu_start(&self->vcpus[0], guest_wait, 0, 0));
	ASSERT_EQ(0, kick_every(5000));
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (n = 0; n < 20; n++) {
		ASSERT_EQ(GUEST_ERROR, guest_run(&self->vcpus[0]));
		ASSERT_EQ(-EINTR, self->vcpus[0].error);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	kick_every(0);
	EXPECT_GT(4, end.tv_sec - start.tv_sec);
	/* C KVM counts none. */
	if (host_is_module())
		EXPECT_LT(0, statistic(self->stats[0], "halt_poll_invalid"));
	check(_metadata, self->stats[0]);
}

TEST_HARNESS_MAIN
