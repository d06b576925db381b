/* SPDX-License-Identifier: GPL-2.0 */
/* A guest's GICv3: what a test of interrupts that come from elsewhere needs of it. */
#ifndef KVM_VHE_GIC_H
#define KVM_VHE_GIC_H

#include "guest.h"

#define GIC_SPURIOUS	1023

GUEST_INLINE void gic_write32(uint64_t address, uint32_t value)
{
	asm volatile("str %w0, [%1]" : : "rZ" (value), "r" (address) : "memory");
}

GUEST_INLINE uint32_t gic_read32(uint64_t address)
{
	uint32_t value;

	asm volatile("ldr %w0, [%1]" : "=r" (value) : "r" (address) : "memory");
	return value;
}

/*
 * Enables everything for vCPU n: its private interrupts, and the first 64 SPIs, which
 * are edge- or level-triggered and go to the first vCPU.
 */
GUEST_INLINE void gic_start(unsigned int n, bool edge)
{
	uint64_t gicr = GUEST_GICR + n * 0x20000UL;
	unsigned int i;

	gic_write32(GUEST_GICD, 0x12);			/* GICD_CTLR: ARE_NS, EnableGrp1 */
	for (i = 32; i < 96; i += 16)
		gic_write32(GUEST_GICD + 0xc00 + i / 4, edge ? 0xaaaaaaaa : 0);
	gic_write32(GUEST_GICD + 0x104, ~0U);		/* GICD_ISENABLER */
	gic_write32(GUEST_GICD + 0x108, ~0U);
	gic_write32(gicr + 0x14, 0);			/* GICR_WAKER */
	gic_write32(gicr + 0x10080, ~0U);		/* GICR_IGROUPR0 */
	gic_write32(gicr + 0x10100, ~0U);		/* GICR_ISENABLER0 */
	GUEST_MSR("s3_0_c12_c12_5", 7);			/* ICC_SRE_EL1 */
	GUEST_ISB();
	GUEST_MSR("s3_0_c4_c6_0", 0xf8);		/* ICC_PMR_EL1 */
	GUEST_MSR("s3_0_c12_c12_4", 0);			/* ICC_CTLR_EL1 */
	GUEST_MSR("s3_0_c12_c12_7", 1);			/* ICC_IGRPEN1_EL1 */
	GUEST_ISB();
}

GUEST_INLINE uint64_t gic_acknowledge(void)
{
	uint64_t intid = GUEST_MRS("s3_0_c12_c12_0");	/* ICC_IAR1_EL1 */

	asm volatile("dsb sy\n\tisb" : : : "memory");
	return intid;
}

GUEST_INLINE void gic_end(uint64_t intid)
{
	GUEST_MSR("s3_0_c12_c12_1", intid);		/* ICC_EOIR1_EL1 */
	GUEST_ISB();
}

/* EOImode 1: gic_end() only drops the priority, and gic_deactivate() does the rest. */
GUEST_INLINE void gic_separate(void)
{
	GUEST_MSR("s3_0_c12_c12_4", 2);			/* ICC_CTLR_EL1 */
	GUEST_ISB();
}

GUEST_INLINE void gic_deactivate(uint64_t intid)
{
	GUEST_MSR("s3_0_c12_c11_1", intid);		/* ICC_DIR_EL1 */
	GUEST_ISB();
}

#endif
