/* SPDX-License-Identifier: GPL-2.0 */
/* The attributes of a GICv3 and its registers' numbers in them. */
#ifndef KVM_VHE_VGIC_REGS_H
#define KVM_VHE_VGIC_REGS_H

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
#define GICD_IGROUPR	0x0080
#define GICD_ISENABLER	0x0100
#define GICD_ICENABLER	0x0180
#define GICD_ISPENDR	0x0200
#define GICD_ICPENDR	0x0280
#define GICD_ISACTIVER	0x0300
#define GICD_ICACTIVER	0x0380
#define GICD_IPRIORITYR	0x0400
#define GICD_ICFGR	0x0c00
#define GICD_IROUTER	0x6000
#define GICR_CTLR	0x0000
#define GICR_TYPER	0x0008
#define GICR_WAKER	0x0014
#define GICR_PROPBASER	0x0070
#define GICR_PENDBASER	0x0078
#define GICR_SGI	0x10000

#define IIDR_REVISION	0xf000

/* The vCPU with number n has the affinity n. */
#define CPU(n)		((uint64_t)(n) << 32)
#define ICC(op1, crn, crm, op2)	(3 << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))
#define ICC_PMR		ICC(0, 4, 6, 0)
#define ICC_BPR0	ICC(0, 12, 8, 3)
#define ICC_AP0R0	ICC(0, 12, 8, 4)
#define ICC_AP1R0	ICC(0, 12, 9, 0)
#define ICC_BPR1	ICC(0, 12, 12, 3)
#define ICC_CTLR	ICC(0, 12, 12, 4)
#define ICC_SRE		ICC(0, 12, 12, 5)
#define ICC_IGRPEN0	ICC(0, 12, 12, 6)
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

#endif
