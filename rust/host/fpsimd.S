/* SPDX-License-Identifier: GPL-2.0 */
#include <linux/linkage.h>
#include <asm/assembler.h>

/*
 * The floating-point and SIMD registers, to and from a struct user_fpsimd_state:
 * V0 to V31, FPSR and FPCR.  Arm ARM DDI 0487, "SIMD and floating-point registers".
 *
 * The kernel is compiled without the use of these registers, so no compiler need
 * be told that they change.
 */
#define FPSR_OFFSET	(32 * 16)
#define FPCR_OFFSET	(FPSR_OFFSET + 4)

.macro	all_vectors insn
	\insn	q0, q1, [x0, #(0 * 16)]
	\insn	q2, q3, [x0, #(2 * 16)]
	\insn	q4, q5, [x0, #(4 * 16)]
	\insn	q6, q7, [x0, #(6 * 16)]
	\insn	q8, q9, [x0, #(8 * 16)]
	\insn	q10, q11, [x0, #(10 * 16)]
	\insn	q12, q13, [x0, #(12 * 16)]
	\insn	q14, q15, [x0, #(14 * 16)]
	\insn	q16, q17, [x0, #(16 * 16)]
	\insn	q18, q19, [x0, #(18 * 16)]
	\insn	q20, q21, [x0, #(20 * 16)]
	\insn	q22, q23, [x0, #(22 * 16)]
	\insn	q24, q25, [x0, #(24 * 16)]
	\insn	q26, q27, [x0, #(26 * 16)]
	\insn	q28, q29, [x0, #(28 * 16)]
	\insn	q30, q31, [x0, #(30 * 16)]
.endm

/* void kvm_vhe_fp_load(const void *state) */
SYM_FUNC_START(kvm_vhe_fp_load)
	all_vectors ldp
	ldr	w1, [x0, #FPSR_OFFSET]
	ldr	w2, [x0, #FPCR_OFFSET]
	msr	fpsr, x1
	msr	fpcr, x2
	ret
SYM_FUNC_END(kvm_vhe_fp_load)

/* void kvm_vhe_fp_save(void *state) */
SYM_FUNC_START(kvm_vhe_fp_save)
	all_vectors stp
	mrs	x1, fpsr
	mrs	x2, fpcr
	str	w1, [x0, #FPSR_OFFSET]
	str	w2, [x0, #FPCR_OFFSET]
	ret
SYM_FUNC_END(kvm_vhe_fp_save)
