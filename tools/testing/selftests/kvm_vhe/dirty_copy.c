// SPDX-License-Identifier: GPL-2.0
/*
 * Copies a guest's memory while two vCPUs write to it, as a migration does, by each way
 * there is to learn what was written: the copy is what the guest has in the end. Pages are
 * written to by stores and atomic instructions, in no order, from small pages and blocks,
 * while the host takes pages away.
 * Runs on the module and on C KVM.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
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
#include "dirty.h"

#define VCPUS		2
#define MEM_PAGES	(4096 + 77)
#define MEM_SIZE	(MEM_PAGES * PAGE)
#define MEM_WORDS	((MEM_PAGES + 63) / 64)
#define RING_SIZE	(2 * PAGE)
#define ENTRIES		((unsigned int)(RING_SIZE / sizeof(struct kvm_dirty_gfn)))
#define ROUNDS		40
#define BLOCK		(2UL << 20)

enum way { GET, BY_HAND, INITIALLY_SET, SPLIT, RING_ALONE, RING };

static const char *const ways[] = {
	"get", "cleared by hand", "initially set", "split at once", "rings alone", "rings",
};

struct copier {
	struct vm vm;
	struct vcpu vcpu[VCPUS];
	pthread_t thread[VCPUS];
	volatile struct kvm_dirty_gfn *ring[VCPUS];
	unsigned int next[VCPUS];
	unsigned char *mem, *copy;
	pthread_mutex_t reaping;
	atomic_int failed;
	unsigned long copied;
	enum way way;
};

/* Writes to pages without order until it is told to stop; how many times it was. */
GUEST uint64_t scribble(uint64_t seed);
GUEST uint64_t scribble(uint64_t seed)
{
	volatile struct guest_area *area = guest_area();
	uint64_t n;

	for (n = 0; !area->go; n++) {
		uint64_t *at;

		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		/* A few pages again and again, and all others now and then. */
		at = (uint64_t *)(IPA + (seed >> 40) % (n % 4 ? 64 : MEM_PAGES) * PAGE);
		at += (seed >> 20) % 512;
		if (seed >> 63)
			asm volatile("stlr %0, [%1]" : : "r" (seed), "r" (at) : "memory");
		else
			__atomic_fetch_add(at, seed, __ATOMIC_RELAXED);
	}
	return n;
}

static void copy_page(struct copier *c, uint64_t page)
{
	if (page >= MEM_PAGES) {
		c->failed = 1;
		return;
	}
	memcpy(c->copy + page * PAGE, c->mem + page * PAGE, PAGE);
	c->copied++;
}

static void copy_bits(struct copier *c, const uint64_t *bits)
{
	unsigned int page;

	for (page = 0; page < MEM_WORDS * 64; page++)
		if (bits[page / 64] >> page % 64 & 1)
			copy_page(c, page);
}

