// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a guest gets the pages of a file on persistent memory (DAX: there is no page
 * cache, the file is mapped where it is stored) as memory like any other: it reads, writes
 * and executes them, with caches and without; what it writes is in the file, and logged;
 * and what is cut off the file is gone.
 * Runs on the module and on C KVM, as root. The lab has such memory with --pmem.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define SLOT		1
#define IPA		0x48000000UL
#define PAGE		4096UL
#define SIZE		(2UL << 20)
#define PMEM		"/dev/pmem0"
#define PLACE		"/tmp/dax"
#define NAME		PLACE "/file"

GUEST uint64_t load(uint64_t at);
GUEST uint64_t load(uint64_t at)
{
	uint64_t value;

	asm volatile("ldr %0, [%1]" : "=r" (value) : "r" (at) : "memory");
	return value;
}

GUEST uint64_t store(uint64_t at);
GUEST uint64_t store(uint64_t at)
{
	asm volatile("str %0, [%0]" : : "r" (at) : "memory");
	return 0;
}

GUEST uint64_t execute(uint64_t at);
GUEST uint64_t execute(uint64_t at)
{
	((void (*)(void))at)();
	return 1;
}

/* Adds up the first words of all pages. */
GUEST uint64_t add_up(uint64_t pages);
GUEST uint64_t add_up(uint64_t pages)
{
	uint64_t sum = 0, page;

	for (page = 0; page < pages; page++)
		sum += *(volatile uint64_t *)(IPA + page * PAGE);
	return sum;
}

FIXTURE(dax)
{
	struct vm vm;
	struct vcpu vcpu;
	int fd;
	unsigned char *mem;
};

static int run(const char *command)
{
	int child = fork();

	if (!child) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	return child < 0 ? -errno : wait_child(child);
}

FIXTURE_SETUP(dax)
{
	uint64_t page;

	if (access(PMEM, F_OK))
		SKIP(return, "no persistent memory");
	ASSERT_EQ(0, run("mke2fs -F -b 4096 " PMEM " 4096 >/dev/null"));
	mkdir(PLACE, 0755);
	if (mount(PMEM, PLACE, "ext4", 0, "dax"))
		SKIP(return, "no DAX: %s", strerror(errno));
	self->fd = open(NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ASSERT_LE(0, self->fd);
	for (page = 0; page < SIZE / PAGE; page++) {
		uint64_t data[PAGE / 8] = { page + 1 };

		ASSERT_EQ(PAGE, write(self->fd, data, PAGE));
	}
	self->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(dax)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->mem, SIZE);
	close(self->fd);
	umount(PLACE);
}

static uint64_t in_file(FIXTURE_DATA(dax) *self, uint64_t at)
{
	uint64_t value = ~0UL;

	return pread(self->fd, &value, sizeof(value), at) == sizeof(value) ? value : ~0UL;
}

FIXTURE_VARIANT(dax)
{
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(dax, caches_off)
{
	.flags = 0,
};

FIXTURE_VARIANT_ADD(dax, cached)
{
	.flags = GUEST_MMU,
};

TEST_F_TIMEOUT(dax, is_memory, 60)
{
	uint64_t pages = SIZE / PAGE, at;

	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, SIZE, self->mem, 0));
	ASSERT_EQ(0, guest_finish(&self->vcpu, add_up, pages, variant->flags));
	EXPECT_EQ(pages * (pages + 1) / 2, self->vcpu.value);
	for (at = 0; at < SIZE; at += SIZE / 8 + PAGE) {
		ASSERT_EQ(0, guest_finish(&self->vcpu, store, IPA + at + 16, variant->flags));
		EXPECT_EQ(IPA + at + 16, *(uint64_t *)(self->mem + at + 16));
		EXPECT_EQ(IPA + at + 16, in_file(self, at + 16));
	}
	/* Code that the guest has read as data, and what it has not touched. */
	for (at = 0; at < 2 * PAGE; at += PAGE) {
		unsigned char *code = self->mem + SIZE / 2 + at + 8;

		*(uint32_t *)code = 0xd65f03c0;	/* ret */
		__builtin___clear_cache((char *)code, (char *)code + 4);
		ASSERT_EQ(0, guest_finish(&self->vcpu, execute, IPA + SIZE / 2 + at + 8,
					  variant->flags));
		EXPECT_EQ(1, self->vcpu.value);
	}
	/* A device would not stand it; without stage 1 all is one to the guest. */
	if (variant->flags & GUEST_MMU) {
		ASSERT_EQ(0, guest_finish(&self->vcpu, load, IPA + PAGE - 1, variant->flags));
		EXPECT_EQ(2UL << 8, self->vcpu.value & ~0xffUL);
	}
}

TEST_F(dax, executed_at_once)
{
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, SIZE, self->mem, 0));
	*(uint32_t *)(self->mem + 9 * PAGE) = 0xd65f03c0;	/* ret */
	__builtin___clear_cache((char *)self->mem + 9 * PAGE, (char *)self->mem + 9 * PAGE + 4);
	ASSERT_EQ(0, guest_finish(&self->vcpu, execute, IPA + 9 * PAGE, variant->flags));
}

TEST_F(dax, logged)
{
	struct kvm_dirty_log log = { .slot = SLOT };
	uint64_t bits[SIZE / PAGE / 64] = {};

	log.dirty_bitmap = bits;
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, SIZE, self->mem, 0));
	ASSERT_EQ(0, guest_finish(&self->vcpu, store, IPA + 3 * PAGE, variant->flags));
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, SIZE, self->mem, KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(0, guest_finish(&self->vcpu, load, IPA + 4 * PAGE, variant->flags));
	ASSERT_EQ(0, guest_finish(&self->vcpu, store, IPA + 5 * PAGE, variant->flags));
	ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, (unsigned long)&log));
	EXPECT_EQ(1 << 5, bits[0]);
	ASSERT_EQ(0, guest_finish(&self->vcpu, store, IPA + 5 * PAGE + 8, variant->flags));
	ASSERT_EQ(0, guest_finish(&self->vcpu, store, IPA + 3 * PAGE, variant->flags));
	ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, (unsigned long)&log));
	EXPECT_EQ(1 << 5 | 1 << 3, bits[0]);
	EXPECT_EQ(IPA + 5 * PAGE + 8, in_file(self, 5 * PAGE + 8));
}

TEST_F(dax, cut_off)
{
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, SIZE, self->mem, 0));
	ASSERT_EQ(0, guest_finish(&self->vcpu, load, IPA + 7 * PAGE, variant->flags));
	EXPECT_EQ(8, self->vcpu.value);
	ASSERT_EQ(0, ftruncate(self->fd, PAGE));
	EXPECT_NE(0, guest_finish(&self->vcpu, load, IPA + 7 * PAGE, variant->flags));
	EXPECT_EQ(-EFAULT, self->vcpu.error);
	ASSERT_EQ(0, guest_finish(&self->vcpu, load, IPA, variant->flags));
	EXPECT_EQ(1, self->vcpu.value);
	/* What comes in its place is new. */
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	ASSERT_EQ(0, guest_finish(&self->vcpu, store, IPA + 8 * PAGE, variant->flags));
	ASSERT_EQ(0, guest_finish(&self->vcpu, load, IPA + 7 * PAGE, variant->flags));
	EXPECT_EQ(0, self->vcpu.value);
	EXPECT_EQ(IPA + 8 * PAGE, in_file(self, 8 * PAGE));
}

TEST_HARNESS_MAIN
