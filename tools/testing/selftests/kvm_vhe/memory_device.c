// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what a guest gets where its VMM has mapped a device: the memory of a PCI device
 * (QEMU's ivshmem), and physical addresses where nothing answers. It reads and writes them,
 * as a device: an access that is not aligned is a fault of its own, and so is executing;
 * they go with the VMM's mapping, also under a running vCPU; and what is written to them is
 * not logged.
 * Runs on the module and on C KVM, as root. The lab has such a device with
 * "-device ivshmem-plain".
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define SLOT		1
/* Normal memory to the guest's stage 1. */
#define IPA		0x48000000UL
#define PAGE		4096UL
#define SIZE		(4 * PAGE)
#define DEVICES		"/sys/bus/pci/devices"
#define VENDOR		"0x1af4"
#define DEVICE		"0x1110"
/* Behind the virtio-mmio devices of QEMU's machine "virt" there is nothing. */
#define NOTHING		0x0b000000UL

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

/* Counts in the first word until it is told to stop. */
GUEST uint64_t count(uint64_t at);
GUEST uint64_t count(uint64_t at)
{
	struct guest_area *area = guest_area();

	while (!*(volatile uint64_t *)&area->go) {
		*(volatile uint64_t *)at += 1;
		*(volatile uint64_t *)&area->seen += 1;
	}
	return 0;
}

FIXTURE(device)
{
	struct vm vm;
	struct vcpu vcpu;
	int fd;
	/* The device, for the slot, and for the test. */
	volatile uint64_t *mem, *view;
};

static void *map_device(int fd, void *at)
{
	return mmap(at, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);
}

/* The memory of the device, without a driver. */
static int open_device(void)
{
	DIR *dir = opendir(DEVICES);
	struct dirent *entry;
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		char path[512], text[16];

		snprintf(path, sizeof(path), DEVICES "/%s/vendor", entry->d_name);
		if (!read_text(path, text, sizeof(text)) || strcmp(text, VENDOR))
			continue;
		snprintf(path, sizeof(path), DEVICES "/%s/device", entry->d_name);
		if (!read_text(path, text, sizeof(text)) || strcmp(text, DEVICE))
			continue;
		snprintf(path, sizeof(path), DEVICES "/%s/enable", entry->d_name);
		write_text(path, "1");
		snprintf(path, sizeof(path), DEVICES "/%s/resource2", entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return fd;
}

FIXTURE_SETUP(device)
{
	self->fd = open_device();
	if (self->fd < 0)
		SKIP(return, "no ivshmem device");
	self->mem = map_device(self->fd, NULL);
	self->view = map_device(self->fd, NULL);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_NE(MAP_FAILED, self->view);
	memset((void *)self->view, 0, SIZE);
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(device)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap((void *)self->mem, SIZE);
	munmap((void *)self->view, SIZE);
	close(self->fd);
}

static int slot(FIXTURE_DATA(device) *self, unsigned int flags)
{
	return vm_memory(&self->vm, SLOT, IPA, SIZE, (void *)self->mem, flags);
}

static int guest(FIXTURE_DATA(device) *self, void *fn, uint64_t at)
{
	struct guest_area *area = self->vcpu.area;

	area->catch = 1;
	area->caught = 0;
	/* A jump is returned from, any other access is stepped over. */
	area->resume = 0;
	return guest_finish(&self->vcpu, fn, at, GUEST_MMU);
}

TEST_F(device, read_and_written)
{
	struct guest_area *area = self->vcpu.area;

	ASSERT_EQ(0, slot(self, 0));
	self->view[1] = 0x1234;
	ASSERT_EQ(0, guest(self, load, IPA + 8));
	EXPECT_EQ(0x1234, self->vcpu.value);
	self->view[1] = 0x4321;
	ASSERT_EQ(0, guest(self, load, IPA + 8));
	EXPECT_EQ(0x4321, self->vcpu.value);
	ASSERT_EQ(0, guest(self, store, IPA + PAGE));
	EXPECT_EQ(IPA + PAGE, self->view[PAGE / 8]);
	EXPECT_EQ(0, area->caught);

	/* Of a slot that is read-only, writes are for the VMM. */
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, 0, NULL, 0));
	ASSERT_EQ(0, slot(self, KVM_MEM_READONLY));
	ASSERT_EQ(0, guest(self, load, IPA + 8));
	EXPECT_EQ(0x4321, self->vcpu.value);
	ASSERT_EQ(0, vcpu_start(&self->vcpu, store, IPA + 8, GUEST_MMU));
	EXPECT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
	EXPECT_EQ(KVM_EXIT_MMIO, self->vcpu.run->exit_reason);
	EXPECT_EQ(0x4321, self->view[1]);
}

