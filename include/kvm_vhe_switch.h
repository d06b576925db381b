/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the world switch's assembly and kvm_host share: the layout of struct
 * SwitchContext, which rust/host/switch.rs checks against these numbers.
 */
#ifndef KVM_VHE_SWITCH_H
#define KVM_VHE_SWITCH_H

/* Offsets in bytes. X0 to X30 come first. */
#define KVM_VHE_CTX_PC		248
#define KVM_VHE_CTX_PSTATE	256
#define KVM_VHE_CTX_ESR		264
#define KVM_VHE_CTX_FAR		272
#define KVM_VHE_CTX_HPFAR	280
#define KVM_VHE_CTX_DISR	288
#define KVM_VHE_CTX_HCR		296
#define KVM_VHE_CTX_CPTR	304
#define KVM_VHE_CTX_VBAR	312
#define KVM_VHE_CTX_HOST_HCR	320
#define KVM_VHE_CTX_HOST_VBAR	328
#define KVM_VHE_CTX_FLAGS	336
#define KVM_VHE_CTX_BHB_LOOPS	344
#define KVM_VHE_CTX_REGS	352

/* Indices of the registers in KVM_VHE_CTX_REGS that the assembly moves. */
#define KVM_VHE_REG_SP_EL0	171
#define KVM_VHE_REG_APIAKEYLO	159

/* Bits of KVM_VHE_CTX_FLAGS. */
#define KVM_VHE_FLAG_PAUTH_BIT	0

/* What kvm_vhe_enter() returns: why the guest was left, ... */
#define KVM_VHE_CODE_SYNC	0
#define KVM_VHE_CODE_IRQ	1
#define KVM_VHE_CODE_FIQ	2
#define KVM_VHE_CODE_SERROR	3
#define KVM_VHE_CODE_ILLEGAL	4
/* ... and that an SError became pending before the host was back. */
#define KVM_VHE_CODE_PENDING_SERROR_BIT	8

/* The sets of vectors, by what they do against speculation; see entry.S. */
#define KVM_VHE_VECTORS_PLAIN	0
#define KVM_VHE_VECTORS_LOOP	1
#define KVM_VHE_VECTORS_CLRBHB	2
#define KVM_VHE_VECTORS_WA1	3
#define KVM_VHE_VECTORS_WA3	4
#define KVM_VHE_VECTORS_COUNT	5
#define KVM_VHE_VECTORS_SIZE	2048

#endif
