/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The world switch: into the guest, and the vectors that lead out of it.
 *
 * What is here is what must happen on every entry and exit, between two
 * instructions of the host: the general registers, SP_EL0 (the host's current
 * task), the key that the host kernel signs return addresses with, and the
 * controls that make the CPU a guest's: HCR_EL2, CPTR_EL2, VBAR_EL2.  All other
 * state is moved by load and put, or around the call of kvm_vhe_enter().
 *
 * Interrupts, SErrors and debug exceptions are masked throughout, and no probe
 * may be put in here: it is all in .noinstr.text.
 */
#include <linux/arm-smccc.h>
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/assembler.h>
#include <asm/cpucaps.h>
#include <asm/esr.h>
#include <asm/sysreg.h>

#include <kvm_vhe_hcr.h>
#include <kvm_vhe_switch.h>

/*
 * The host's frame, which SP points to while the guest runs.  The host's SP_EL2
 * is banked, so the guest cannot touch it.
 */
#define F_FP		0	/* X29, X30 */
#define F_X19		16	/* X19 to X28 */
#define F_X18		96	/* X18, the shadow stack pointer if there is one */
#define F_CTX		104	/* the context */
#define F_SP_EL0	112	/* the host's SP_EL0 */
#define F_CPTR		120	/* the host's CPTR_EL2 */
#define F_APIA		128	/* the host's APIAKey */
#define F_SCRATCH	144	/* X0 to X3 of the guest, on the way out */
#define F_CODE		176	/* the exit code */
#define F_SIZE		192

/* PSTATE.IL in SPSR_ELx. */
#define PSR_IL_SHIFT	20

	.section .noinstr.text, "ax"

#define CTX_SP_EL0	(KVM_VHE_CTX_REGS + 8 * KVM_VHE_REG_SP_EL0)
#define CTX_APIA	(KVM_VHE_CTX_REGS + 8 * KVM_VHE_REG_APIAKEYLO)

/*
 * u64 kvm_vhe_enter(void *ctx)
 *
 * Runs the guest until its next exit; returns a KVM_VHE_CODE_*.
 */
SYM_FUNC_START(kvm_vhe_enter)
	/*
	 * An SError that is pending now is the host's.  It would be taken at the
	 * guest's first instruction, and pass for the guest's.  With FEAT_RAS one
	 * that a store of the host has caused shows after a DSB at the latest.
	 */
alternative_if ARM64_HAS_RAS_EXTN
	dsb	nshst
	isb
