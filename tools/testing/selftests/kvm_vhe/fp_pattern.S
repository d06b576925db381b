/* SPDX-License-Identifier: GPL-2.0 */
/* Patterns in V0-V31, FPSR and FPCR, for the guest and for the test itself. */
#include <asm/unistd.h>

/* Not in a thread's usual way: rounding up, flush to zero; inexact seen. */
#define FPCR_PATTERN	0x01400000
#define FPSR_PATTERN	0x00000010

	.section guest_text, "ax"
	.arch_extension simd

/* fp_fill(x0 seed): each half of each register has its own value. */
	.globl	fp_fill
fp_fill:
	.irp	r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	add	x1, x0, #\r
	ins	v\r\().d[0], x1
	mvn	x1, x1
	ins	v\r\().d[1], x1
	.endr
	mov	x1, #FPCR_PATTERN
	msr	fpcr, x1
	mov	x1, #FPSR_PATTERN
	msr	fpsr, x1
	ret

/* x0 = fp_check(x0 seed): how many differ. */
	.globl	fp_check
fp_check:
	mov	x3, #0
	.irp	r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	add	x1, x0, #\r
	umov	x2, v\r\().d[0]
	cmp	x1, x2
	cinc	x3, x3, ne
	mvn	x1, x1
	umov	x2, v\r\().d[1]
	cmp	x1, x2
	cinc	x3, x3, ne
	.endr
	mov	x1, #FPCR_PATTERN
	mrs	x2, fpcr
	cmp	x1, x2
	cinc	x3, x3, ne
	mov	x1, #FPSR_PATTERN
	mrs	x2, fpsr
	cmp	x1, x2
	cinc	x3, x3, ne
	mov	x0, x3
	ret

/*
 * x0 = fp_around_syscall(x0 number, x1-x3 arguments, x4 seed, x5 where the result
 * goes): the pattern before the system call, checked behind it, where X23 is the seed.
 * For the test only.
 */
	.text
	.globl	fp_around_syscall
fp_around_syscall:
	stp	x29, x30, [sp, #-128]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	d8, d9, [sp, #64]
	stp	d10, d11, [sp, #80]
	stp	d12, d13, [sp, #96]
	stp	d14, d15, [sp, #112]
	mov	x19, x0
	mov	x20, x1
	mov	x21, x2
	mov	x22, x3
	mov	x23, x4
	mov	x24, x5
	mov	x0, x4
	bl	fp_fill
	mov	x8, x19
	mov	x0, x20
	mov	x1, x21
	mov	x2, x22
	svc	#0
	.globl	fp_behind_syscall
fp_behind_syscall:
	str	x0, [x24]
	mov	x0, x23
	bl	fp_check
	msr	fpcr, xzr
	msr	fpsr, xzr
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	d8, d9, [sp, #64]
	ldp	d10, d11, [sp, #80]
	ldp	d12, d13, [sp, #96]
	ldp	d14, d15, [sp, #112]
	ldp	x29, x30, [sp], #128
	ret