/* To the guest's own tables it is memory, so that stage 2 alone makes it a device. */
TEST_F(device, as_a_device)
{
	struct guest_area *area = self->vcpu.area;
	void *const accesses[] = { load, store };
	unsigned int i;

	ASSERT_EQ(0, slot(self, 0));
	for (i = 0; i < ARRAY_LEN(accesses); i++) {
		/* Control: what is memory. */
		ASSERT_EQ(0, guest(self, accesses[i], GUEST_FREE + 1));
		EXPECT_EQ(0, area->caught);
		/* Both when it is not mapped yet and when it is. */
		for (unsigned int round = 0; round < 2; round++) {
			int ret = guest(self, accesses[i], IPA + 2 * PAGE + 1);

			if (!host_is_module() && ret && self->vcpu.error == -EFAULT) {
				TH_LOG("C KVM takes it for the VMM's fault");
				continue;
			}
			ASSERT_EQ(0, ret);
			EXPECT_EQ(1, area->caught);
			EXPECT_EQ(EC_DABT_CUR, ESR_EC(area->esr));
			EXPECT_EQ(0x21, area->esr & 0x3f);
			EXPECT_EQ(i, area->esr >> 6 & 1);
			EXPECT_EQ(IPA + 2 * PAGE + 1, area->far);
		}
		ASSERT_EQ(0, guest(self, load, IPA + 2 * PAGE));
		EXPECT_EQ(0, self->vcpu.value);
		EXPECT_EQ(0, area->caught);
	}
}

TEST_F(device, not_executed)
{
	enum guest_event event;

	self->view[0] = 0xd65f03c0;	/* ret */
	ASSERT_EQ(0, slot(self, 0));
	self->vcpu.area->catch = 0;
	ASSERT_EQ(0, vcpu_start(&self->vcpu, execute, IPA, GUEST_MMU));
	event = guest_run(&self->vcpu);
	EXPECT_EQ(GUEST_EXCEPTION, event) TH_LOG("%s", guest_told(&self->vcpu, event));
	EXPECT_EQ(EC_IABT_CUR, ESR_EC(self->vcpu.esr));
	EXPECT_EQ(0x10, self->vcpu.esr & 0x3f);
	EXPECT_EQ(IPA, self->vcpu.far);
}

static volatile bool may_miss;
static volatile unsigned long missed;

static void *counting(void *arg)
{
	struct vcpu *vcpu = arg;
	enum guest_event event;

	while ((event = guest_run(vcpu)) == GUEST_ERROR && vcpu->error == -EFAULT && may_miss)
		missed++;
	return (void *)(uintptr_t)event;
}

static bool goes_on(struct vcpu *vcpu)
{
	uint64_t then = vcpu->area->seen;
	unsigned int i;

	for (i = 0; i < 20000 && *(volatile uint64_t *)&vcpu->area->seen < then + 2; i++)
		usleep(1000);
	return vcpu->area->seen >= then + 2;
}