/* One round by rings: all that are harvested are reset before the pages are read. */
static int reap(struct copier *c)
{
	uint64_t bits[MEM_WORDS] = {};
	int i, n = 0, ret = 0;

	pthread_mutex_lock(&c->reaping);
	for (i = 0; i < VCPUS; i++) {
		for (;;) {
			volatile struct kvm_dirty_gfn *gfn = &c->ring[i][c->next[i] % ENTRIES];

			if (__atomic_load_n(&gfn->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
				break;
			if (gfn->slot != SLOT || gfn->offset >= MEM_PAGES)
				c->failed = 1;
			else
				set_bit(bits, gfn->offset);
			__atomic_store_n(&gfn->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
			c->next[i]++;
			n++;
		}
	}
	if (n) {
		ret = IOCTL(c->vm.fd, KVM_RESET_DIRTY_RINGS, 0);
		if (ret != n)
			c->failed = 1;
	}
	copy_bits(c, bits);
	pthread_mutex_unlock(&c->reaping);
	return ret < 0 ? ret : 0;
}

static void *run(void *arg)
{
	struct vcpu *vcpu = arg;
	struct copier *c = (void *)((char *)vcpu->vm - offsetof(struct copier, vm));
	enum guest_event event;

	for (;;) {
		event = guest_run(vcpu);
		if (event == GUEST_EXIT && vcpu->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL)
			reap(c);
		/* The memory is read-only for a moment. */
		else if (event != GUEST_ERROR || vcpu->error != -EFAULT)
			break;
	}
	return (void *)(long)event;
}

static int round_of(struct copier *c)
{
	uint64_t bits[MEM_WORDS];
	int ret;

	if (c->way >= RING_ALONE)
		return reap(c);
	ret = get_log(&c->vm, SLOT, bits);
	if (!ret && (c->way == BY_HAND || c->way == INITIALLY_SET)) {
		ret = clear_log(&c->vm, 0, 2048, bits);
		if (!ret)
			ret = clear_log(&c->vm, 2048, MEM_PAGES - 2048, bits + 2048 / 64);
	}
	if (!ret)
		copy_bits(c, bits);
	return ret;
}

static int caps(struct copier *c)
{
	struct vm *vm = &c->vm;
	int ret = vm_memory(vm, 0, GUEST_RAM, 0, vm->ram, 0);

	if (!ret && c->way == BY_HAND)
		ret = enable(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1);
	if (!ret && c->way == INITIALLY_SET)
		ret = enable(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3);
	if (!ret && (c->way == SPLIT || c->way == INITIALLY_SET))
		ret = enable(vm, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, BLOCK);
	if (!ret && c->way >= RING_ALONE)
		ret = enable(vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, RING_SIZE);
	if (!ret && c->way == RING)
		ret = enable(vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0);
	return ret ? ret : vm_memory(vm, 0, GUEST_RAM, GUEST_RAM_SIZE, vm->ram, 0);
}

static void migrate(struct __test_metadata *_metadata, enum way way)
{
	static struct copier copier;
	struct copier *c = &copier;
	unsigned char *all;
	unsigned int i, round;
	void *event;

	memset(c, 0, sizeof(*c));
	c->way = way;
	pthread_mutex_init(&c->reaping, NULL);
	all = mmap(NULL, MEM_SIZE + BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	ASSERT_NE(MAP_FAILED, all);
	c->mem = (void *)(((unsigned long)all + BLOCK - 1) & ~(BLOCK - 1));
	madvise(c->mem, MEM_SIZE, MADV_HUGEPAGE);
	c->copy = malloc(MEM_SIZE);
	ASSERT_NE(NULL, c->copy);
	ASSERT_EQ(0, vm_create(&c->vm));
	ASSERT_EQ(0, caps(c));
	ASSERT_EQ(0, vm_memory(&c->vm, SLOT, IPA, MEM_SIZE, c->mem, 0));
	for (i = 0; i < VCPUS; i++) {
		ASSERT_EQ(0, vcpu_create(&c->vm, &c->vcpu[i], i));
		if (way >= RING_ALONE) {
			c->ring[i] = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
					  c->vcpu[i].fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
			ASSERT_NE(MAP_FAILED, c->ring[i]);
		}
		ASSERT_EQ(0, vcpu_start(&c->vcpu[i], scribble, i * 77 + 1, GUEST_MMU));
		ASSERT_EQ(0, pthread_create(&c->thread[i], NULL, run, &c->vcpu[i]));
	}
	/* It has written before there is a log. */
	msleep(200);
	ASSERT_EQ(0, vm_memory(&c->vm, SLOT, IPA, MEM_SIZE, c->mem, KVM_MEM_LOG_DIRTY_PAGES));
	memcpy(c->copy, c->mem, MEM_SIZE);
	for (round = 0; round < scaled(ROUNDS); round++) {
		ASSERT_EQ(0, round_of(c));
		/* Pages are taken away and come back as they were; block mappings do not. */
		if (round % 8 == 5) {
			madvise(c->mem, MEM_SIZE, MADV_PAGEOUT);
		}
		if (round % 8 == 7) {
			mprotect(c->mem + 8 * PAGE, 64 * PAGE, PROT_READ);
			mprotect(c->mem + 8 * PAGE, 64 * PAGE, PROT_READ | PROT_WRITE);
		}
		usleep(round % 5 * 1000);
	}
	for (i = 0; i < VCPUS; i++) {
		__atomic_store_n(&c->vcpu[i].area->go, 1, __ATOMIC_RELEASE);
		pthread_join(c->thread[i], &event);
		EXPECT_EQ(GUEST_DONE, (long)event)
			TH_LOG("%s: %s", ways[way], guest_told(&c->vcpu[i], (long)event));
	}
	ASSERT_EQ(0, round_of(c));
	EXPECT_EQ(0, c->failed);
	for (i = 0; i < MEM_PAGES; i++) {
		EXPECT_EQ(0, memcmp(c->mem + i * PAGE, c->copy + i * PAGE, PAGE))
			TH_LOG("%s: page %u", ways[way], i);
	}
	TH_LOG("%s: %lu pages copied, %lu and %lu writes", ways[way], c->copied,
	       c->vcpu[0].value, c->vcpu[1].value);
	for (i = 0; i < VCPUS; i++) {
		vcpu_destroy(&c->vcpu[i]);
		if (way >= RING_ALONE)
			munmap((void *)c->ring[i], RING_SIZE);
	}
	vm_destroy(&c->vm);
	free(c->copy);
	munmap(all, MEM_SIZE + BLOCK);
}

FIXTURE(dirty_copy)
{
};

FIXTURE_VARIANT(dirty_copy)
{
	enum way way;
};

FIXTURE_VARIANT_ADD(dirty_copy, by_get)
{
	.way = GET,
};

FIXTURE_VARIANT_ADD(dirty_copy, by_hand)
{
	.way = BY_HAND,
};

FIXTURE_VARIANT_ADD(dirty_copy, initially_set)
{
	.way = INITIALLY_SET,
};

FIXTURE_VARIANT_ADD(dirty_copy, split)
{
	.way = SPLIT,
};

FIXTURE_VARIANT_ADD(dirty_copy, by_rings)
{
	.way = RING,
};

FIXTURE_VARIANT_ADD(dirty_copy, by_rings_alone)
{
	.way = RING_ALONE,
};

FIXTURE_SETUP(dirty_copy)
{
}

FIXTURE_TEARDOWN(dirty_copy)
{
}

TEST_F_TIMEOUT(dirty_copy, is_the_same, 120)
{
	if (variant->way == RING_ALONE && !host_is_module())
		SKIP(return, "C KVM maps blocks then, and notices one page of each");
	migrate(_metadata, variant->way);
}

TEST_HARNESS_MAIN
