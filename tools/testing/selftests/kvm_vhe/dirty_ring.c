// SPDX-License-Identifier: GPL-2.0
/*
 * Shows the rings that a VMM finds written pages in: what is put in, harvested and reset,
 * what a full one does, the bitmap beside them, and that a VMM may write to a ring what it
 * likes. Runs on the module and on C KVM.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"
#include "dirty.h"

#define RING		KVM_CAP_DIRTY_LOG_RING_ACQ_REL
#define WITH_BITMAP	KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
#define RING_SIZE	PAGE
#define ENTRIES		((unsigned int)(RING_SIZE / sizeof(struct kvm_dirty_gfn)))
#define RESERVED	64
#define LARGEST		(65536 * sizeof(struct kvm_dirty_gfn))
#define RING_OFFSET	(KVM_DIRTY_LOG_PAGE_OFFSET * PAGE)

FIXTURE(dirty_ring)
{
	struct vm vm;
	struct vcpu vcpu;
	unsigned char *mem;
	volatile struct kvm_dirty_gfn *ring;
	unsigned int next;
};

FIXTURE_VARIANT(dirty_ring)
{
	bool with_bitmap;
};

FIXTURE_VARIANT_ADD(dirty_ring, alone)
{
	.with_bitmap = false,
};

FIXTURE_VARIANT_ADD(dirty_ring, with_bitmap)
{
	.with_bitmap = true,
};

static void *map_ring(int vcpu, size_t size, int prot, int flags, off_t from)
{
	return mmap(NULL, size, prot, flags, vcpu, RING_OFFSET + from);
}

FIXTURE_SETUP(dirty_ring)
{
	struct vm *vm = &self->vm;

	self->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, vm_create(vm));
	ASSERT_EQ(0, vm_memory(vm, 0, GUEST_RAM, 0, vm->ram, 0));
	ASSERT_EQ(0, enable(vm, RING, RING_SIZE));
	if (variant->with_bitmap) {
		ASSERT_EQ(0, enable(vm, WITH_BITMAP, 0));
	}
	ASSERT_EQ(0, vm_memory(vm, 0, GUEST_RAM, GUEST_RAM_SIZE, vm->ram, 0));
	ASSERT_EQ(0, vcpu_create(vm, &self->vcpu, 0));
	self->ring = map_ring(self->vcpu.fd, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, self->ring);
	ASSERT_EQ(0, slot_flags(vm, self->mem, KVM_MEM_LOG_DIRTY_PAGES));
}

FIXTURE_TEARDOWN(dirty_ring)
{
	munmap((void *)self->ring, RING_SIZE);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->mem, SIZE);
}

/* Harvests the next entry: the page, or -1 if there is none. */
static long harvest(FIXTURE_DATA(dirty_ring) *self)
{
	volatile struct kvm_dirty_gfn *gfn = &self->ring[self->next % ENTRIES];
	long page;

	if (__atomic_load_n(&gfn->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
		return -1;
	page = gfn->slot == SLOT ? (long)gfn->offset : -2;
	__atomic_store_n(&gfn->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	self->next++;
	return page;
}

static int reset(FIXTURE_DATA(dirty_ring) *self)
{
	return IOCTL(self->vm.fd, KVM_RESET_DIRTY_RINGS, 0);
}

TEST_F(dirty_ring, in_the_order_of_writing)
{
	static const unsigned int pages[] = { 7, 3, 4, 800, 0, 63, 64 };
	unsigned int i, round;

	EXPECT_EQ(-1, harvest(self));
	EXPECT_EQ(0, reset(self));
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_LEN(pages); i++) {
			ASSERT_EQ(0, write_pages(&self->vcpu, pages[i], 1, 1, round + 1));
			/* Once is enough. */
			ASSERT_EQ(0, write_pages(&self->vcpu, pages[i], 1, 1, round + 2));
		}
		for (i = 0; i < ARRAY_LEN(pages); i++) {
			EXPECT_EQ(pages[i], harvest(self));
		}
		EXPECT_EQ(-1, harvest(self));
		/* They are not noticed again before the reset. */
		ASSERT_EQ(0, write_pages(&self->vcpu, pages[0], 1, 1, round));
		EXPECT_EQ(-1, harvest(self));
		EXPECT_EQ(ARRAY_LEN(pages), reset(self));
		EXPECT_EQ(0, reset(self));
		ASSERT_EQ(0, read_pages(&self->vcpu, 0, PAGES, 1));
		EXPECT_EQ(-1, harvest(self));
	}
}

TEST_F(dirty_ring, some_at_a_time)
{
	unsigned int i;

	ASSERT_EQ(0, write_pages(&self->vcpu, 0, 100, 1, 1));
	for (i = 0; i < 40; i++) {
		EXPECT_EQ(i, harvest(self));
	}
	EXPECT_EQ(40, reset(self));
	ASSERT_EQ(0, write_pages(&self->vcpu, 39, 1, 1, 1));
	ASSERT_EQ(0, write_pages(&self->vcpu, 40, 1, 1, 1));
	for (i = 40; i < 100; i++) {
		EXPECT_EQ(i, harvest(self));
	}
	EXPECT_EQ(39, harvest(self));
	EXPECT_EQ(-1, harvest(self));
	EXPECT_EQ(61, reset(self));
}

/* A full ring stops the vCPU until there is room, and no page is missing after. */
TEST_F(dirty_ring, full)
{
	struct vcpu *v = &self->vcpu;
	unsigned char seen[PAGES] = {};
	unsigned int exits = 0, n;
	enum guest_event event;
	long page;

	set_pages(v, 0, PAGES, 1, 9);
	ASSERT_EQ(0, vcpu_start(v, guest_writes, 0, GUEST_MMU));
	for (;;) {
		event = guest_run(v);
		if (event == GUEST_DONE)
			break;
		ASSERT_EQ(GUEST_EXIT, event) TH_LOG("%s", guest_told(v, event));
		ASSERT_EQ(KVM_EXIT_DIRTY_RING_FULL, v->run->exit_reason);
		/* It stays so, harvested or not. */
		ASSERT_EQ(GUEST_EXIT, guest_run(v));
		ASSERT_EQ(KVM_EXIT_DIRTY_RING_FULL, v->run->exit_reason);
		for (n = 0; (page = harvest(self)) >= 0; n++) {
			seen[page]++;
		}
		EXPECT_EQ(ENTRIES - RESERVED, n);
		ASSERT_EQ(GUEST_EXIT, guest_run(v));
		ASSERT_EQ(KVM_EXIT_DIRTY_RING_FULL, v->run->exit_reason);
		EXPECT_EQ(n, reset(self));
		exits++;
	}
	while ((page = harvest(self)) >= 0)
		seen[page]++;
	for (n = 0; n < PAGES; n++) {
		/* The one that filled the ring was reset before it was written to. */
		EXPECT_EQ(1 + (n && n % (ENTRIES - RESERVED - 1) == 0), seen[n])
			TH_LOG("page %u", n);
	}
	EXPECT_EQ(PAGES / (ENTRIES - RESERVED), exits);
}

TEST_F(dirty_ring, bitmap_beside_it)
{
	uint64_t seen[WORDS], expected[WORDS] = {};

	ASSERT_EQ(0, write_pages(&self->vcpu, 0, 10, 1, 1));
	if (!variant->with_bitmap) {
		EXPECT_EQ(-ENXIO, get_log(&self->vm, SLOT, seen));
		EXPECT_EQ(-ENXIO, clear_log(&self->vm, 0, 64, seen));
		EXPECT_EQ(-ENXIO, clear_log(&self->vm, 1, 64, seen));
		return;
	}
	/* What vCPUs write to is in the rings alone. */
	ASSERT_EQ(0, get_log(&self->vm, SLOT, seen));
	EXPECT_EQ(0, memcmp(seen, expected, sizeof(seen)));
	ASSERT_EQ(0, clear_log(&self->vm, 0, PAGES, seen));
}

/* What the kernel writes in a vCPU's thread. */
TEST_F(dirty_ring, written_by_the_kernel)
{
	uint64_t ipa = IPA + 9 * PAGE;
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VCPU_PVTIME_CTRL, .attr = KVM_ARM_VCPU_PVTIME_IPA,
		.addr = (unsigned long)&ipa,
	};

	ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_DEVICE_ATTR, &attr));
	ASSERT_EQ(0, guest_finish(&self->vcpu, stolen_time, 0, GUEST_MMU));
	ASSERT_EQ(0, read_pages(&self->vcpu, 0, 1, 1));
	EXPECT_EQ(9, harvest(self));
}