TEST_F_TIMEOUT(device, unmapped_under_a_vcpu, 60)
{
	struct vcpu *vcpu = &self->vcpu;
	uint64_t now, round, value = 0;
	pthread_t thread;
	void *event;

	missed = 0;
	may_miss = true;
	vcpu->area->go = vcpu->area->seen = 0;
	ASSERT_EQ(0, slot(self, 0));
	ASSERT_EQ(0, vcpu_start(vcpu, count, IPA, GUEST_MMU));
	ASSERT_EQ(0, pthread_create(&thread, NULL, counting, vcpu));
	for (round = 0; round < 20; round++) {
		ASSERT_TRUE(goes_on(vcpu));
		EXPECT_LT(value, self->view[0]);
		/* Gone; and other memory there. */
		if (round % 2) {
			ASSERT_EQ(0, munmap((void *)self->mem, PAGE));
		} else {
			ASSERT_EQ(self->mem, mmap((void *)self->mem, PAGE, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
			ASSERT_TRUE(goes_on(vcpu));
		}
		now = self->view[0];
		usleep(1000);
		value = self->view[0];
		EXPECT_EQ(now, value);
		ASSERT_EQ(self->mem, map_device(self->fd, (void *)self->mem));
	}
	ASSERT_TRUE(goes_on(vcpu));
	__atomic_store_n(&vcpu->area->go, 1, __ATOMIC_RELEASE);
	pthread_join(thread, &event);
	EXPECT_EQ(GUEST_DONE, (long)event);
	TH_LOG("%lu faults on nothing", missed);
}

TEST_F(device, not_logged)
{
	struct kvm_dirty_log log = { .slot = SLOT };
	uint64_t bits = 0;
	void *none;

	log.dirty_bitmap = &bits;
	EXPECT_EQ(-EINVAL, slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(0, slot(self, 0));
	EXPECT_EQ(-EINVAL, slot(self, KVM_MEM_LOG_DIRTY_PAGES));
	/* Nothing came of that. */
	EXPECT_EQ(-ENOENT, kvm_ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, (unsigned long)&log));
	ASSERT_EQ(0, guest(self, store, IPA));
	EXPECT_EQ(IPA, self->view[0]);
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, 0, NULL, 0));

	/* Nor if it is but a part of it; where it comes later, a write is a write. */
	none = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, none);
	ASSERT_NE(MAP_FAILED, map_device(self->fd, none + SIZE));
	EXPECT_EQ(-EINVAL, vm_memory(&self->vm, SLOT, IPA, 2 * SIZE, none,
				     KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(none + SIZE, mmap(none + SIZE, SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, 2 * SIZE, none, KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_NE(MAP_FAILED, map_device(self->fd, none + SIZE));
	ASSERT_EQ(0, guest(self, store, IPA + SIZE + PAGE));
	EXPECT_EQ(IPA + SIZE + PAGE, self->view[PAGE / 8]);
	ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, (unsigned long)&log));
	EXPECT_EQ(1UL << (SIZE / PAGE + 1), bits);
	munmap(none, 2 * SIZE);
}

/* The machine's answer to an access that nothing answers: an External abort, the guest's. */
TEST(nothing_answers)
{
	struct guest_area *area;
	struct vcpu vcpu;
	struct vm vm;
	void *mem;
	int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);

	if (fd < 0)
		SKIP(return, "no /dev/mem");
	mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, NOTHING);
	close(fd);
	if (mem == MAP_FAILED)
		SKIP(return, "no such part of /dev/mem");
	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
	ASSERT_EQ(0, vm_memory(&vm, SLOT, IPA, PAGE, mem, 0));
	area = vcpu.area;
	area->catch = 1;
	for (unsigned int i = 0; i < 2; i++) {
		area->caught = 0;
		ASSERT_EQ(0, guest_finish(&vcpu, load, IPA + 0x88, GUEST_MMU));
		EXPECT_EQ(1, area->caught);
		EXPECT_EQ(EC_DABT_CUR, ESR_EC(area->esr));
		EXPECT_EQ(0x10, area->esr & 0x3f);
		EXPECT_EQ(IPA + 0x88, area->far);
	}
	/* The guest goes on. */
	ASSERT_EQ(0, guest_finish(&vcpu, load, GUEST_FREE, GUEST_MMU));
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	munmap(mem, PAGE);
}

TEST_HARNESS_MAIN
