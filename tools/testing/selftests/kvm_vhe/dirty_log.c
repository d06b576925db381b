// SPDX-License-Identifier: GPL-2.0
/*
 * Shows which writes to a guest's memory its VMM gets to know, by bitmaps: by
 * KVM_GET_DIRTY_LOG, with manual protection and KVM_CLEAR_DIRTY_LOG, in small pages and
 * blocks, from when a slot begins to log, by the guest and by the kernel.
 * Runs on the module and on C KVM.
 */
#include <errno.h>
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

#define LOGS		KVM_MEM_LOG_DIRTY_PAGES
#define MANUAL		KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE
#define INITIALLY	KVM_DIRTY_LOG_INITIALLY_SET

FIXTURE(dirty_log)
{
	struct vm vm;
	struct vcpu vcpu;
	unsigned char *mem;
	uint64_t seen[WORDS], expected[WORDS];
};

FIXTURE_SETUP(dirty_log)
{
	self->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, LOGS));
	memset(self->expected, 0, sizeof(self->expected));
}

FIXTURE_TEARDOWN(dirty_log)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->mem, SIZE);
}

#define TAKE(self) get_log(&(self)->vm, SLOT, (self)->seen)
#define SEEN_IS_EXPECTED(self) \
	EXPECT_EQ(0, memcmp((self)->seen, (self)->expected, sizeof((self)->seen)))
#define NOTHING(self)	memset((self)->expected, 0, sizeof((self)->expected))

TEST_F(dirty_log, what_was_written_to)
{
	static const unsigned int pages[] = { 0, 1, 62, 63, 64, 127, 500, 501, 700, PAGES - 1 };
	unsigned int i, round;

	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self) TH_LOG("nothing yet");
	/* The second time they are there to be written to, but for the write-protection. */
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_LEN(pages); i++) {
			ASSERT_EQ(0, write_pages(&self->vcpu, pages[i], 1, 1, round + 1));
			set_bit(self->expected, pages[i]);
			EXPECT_EQ(round + 1, word_of(self->mem, pages[i]));
		}
		ASSERT_EQ(0, TAKE(self));
		SEEN_IS_EXPECTED(self) TH_LOG("round %u", round);
		NOTHING(self);
		ASSERT_EQ(0, read_pages(&self->vcpu, 0, PAGES, 1));
		ASSERT_EQ(0, TAKE(self));
		SEEN_IS_EXPECTED(self) TH_LOG("round %u: nothing since", round);
	}
	ASSERT_EQ(0, write_pages(&self->vcpu, 0, PAGES, 1, 7));
	for (i = 0; i < PAGES; i++)
		set_bit(self->expected, i);
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self) TH_LOG("all");
}

TEST_F(dirty_log, refused)
{
	struct kvm_clear_dirty_log clear = { .slot = SLOT, .dirty_bitmap = self->seen };
	static const struct {
		uint64_t first;
		uint32_t count;
		int ret;
	} parts[] = {
		{ 1, 64, -EINVAL }, { 63, 64, -EINVAL }, { 0, 1, -EINVAL }, { 0, 65, -EINVAL },
		{ 0, PAGES + 1, -EINVAL }, { 64, PAGES, -EINVAL }, { 0, ~0U, -EINVAL },
		{ ALL_WORDS, 0, -EINVAL }, { ~0UL & ~63UL, 64, -EINVAL },
		{ 1UL << 63, 64, -EINVAL }, { 1UL << 32, 64, -EINVAL },
		{ 64, PAGES - 64, 0 }, { 0, PAGES, 0 }, { 0, 64, 0 }, { 0, 0, 0 }, { 64, 0, 0 },
		{ PAGES & ~63, PAGES & 63, 0 },
	};
	size_t i;

	EXPECT_EQ(-ENOENT, get_log(&self->vm, 0, self->seen)) TH_LOG("does not log");
	EXPECT_EQ(-ENOENT, get_log(&self->vm, 7, self->seen)) TH_LOG("does not exist");
	EXPECT_EQ(-EINVAL, get_log(&self->vm, 32767, self->seen));
	EXPECT_EQ(-EINVAL, get_log(&self->vm, 1 << 16 | SLOT, self->seen));
	EXPECT_EQ(-EFAULT, get_log(&self->vm, SLOT, (void *)8));
	for (i = 0; i < ARRAY_LEN(parts); i++) {
		clear.first_page = parts[i].first;
		clear.num_pages = parts[i].count;
		EXPECT_EQ(parts[i].ret, IOCTL(self->vm.fd, KVM_CLEAR_DIRTY_LOG, &clear))
			TH_LOG("%#lx %#x", parts[i].first, parts[i].count);
	}
	clear.first_page = 1;
	clear.slot = 7;
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_CLEAR_DIRTY_LOG, &clear));
	clear.first_page = 0;
	clear.num_pages = 64;
	EXPECT_EQ(-ENOENT, IOCTL(self->vm.fd, KVM_CLEAR_DIRTY_LOG, &clear));
	clear.slot = 0;
	EXPECT_EQ(-ENOENT, IOCTL(self->vm.fd, KVM_CLEAR_DIRTY_LOG, &clear));
	clear.slot = SLOT;
	/* What cannot be read clears nothing. */
	ASSERT_EQ(0, write_pages(&self->vcpu, 3, 1, 1, 1));
	clear.dirty_bitmap = (void *)8;
	EXPECT_EQ(-EFAULT, IOCTL(self->vm.fd, KVM_CLEAR_DIRTY_LOG, &clear));
	ASSERT_EQ(0, TAKE(self));
	set_bit(self->expected, 3);
	SEEN_IS_EXPECTED(self);
}

