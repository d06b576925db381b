/* SPDX-License-Identifier: GPL-2.0 */
/* The guest's exception vectors and where it starts; guest.h has the memory's layout. */
#include "guest.h"

#define FRAME	(34 * 8)

	.section guest_text, "ax"
	.balign 4096
	.globl guest_vectors
guest_vectors:
	.set	vector, 0
	.rept	16
	.balign	128
	sub	sp, sp, #FRAME
	stp	x0, x1, [sp]
	mov	x1, #vector
	b	exception
	.set	vector, vector + 1
	.endr

	.balign	128
exception:
	stp	x2, x3, [sp, #16 * 1]
	stp	x4, x5, [sp, #16 * 2]
	stp	x6, x7, [sp, #16 * 3]
	stp	x8, x9, [sp, #16 * 4]
	stp	x10, x11, [sp, #16 * 5]
	stp	x12, x13, [sp, #16 * 6]
	stp	x14, x15, [sp, #16 * 7]
	stp	x16, x17, [sp, #16 * 8]
	stp	x18, x19, [sp, #16 * 9]
	stp	x20, x21, [sp, #16 * 10]
	stp	x22, x23, [sp, #16 * 11]
	stp	x24, x25, [sp, #16 * 12]
	stp	x26, x27, [sp, #16 * 13]
	stp	x28, x29, [sp, #16 * 14]
	mrs	x2, elr_el1
	mrs	x3, spsr_el1
	stp	x30, x2, [sp, #16 * 15]
	stp	x3, x1, [sp, #16 * 16]
	mov	x0, sp
	bl	guest_exception
	ldp	x30, x2, [sp, #16 * 15]
	ldr	x3, [sp, #16 * 16]
	msr	elr_el1, x2
	msr	spsr_el1, x3
	ldp	x0, x1, [sp]
	ldp	x2, x3, [sp, #16 * 1]
	ldp	x4, x5, [sp, #16 * 2]
	ldp	x6, x7, [sp, #16 * 3]
	ldp	x8, x9, [sp, #16 * 4]
	ldp	x10, x11, [sp, #16 * 5]
	ldp	x12, x13, [sp, #16 * 6]
	ldp	x14, x15, [sp, #16 * 7]
	ldp	x16, x17, [sp, #16 * 8]
	ldp	x18, x19, [sp, #16 * 9]
	ldp	x20, x21, [sp, #16 * 10]
	ldp	x22, x23, [sp, #16 * 11]
	ldp	x24, x25, [sp, #16 * 12]
	ldp	x26, x27, [sp, #16 * 13]
	ldp	x28, x29, [sp, #16 * 14]
	add	sp, sp, #FRAME
	eret

/* x0 is the function's argument, x1 the function. */
	.globl guest_entry
guest_entry:
	blr	x1
	mov	x1, #GUEST_MMIO
	str	x0, [x1, #8 * GUEST_SAY_DONE]
1:	wfi
	b	1b

/* Where CPU_ON starts a vCPU, with its area's address as the context. MMU off. */
	.globl guest_secondary
guest_secondary:
	add	sp, x0, #GUEST_AREA_SIZE
	adr	x1, guest_vectors
	msr	vbar_el1, x1
	isb
	ldr	x1, [x0, #GUEST_AREA_ENTRY]
	ldr	x0, [x0, #GUEST_AREA_ARG]
	b	guest_entry

/* Where a function at EL0 returns to. */
	.globl guest_el0_end
guest_el0_end:
	svc	#0x7e57
	b	.

/*
 * x0 = guest_el0(x0 function, x1 argument): saves what a function must, then goes
 * to EL0. guest_exception() comes back to guest_el0_back on the svc above.
 */
	.globl guest_el0
guest_el0:
	stp	x29, x30, [sp, #-96]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	mov	x2, sp
	mov	x3, #GUEST_EL0
	and	x4, x2, #~(GUEST_AREA_SIZE - 1)
	adr	x5, guest_el0_back
	str	x5, [x4, #GUEST_AREA_EL0_RETURN]
	sub	x6, x2, #0x3000
	add	x6, x6, x3
	msr	sp_el0, x6
	add	x0, x0, x3
	msr	elr_el1, x0
	mov	x5, #0x3c0
	msr	spsr_el1, x5
	adr	x30, guest_el0_end
	add	x30, x30, x3
	mov	x0, x1
	eret
guest_el0_back:
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	x29, x30, [sp], #96
	ret

/* x0 = guest_execute(w0 instruction, x1 argument) */
	.globl guest_execute
guest_execute:
	mov	x2, sp
	sub	x2, x2, #1
	and	x2, x2, #~(GUEST_AREA_SIZE - 1)
	mov	x3, #GUEST_AREA_CODE
	add	x2, x2, x3
	movz	w3, #0x03c0
	movk	w3, #0xd65f, lsl #16	/* ret */
	stp	w0, w3, [x2]
	dc	cvau, x2
	dsb	ish
	ic	ivau, x2
	dsb	ish
	isb
	mov	x0, x1
	br	x2
