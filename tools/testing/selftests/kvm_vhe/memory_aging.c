// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that the host learns which of a guest's pages are in use: an aging walk of
 * its multi-generational LRU clears their access flags in stage 2, by which it also
 * finds them young, the guest's next access sets them, and nothing the guest wrote is
 * lost, whatever it does meanwhile.
 * Runs on the module and on C KVM, as root. The flags are read from the module's debugfs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define DEBUGFS		"/sys/kernel/debug"
#define LRU_GEN		DEBUGFS "/lru_gen"
#define SLOT		1
#define IPA		0x48000000UL
#define PAGE		4096UL
#define PAGES		512UL

GUEST uint64_t count_in_pages(uint64_t rounds);
GUEST uint64_t count_in_pages(uint64_t rounds)
{
	uint64_t i, wrong = 0, round;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < PAGES; i++) {
			volatile uint64_t *word = (uint64_t *)(IPA + i * PAGE);

			wrong += *word != round;
			*word = round + 1;
		}
	}
	return wrong;
}

FIXTURE(aging)
{
	struct vm vm;
	struct vcpu vcpu;
	unsigned char *mem;
};

FIXTURE_SETUP(aging)
{
	if (access(LRU_GEN, F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	if (access(LRU_GEN, W_OK))
		SKIP(return, "no multi-generational LRU");
	self->mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	madvise(self->mem, PAGES * PAGE, MADV_NOHUGEPAGE);
	memset(self->mem, 0, PAGES * PAGE);
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, PAGES * PAGE, self->mem, 0));
}

FIXTURE_TEARDOWN(aging)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->mem, PAGES * PAGE);
}

/* Lets the host begin a new generation in all groups of memory and on all nodes. */
static int age(void)
{
	unsigned long group = 0, node = 0, gen, last = 0;
	char line[256], order[64];
	int ret = -1;
	FILE *file = fopen(LRU_GEN, "r");

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "memcg %lu", &group) == 1 || sscanf(line, " node %lu", &node) == 1)
			continue;
		/* Four lines, of which the last is the youngest. */
		if (sscanf(line, "%lu", &gen) != 1)
			continue;
		last = gen;
		snprintf(order, sizeof(order), "+ %lu %lu %lu 1 1", group, node, last);
		/* Only that of the youngest is taken. */
		if (!write_text(LRU_GEN, order))
			ret = 0;
	}
	fclose(file);
	return ret;
}

/* How many of the pages have the access flag; -1: it is not known. */
static long young(FIXTURE_DATA(aging) *self)
{
	unsigned long entries, kib, accessed;
	char path[256], line[256];
	long found = -1;
	FILE *file;

	if (!host_is_module())
		return -1;
	snprintf(path, sizeof(path), DEBUGFS "/kvm/%d-%d/stage2", getpid(), self->vm.fd);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "level 3: %lu entries, %lu KiB, %lu accessed", &entries, &kib,
			   &accessed) == 3)
			found = accessed;
	if (file)
		fclose(file);
	return found;
}

TEST_F(aging, flags_are_cleared_and_set)
{
	long before, aged, after;

	ASSERT_EQ(0, guest_finish(&self->vcpu, count_in_pages, 1, GUEST_MMU));
	before = young(self);
	ASSERT_EQ(0, age());
	ASSERT_EQ(0, age());
	aged = young(self);
	memset(self->mem, 0, PAGES * PAGE);
	ASSERT_EQ(0, guest_finish(&self->vcpu, count_in_pages, 1, GUEST_MMU));
	EXPECT_EQ(0, self->vcpu.value);
	after = young(self);
	if (before < 0)
		SKIP(return, "the flags are the module's to show");
	TH_LOG("%ld, %ld, %ld", before, aged, after);
	EXPECT_LE((long)PAGES, before);
	EXPECT_GT(before / 4, aged);
	EXPECT_LE((long)PAGES, after);
}

static volatile bool stop;

static void *ager(void *arg)
{
	unsigned long *times = arg;

	while (!stop)
		*times += !age();
	return NULL;
}

/* The guest counts in all pages while they are aged. */
TEST_F(aging, nothing_is_lost)
{
	unsigned long times = 0;
	pthread_t thread;

	stop = false;
	ASSERT_EQ(0, pthread_create(&thread, NULL, ager, &times));
	ASSERT_EQ(0, guest_finish(&self->vcpu, count_in_pages, scaled(2000), GUEST_MMU));
	stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, self->vcpu.value);
	EXPECT_LT(0, times);
	EXPECT_EQ(scaled(2000), *(uint64_t *)(self->mem + 3 * PAGE));
}

TEST_HARNESS_MAIN
