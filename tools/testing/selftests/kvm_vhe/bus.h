/* SPDX-License-Identifier: GPL-2.0 */
/* A guest that writes where it is told, for the tests of who takes its writes. */
#ifndef KVM_VHE_BUS_H
#define KVM_VHE_BUS_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define BELL		0x18000000UL
#define PAGE		4096UL
#define SLOT_IPA	0x80000000UL
#define DATAMATCH	KVM_IOEVENTFD_FLAG_DATAMATCH
#define DEASSIGN	KVM_IOEVENTFD_FLAG_DEASSIGN

/* Takes orders: an address, a size and a value. Says when it is done. */
GUEST uint64_t write_as_told(uint64_t unused);
GUEST uint64_t write_as_told(uint64_t unused)
{
	struct guest_area *area = guest_area();

	for (;;) {
		uint64_t at = area->data[0], value = area->data[2];

		switch (area->data[1]) {
		case 1:
			asm volatile("strb %w0, [%1]" : : "r" (value), "r" (at) : "memory");
			break;
		case 2:
			asm volatile("strh %w0, [%1]" : : "r" (value), "r" (at) : "memory");
			break;
		case 4:
			asm volatile("str %w0, [%1]" : : "r" (value), "r" (at) : "memory");
			break;
		case 8:
			asm volatile("str %0, [%1]" : : "r" (value), "r" (at) : "memory");
			break;
		default:
			asm volatile("ldr %0, [%1]" : "=r" (value) : "r" (at) : "memory");
			break;
		}
		guest_say(1, value);
	}
	return unused;
}

FIXTURE(bus) {
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_coalesced_mmio_ring *ring;
	unsigned int entries;
	int fd;
};

FIXTURE_SETUP(bus)
{
	size_t size;

	ASSERT_EQ(vm_create(&self->vm), 0);
	ASSERT_EQ(vcpu_create(&self->vm, &self->vcpu, 0), 0);
	ASSERT_EQ(vcpu_start(&self->vcpu, write_as_told, 0, 0), 0);
	size = kvm_ioctl(self->vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	ASSERT_EQ(size, 2 * PAGE);
	self->ring = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->vcpu.fd, PAGE);
	ASSERT_NE(self->ring, MAP_FAILED);
	self->entries = (PAGE - sizeof(*self->ring)) / sizeof(struct kvm_coalesced_mmio);
	self->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(bus)
{
	close(self->fd);
	munmap(self->ring, PAGE);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static inline long ioeventfd(struct vm *vm, int fd, uint64_t addr, unsigned int len, unsigned int flags,
		      uint64_t datamatch)
{
	struct kvm_ioeventfd args = {
		.fd = fd, .addr = addr, .len = len, .flags = flags, .datamatch = datamatch,
	};

	return kvm_ioctl(vm->fd, KVM_IOEVENTFD, (unsigned long)&args);
}

static inline long zone(struct vm *vm, unsigned long cmd, uint64_t addr, unsigned int size,
		 unsigned int pio)
{
	struct kvm_coalesced_mmio_zone args = { .addr = addr, .size = size, .pio = pio };

	return kvm_ioctl(vm->fd, cmd, (unsigned long)&args);
}

/* How often an eventfd was signalled since the last look. */
static inline uint64_t rung(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* Has the guest write: whether that was an exit. */
static inline bool exits(struct vcpu *vcpu, uint64_t addr, unsigned int size, uint64_t value)
{
	struct kvm_run *run = vcpu->run;
	enum guest_event event;
	bool exit = false;

	vcpu->area->data[0] = addr;
	vcpu->area->data[1] = size;
	vcpu->area->data[2] = value;
	event = guest_run(vcpu);
	if (event == GUEST_EXIT && run->exit_reason == KVM_EXIT_MMIO &&
	    run->mmio.phys_addr == addr) {
		exit = true;
		event = guest_run(vcpu);
	}
	if (event != GUEST_SAID || vcpu->what != 1)
		ksft_print_msg("after %#lx: %s\n", addr, guest_told(vcpu, event));
	return exit;
}

#endif
