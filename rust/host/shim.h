/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's inlines and macros that Rust cannot call and that the kernel
 * crate has no helper for.
 */
#ifndef KVM_VHE_SHIM_H
#define KVM_VHE_SHIM_H

#include <linux/compiler.h>
#include <linux/types.h>

bool kvm_vhe_is_compat_task(void);
void kvm_vhe_preempt_disable(void);
void kvm_vhe_preempt_enable(void);
void *kvm_vhe_per_cpu_ptr(void *base, unsigned int cpu);

/* guest.c */
u64 kvm_vhe_run_guest(void *ctx);
void kvm_vhe_guest_begin(void);
void kvm_vhe_guest_end(void);
int kvm_vhe_handle_task_work(void);
void kvm_vhe_rseq_leave(void);
void kvm_vhe_irq_disable(void);
void kvm_vhe_irq_enable(void);
void __noreturn kvm_vhe_switch_panic(u64 esr, u64 elr, u64 far, u64 spsr);

/* entry.S */
u64 kvm_vhe_enter(void *ctx);
extern const char kvm_vhe_vectors[];

/* tlb.S */
void kvm_vhe_reset_guest_translation(void);

#endif
