// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that what the host maps in blocks of 2 MiB or 1 GiB (transparent huge pages,
 * hugetlbfs) stage 2 maps in blocks, too, as far as the slot allows: not if its two
 * sides are not aligned alike, nor beyond its ends; that the guest reads what is there
 * after the host takes a page out of a block, punches a hole or moves it, and after it
 * collapses pages to a block.
 * Runs on the module and on C KVM. How something is mapped is read from the module's
 * debugfs; on C KVM the content alone is looked at.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>
#include <linux/memfd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define DEBUGFS		"/sys/kernel/debug"
#define NR_HUGE		"/proc/sys/vm/nr_hugepages"
#define SLOT		1
/* Where the guest's identity map is, and where there is room for 1 GiB. */
#define IPA		0x48000000UL
#define IPA_1G		0x80000000UL
#define PAGE		4096UL
#define M2		(2UL << 20)
#define SIZE		(8UL << 20)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/*
 * Each page's number is written to it by the test; the guest adds them up. Its argument
 * is the address of the first page plus the number of pages.
 */
GUEST uint64_t add_up(uint64_t arg);
GUEST uint64_t add_up(uint64_t arg)
{
	uint64_t pages = arg % PAGE, at = arg - pages, sum = 0, i;

	for (i = 0; i < pages; i++)
		sum += *(volatile uint64_t *)(at + i * PAGE);
	return sum;
}

/* Writes to the second word of each page. */
GUEST uint64_t fill(uint64_t arg);
GUEST uint64_t fill(uint64_t arg)
{
	uint64_t pages = arg % PAGE, at = arg - pages, i;

	for (i = 0; i < pages; i++)
		*(volatile uint64_t *)(at + i * PAGE + 8) = ~i;
	return 0;
}

/* Executes a RET at the given address. */
GUEST uint64_t execute(uint64_t at);
GUEST uint64_t execute(uint64_t at)
{
	((void (*)(void))at)();
	return 1;
}

FIXTURE(memory_blocks)
{
	struct vm vm;
	struct vcpu vcpu;
	unsigned char *area, *mem;	/* mem: 2M-aligned in area */
	bool debugfs;
};

