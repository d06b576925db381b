/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Into the guest and back out of it.
 */
#ifndef KVM_VHE_GUEST_ENTER_H
#define KVM_VHE_GUEST_ENTER_H

#include <linux/compiler.h>
#include <linux/linkage.h>
#include <linux/preempt.h>
#include <linux/types.h>

/* The assembly that enters the guest and returns when it is left. */
asmlinkage u64 kvm_vhe_enter(void *context);

u64 kvm_vhe_run_guest(void *context, unsigned long section);

/* Where what kvm_vhe_irqs_off() returns has the depth of the section. */
#define KVM_VHE_SECTION_DEPTH	32

/*
 * Whether nothing that has begun in a section with interrupts off goes on: neither
 * another one in it, nor a spinlock's.
 */
static __always_inline bool kvm_vhe_is_innermost(unsigned long section)
{
	return section >> KVM_VHE_SECTION_DEPTH == preempt_count();
}

asmlinkage void __noreturn kvm_vhe_switch_panic(u64 esr, u64 elr, u64 far, u64 spsr);

#endif
