/* SPDX-License-Identifier: GPL-2.0 */
/* A GICv3 by its attributes, for the tests of its configuration and of its state. */
#ifndef KVM_VHE_VGIC_ATTR_H
#define KVM_VHE_VGIC_ATTR_H

#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define V3		KVM_DEV_TYPE_ARM_VGIC_V3
#define GRP_ADDR	KVM_DEV_ARM_VGIC_GRP_ADDR
#define GRP_DIST	KVM_DEV_ARM_VGIC_GRP_DIST_REGS
#define GRP_REDIST	KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
#define GRP_IRQS	KVM_DEV_ARM_VGIC_GRP_NR_IRQS
#define GRP_CTRL	KVM_DEV_ARM_VGIC_GRP_CTRL
#define GRP_CPU		KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS
#define GRP_LEVEL	KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO
#define GRP_MAINT	9
#define DIST		KVM_VGIC_V3_ADDR_TYPE_DIST
#define REDIST		KVM_VGIC_V3_ADDR_TYPE_REDIST
#define REGION		KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION
#define INIT		KVM_DEV_ARM_VGIC_CTRL_INIT
#define SAVE		KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES

#define GICD_CTLR	0x0000
#define GICD_TYPER	0x0004
#define GICD_IIDR	0x0008
#define GICD_TYPER2	0x000c
#define GICD_ISENABLER	0x0100
#define GICD_ISPENDR	0x0200
#define GICD_ICPENDR	0x0280
#define GICD_ISACTIVER	0x0300
#define GICD_IPRIORITYR	0x0400
#define GICD_ICFGR	0x0c00
#define GICD_IROUTER	0x6000
#define GICR_CTLR	0x0000
#define GICR_TYPER	0x0008
#define GICR_SGI	0x10000

#define IIDR_REVISION	0xf000

/* The vCPU with number n has the affinity n. */
#define CPU(n)		((uint64_t)(n) << 32)
#define ICC(op1, crn, crm, op2)	(3 << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))
#define ICC_PMR		ICC(0, 4, 6, 0)
#define ICC_SRE		ICC(0, 12, 12, 5)
#define ICC_CTLR	ICC(0, 12, 12, 4)
#define ICC_IGRPEN1	ICC(0, 12, 12, 7)

static inline int make(struct vm *vm, unsigned int type, unsigned int flags)
{
	struct kvm_create_device device = { .type = type, .flags = flags, .fd = -1 };
	long ret = kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, (unsigned long)&device);

	return ret ? ret : (int)device.fd;
}

static inline int has(int fd, unsigned int group, uint64_t number)
{
	return device_attr(fd, KVM_HAS_DEVICE_ATTR, group, number, NULL);
}

/* The value, or -errno. */
static inline int64_t get32(int fd, unsigned int group, uint64_t number)
{
	uint32_t value = 0;
	int ret = device_attr(fd, KVM_GET_DEVICE_ATTR, group, number, &value);

	return ret ? ret : (int64_t)value;
}

static inline int get64(int fd, unsigned int group, uint64_t number, uint64_t *value)
{
	return device_attr(fd, KVM_GET_DEVICE_ATTR, group, number, value);
}

static inline int init(int fd)
{
	return device_attr(fd, KVM_SET_DEVICE_ATTR, GRP_CTRL, INIT, NULL);
}

static inline uint64_t region(uint64_t count, uint64_t base, uint64_t flags, uint64_t index)
{
	return count << 52 | base | flags << 12 | index;
}

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