/* What could not be told is told the next time. C KVM has forgotten it by then. */
TEST_F(dirty_log, told_in_vain)
{
	if (!host_is_module())
		SKIP(return, "C KVM forgets it");
	ASSERT_EQ(0, write_pages(&self->vcpu, 3, 90, 1, 1));
	EXPECT_EQ(-EFAULT, get_log(&self->vm, SLOT, (void *)8));
	ASSERT_EQ(0, TAKE(self));
	set_bits(self->expected, 3, 90);
	SEEN_IS_EXPECTED(self);
}

TEST_F(dirty_log, begins_and_ends)
{
	/* Everything is mapped for writing, with no log. */
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, 0));
	EXPECT_EQ(-ENOENT, TAKE(self));
	ASSERT_EQ(0, write_pages(&self->vcpu, 0, PAGES, 1, 1));
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, LOGS));
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self) TH_LOG("what was before does not count");
	ASSERT_EQ(0, write_pages(&self->vcpu, 70, 3, 1, 1));
	/* A log that goes on is the same one. */
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, LOGS));
	ASSERT_EQ(0, TAKE(self));
	set_bits(self->expected, 70, 3);
	SEEN_IS_EXPECTED(self);

	ASSERT_EQ(0, write_pages(&self->vcpu, 80, 3, 1, 1));
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, 0));
	ASSERT_EQ(0, write_pages(&self->vcpu, 0, PAGES, 1, 1));
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, LOGS));
	ASSERT_EQ(0, TAKE(self));
	NOTHING(self);
	SEEN_IS_EXPECTED(self) TH_LOG("a new log");
}

TEST_F(dirty_log, moves_with_its_log)
{
	ASSERT_EQ(0, write_pages(&self->vcpu, 5, 2, 1, 1));
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA + 2 * SIZE, SIZE, self->mem, LOGS));
	ASSERT_EQ(0, TAKE(self));
	set_bits(self->expected, 5, 2);
	SEEN_IS_EXPECTED(self);
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, LOGS));
	ASSERT_EQ(0, write_pages(&self->vcpu, 6, 1, 1, 1));
	NOTHING(self);
	set_bit(self->expected, 6);
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self);
}

TEST_F(dirty_log, manual_flags)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 };
	static const struct {
		uint64_t args;
		int ret;
	} tries[] = {
		{ INITIALLY, -EINVAL }, { 4, -EINVAL }, { 5, -EINVAL }, { 1UL << 32 | 1, -EINVAL },
		{ MANUAL, 0 }, { MANUAL | INITIALLY, 0 }, { 0, 0 },
	};
	size_t i;

	EXPECT_EQ(MANUAL | INITIALLY,
		  kvm_ioctl(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	for (i = 0; i < ARRAY_LEN(tries); i++) {
		cap.args[0] = tries[i].args;
		EXPECT_EQ(tries[i].ret, IOCTL(self->vm.fd, KVM_ENABLE_CAP, &cap));
	}
	cap.flags = 1;
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_ENABLE_CAP, &cap));
}

