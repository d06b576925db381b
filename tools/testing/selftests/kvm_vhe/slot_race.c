// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a guest does not reach memory any more that its VMM has given back
 * while another thread deletes the memory slot that it was in.
 * Runs on the module and on C KVM. The window is short: it needs three CPUs, and finds
 * it for sure only if the deletion is made to take long.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define SLOT		1
#define SLOT_IPA	0x80000000UL
#define PAGE		4096UL
/* So large that it takes a while to unmap. */
#define SLOT_SIZE	(16UL << 20)
#define DELAY_US	50
#define ROUNDS		4

/* Touches all pages, then counts in the last one until it is gone. */
GUEST uint64_t count(uint64_t size);
GUEST uint64_t count(uint64_t size)
{
	volatile uint64_t *last = (uint64_t *)(SLOT_IPA + size - PAGE);
	uint64_t at;

	/* Not the VMM: the slot is to be full of mappings. */
	for (at = 0; at < size; at += PAGE)
		*(volatile uint64_t *)(SLOT_IPA + at) = 1;
	guest_say(1, 0);
	for (;;)
		*last += 1;
}

struct race {
	struct vm vm;
	struct vcpu vcpu;
	volatile int ready, go, deleted;
	int ret;
};

static void *run(void *arg)
{
	struct race *race = arg;

	while (guest_run(&race->vcpu) == GUEST_SAID)
		race->ready = 1;
	race->ready = 1;
	return NULL;
}

static void *delete(void *arg)
{
	struct race *race = arg;

	while (!race->go)
		;
	race->ret = vm_memory(&race->vm, SLOT, SLOT_IPA, 0, NULL, 0);
	race->deleted = 1;
	return NULL;
}

TEST(given_back)
{
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		struct race race = {};
		volatile uint64_t *last;
		unsigned char *slot, *view;
		pthread_t runner, deleter;
		uint64_t then, now;
		int fd = memfd_create("slot", 0);

		ASSERT_EQ(ftruncate(fd, SLOT_SIZE), 0);
		slot = mmap(NULL, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(slot, MAP_FAILED);
		/* The same page, to look at it when it is not the VM's any more. */
		view = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, SLOT_SIZE - PAGE);
		ASSERT_NE(view, MAP_FAILED);
		last = (uint64_t *)view;
		ASSERT_EQ(vm_create(&race.vm), 0);
		ASSERT_EQ(vm_memory(&race.vm, SLOT, SLOT_IPA, SLOT_SIZE, slot, 0), 0);
		ASSERT_EQ(vcpu_create(&race.vm, &race.vcpu, 0), 0);
		ASSERT_EQ(vcpu_start(&race.vcpu, count, SLOT_SIZE, 0), 0);
		ASSERT_EQ(pthread_create(&runner, NULL, run, &race), 0);
		ASSERT_EQ(pthread_create(&deleter, NULL, delete, &race), 0);
		while (!race.ready)
			usleep(1000);
		for (then = *last; *last == then;)
			;

		race.go = 1;
		/* Somewhere in the deletion. */
		usleep(round * DELAY_US);
		ASSERT_EQ(munmap(slot + SLOT_SIZE - PAGE, PAGE), 0);
		then = *last;
		while (!race.deleted)
			;
		now = *last;
		EXPECT_EQ(then, now);
		EXPECT_EQ(race.ret, 0);

		pthread_join(deleter, NULL);
		pthread_join(runner, NULL);
		vcpu_destroy(&race.vcpu);
		vm_destroy(&race.vm);
		munmap(slot, SLOT_SIZE - PAGE);
		munmap(view, PAGE);
		close(fd);
	}
}

TEST_HARNESS_MAIN
