// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that VMs in great number, at once, from many threads and in processes
 * that are killed come and go without losing memory (leak.c says how it counts).
 * Runs on the module and on C KVM, as root. LAB_SCALE=N per cent makes it smaller
 * or larger. A VM takes time to go: nobody may be in its notifiers any more.
 */
#include <pthread.h>
#include <signal.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"

#define THREADS	8

/*
 * Tolerance. A VM that leaks loses one object or page at least each time. 100
 * objects of a cache and 64 pages are above what the rest of a quiet system
 * moves in a round, and below 1,000 VMs' worth of the smallest leak by an order of
 * magnitude. Percpu may move by whole chunks.
 */
#define RULE(cycles) { .warm = 1, .n = (cycles), .objects = 100, .pages = 64, .percpu_kb = 128 }

FIXTURE(vm_stress)
{
	int kvm;
	unsigned int many;
	char what[1024];
};

FIXTURE_SETUP(vm_stress)
{
	self->kvm = kvm_open();
	ASSERT_GE(self->kvm, 0) TH_LOG("%s: %s", KVM_DEV, strerror(-self->kvm));
	self->many = scaled(1000);
}

FIXTURE_TEARDOWN(vm_stress)
{
	close(self->kvm);
}

struct job {
	int kvm;
	unsigned int n;
	int *fds;
};

static int one_by_one(void *arg)
{
	struct job *job = arg;
	unsigned int i;
	int vm;

	for (i = 0; i < job->n; i++) {
		vm = kvm_ioctl(job->kvm, KVM_CREATE_VM, 0);
		if (vm < 0)
			return vm;
		close(vm);
	}
	return 0;
}

TEST_F_TIMEOUT(vm_stress, one_by_one, 600)
{
	struct job job = { .kvm = self->kvm, .n = self->many };
	struct leak_rule rule = RULE(1);
	int ret = leak_check(&rule, one_by_one, &job, self->what, sizeof(self->what));

	EXPECT_EQ(0, ret) TH_LOG("%s", ret > 0 ? self->what : strerror(-ret));
}

static int all_at_once(void *arg)
{
	struct job *job = arg;
	unsigned int i, made;
	int ret = 0;

	for (made = 0; made < job->n && ret >= 0; made += ret >= 0)
		job->fds[made] = ret = kvm_ioctl(job->kvm, KVM_CREATE_VM, 0);
	for (i = 0; i < made; i++)
		if (kvm_ioctl(job->fds[i], KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM) != 1)
			ret = -EPROTO;
	for (i = 0; i < made; i++)
		close(job->fds[i]);
	return ret < 0 ? ret : 0;
}

TEST_F_TIMEOUT(vm_stress, all_at_once, 600)
{
	long before, after, vm_kb, avail = read_field("/proc/meminfo", "MemAvailable");
	struct job job = { .kvm = self->kvm, .n = 100 };
	struct leak_rule rule = RULE(1);
	unsigned int usable;
	int fds[100], ret, i;

	/* What 100 cost tells how many fit in half of what is available. */
	before = read_field("/proc/meminfo", "MemFree");
	for (i = 0; i < 100; i++) {
		fds[i] = kvm_ioctl(self->kvm, KVM_CREATE_VM, 0);
		ASSERT_GE(fds[i], 0);
	}
	after = read_field("/proc/meminfo", "MemFree");
	for (i = 0; i < 100; i++)
		close(fds[i]);
	vm_kb = before > after ? (before - after + 99) / 100 : 1;
	job.n = self->many;
	if ((long)job.n > avail / 2 / vm_kb)
		job.n = avail / 2 / vm_kb;
	usable = raise_nofile(job.n);
	if (job.n > usable)
		job.n = usable;
	ASSERT_GT(job.n, 0);
	TH_LOG("%u at once, about %ld kB each", job.n, vm_kb);
	/* The table of descriptors grows once and is no leak: warm cycles do that. */
	job.fds = malloc(job.n * sizeof(int));
	ASSERT_NE(NULL, job.fds);
	ret = leak_check(&rule, all_at_once, &job, self->what, sizeof(self->what));
	EXPECT_EQ(0, ret) TH_LOG("%s", ret > 0 ? self->what : strerror(-ret));
	free(job.fds);
}

static void *thread_main(void *job)
{
	return (void *)(long)one_by_one(job);
}

static int by_threads(void *arg)
{
	pthread_t thread[THREADS];
	void *result;
	int i, started, ret = 0;

	for (started = 0; started < THREADS; started++)
		if (pthread_create(&thread[started], NULL, thread_main, arg))
			break;
	for (i = 0; i < started; i++) {
		pthread_join(thread[i], &result);
		if (result)
			ret = (long)result;
	}
	return started < THREADS ? -EAGAIN : ret;
}

TEST_F_TIMEOUT(vm_stress, from_threads, 600)
{
	struct job job = { .kvm = self->kvm, .n = self->many / THREADS };
	struct leak_rule rule = RULE(1);
	int ret = leak_check(&rule, by_threads, &job, self->what, sizeof(self->what));

	EXPECT_EQ(0, ret) TH_LOG("%s", ret > 0 ? self->what : strerror(-ret));
}

/* A process that creates and closes for ever, holding a few; killed at a random moment. */
static int killed(void *arg)
{
	struct job *job = arg;
	int child = fork();
	int vm[4] = { -1, -1, -1, -1 };
	unsigned int i;

	if (child < 0)
		return -errno;
	for (i = 0; !child; i++) {
		close(vm[i % 4]);
		vm[i % 4] = kvm_ioctl(job->kvm, KVM_CREATE_VM, 0);
		if (vm[i % 4] < 0)
			_exit(1);
	}
	usleep(5000 + random() % 10000);
	kill(child, SIGKILL);
	return wait_child(child) == 256 + SIGKILL ? 0 : -EPROTO;
}

TEST_F_TIMEOUT(vm_stress, killed, 600)
{
	struct job job = { .kvm = self->kvm };
	/* Half of what one object or page per kill would come to. */
	struct leak_rule rule = { .warm = 10, .n = scaled(100), .percpu_kb = 128 };
	int ret;

	rule.objects = rule.pages = rule.n / 2;
	ret = leak_check(&rule, killed, &job, self->what, sizeof(self->what));

	EXPECT_EQ(0, ret) TH_LOG("%s", ret > 0 ? self->what : strerror(-ret));
}

TEST_HARNESS_MAIN