TEST_F(dirty_log, cleared_by_hand)
{
	uint64_t mask[WORDS] = {};

	ASSERT_EQ(0, enable(&self->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, MANUAL));
	ASSERT_EQ(0, write_pages(&self->vcpu, 10, 200, 1, 1));
	set_bits(self->expected, 10, 200);
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self);
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self) TH_LOG("not cleared by that");

	/* Of pages 64 to 127 those that are even, and some that are not marked, or no pages. */
	mask[0] = 0x5555555555555555UL;
	ASSERT_EQ(0, clear_log(&self->vm, 64, 64, mask));
	self->expected[1] &= ~mask[0];
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self);
	memset(mask, 0xff, sizeof(mask));
	ASSERT_EQ(0, clear_log(&self->vm, 256, PAGES - 256, mask));
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self) TH_LOG("nothing was there");
	/* Those that were cleared are noticed again, those that were not are still there. */
	ASSERT_EQ(0, write_pages(&self->vcpu, 66, 1, 1, 2));
	set_bit(self->expected, 66);
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self);
	ASSERT_EQ(0, clear_log(&self->vm, 0, PAGES, mask));
	ASSERT_EQ(0, TAKE(self));
	NOTHING(self);
	SEEN_IS_EXPECTED(self) TH_LOG("all cleared");
}

/* KVM_CLEAR_DIRTY_LOG works without the capability, too. */
TEST_F(dirty_log, cleared_unasked)
{
	uint64_t mask[WORDS] = { 1UL << 3 };

	ASSERT_EQ(0, write_pages(&self->vcpu, 3, 2, 1, 1));
	ASSERT_EQ(0, clear_log(&self->vm, 0, 64, mask));
	ASSERT_EQ(0, TAKE(self));
	set_bit(self->expected, 4);
	SEEN_IS_EXPECTED(self);
}

TEST_F(dirty_log, initially_set)
{
	uint64_t mask[WORDS];

	memset(mask, 0xff, sizeof(mask));
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, 0));
	ASSERT_EQ(0, enable(&self->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, MANUAL | INITIALLY));
	ASSERT_EQ(0, write_pages(&self->vcpu, 0, PAGES, 1, 1));
	ASSERT_EQ(0, slot_flags(&self->vm, self->mem, LOGS));
	ASSERT_EQ(0, TAKE(self));
	set_bits(self->expected, 0, PAGES);
	SEEN_IS_EXPECTED(self) TH_LOG("and no bit behind the last page");
	ASSERT_EQ(0, clear_log(&self->vm, 0, 512, mask));
	ASSERT_EQ(0, write_pages(&self->vcpu, 100, 1, 1, 1));
	ASSERT_EQ(0, write_pages(&self->vcpu, 600, 1, 1, 1));
	NOTHING(self);
	set_bit(self->expected, 100);
	set_bits(self->expected, 512, PAGES - 512);
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self);
	ASSERT_EQ(0, clear_log(&self->vm, 0, PAGES, mask));
	ASSERT_EQ(0, TAKE(self));
	NOTHING(self);
	SEEN_IS_EXPECTED(self);
}

/* What the kernel writes for the guest: its stolen time. */
TEST_F(dirty_log, written_by_the_kernel)
{
	uint64_t ipa = IPA + 9 * PAGE;
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VCPU_PVTIME_CTRL, .attr = KVM_ARM_VCPU_PVTIME_IPA,
		.addr = (unsigned long)&ipa,
	};

	ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_DEVICE_ATTR, &attr));
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self);
	ASSERT_EQ(0, guest_finish(&self->vcpu, stolen_time, 0, GUEST_MMU));
	ASSERT_EQ(ipa, self->vcpu.value);
	/* It is written when the vCPU comes to a CPU. */
	ASSERT_EQ(0, read_pages(&self->vcpu, 0, 1, 1));
	set_bit(self->expected, 9);
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self);
	ASSERT_EQ(0, read_pages(&self->vcpu, 0, 1, 1));
	ASSERT_EQ(0, TAKE(self));
	SEEN_IS_EXPECTED(self) TH_LOG("each time");
}

#define BIG	(4UL << 20)
#define BIG_WORDS (BIG / PAGE / 64)

/* Memory that the host maps by blocks of 2 MiB, or NULL. */
static unsigned char *blocks(bool huge)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB | 21 << MAP_HUGE_SHIFT : 0);
	unsigned char *mem;

	if (huge)
		write_text("/proc/sys/vm/nr_hugepages", "4");
	mem = mmap(NULL, 2 * BIG, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (mem == MAP_FAILED)
		return NULL;
	mem = (void *)(((unsigned long)mem + (2UL << 20) - 1) & ~((2UL << 20) - 1));
	if (!huge)
		madvise(mem, BIG, MADV_HUGEPAGE);
	memset(mem, 0, huge ? BIG / 2 : BIG);
	return mem;
}