/*
 * A full ring, harvested but not reset, and a VMM that has the vCPU run nevertheless: what
 * the kernel writes meanwhile must not be missed, though there is no room for it at last.
 * C KVM overwrites other entries after 64 times.
 */
TEST_F(dirty_ring, full_while_the_kernel_writes)
{
	unsigned int i, rounds = host_is_module() ? 3 * RESERVED : RESERVED / 2, written = 0;
	volatile uint64_t *stolen = (uint64_t *)(self->mem + 9 * PAGE + 8);
	uint64_t ipa = IPA + 9 * PAGE;
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VCPU_PVTIME_CTRL, .attr = KVM_ARM_VCPU_PVTIME_IPA,
		.addr = (unsigned long)&ipa,
	};
	struct vcpu *v = &self->vcpu;
	long page;

	ASSERT_EQ(0, IOCTL(v->fd, KVM_SET_DEVICE_ATTR, &attr));
	ASSERT_EQ(0, guest_finish(v, stolen_time, 0, GUEST_MMU));
	set_pages(v, 10, ENTRIES, 1, 9);
	ASSERT_EQ(0, vcpu_start(v, guest_writes, 0, GUEST_MMU));
	for (i = 0; i < rounds; i++) {
		bool noted = false;

		*stolen = ~0UL;
		ASSERT_EQ(GUEST_EXIT, guest_run(v));
		ASSERT_EQ(KVM_EXIT_DIRTY_RING_FULL, v->run->exit_reason);
		while ((page = harvest(self)) >= 0)
			noted |= page == 9;
		if (*stolen != ~0UL) {
			EXPECT_TRUE(noted) TH_LOG("round %u", i);
			written++;
		}
	}
	TH_LOG("written %u times", written);
	EXPECT_LE(ENTRIES - RESERVED, reset(self));
	ASSERT_EQ(GUEST_DONE, guest_run(v));
	/* It does come. */
	do {
		page = harvest(self);
	} while (page >= 0 && page != 9);
	EXPECT_EQ(9, page);
}

