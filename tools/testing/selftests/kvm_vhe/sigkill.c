// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a VMM killed in the middle of KVM_RUN, with two vCPU threads in it
 * whose pages it takes away all the time, leaves nothing behind: no memory, no
 * descriptor, and the next VM works.
 * Runs on the module and on C KVM, as root: sigkill [TIMES]
 */
#include <pthread.h>
#include <signal.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define VCPUS		2
#define SLOT_IPA	0x80000000UL
#define SLOT_SIZE	0x200000UL

static unsigned int times = 500;

/* Uses memory, FP, calls and exits, for ever. */
GUEST uint64_t work(uint64_t arg);
GUEST uint64_t work(uint64_t arg)
{
	uint64_t i;

	for (;;) {
		for (i = 0; i < 16; i++, arg += 0x1000)
			*(volatile uint64_t *)(SLOT_IPA + (arg & (SLOT_SIZE - 1) & ~7UL)) = arg;
		asm volatile(".arch_extension fp\n fmov d0, %0" : : "r" (arg));
		guest_hvc(0x80000000, 0, 0, 0);
		guest_say(1, arg);
		for (i = 0; i < 20000; i++)
			asm volatile("");
	}
}

/* How often each vCPU came back, in memory that the parent sees. */
static unsigned long *said;

struct thread {
	struct vcpu vcpu;
	unsigned int n;
};

static void *run(void *arg)
{
	struct thread *t = arg;

	for (;;) {
		if (guest_run(&t->vcpu) != GUEST_SAID)
			_exit(10);
		__atomic_fetch_add(&said[t->n], 1, __ATOMIC_RELAXED);
	}
}

static void victim(void)
{
	struct thread t[VCPUS];
	pthread_t thread;
	struct vm vm;
	unsigned int i;
	void *memory = mmap(NULL, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED || vm_create(&vm) ||
	    vm_memory(&vm, 1, SLOT_IPA, SLOT_SIZE, memory, 0))
		_exit(1);
	for (i = 0; i < VCPUS; i++) {
		t[i].n = i;
		if (vcpu_create(&vm, &t[i].vcpu, i) || vcpu_start(&t[i].vcpu, work, i, 0))
			_exit(2);
	}
	for (i = 0; i < VCPUS; i++)
		if (pthread_create(&thread, NULL, run, &t[i]))
			_exit(3);
	/* The vCPUs fault all the time, so that one is killed in a fault mostly. */
	for (;;)
		madvise(memory, SLOT_SIZE, MADV_DONTNEED);
}

static int kill_one(void *arg)
{
	unsigned int i, tries;
	int child, ret;

	(void)arg;
	for (i = 0; i < VCPUS; i++)
		said[i] = 0;
	child = fork();
	if (child < 0)
		return -errno;
	if (!child)
		victim();
	for (i = tries = 0; i < VCPUS && tries < 10000; ) {
		if (__atomic_load_n(&said[i], __ATOMIC_RELAXED)) {
			i++;
			continue;
		}
		usleep(1000);
		tries++;
	}
	usleep(random() % 3000);
	kill(child, SIGKILL);
	ret = wait_child(child);
	if (i < VCPUS)
		return -ETIMEDOUT;
	return ret == 256 + SIGKILL ? 0 : -EPROTO;
}

GUEST uint64_t add_one(uint64_t arg);
GUEST uint64_t add_one(uint64_t arg)
{
	return arg + 1;
}

FIXTURE(sigkill)
{
	int unused;
};

FIXTURE_SETUP(sigkill)
{
	said = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, said);
}

FIXTURE_TEARDOWN(sigkill)
{
	munmap(said, getpagesize());
}

TEST_F_TIMEOUT(sigkill, leaves_nothing, 3600)
{
	/* A quarter of what one object or page per kill would come to. */
	struct leak_rule rule = { .warm = 20, .n = times, .percpu_kb = 128 };
	struct vcpu vcpu;
	char what[1024];
	struct vm vm;
	int ret;

	rule.objects = rule.pages = times / 4 + 16;
	ret = leak_check(&rule, kill_one, NULL, what, sizeof(what));
	EXPECT_EQ(0, ret) TH_LOG("%s", ret > 0 ? what : strerror(-ret));
	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
	EXPECT_EQ(0, guest_finish(&vcpu, add_one, 1, 0));
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	if (argc > 1 && argv[1][0] != '-') {
		times = strtoul(argv[1], NULL, 10);
		argc = 1;
	}
	return test_harness_run(argc, argv);
}