FIXTURE_SETUP(memory_blocks)
{
	if (host_is_module() && access(DEBUGFS "/kvm", F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	self->debugfs = host_is_module() && !access(DEBUGFS "/kvm", F_OK);
	write_text("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	self->area = mmap(NULL, SIZE + 2 * M2, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	self->mem = (void *)(((uintptr_t)self->area + M2 - 1) & ~(M2 - 1));
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(memory_blocks)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->area, SIZE + 2 * M2);
}

static void number_pages(unsigned char *mem, uint64_t pages)
{
	uint64_t i;

	for (i = 0; i < pages; i++)
		*(volatile uint64_t *)(mem + i * PAGE) = i + 1;
}

static uint64_t sum_to(uint64_t n)
{
	return n * (n + 1) / 2;
}

/* How many entries of a level map something at IPA or above. -1: it is not known. */
static long entries(FIXTURE_DATA(memory_blocks) *self, unsigned int level)
{
	unsigned long from, to, size = level == 1 ? 1UL << 30 : level == 2 ? M2 : PAGE;
	char path[256], line[256];
	unsigned int at;
	long count = 0;
	FILE *file;

	if (!self->debugfs)
		return -1;
	snprintf(path, sizeof(path), DEBUGFS "/kvm/%d-%d/stage2", getpid(), self->vm.fd);
	file = fopen(path, "r");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%lx-%lx level %u", &from, &to, &at) == 3 && at == level &&
		    from >= IPA)
			count += (to - from) / size;
	fclose(file);
	return count;
}

#define EXPECT_ENTRIES(n, level)				\
do {								\
	long found_ = entries(self, level);			\
								\
	if (found_ != -1) {					\
		EXPECT_EQ(n, found_) TH_LOG("level %d", level);	\
	}							\
} while (0)

/* The guest's sum of all pages' numbers. */
static uint64_t guest_sum(FIXTURE_DATA(memory_blocks) *self, uint64_t pages)
{
	return guest_finish(&self->vcpu, add_up, IPA + pages, GUEST_MMU) ? 0 : self->vcpu.value;
}

/* Transparent huge pages, if there are so many. */
static bool huge(FIXTURE_DATA(memory_blocks) *self, uint64_t size)
{
	return !madvise(self->mem, size, MADV_HUGEPAGE) &&
	       (number_pages(self->mem, size / PAGE), 1) &&
	       (!madvise(self->mem, size, MADV_COLLAPSE) || errno == EINVAL);
}

TEST_F(memory_blocks, transparent)
{
	uint64_t pages = SIZE / PAGE;

	if (!huge(self, SIZE))
		SKIP(return, "no transparent huge pages");
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, SIZE, self->mem, 0));
	EXPECT_EQ(sum_to(pages), guest_sum(self, pages));
	EXPECT_ENTRIES(SIZE / M2, 2);
	EXPECT_ENTRIES(0, 3);
	ASSERT_EQ(0, guest_finish(&self->vcpu, fill, IPA + pages, GUEST_MMU));
	EXPECT_EQ(~7UL, *(uint64_t *)(self->mem + 7 * PAGE + 8));

	/* A page of a block goes: the rest stays what it was, and is pages afterwards. */
	ASSERT_EQ(0, madvise(self->mem + 5 * PAGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(sum_to(pages) - 6, guest_sum(self, pages));
	EXPECT_ENTRIES(SIZE / M2 - 1, 2);
	EXPECT_ENTRIES(512, 3);
	EXPECT_EQ(0, *(uint64_t *)(self->mem + 5 * PAGE));
	EXPECT_EQ(5, *(uint64_t *)(self->mem + 4 * PAGE));

	/* And a block again, over the table that is there. */
	number_pages(self->mem, pages);
	if (!madvise(self->mem, M2, MADV_COLLAPSE)) {
		EXPECT_EQ(sum_to(pages), guest_sum(self, pages));
		EXPECT_ENTRIES(SIZE / M2, 2);
		EXPECT_ENTRIES(0, 3);
	}
}

/* Pages that the guest has, which become a block for the host: a table is in the way. */
TEST_F(memory_blocks, over_a_table)
{
	uint64_t pages = M2 / PAGE;

	ASSERT_EQ(0, madvise(self->mem, M2, MADV_NOHUGEPAGE));
	number_pages(self->mem, pages);
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, M2, self->mem, 0));
	EXPECT_EQ(sum_to(pages), guest_sum(self, pages));
	EXPECT_ENTRIES(512, 3);
	ASSERT_EQ(0, madvise(self->mem, M2, MADV_HUGEPAGE));
	if (madvise(self->mem, M2, MADV_COLLAPSE))
		SKIP(return, "no MADV_COLLAPSE");
	EXPECT_EQ(sum_to(pages), guest_sum(self, pages));
	EXPECT_ENTRIES(1, 2);
	EXPECT_ENTRIES(0, 3);
	EXPECT_EQ(sum_to(pages), guest_sum(self, pages));
}

/* The slot is 4 KiB off on one side: no entry can map a block of it. */
TEST_F(memory_blocks, not_aligned_alike)
{
	uint64_t pages = (SIZE - PAGE) / PAGE;

	if (!huge(self, SIZE))
		SKIP(return, "no transparent huge pages");
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, SIZE - PAGE, self->mem + PAGE, 0));
	EXPECT_EQ(sum_to(pages + 1) - 1, guest_sum(self, pages));
	EXPECT_ENTRIES(0, 2);
	EXPECT_ENTRIES((long)pages, 3);
}

