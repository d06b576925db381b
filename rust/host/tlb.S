/* SPDX-License-Identifier: GPL-2.0 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/assembler.h>
#include <asm/kvm_arm.h>
#include <asm/sysreg.h>

#include <kvm_vhe_hcr.h>

/*
 * void kvm_vhe_reset_guest_translation(void)
 *
 * Leaves this CPU with no stage 2 and with no translation of any guest in its
 * TLBs: VMIDs are counted from the start each time the module is loaded, and
 * what was there before (an earlier load, the kernel that kexec'ed this one)
 * used the same numbers.
 *
 * VTTBR_EL2 goes first, and takes effect, so that no walk of the old tables can
 * fill the TLBs again behind the invalidation.  TLBI ALLE1 concerns the EL1&0
 * regime of all VMIDs on this CPU and leaves the host's EL2&0 regime alone.
 */
SYM_FUNC_START(kvm_vhe_reset_guest_translation)
	msr	vttbr_el2, xzr
	isb
	tlbi	alle1
	dsb	nsh
	isb
	ret
SYM_FUNC_END(kvm_vhe_reset_guest_translation)

/* The name before it was changed. */
#ifndef ARM64_WORKAROUND_REPEAT_TLBI_SYNC
#define ARM64_WORKAROUND_REPEAT_TLBI_SYNC ARM64_WORKAROUND_REPEAT_TLBI
#endif

/* No walks of the tables at TTBR0_EL1 and TTBR1_EL1. */
#define EPD0	(1 << 7)
#define EPD1	(1 << 23)

/*
 * Makes TLBI work on the EL1&0 regime with the VMID in x0, VTTBR_EL2; x1 is
 * VTCR_EL2.  What is changed is kept in x9 to x14 until guest_regime_leave.
 *
 * All exceptions are masked: one that came with TGE clear would find the host in
 * a regime that it does not expect to be in.  Interrupts masked by priority only,
 * as local_irq_save() may do it, would let a pseudo-NMI in.
 *
 * The DSB makes what was written to tables visible to the walkers first.  VTTBR
 * is switched while TGE is still set, when EL1&0 is not in use, and the ISBs keep
 * a walk with the one's tables and the other's VMID from filling the TLBs.
 *
 * Some CPUs walk EL1&0 speculatively, for an AT instruction, even then
 * (Cortex-A55 1530923, Cortex-A76 1165522 and others). The stage 1 of whichever
 * vCPU ran here last would be walked under the VMID in x0. On these CPUs stage 1
 * is enabled with all of its walks disabled before the switch.
 */
	.macro	guest_regime_enter
	mrs	x9, daif
	msr	daifset, #0xf
	dsb	ishst
	mrs	x10, hcr_el2
	mrs	x11, vttbr_el2
	mrs	x12, vtcr_el2
alternative_if ARM64_WORKAROUND_SPECULATIVE_AT
	mrs_s	x13, SYS_TCR_EL12
	orr	x15, x13, #EPD0
	orr	x15, x15, #EPD1
	msr_s	SYS_TCR_EL12, x15
	isb
	mrs_s	x14, SYS_SCTLR_EL12
	orr	x15, x14, #SCTLR_EL1_M
	msr_s	SYS_SCTLR_EL12, x15
	isb
alternative_else_nop_endif
	msr	vtcr_el2, x1
	msr	vttbr_el2, x0
	isb
	bic	x15, x10, #HCR_TGE
	write_hcr_el2 x15
	isb
	.endm

	.macro	guest_regime_leave
	write_hcr_el2 x10
	isb
	msr	vtcr_el2, x12
	msr	vttbr_el2, x11
	isb
alternative_if ARM64_WORKAROUND_SPECULATIVE_AT
	msr_s	SYS_SCTLR_EL12, x14
	isb
	msr_s	SYS_TCR_EL12, x13
	isb
alternative_else_nop_endif
	msr	daif, x9
	.endm

/*
 * The end of broadcast invalidation: where a CPU may complete the DSB too early
 * (Cortex-A76 1286807 and others), another TLBI and DSB make up for it, whatever
 * the TLBI is of.
 */
	.macro	tlbi_sync, op
	dsb	ish
alternative_if ARM64_WORKAROUND_REPEAT_TLBI_SYNC
	tlbi	\op
	dsb	ish
alternative_else_nop_endif
	isb
	.endm

/* FEAT_TLBIRANGE, which the assembler need not know. */
	.macro	tlbi_ripas2e1is, reg
	sys	#4, c8, c0, #2, \reg
	.endm

/*
 * void kvm_vhe_tlbi_ipas(u64 vttbr, u64 vtcr, const u64 *entries,
 *			  unsigned long entry_count, const u64 *ranges,
 *			  unsigned long range_count)
 *
 * Invalidates what stage 2 translates at some addresses, given as operands of TLBI
 * IPAS2E1IS and RIPAS2E1IS, and then all of the VMID that is not stage 2's alone: an
 * entry that combines both stages has no IPA to find it by.  The DSB between keeps
 * walks that still use old stage-2 entries from making new combined ones behind the
 * second.
 */
SYM_FUNC_START(kvm_vhe_tlbi_ipas)
	guest_regime_enter
	cbz	x3, 2f
1:	ldr	x15, [x2], #8
	tlbi	ipas2e1is, x15
	subs	x3, x3, #1
	b.ne	1b
2:	cbz	x5, 4f
3:	ldr	x15, [x4], #8
	tlbi_ripas2e1is x15
	subs	x5, x5, #1
	b.ne	3b
4:	dsb	ish
	tlbi	vmalle1is
	tlbi_sync vmalle1is
	guest_regime_leave
	ret
SYM_FUNC_END(kvm_vhe_tlbi_ipas)

/*
 * void kvm_vhe_tlbi_ipa_local(u64 vttbr, u64 vtcr, u64 operand)
 *
 * The same for one address, on this CPU only.
 */
SYM_FUNC_START(kvm_vhe_tlbi_ipa_local)
	guest_regime_enter
	tlbi	ipas2e1, x2
	dsb	nsh
	tlbi	vmalle1
	dsb	nsh
	isb
	guest_regime_leave
	ret
SYM_FUNC_END(kvm_vhe_tlbi_ipa_local)

/*
 * void kvm_vhe_tlbi_vmid(u64 vttbr, u64 vtcr)
 */
SYM_FUNC_START(kvm_vhe_tlbi_vmid)
	guest_regime_enter
	tlbi	vmalls12e1is
	tlbi_sync vmalls12e1is
	guest_regime_leave
	ret
SYM_FUNC_END(kvm_vhe_tlbi_vmid)

/*
 * void kvm_vhe_tlbi_local(u64 vttbr, u64 vtcr)
 *
 * The instruction cache goes as well.  A vCPU whose stage 1 is off may fetch past
 * the data caches, from the Point of Coherency, and leave what it has found there
 * for the next vCPU, which counts on the Point of Unification and cleans what it
 * writes no further.
 */
SYM_FUNC_START(kvm_vhe_tlbi_local)
	guest_regime_enter
	tlbi	vmalle1
	ic	iallu
	dsb	nsh
	isb
	guest_regime_leave
	ret
SYM_FUNC_END(kvm_vhe_tlbi_local)