/* One page of a block is written to: it alone is in the log, however the block became pages. */
static void one_of_a_block(struct __test_metadata *_metadata, bool huge, uint64_t chunk,
			   uint64_t manual)
{
	uint64_t seen[BIG_WORDS], expected[BIG_WORDS] = {}, mask[BIG_WORDS];
	unsigned char *mem = blocks(huge);
	struct vcpu vcpu;
	struct vm vm;

	if (!mem)
		SKIP(return, "no such memory");
	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vm_memory(&vm, 0, GUEST_RAM, 0, vm.ram, 0));
	ASSERT_EQ(0, enable(&vm, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, chunk));
	EXPECT_EQ(chunk, kvm_ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE));
	ASSERT_EQ(0, enable(&vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, manual));
	ASSERT_EQ(0, vm_memory(&vm, 0, GUEST_RAM, GUEST_RAM_SIZE, vm.ram, 0));
	EXPECT_EQ(-EINVAL, enable(&vm, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, 0));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
	ASSERT_EQ(0, vm_memory(&vm, SLOT, IPA, BIG, mem, 0));
	ASSERT_EQ(0, write_pages(&vcpu, 0, BIG / PAGE, 1, 1));
	ASSERT_EQ(0, vm_memory(&vm, SLOT, IPA, BIG, mem, LOGS));
	memset(mask, 0xff, sizeof(mask));
	if (manual & INITIALLY) {
		ASSERT_EQ(0, get_log(&vm, SLOT, seen));
		EXPECT_EQ(0, memcmp(seen, mask, sizeof(mask)));
		ASSERT_EQ(0, clear_log(&vm, 0, BIG / PAGE, mask));
	}
	ASSERT_EQ(0, write_pages(&vcpu, 77, 1, 1, 2));
	ASSERT_EQ(0, read_pages(&vcpu, 0, BIG / PAGE, 1));
	ASSERT_EQ(0, write_pages(&vcpu, 600, 1, 1, 2));
	set_bit(expected, 77);
	set_bit(expected, 600);
	ASSERT_EQ(0, get_log(&vm, SLOT, seen));
	EXPECT_EQ(0, memcmp(seen, expected, sizeof(seen)));
	EXPECT_EQ(2, word_of(mem, 77));
	EXPECT_EQ(1, word_of(mem, 78));
	/* It becomes blocks again, and pages again. */
	ASSERT_EQ(0, vm_memory(&vm, SLOT, IPA, BIG, mem, 0));
	ASSERT_EQ(0, write_pages(&vcpu, 0, BIG / PAGE, 1, 3));
	EXPECT_EQ(3, word_of(mem, 511));
	ASSERT_EQ(0, vm_memory(&vm, SLOT, IPA, BIG, mem, LOGS));
	if (manual & INITIALLY) {
		/* A part of a block only. */
		ASSERT_EQ(0, clear_log(&vm, 512, 64, mask));
		memset(expected, 0xff, sizeof(expected));
		expected[8] = 0;
	} else {
		memset(expected, 0, sizeof(expected));
	}
	ASSERT_EQ(0, write_pages(&vcpu, 513, 1, 1, 4));
	set_bit(expected, 513);
	ASSERT_EQ(0, get_log(&vm, SLOT, seen));
	EXPECT_EQ(0, memcmp(seen, expected, sizeof(seen)));
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

TEST(huge_pages)
{
	one_of_a_block(_metadata, true, 0, 0);
}

TEST(huge_pages_by_hand)
{
	one_of_a_block(_metadata, true, 0, MANUAL | INITIALLY);
}

TEST(transparent_huge_pages)
{
	one_of_a_block(_metadata, false, 0, 0);
}

TEST(split_at_once)
{
	one_of_a_block(_metadata, false, 2UL << 20, 0);
}

TEST(split_when_cleared)
{
	one_of_a_block(_metadata, false, 2UL << 20, MANUAL | INITIALLY);
}

TEST(sizes_of_chunks)
{
	struct vm vm;
	long sizes;

	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vm_memory(&vm, 0, GUEST_RAM, 0, vm.ram, 0));
	sizes = kvm_ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES);
	EXPECT_EQ(1L << 30 | 1L << 21 | 1L << 12, sizes);
	EXPECT_EQ(0, kvm_ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE));
	EXPECT_EQ(-EINVAL, enable(&vm, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, 1UL << 20));
	EXPECT_EQ(-EINVAL, enable(&vm, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, 3UL << 21));
	EXPECT_EQ(-EINVAL, enable(&vm, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, 1UL << 39));
	EXPECT_EQ(0, enable(&vm, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, 1UL << 30));
	EXPECT_EQ(1L << 30,
		  kvm_ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE));
	EXPECT_EQ(0, enable(&vm, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, 0));
	vm_destroy(&vm);
}

TEST_HARNESS_MAIN
