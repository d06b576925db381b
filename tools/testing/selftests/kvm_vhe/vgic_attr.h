/* SPDX-License-Identifier: GPL-2.0 */
/* A GICv3 by its attributes, for the tests of its configuration and of its state. */
#ifndef KVM_VHE_VGIC_ATTR_H
#define KVM_VHE_VGIC_ATTR_H

#include <unistd.h>

#include "kselftest_harness.h"
#include "vgic_regs.h"

GUEST uint64_t guest_read(uint64_t address)
{
	uint32_t value;

	asm volatile("ldr %w0, [%1]" : "=r" (value) : "r" (address) : "memory");
	return value;
}

/* The value in the upper half to the address in the lower one. */
GUEST uint64_t guest_write(uint64_t what)
{
	asm volatile("str %w0, [%1]" : : "r" (what >> 32), "r" (what & 0xffffffff) : "memory");
	return 0;
}

/* A VM with two vCPUs and a GIC of which nothing is said yet. */
FIXTURE(attr)
{
	struct vm vm;
	struct vcpu vcpus[2];
	int gic;
};

FIXTURE_SETUP(attr)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	for (unsigned int n = 0; n < 2; n++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpus[n], n));
	if (make(&self->vm, V3, KVM_CREATE_DEVICE_TEST) == -ENODEV)
		SKIP(return, "there is no GIC for VMs");
	self->gic = make(&self->vm, V3, 0);
	ASSERT_LE(0, self->gic);
}

FIXTURE_TEARDOWN(attr)
{
	for (unsigned int n = 0; n < 2; n++)
		vcpu_destroy(&self->vcpus[n]);
	if (self->gic > 0)
		close(self->gic);
	vm_destroy(&self->vm);
}

static inline int place(int gic)
{
	int ret = device_set(gic, GRP_ADDR, DIST, GUEST_GICD);

	return ret ? ret : device_set(gic, GRP_ADDR, REDIST, GUEST_GICR);
}

static inline int64_t guest_reads(struct vcpu *vcpu, uint64_t address)
{
	int ret = guest_finish(vcpu, guest_read, address, 0);

	return ret ? ret : (int64_t)vcpu->value;
}

static inline int guest_writes(struct vcpu *vcpu, uint64_t address, uint32_t value)
{
	return guest_finish(vcpu, guest_write, (uint64_t)value << 32 | address, 0);
}

#endif
