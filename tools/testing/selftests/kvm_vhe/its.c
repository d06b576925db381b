// SPDX-License-Identifier: GPL-2.0
/* Makes a GIC with an ITS for tests of messages. */
#include <string.h>
#include <unistd.h>

#include "kvm_vhe_test.h"
#include "its.h"

#define VALID	(1UL << 63)

int its_prepare(int gic, int its, unsigned char *mem)
{
	static const struct { unsigned int reg; uint64_t value; } registers[] = {
		/* Devices, collections, the queue of commands. */
		{ 0x100, 1UL << 56 | 7UL << 48 | (ITS_MEM + 0x10000) | 2 << 8 | VALID },
		{ 0x108, 4UL << 56 | 7UL << 48 | (ITS_MEM + 0x20000) | 2 << 8 | VALID },
		{ 0x80, ITS_MEM | VALID },
		{ 0x0, 1 },
	};
	uint64_t *command = (uint64_t *)mem;
	unsigned int i;
	int ret = 0;

	/* All LPIs are enabled: GICR_PROPBASER, GICR_PENDBASER, GICR_CTLR. */
	memset(mem + (ITS_CONFIG - ITS_MEM), 0xa1, 0x10000);
	ret |= device_set(gic, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0x70, ITS_CONFIG | 15);
	ret |= device_set(gic, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0x78, ITS_MEM + 0x60000);
	ret |= device_set(gic, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0x0, 1);
	for (i = 0; i < ARRAY_LEN(registers); i++)
		ret |= device_set(its, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, registers[i].reg,
				registers[i].value);
	/* MAPC, MAPD, and MAPTI for each. */
	command[0] = 0x9;
	command[2] = VALID;
	command[4] = 0x8 | 1UL << 32;
	command[5] = 4;
	command[6] = (ITS_MEM + 0x30000) | VALID;
	for (i = 0; i < ITS_EVENTS; i++) {
		command[8 + 4 * i] = 0xa | 1UL << 32;
		command[9 + 4 * i] = i | (uint64_t)LPI(i) << 32;
	}
	ret |= device_set(its, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0x88, (2 + ITS_EVENTS) * 32);
	return ret;
}

int vm_gic_and_its(struct vm *vm, unsigned char *mem)
{
	int gic = vm_device(vm, KVM_DEV_TYPE_ARM_VGIC_V3), its, ret = 0;

	if (gic < 0)
		return gic;
	its = vm_device(vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
	if (its < 0)
		return its;
	ret |= device_set(gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, GUEST_GICD);
	ret |= device_set(gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, GUEST_GICR);
	ret |= device_set(its, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ITS);
	ret |= device_set(gic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
	ret |= device_set(its, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
	ret |= its_prepare(gic, its, mem);
	close(gic);
	if (!ret)
		return its;
	close(its);
	return ret;
}

int its_command(int its, unsigned char *mem, uint64_t w0, uint64_t w1, uint64_t w2)
{
	uint64_t at = 0, *queue;
	int ret = device_attr(its, KVM_GET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0x88, &at);

	if (ret)
		return ret;
	queue = (uint64_t *)(mem + at);
	queue[0] = w0;
	queue[1] = w1;
	queue[2] = w2;
	queue[3] = 0;
	return device_set(its, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0x88, (at + 32) % 4096);
}

int vm_message(struct vm *vm, uint32_t device, uint32_t event)
{
	struct kvm_msi msi = {
		.address_lo = ITS_DOORBELL, .devid = device, .data = event,
		.flags = KVM_MSI_VALID_DEVID,
	};

	return kvm_ioctl(vm->fd, KVM_SIGNAL_MSI, (unsigned long)&msi);
}