TEST_F(dirty_ring, begins_later)
{
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, 0));
	ASSERT_EQ(0, write_pages(&self->vcpu, 0, PAGES, 1, 1));
	EXPECT_EQ(-1, harvest(self));
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(0, write_pages(&self->vcpu, 5, 1, 1, 1));
	EXPECT_EQ(5, harvest(self));
	EXPECT_EQ(-1, harvest(self));
	/* Of a slot that is gone by now. */
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, 0, self->mem, 0));
	EXPECT_EQ(1, reset(self));
}

TEST_F(dirty_ring, mapped)
{
	int fd = self->vcpu.fd;
	void *map;

	EXPECT_EQ(MAP_FAILED, map_ring(fd, RING_SIZE, PROT_READ, MAP_PRIVATE, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map_ring(fd, RING_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, 0));
	/* No file of the kernel's own is executable in some kernels. */
	EXPECT_TRUE(errno == EINVAL || errno == EPERM);
	/* What is not the ring's may be mapped as it likes. */
	map = map_ring(fd, PAGE, PROT_READ, MAP_PRIVATE, RING_SIZE);
	EXPECT_NE(MAP_FAILED, map);
	munmap(map, PAGE);
	map = map_ring(fd, RING_SIZE, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, write_pages(&self->vcpu, 5, 1, 1, 1));
	EXPECT_EQ(0, memcmp(map, (void *)self->ring, RING_SIZE));
	munmap(map, RING_SIZE);
}

static sigjmp_buf jump;

static void bus_error(int signal)
{
	siglongjmp(jump, signal);
}

TEST_F(dirty_ring, nothing_behind_it)
{
	unsigned char *map = map_ring(self->vcpu.fd, 2 * RING_SIZE, PROT_READ, MAP_SHARED, 0);
	volatile unsigned char byte = 0;
	int caught;

	ASSERT_NE(MAP_FAILED, map);
	signal(SIGBUS, bus_error);
	caught = sigsetjmp(jump, 1);
	if (!caught)
		byte = map[RING_SIZE];
	EXPECT_EQ(SIGBUS, caught) TH_LOG("%u", byte);
	munmap(map, 2 * RING_SIZE);
}

/*
 * All entries say that they are to be reset, of any page: no more than were put in are, and
 * the ring works on. C KVM goes by the entries, and its ring is full for good.
 */
TEST_F(dirty_ring, hostile)
{
	struct vcpu *v = &self->vcpu;
	unsigned int i, round;

	if (!host_is_module())
		SKIP(return, "C KVM's ring is full from then on");
	for (round = 0; round < 4; round++) {
		/* Each time all are noticed, though none of them was protected when it was reset. */
		ASSERT_EQ(0, slot_flags(&self->vm, self->mem, 0));
		ASSERT_EQ(0, slot_flags(&self->vm, self->mem, KVM_MEM_LOG_DIRTY_PAGES));
		ASSERT_EQ(0, write_pages(v, 0, 20, 1, round));
		for (i = 0; i < ENTRIES; i++) {
			self->ring[i].slot = (uint32_t[]){ SLOT, ~0U, 1 << 16 | SLOT, 7 }[i % 4];
			self->ring[i].offset = (uint64_t[]){ PAGES + i, ~0UL, 1UL << 63, -i }[i / 4 % 4];
			self->ring[i].flags = round & 1 ? KVM_DIRTY_GFN_F_RESET : ~0U;
		}
		EXPECT_EQ(20, reset(self)) TH_LOG("round %u", round);
		EXPECT_EQ(0, reset(self));
		self->next += 20;
	}
	/* The vCPU's entries are where they belong. */
	memset((void *)self->ring, 0xff, RING_SIZE);
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, 0));
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(0, write_pages(v, 0, 100, 1, 1));
	for (i = 0; i < 100; i++) {
		EXPECT_EQ(i, harvest(self));
	}
	EXPECT_EQ(100, reset(self));
}

