// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that 1 TiB of a guest's memory goes away in steps, so that the host goes on with its
 * other work: with its slot, with the VMM's mapping, with the VM, and with a VMM that is
 * killed. Pages are spread over it, so that there are many tables and little memory. On each
 * CPU is somebody who sleeps a little all the time; how late he wakes up at most is printed,
 * and what the kernel calls a stall is a splat.
 * Runs on the module and on C KVM, as root: memory_tera [MIB], the distance of the pages.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define SLOT		1
#define PAGE		4096UL
#define TIB		(1UL << 40)
/* The guest's addresses, 42 bits of them; stage 1 is off. */
#define BITS		42
#define IPA		TIB
#define MAX_CPUS	8
#define SLEEP_NS	1000000L

static uint64_t distance = 1UL << 30;

/* Reads a page of each part; how many were not zero. */
GUEST uint64_t read_parts(uint64_t part);
GUEST uint64_t read_parts(uint64_t part)
{
	uint64_t at, wrong = 0;

	for (at = IPA; at < IPA + TIB; at += part)
		wrong += *(volatile uint64_t *)at != 0;
	return wrong;
}

GUEST uint64_t load(uint64_t at);
GUEST uint64_t load(uint64_t at)
{
	return *(volatile uint64_t *)at;
}

/* Someone who wants a CPU every millisecond. */
struct sleeper {
	pthread_t thread;
	int cpu;
	volatile bool stop;
	volatile uint64_t times, longest_ns;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000UL + now.tv_nsec;
}

static void *sleeping(void *arg)
{
	struct sleeper *s = arg;
	uint64_t last, now;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(s->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (last = now_ns(); !s->stop; last = now) {
		nanosleep(&(struct timespec){ .tv_nsec = SLEEP_NS }, NULL);
		now = now_ns();
		if (now - last > s->longest_ns)
			s->longest_ns = now - last;
		s->times++;
	}
	return NULL;
}

FIXTURE(tera)
{
	struct vm vm;
	struct vcpu vcpu;
	unsigned char *mem;
	struct sleeper sleeper[MAX_CPUS];
	int cpus;
};

static int make(struct vm *vm, struct vcpu *vcpu)
{
	int ret = vm_create_ipa(vm, BITS);

	return ret ? ret : vcpu_create(vm, vcpu, 0);
}

static unsigned char *reserve(void)
{
	unsigned char *mem = mmap(NULL, TIB, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	/* One huge page of zeroes each would be less of a table, for the host as for the guest. */
	if (mem != MAP_FAILED)
		madvise(mem, TIB, MADV_NOHUGEPAGE);
	return mem;
}

FIXTURE_SETUP(tera)
{
	int i, ret = make(&self->vm, &self->vcpu);

	if (ret == -EINVAL)
		SKIP(return, "no VMs with %d bits of addresses", BITS);
	ASSERT_EQ(0, ret);
	self->mem = reserve();
	ASSERT_NE(MAP_FAILED, self->mem);
	self->cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (self->cpus > MAX_CPUS)
		self->cpus = MAX_CPUS;
	for (i = 0; i < self->cpus; i++) {
		self->sleeper[i].cpu = i;
		ASSERT_EQ(0, pthread_create(&self->sleeper[i].thread, NULL, sleeping,
					    &self->sleeper[i]));
	}
}

FIXTURE_TEARDOWN(tera)
{
	int i;

	for (i = 0; i < self->cpus; i++) {
		self->sleeper[i].stop = true;
		pthread_join(self->sleeper[i].thread, NULL);
	}
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->mem, TIB);
}

/* The guest has all parts: how long that took. */
static int fill(struct vm *vm, struct vcpu *vcpu, void *mem)
{
	int ret = vm_memory(vm, SLOT, IPA, TIB, mem, 0);

	if (!ret)
		ret = guest_finish(vcpu, read_parts, distance, 0);
	return ret ? ret : vcpu->value ? -EIO : 0;
}

/* From here on it is measured. */
static uint64_t begin(FIXTURE_DATA(tera) *self)
{
	int i;

	for (i = 0; i < self->cpus; i++)
		self->sleeper[i].longest_ns = self->sleeper[i].times = 0;
	return now_ns();
}

/* What has begun has ended. */
static void report(struct __test_metadata *_metadata, FIXTURE_DATA(tera) *self, const char *what,
		   uint64_t began)
{
	uint64_t took = now_ns() - began, longest = 0, times = 0;
	int i;

	for (i = 0; i < self->cpus; i++) {
		if (self->sleeper[i].longest_ns > longest)
			longest = self->sleeper[i].longest_ns;
		times += self->sleeper[i].times;
	}
	TH_LOG("%s: %lu ms, %lu wakes, at most %lu us apart", what, took / 1000000, times,
	       longest / 1000);
	/* If it took long enough for several of them at all. */
	if (took > 200000000UL) {
		EXPECT_LE(2, times);
	}
}

TEST_F_TIMEOUT(tera, with_its_slot, 600)
{
	uint64_t began = now_ns();

	ASSERT_EQ(0, fill(&self->vm, &self->vcpu, self->mem));
	TH_LOG("%lu pages: %lu ms", TIB / distance, (now_ns() - began) / 1000000);
	began = begin(self);
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, 0, NULL, 0));
	report(_metadata, self, "slot", began);
	/* Nothing of it is left, and it may come again. */
	ASSERT_EQ(0, vcpu_start(&self->vcpu, load, IPA + TIB - distance, 0));
	EXPECT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
	EXPECT_EQ(KVM_EXIT_MMIO, self->vcpu.run->exit_reason);
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, TIB, self->mem, 0));
	*(uint64_t *)(self->mem + TIB - distance) = 77;
	ASSERT_EQ(0, guest_finish(&self->vcpu, load, IPA + TIB - distance, 0));
	EXPECT_EQ(77, self->vcpu.value);
}