/* A slot of parts of two blocks, and one whole between them. */
TEST_F(memory_blocks, ends_of_a_slot)
{
	uint64_t first = 512 - 3, pages = first + 512 + 7, i, sum = 0;

	if (!huge(self, SIZE))
		SKIP(return, "no transparent huge pages");
	/* IPA + 2M - 3 pages is what mem + 2M - 3 pages is. */
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA + 3 * PAGE, pages * PAGE,
			       self->mem + 3 * PAGE, 0));
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT + 1, IPA, 3 * PAGE, self->mem + 4 * M2 - 3 * PAGE,
			       0));
	for (i = 3; i < pages + 3; i++)
		sum += i + 1;
	for (i = 0; i < 3; i++)
		sum += 2048 - i;
	EXPECT_EQ(sum, guest_sum(self, pages + 3));
	EXPECT_ENTRIES(1, 2);
	EXPECT_ENTRIES((long)(first + 7 + 3), 3);
}

/* Code in a block, and more of it, when the block is executable already. */
TEST_F(memory_blocks, executed)
{
	if (!huge(self, M2))
		SKIP(return, "no transparent huge pages");
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, M2, self->mem, 0));
	*(uint32_t *)(self->mem + 9 * PAGE) = 0xd65f03c0;	/* ret */
	ASSERT_EQ(0, guest_finish(&self->vcpu, execute,
				  IPA + 9 * PAGE, GUEST_MMU));
	EXPECT_EQ(1, self->vcpu.value);
	*(uint32_t *)(self->mem + 10 * PAGE) = 0xd65f03c0;
	__builtin___clear_cache((char *)self->mem + 10 * PAGE, (char *)self->mem + 10 * PAGE + 4);
	ASSERT_EQ(0, guest_finish(&self->vcpu, execute,
				  IPA + 10 * PAGE, GUEST_MMU));
}

/* hugetlbfs: two blocks or one of the file's size, a hole in the first, and the file again. */
static void hugetlb(struct __test_metadata *_metadata, FIXTURE_DATA(memory_blocks) *self,
		    unsigned int huge, unsigned int count, uint64_t ipa, unsigned int level)
{
	uint64_t size = 1UL << (huge >> MFD_HUGE_SHIFT), pages = 2 * M2 / PAGE, round, rest;
	int fd = memfd_create("blocks", MFD_HUGETLB | huge), flags = ipa == IPA ? GUEST_MMU : 0;
	struct vcpu *vcpu = &self->vcpu;
	unsigned char *mem;

	if (fd < 0 || ftruncate(fd, count * size))
		SKIP(return, "no huge pages");
	mem = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		SKIP(return, "no memory for huge pages");
	rest = count == 1 ? 0 : sum_to(pages) - sum_to(size / PAGE);
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, ipa, count * size, mem, 0));
	for (round = 0; round < 2; round++) {
		number_pages(mem, pages);
		ASSERT_EQ(0, guest_finish(vcpu, add_up, ipa + pages, flags));
		EXPECT_EQ(sum_to(pages), vcpu->value);
		EXPECT_ENTRIES((long)count, level);
		EXPECT_ENTRIES(0, 3);
		ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size));
		EXPECT_ENTRIES((long)count - 1, level);
		ASSERT_EQ(0, guest_finish(vcpu, add_up, ipa + pages, flags));
		EXPECT_EQ(rest, vcpu->value);
	}
	munmap(mem, count * size);
	close(fd);
}

TEST_F(memory_blocks, hugetlb_2m)
{
	char before[32];

	ASSERT_TRUE(read_text(NR_HUGE, before, sizeof(before)));
	write_text(NR_HUGE, "4");
	hugetlb(_metadata, self, MFD_HUGE_2MB, 2, IPA, 2);
	write_text(NR_HUGE, before);
}

TEST_F(memory_blocks, hugetlb_1g)
{
	const char *nr = "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages";

	if (write_text(nr, "1"))
		SKIP(return, "no huge pages of 1 GiB");
	hugetlb(_metadata, self, MFD_HUGE_1GB, 1, IPA_1G, 1);
	write_text(nr, "0");
}

TEST_HARNESS_MAIN