alternative_else_nop_endif
	mrs	x1, isr_el1
	tbnz	x1, #8, 5f			// ISR_EL1.A
	sub	sp, sp, #F_SIZE
	stp	x29, x30, [sp, #F_FP]
	stp	x19, x20, [sp, #F_X19]
	stp	x21, x22, [sp, #F_X19 + 16]
	stp	x23, x24, [sp, #F_X19 + 32]
	stp	x25, x26, [sp, #F_X19 + 48]
	stp	x27, x28, [sp, #F_X19 + 64]
	stp	x18, x0, [sp, #F_X18]
	mrs	x1, sp_el0
	mrs	x2, cpacr_el1			// CPTR_EL2, at EL2 with VHE
	stp	x1, x2, [sp, #F_SP_EL0]

	ldr	x1, [x0, #KVM_VHE_CTX_FLAGS]
	tbz	x1, #KVM_VHE_FLAG_PAUTH_BIT, 1f
	mrs_s	x2, SYS_APIAKEYLO_EL1
	mrs_s	x3, SYS_APIAKEYHI_EL1
	stp	x2, x3, [sp, #F_APIA]
	add	x1, x0, #CTX_APIA
	ldp	x2, x3, [x1]
	msr_s	SYS_APIAKEYLO_EL1, x2
	msr_s	SYS_APIAKEYHI_EL1, x3
1:
	ldr	x1, [x0, #CTX_SP_EL0]
	msr	sp_el0, x1
	ldp	x1, x2, [x0, #KVM_VHE_CTX_HCR]
	ldr	x3, [x0, #KVM_VHE_CTX_VBAR]
	ldp	x4, x5, [x0, #KVM_VHE_CTX_PC]
	msr	cpacr_el1, x2
	msr	vbar_el1, x3			// VBAR_EL2
	write_hcr_el2 x1
	/*
	 * VBAR_EL2 and HCR_EL2 need no ISB: nothing before the ERET depends on
	 * either but a fault in here, and ERET synchronizes.
	 */
	msr	elr_el1, x4			// ELR_EL2
	msr	spsr_el1, x5			// SPSR_EL2

	ldp	x2, x3, [x0, #16]
	ldp	x4, x5, [x0, #32]
	ldp	x6, x7, [x0, #48]
	ldp	x8, x9, [x0, #64]
	ldp	x10, x11, [x0, #80]
	ldp	x12, x13, [x0, #96]
	ldp	x14, x15, [x0, #112]
	ldp	x16, x17, [x0, #128]
	ldp	x18, x19, [x0, #144]
	ldp	x20, x21, [x0, #160]
	ldp	x22, x23, [x0, #176]
	ldp	x24, x25, [x0, #192]
	ldp	x26, x27, [x0, #208]
	ldp	x28, x29, [x0, #224]
	ldr	x30, [x0, #240]
	ldp	x0, x1, [x0]
	eret
	sb

/*
 * From the vectors: the exit code is at F_CODE, the guest's X0 to X3 are at
 * F_SCRATCH, X0 to X3 are free.
 */
SYM_INNER_LABEL(kvm_vhe_exit, SYM_L_LOCAL)
	ldr	x0, [sp, #F_CTX]
	mrs	x2, elr_el1			// ELR_EL2
	mrs	x3, spsr_el1			// SPSR_EL2
	stp	x2, x3, [x0, #KVM_VHE_CTX_PC]
	mrs	x2, esr_el1			// ESR_EL2
	mrs	x3, far_el1			// FAR_EL2
	stp	x2, x3, [x0, #KVM_VHE_CTX_ESR]
	mrs	x2, hpfar_el2
	str	x2, [x0, #KVM_VHE_CTX_HPFAR]

SYM_INNER_LABEL(kvm_vhe_exit_illegal, SYM_L_LOCAL)
	stp	x4, x5, [x0, #32]
	stp	x6, x7, [x0, #48]
	stp	x8, x9, [x0, #64]
	stp	x10, x11, [x0, #80]
	stp	x12, x13, [x0, #96]
	stp	x14, x15, [x0, #112]
	stp	x16, x17, [x0, #128]
	stp	x18, x19, [x0, #144]
	stp	x20, x21, [x0, #160]
	stp	x22, x23, [x0, #176]
	stp	x24, x25, [x0, #192]
	stp	x26, x27, [x0, #208]
	stp	x28, x29, [x0, #224]
	str	x30, [x0, #240]
	ldp	x2, x3, [sp, #F_SCRATCH]
	stp	x2, x3, [x0]
	ldp	x2, x3, [sp, #F_SCRATCH + 16]
	stp	x2, x3, [x0, #16]

	mrs	x1, sp_el0
	str	x1, [x0, #CTX_SP_EL0]
	ldr	x1, [x0, #KVM_VHE_CTX_FLAGS]
	tbz	x1, #KVM_VHE_FLAG_PAUTH_BIT, 2f
	add	x1, x0, #CTX_APIA
	mrs_s	x2, SYS_APIAKEYLO_EL1
	mrs_s	x3, SYS_APIAKEYHI_EL1
	stp	x2, x3, [x1]
	ldp	x2, x3, [sp, #F_APIA]
	msr_s	SYS_APIAKEYLO_EL1, x2
	msr_s	SYS_APIAKEYHI_EL1, x3
2:
	/*
	 * PSTATE as the host's own exception entry makes it: SPAN and the rest
	 * leave these as the guest had them.
	 */
	ALTERNATIVE(nop, SET_PSTATE_PAN(1), ARM64_HAS_PAN)
	ALTERNATIVE(nop, SET_PSTATE_DIT(1), ARM64_HAS_DIT)
	ALTERNATIVE(nop, SET_PSTATE_TCO(0), ARM64_MTE)

	/* The CPU clears HCR_EL2.VSE when the guest takes the SError. */
	mrs	x1, hcr_el2
	str	x1, [x0, #KVM_VHE_CTX_HCR]
	ldp	x4, x5, [x0, #KVM_VHE_CTX_HOST_HCR]
	ldp	x1, x2, [sp, #F_SP_EL0]
	msr	sp_el0, x1
	msr	cpacr_el1, x2			// CPTR_EL2
	write_hcr_el2 x4
	isb

	/*
	 * An SError that the guest caused may be pending still.  It is taken
	 * here, where it is known to be the guest's, and not later as the
	 * host's.
	 */
	ldr	x19, [sp, #F_CODE]
alternative_if ARM64_HAS_RAS_EXTN
	esb
	mrs_s	x1, SYS_DISR_EL1
	cbz	x1, 4f
	msr_s	SYS_DISR_EL1, xzr
	str	x1, [x0, #KVM_VHE_CTX_DISR]
	orr	x19, x19, #(1 << KVM_VHE_CODE_PENDING_SERROR_BIT)
	b	4f
alternative_else
	dsb	sy
	mrs	x1, isr_el1
	tbz	x1, #8, 4f			// ISR_EL1.A
	nop
	nop
	nop
	nop
alternative_endif
	/* The vectors are this file's still; theirs sets the bit in X19. */
	msr	daifclr, #4
SYM_INNER_LABEL(kvm_vhe_serror_window, SYM_L_LOCAL)
	isb
	msr	daifset, #4
SYM_INNER_LABEL(kvm_vhe_serror_window_end, SYM_L_LOCAL)
4:
	msr	vbar_el1, x5			// VBAR_EL2
	isb

	mov	x0, x19
	ldp	x29, x30, [sp, #F_FP]
	ldp	x19, x20, [sp, #F_X19]
	ldp	x21, x22, [sp, #F_X19 + 16]
	ldp	x23, x24, [sp, #F_X19 + 32]
	ldp	x25, x26, [sp, #F_X19 + 48]
	ldp	x27, x28, [sp, #F_X19 + 64]
	ldr	x18, [sp, #F_X18]
	add	sp, sp, #F_SIZE
	ret

	/* As an interrupt: the host takes it as soon as it is unmasked. */
5:	mov	x0, #KVM_VHE_CODE_IRQ
	ret
SYM_FUNC_END(kvm_vhe_enter)

/*
 * Around a read of PAR_EL1, which can hang CPUs with Cortex-A77's erratum 1508412.
 */
	.macro	par_barrier
alternative_if ARM64_WORKAROUND_1508412
	dmb	sy
alternative_else_nop_endif
	.endm

SYM_FUNC_START(kvm_vhe_par_barrier)
	par_barrier
	ret
SYM_FUNC_END(kvm_vhe_par_barrier)

/*
 * u64 kvm_vhe_translate(u64 va, u64 hcr)
 *
 * Translates an address by the guest's stage 1; both stages of the loaded vCPU are
 * used.  Returns PAR_EL1, and leaves all as it was.
 *
 * What the guest may do there is not asked for with FEAT_ATS1A.  Without, it has to
 * be readable at EL1 or EL0.
 */
SYM_FUNC_START(kvm_vhe_translate)
	mrs	x2, daif
	msr	daifset, #0xf
	mrs	x3, hcr_el2
	par_barrier
	mrs	x4, par_el1
	par_barrier
	mrs	x5, vbar_el1			// VBAR_EL2
	adr_l	x6, kvm_vhe_translate_vectors
	msr	vbar_el1, x6
	write_hcr_el2 x1
	isb
	mov	x7, x0
	mrs_s	x6, SYS_ID_AA64ISAR2_EL1
	ubfx	x6, x6, #ID_AA64ISAR2_EL1_ATS1A_SHIFT, #ID_AA64ISAR2_EL1_ATS1A_WIDTH
	cbz	x6, 1f
	sys	#0, c7, c9, #2, x7		// AT S1E1A
	isb
	par_barrier
	mrs	x0, par_el1
	b	2f
1:	at	s1e1r, x7
	isb
	par_barrier
	mrs	x0, par_el1
	tbz	x0, #0, 2f			// PAR_EL1.F
	par_barrier
	at	s1e0r, x7
	isb
	par_barrier
	mrs	x0, par_el1
2:	par_barrier
SYM_INNER_LABEL(kvm_vhe_translate_out, SYM_L_LOCAL)
	msr	par_el1, x4
	write_hcr_el2 x3
	msr	vbar_el1, x5
	isb
	msr	daif, x2
	ret
SYM_FUNC_END(kvm_vhe_translate)

/* A walk of the guest's tables has hit something that does not answer. */
SYM_CODE_START_LOCAL(kvm_vhe_translate_fault)
	adr_l	x6, kvm_vhe_translate_out
	msr	elr_el1, x6			// ELR_EL2
	mov	x0, #1				// PAR_EL1.F
	eret
	sb
SYM_CODE_END(kvm_vhe_translate_fault)

	.align	11
SYM_CODE_START_NOALIGN(kvm_vhe_translate_vectors)
	.rept	16
	.align	7
	b	kvm_vhe_translate_fault
	.endr
	.align	7
SYM_CODE_END(kvm_vhe_translate_vectors)

/*
 * Exceptions from EL2 itself, while this file's vectors are in use.
 */
SYM_CODE_START_LOCAL(kvm_vhe_same_level_sync)
	stp	x0, x1, [sp, #F_SCRATCH]
	stp	x2, x3, [sp, #F_SCRATCH + 16]
	mrs	x1, spsr_el1			// SPSR_EL2
	tbz	x1, #PSR_IL_SHIFT, kvm_vhe_switch_fault
SYM_INNER_LABEL(kvm_vhe_illegal_return, SYM_L_LOCAL)
	/*
	 * The ERET was an illegal exception return: the guest's PSTATE cannot
	 * be had on this CPU.  PSTATE.IL says so, and not the class: the CPU is at
	 * EL2 with the guest's PC, where a fetch that fails comes before
	 * an Illegal Execution state exception, and with the guest's DAIF, so that
	 * an interrupt may come before either.  PC and PSTATE are in the
	 * context still; ELR_EL2 and SPSR_EL2 say where this exception came from.
	 */
	mov	x2, #KVM_VHE_CODE_ILLEGAL
	str	x2, [sp, #F_CODE]
	ldr	x0, [sp, #F_CTX]
	b	kvm_vhe_exit_illegal
SYM_CODE_END(kvm_vhe_same_level_sync)

/* An interrupt: left pending for the host, which has it masked. */
SYM_CODE_START_LOCAL(kvm_vhe_same_level_interrupt)
	stp	x0, x1, [sp, #F_SCRATCH]
	stp	x2, x3, [sp, #F_SCRATCH + 16]
	mrs	x1, spsr_el1			// SPSR_EL2
	tbnz	x1, #PSR_IL_SHIFT, kvm_vhe_illegal_return
	b	kvm_vhe_switch_fault
SYM_CODE_END(kvm_vhe_same_level_interrupt)

SYM_CODE_START_LOCAL(kvm_vhe_same_level_serror)
	stp	x0, x1, [sp, #F_SCRATCH]
	stp	x2, x3, [sp, #F_SCRATCH + 16]
	mrs	x1, esr_el1			// ESR_EL2
	mrs	x0, elr_el1			// ELR_EL2
	adr	x2, kvm_vhe_serror_window
	adr	x3, kvm_vhe_serror_window_end
	cmp	x0, x2
	ccmp	x0, x3, #2, hs
	b.hi	3f
	ldr	x0, [sp, #F_CTX]
	str	x1, [x0, #KVM_VHE_CTX_DISR]
	orr	x19, x19, #(1 << KVM_VHE_CODE_PENDING_SERROR_BIT)
	/* Back with SError masked. */
	mrs	x0, spsr_el1			// SPSR_EL2
	orr	x0, x0, #PSR_A_BIT
	msr	spsr_el1, x0
	ldp	x0, x1, [sp, #F_SCRATCH]
	ldp	x2, x3, [sp, #F_SCRATCH + 16]
	eret
	sb
3:
	/* With the guest's PSTATE.A, after an illegal exception return. */
	mrs	x2, spsr_el1			// SPSR_EL2
	tbz	x2, #PSR_IL_SHIFT, kvm_vhe_switch_fault
	ldr	x0, [sp, #F_CTX]
	str	x1, [x0, #KVM_VHE_CTX_DISR]
	mov	x2, #KVM_VHE_CODE_ILLEGAL | 1 << KVM_VHE_CODE_PENDING_SERROR_BIT
	str	x2, [sp, #F_CODE]
	b	kvm_vhe_exit_illegal
SYM_CODE_END(kvm_vhe_same_level_serror)

/*
 * Nothing in here may fault.  If it does, the CPU's state is half the guest's;
 * make it the host's and say so, never to come back.
 */
SYM_CODE_START_LOCAL(kvm_vhe_switch_fault)
	ldr	x4, [sp, #F_CTX]
	ldp	x5, x6, [x4, #KVM_VHE_CTX_HOST_HCR]
	ldp	x7, x8, [sp, #F_SP_EL0]
	msr	sp_el0, x7
	msr	cpacr_el1, x8
	write_hcr_el2 x5
	msr	vbar_el1, x6
	ldr	x5, [x4, #KVM_VHE_CTX_FLAGS]
	tbz	x5, #KVM_VHE_FLAG_PAUTH_BIT, 1f
	ldp	x5, x6, [sp, #F_APIA]
	msr_s	SYS_APIAKEYLO_EL1, x5
	msr_s	SYS_APIAKEYHI_EL1, x6
1:
	isb
	mrs	x0, esr_el1			// ESR_EL2
	mrs	x1, elr_el1			// ELR_EL2
	mrs	x2, far_el1			// FAR_EL2
	mrs	x3, spsr_el1			// SPSR_EL2
	ldr	x18, [sp, #F_X18]
	mov	x29, sp
	bl	kvm_vhe_switch_panic
	brk	#0
SYM_CODE_END(kvm_vhe_switch_fault)

/*
 * The vectors.  Before anything that a guest's branch history could steer, the
 * history is dealt with as this CPU needs it (spectre-BHB, and for CPUs without
 * FEAT_CSV2 spectre-v2).
 */
	.macro	history_plain
	.endm

	.macro	history_loop
	/* As many taken branches as the history of this core is long. */
	ldr	x0, [sp, #F_CTX]
	ldr	x0, [x0, #KVM_VHE_CTX_BHB_LOOPS]
99:	b	. + 4
	subs	x0, x0, #1
	b.ne	99b
	sb
	.endm

	.macro	history_clrbhb
	hint	#22				// CLRBHB
	isb
	.endm

	.macro	history_wa1
	mov_q	x0, ARM_SMCCC_ARCH_WORKAROUND_1
	smc	#0
	.endm

	.macro	history_wa3
	mov_q	x0, ARM_SMCCC_ARCH_WORKAROUND_3
	smc	#0
	.endm

	.macro	from_guest history:req, code:req
	.align	7
	stp	x0, x1, [sp, #F_SCRATCH]
	stp	x2, x3, [sp, #F_SCRATCH + 16]
	history_\history
	mov	x0, #\code
	str	x0, [sp, #F_CODE]
	b	kvm_vhe_exit
	.endm

	.macro	from_host target:req
	.align	7
	b	\target
	.endm

	.macro	vectors history:req
	/* From EL2 with SP_EL0, where the host never is. */
	.rept	4
	from_host kvm_vhe_same_level_fault
	.endr

	from_host kvm_vhe_same_level_sync
	from_host kvm_vhe_same_level_interrupt
	from_host kvm_vhe_same_level_interrupt
	from_host kvm_vhe_same_level_serror

	.rept	2				// AArch64, AArch32
	from_guest \history, KVM_VHE_CODE_SYNC
	from_guest \history, KVM_VHE_CODE_IRQ
	from_guest \history, KVM_VHE_CODE_FIQ
	from_guest \history, KVM_VHE_CODE_SERROR
	.endr
	.endm

/* What cannot come from EL2: anything with SP_EL0. */
SYM_CODE_START_LOCAL(kvm_vhe_same_level_fault)
	stp	x0, x1, [sp, #F_SCRATCH]
	stp	x2, x3, [sp, #F_SCRATCH + 16]
	b	kvm_vhe_switch_fault
SYM_CODE_END(kvm_vhe_same_level_fault)

	.align	11
SYM_CODE_START_NOALIGN(kvm_vhe_vectors)
	vectors	plain
	.align	11
	vectors	loop
	.align	11
	vectors	clrbhb
	.align	11
	vectors	wa1
	.align	11
	vectors	wa3
	.align	11
SYM_CODE_END(kvm_vhe_vectors)
