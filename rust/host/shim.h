/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's inlines and macros that Rust cannot call and that the kernel
 * crate has no helper for.
 */
#ifndef KVM_VHE_SHIM_H
#define KVM_VHE_SHIM_H

#include <linux/types.h>

bool kvm_vhe_is_compat_task(void);
void kvm_vhe_preempt_disable(void);
void kvm_vhe_preempt_enable(void);
void *kvm_vhe_per_cpu_ptr(void *base, unsigned int cpu);

/* tlb.S */
void kvm_vhe_reset_guest_translation(void);

#endif
