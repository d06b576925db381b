/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's inlines and macros that a vCPU's run loop needs.
 */
#ifndef KVM_VHE_RUN_SHIM_H
#define KVM_VHE_RUN_SHIM_H

#include <linux/entry-virt.h>
#include <linux/types.h>
#include <asm/thread_info.h>

/* Thread flags as numbers, which bindgen does not get from the macros. */
enum kvm_vhe_thread_flags {
	KVM_VHE_XFER_TO_GUEST_WORK = XFER_TO_GUEST_MODE_WORK,
	KVM_VHE_WANTED = _TIF_NEED_RESCHED | _TIF_NEED_RESCHED_LAZY | _TIF_SIGPENDING |
			 _TIF_NOTIFY_SIGNAL,
	KVM_VHE_TIF_KERNEL_FPSTATE = 1 << TIF_KERNEL_FPSTATE,
};

/* irqs.rs */
unsigned long kvm_vhe_irqs_off(void);
void kvm_vhe_irqs_restore(unsigned long section);
void kvm_vhe_irq_window(unsigned long section);

/* task_work.rs */
void kvm_vhe_prepare_guest_entry(void);
void kvm_vhe_userspace_exit(void);

/* guest_time.rs */
void kvm_vhe_guest_timing_enter(void);
void kvm_vhe_guest_timing_exit(void);

/* kick.rs */
void kvm_vhe_prepare_to_block(void);
void kvm_vhe_finish_block(void);

/* halt_poll.rs */
extern unsigned int kvm_vhe_halt_poll_ns, kvm_vhe_halt_poll_ns_grow;
extern unsigned int kvm_vhe_halt_poll_ns_grow_start, kvm_vhe_halt_poll_ns_shrink;

/* lazy.rs */
extern unsigned int kvm_vhe_lazy_fp, kvm_vhe_lazy_debug, kvm_vhe_lazy_save;

/* neon.rs; fpsimd.S */
bool kvm_vhe_may_use_fp(void);
void kvm_vhe_fp_load(const void *state);
void kvm_vhe_fp_save(void *state);

/* hardening.rs */
long kvm_vhe_smccc_arch_feature(u32 function);
struct kvm_vhe_spectre_states {
	u32 v2, v4, bhb;	/* 0 unaffected, 1 mitigated, 2 vulnerable */
};
bool kvm_vhe_kernel_spectre_states(struct kvm_vhe_spectre_states *states);

#endif