TEST(sizes)
{
	static const struct {
		uint64_t size;
		int ret;
	} tries[] = {
		{ 0, -EINVAL }, { PAGE / 2, -EINVAL }, { 3 * PAGE, -EINVAL }, { PAGE + 16, -EINVAL },
		{ 2 * LARGEST, -E2BIG }, { PAGE, 0 }, { PAGE, -EINVAL }, { 2 * PAGE, -EINVAL },
	};
	struct kvm_enable_cap bad = { .cap = WITH_BITMAP, .flags = 1 };
	struct vm vm;
	size_t i;

	ASSERT_EQ(0, vm_create(&vm));
	EXPECT_EQ(LARGEST, kvm_ioctl(vm.fd, KVM_CHECK_EXTENSION, RING));
	EXPECT_EQ(0, kvm_ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING));
	EXPECT_EQ(1, kvm_ioctl(vm.fd, KVM_CHECK_EXTENSION, WITH_BITMAP));
	EXPECT_EQ(-EINVAL, IOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0));
	EXPECT_EQ(-EINVAL, enable(&vm, KVM_CAP_DIRTY_LOG_RING, PAGE));
	ASSERT_EQ(0, vm_memory(&vm, 0, GUEST_RAM, 0, vm.ram, 0));
	EXPECT_EQ(-EINVAL, enable(&vm, WITH_BITMAP, 0)) TH_LOG("no rings");
	for (i = 0; i < ARRAY_LEN(tries); i++) {
		EXPECT_EQ(tries[i].ret, enable(&vm, RING, tries[i].size)) TH_LOG("%zu", i);
	}
	ASSERT_EQ(0, vm_memory(&vm, 0, GUEST_RAM, GUEST_RAM_SIZE, vm.ram, 0));
	EXPECT_EQ(-EINVAL, enable(&vm, WITH_BITMAP, 0)) TH_LOG("there is a slot");
	ASSERT_EQ(0, vm_memory(&vm, 0, GUEST_RAM, 0, vm.ram, 0));
	EXPECT_EQ(-EINVAL, IOCTL(vm.fd, KVM_ENABLE_CAP, &bad));
	EXPECT_EQ(0, enable(&vm, WITH_BITMAP, 0));
	EXPECT_EQ(0, IOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0)) TH_LOG("no vCPUs");
	vm_destroy(&vm);
}

TEST(too_late)
{
	struct vcpu vcpu;
	struct vm vm;

	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_open(&vm, &vcpu, 0));
	EXPECT_EQ(-EINVAL, enable(&vm, RING, PAGE));
	EXPECT_EQ(-E2BIG, enable(&vm, RING, 2 * LARGEST));
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

TEST_HARNESS_MAIN