TEST_F_TIMEOUT(tera, with_the_mapping, 600)
{
	uint64_t began;

	ASSERT_EQ(0, fill(&self->vm, &self->vcpu, self->mem));
	began = begin(self);
	ASSERT_EQ(0, munmap(self->mem, TIB));
	report(_metadata, self, "mapping", began);
	EXPECT_NE(0, guest_finish(&self->vcpu, load, IPA + TIB - distance, 0));
	EXPECT_EQ(-EFAULT, self->vcpu.error);
	EXPECT_NE(0, guest_finish(&self->vcpu, load, IPA, 0));
	EXPECT_EQ(-EFAULT, self->vcpu.error);
}

TEST_F_TIMEOUT(tera, with_the_vm, 600)
{
	uint64_t began;

	ASSERT_EQ(0, fill(&self->vm, &self->vcpu, self->mem));
	began = begin(self);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	report(_metadata, self, "VM", began);
	ASSERT_EQ(0, make(&self->vm, &self->vcpu));
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, TIB, self->mem, 0));
	ASSERT_EQ(0, guest_finish(&self->vcpu, load, IPA + distance, 0));
}

TEST_F_TIMEOUT(tera, with_the_vmm, 600)
{
	int child, pipes[2];
	uint64_t began;
	char c;

	ASSERT_EQ(0, pipe(pipes));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		unsigned char *mem = reserve();
		struct vcpu vcpu;
		struct vm vm;

		if (mem == MAP_FAILED || make(&vm, &vcpu) || fill(&vm, &vcpu, mem) ||
		    write(pipes[1], "g", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pipes[1]);
	ASSERT_EQ(1, read(pipes[0], &c, 1));
	began = begin(self);
	kill(child, SIGKILL);
	EXPECT_EQ(256 + SIGKILL, wait_child(child));
	report(_metadata, self, "VMM", began);
	close(pipes[0]);
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, TIB, self->mem, 0));
	ASSERT_EQ(0, guest_finish(&self->vcpu, load, IPA + distance, 0));
}

int main(int argc, char **argv)
{
	if (argc > 1 && argv[1][0] != '-') {
		distance = strtoul(argv[1], NULL, 10) << 20;
		if (!distance || distance > TIB / 2)
			return 1;
		argc = 1;
	}
	return test_harness_run(argc, argv);
}
