/* SPDX-License-Identifier: GPL-2.0 */
/* A GICv2: where it is, its registers, and how a guest and a test get at them. */
#ifndef KVM_VHE_GICV2_H
#define KVM_VHE_GICV2_H

#include "guest.h"

#define GICD		GUEST_GICD
#define GICC		0x08010000UL

#define GICD_CTLR	0x000
#define GICD_TYPER	0x004
#define GICD_IIDR	0x008
#define GICD_IGROUPR	0x080
#define GICD_ISENABLER	0x100
#define GICD_ICENABLER	0x180
#define GICD_ISPENDR	0x200
#define GICD_ICPENDR	0x280
#define GICD_ISACTIVER	0x300
#define GICD_ICACTIVER	0x380
#define GICD_IPRIORITYR	0x400
#define GICD_ITARGETSR	0x800
#define GICD_ICFGR	0xc00
#define GICD_SGIR	0xf00
#define GICD_CPENDSGIR	0xf10
#define GICD_SPENDSGIR	0xf20

#define GICC_CTLR	0x00
#define GICC_PMR	0x04
#define GICC_BPR	0x08
#define GICC_IAR	0x0c
#define GICC_EOIR	0x10
#define GICC_RPR	0x14
#define GICC_HPPIR	0x18
#define GICC_ABPR	0x1c
#define GICC_AIAR	0x20
#define GICC_AEOIR	0x24
#define GICC_AHPPIR	0x28
#define GICC_APR	0xd0
#define GICC_IIDR	0xfc
#define GICC_DIR	0x1000

#define CTLR_ENABLE	3	/* both groups, in either CTLR */
#define CTLR_ACK	(1 << 2)
#define CTLR_FIQ	(1 << 3)
#define CTLR_EOI_MODE	(1 << 9)

#define OTHER_GROUP	1022
#define SPURIOUS	1023
#define IDLE		0xff
#define ISR_F		(1 << 6)
#define ISR_I		(1 << 7)
#define ISR_BOTH	(ISR_F | ISR_I)

/* In the guest. */

GUEST_INLINE void write8(uint64_t address, uint32_t value)
{
	asm volatile("strb %w0, [%1]" : : "rZ" (value), "r" (address) : "memory");
}

GUEST_INLINE void write32(uint64_t address, uint32_t value)
{
	asm volatile("str %w0, [%1]" : : "rZ" (value), "r" (address) : "memory");
}

GUEST_INLINE uint32_t read8(uint64_t address)
{
	uint32_t value;

	asm volatile("ldrb %w0, [%1]" : "=r" (value) : "r" (address) : "memory");
	return value;
}

GUEST_INLINE uint32_t read32(uint64_t address)
{
	uint32_t value;

	asm volatile("ldr %w0, [%1]" : "=r" (value) : "r" (address) : "memory");
	return value;
}

/* What is signalled to the vCPU. */
GUEST_INLINE uint64_t signalled(void)
{
	GUEST_ISB();
	return GUEST_MRS("isr_el1") & ISR_BOTH;
}

/* Both groups are enabled, and GICC_CTLR has these bits, too. */
GUEST_INLINE void start_gic(uint32_t ctlr)
{
	write32(GICD + GICD_CTLR, CTLR_ENABLE);
	write32(GICC + GICC_PMR, 0xf8);
	write32(GICC + GICC_CTLR, CTLR_ENABLE | ctlr);
}

GUEST_INLINE void set_bit(unsigned int reg, unsigned int intid)
{
	write32(GICD + reg + intid / 32 * 4, 1U << intid % 32);
}

GUEST_INLINE uint32_t get_bit(unsigned int reg, unsigned int intid)
{
	return read32(GICD + reg + intid / 32 * 4) >> intid % 32 & 1;
}

/* An SPI goes to the first vCPU, with this priority. */
GUEST_INLINE void start_spi(unsigned int spi, uint32_t priority)
{
	write8(GICD + GICD_ITARGETSR + spi, 1);
	write8(GICD + GICD_IPRIORITYR + spi, priority);
	set_bit(GICD_ISENABLER, spi);
}

GUEST_INLINE uint32_t acknowledge(void)
{
	return read32(GICC + GICC_IAR);
}

GUEST_INLINE void end(uint32_t id)
{
	write32(GICC + GICC_EOIR, id);
}

/* Waits for an interrupt, which PSTATE masks. */
GUEST_INLINE uint32_t await(void)
{
	uint32_t id;

	for (;;) {
		id = acknowledge();
		if (id != SPURIOUS)
			return id;
		asm volatile("dsb sy\n\twfi" : : : "memory");
	}
}

/* In the test. */

static inline int v2_place(int gic)
{
	int ret = device_set(gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST, GICD);

	return ret ? ret :
	       device_set(gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU, GICC);
}

static inline int v2_init(int gic)
{
	return device_set(gic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
}

/* The vCPUs that there are get a GICv2: its descriptor. */
static inline int v2_make(struct vm *vm)
{
	int gic = vm_device(vm, KVM_DEV_TYPE_ARM_VGIC_V2);
	int ret = gic < 0 ? gic : v2_place(gic);

	if (!ret)
		ret = v2_init(gic);
	return ret ? ret : gic;
}

/* Whether VMs can have one. */
static inline bool v2_exists(struct vm *vm)
{
	struct kvm_create_device device = {
		.type = KVM_DEV_TYPE_ARM_VGIC_V2, .flags = KVM_CREATE_DEVICE_TEST,
	};

	return kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, (unsigned long)&device) == 0;
}

/* The SPI, and 15 others, are level-sensitive. */
static inline int v2_level(int gic, unsigned int spi)
{
	return device_set(gic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, GICD_ICFGR + spi / 16 * 4, 0);
}

/* KVM_IRQ_LINE of an SPI, or of a PPI of the first vCPU. */
static inline int v2_line(struct vm *vm, unsigned int intid, unsigned int level)
{
	unsigned int type = intid < 32 ? KVM_ARM_IRQ_TYPE_PPI : KVM_ARM_IRQ_TYPE_SPI;
	struct kvm_irq_level line = {
		.irq = type << KVM_ARM_IRQ_TYPE_SHIFT | intid, .level = level,
	};

	return kvm_ioctl(vm->fd, KVM_IRQ_LINE, (unsigned long)&line);
}

#endif
