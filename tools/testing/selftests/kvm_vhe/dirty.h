/* SPDX-License-Identifier: GPL-2.0 */
/* A slot whose pages a guest writes to, and logs of it: what the tests of dirty tracking share. */
#ifndef KVM_VHE_DIRTY_H
#define KVM_VHE_DIRTY_H

#include <linux/kvm.h>
#include "kvm_vhe_test.h"
#include "guest.h"

#define SLOT		1
#define IPA		0x50000000UL
#define PAGE		4096UL
/* Neither a multiple of 64 nor of a block. */
#define PAGES		803
#define SIZE		(PAGES * PAGE)
#define WORDS		((PAGES + 63) / 64)
#define ALL_WORDS	(WORDS * 64)

#define FN_PV_TIME_ST	0xc5000021UL

#define IOCTL(fd, cmd, arg) kvm_ioctl(fd, cmd, (unsigned long)(arg))

/* Writes data[3] to data[1] pages from data[0] on, each data[2]th. */
GUEST uint64_t guest_writes(uint64_t unused);
GUEST uint64_t guest_writes(uint64_t unused)
{
	struct guest_area *area = guest_area();
	uint64_t i;

	for (i = 0; i < area->data[1]; i++) {
		uint64_t page = area->data[0] + i * area->data[2];

		*(volatile uint64_t *)(IPA + page * PAGE) = area->data[3];
	}
	return unused;
}

/* Reads them. */
GUEST uint64_t guest_reads(uint64_t unused);
GUEST uint64_t guest_reads(uint64_t unused)
{
	struct guest_area *area = guest_area();
	uint64_t i;

	for (i = 0; i < area->data[1]; i++)
		(void)*(volatile uint64_t *)(IPA + (area->data[0] + i * area->data[2]) * PAGE);
	return unused;
}

GUEST uint64_t stolen_time(uint64_t unused);
GUEST uint64_t stolen_time(uint64_t unused)
{
	return guest_hvc(FN_PV_TIME_ST, unused, 0, 0);
}

static inline void set_pages(struct vcpu *vcpu, uint64_t first, uint64_t count, uint64_t step,
			     uint64_t value)
{
	vcpu->area->data[0] = first;
	vcpu->area->data[1] = count;
	vcpu->area->data[2] = step;
	vcpu->area->data[3] = value;
}

static inline int write_pages(struct vcpu *vcpu, uint64_t first, uint64_t count, uint64_t step,
			      uint64_t value)
{
	set_pages(vcpu, first, count, step, value);
	return guest_finish(vcpu, guest_writes, 0, GUEST_MMU);
}

static inline int read_pages(struct vcpu *vcpu, uint64_t first, uint64_t count, uint64_t step)
{
	set_pages(vcpu, first, count, step, 0);
	return guest_finish(vcpu, guest_reads, 0, GUEST_MMU);
}

static inline uint64_t word_of(const unsigned char *mem, unsigned int page)
{
	return *(const volatile uint64_t *)(mem + page * PAGE);
}

static inline void set_bit(uint64_t *bits, unsigned int n)
{
	bits[n / 64] |= 1UL << n % 64;
}

static inline void set_bits(uint64_t *bits, unsigned int first, unsigned int count)
{
	while (count--)
		set_bit(bits, first + count);
}

static inline int slot_flags(struct vm *vm, void *mem, unsigned int flags)
{
	return vm_memory(vm, SLOT, IPA, SIZE, mem, flags);
}

static inline int get_log(struct vm *vm, unsigned int slot, void *bitmap)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	return IOCTL(vm->fd, KVM_GET_DIRTY_LOG, &log);
}

static inline int clear_log(struct vm *vm, uint64_t first, uint32_t count, void *bitmap)
{
	struct kvm_clear_dirty_log log = {
		.slot = SLOT, .first_page = first, .num_pages = count, .dirty_bitmap = bitmap,
	};

	return IOCTL(vm->fd, KVM_CLEAR_DIRTY_LOG, &log);
}

static inline int enable(struct vm *vm, unsigned int cap, uint64_t arg)
{
	struct kvm_enable_cap args = { .cap = cap, .args = { arg } };

	return IOCTL(vm->fd, KVM_ENABLE_CAP, &args);
}

#endif
