// SPDX-License-Identifier: GPL-2.0
#include <linux/arm-smccc.h>
#include <linux/irqflags.h>
#include <linux/kvm_host.h>
#include <linux/moduleparam.h>
#include <linux/preempt.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <linux/wordpart.h>
#include <asm/barrier.h>
#include <asm/simd.h>
#include <asm/spectre.h>

#include "guest_enter.h"
#include "run_shim.h"

/*
 * Preemption is switched off as well, so that the task stays on its CPU while
 * kvm_vhe_irq_window() has interrupts on.
 *
 * Returns what names the section: the flags as they were, and in the upper half
 * how deep in sections without preemption it is.
 */
unsigned long kvm_vhe_irqs_off(void)
{
	unsigned long flags;

	preempt_disable();
	local_irq_save(flags);
	return flags | (unsigned long)preempt_count() << KVM_VHE_SECTION_DEPTH;
}

void kvm_vhe_irqs_restore(unsigned long section)
{
	unsigned long flags = lower_32_bits(section);

	local_irq_restore(flags);
	preempt_enable();
}

/* The ISB makes the CPU take what is pending before it goes on. */
void kvm_vhe_irq_window(unsigned long section)
{
	unsigned long flags = lower_32_bits(section);

	if (WARN_ON_ONCE(!kvm_vhe_is_innermost(section)))
		return;
	local_irq_restore(flags);
	isb();
	local_irq_disable();
}

void kvm_vhe_prepare_guest_entry(void)
{
	xfer_to_guest_mode_prepare();
}

void kvm_vhe_userspace_exit(void)
{
	rseq_virt_userspace_exit();
}

void kvm_vhe_guest_timing_enter(void)
{
	guest_timing_enter_irqoff();
	rcu_virt_note_context_switch();
}

void kvm_vhe_guest_timing_exit(void)
{
	guest_timing_exit_irqoff();
}

/* Has the full barrier between the state and what the caller then checks. */
void kvm_vhe_prepare_to_block(void)
{
	set_current_state(TASK_INTERRUPTIBLE);
}

void kvm_vhe_finish_block(void)
{
	__set_current_state(TASK_RUNNING);
}

/*
 * The kernel crate's parameters are for loading only; these are C KVM's, which
 * are for those who tune a machine that runs.
 */
#define HALT_POLL_PARAM(name, value, description)			\
	unsigned int kvm_vhe_##name = value;				\
	module_param_named(name, kvm_vhe_##name, uint, 0644);		\
	MODULE_PARM_DESC(name, description)

HALT_POLL_PARAM(halt_poll_ns, 500000,
		"the longest time in ns that a vCPU polls before it sleeps; 0: none");
HALT_POLL_PARAM(halt_poll_ns_grow, 2, "what that time is multiplied by to grow; 0: it does not");
HALT_POLL_PARAM(halt_poll_ns_grow_start, 10000, "the time in ns that it begins with");
HALT_POLL_PARAM(halt_poll_ns_shrink, 2, "what it is divided by to shrink; 0: it becomes 0");

/* What is none of a parameter's values is refused. */
#define POLICY_PARAM(name, value, last, description)				\
	static int set_##name(const char *text, const struct kernel_param *param) \
	{									\
		return param_set_uint_minmax(text, param, 0, last);		\
	}									\
	static const struct kernel_param_ops name##_ops = {			\
		.set = set_##name,						\
		.get = param_get_uint,						\
	};									\
	unsigned int kvm_vhe_##name = value;					\
	module_param_cb(name, &name##_ops, &kvm_vhe_##name, 0644);		\
	MODULE_PARM_DESC(name, description)

POLICY_PARAM(lazy_fp, 2, 2,
	     "FP registers: 0: moved whenever the guest runs; 1: when it uses them; 2: 1 until it does so often");
POLICY_PARAM(lazy_debug, 1, 1,
	     "breakpoint registers: 0: moved whenever the guest runs; 1: when they matter");
POLICY_PARAM(lazy_save, 0, 2,
	     "PIR_EL1, PIRE0_EL1: 0: saved at each put; 1: if a write has trapped; 2: 1 until they often do");

bool kvm_vhe_may_use_fp(void)
{
	return in_task() && may_use_simd();
}

/* The conduit is that of the firmware: none means "not supported", too. */
long kvm_vhe_smccc_arch_feature(u32 function)
{
	struct arm_smccc_res res;

	arm_smccc_1_1_invoke(ARM_SMCCC_ARCH_FEATURES_FUNC_ID, function, &res);
	return (int)res.a0;
}

/* Whether the kernel tells modules; the stock one does not, see Documentation/patches.rst. */
bool kvm_vhe_kernel_spectre_states(struct kvm_vhe_spectre_states *states)
{
#ifdef KVM_VHE_SPECTRE_STATES
	*states = (struct kvm_vhe_spectre_states){
		.v2 = arm64_get_spectre_v2_state(),
		.v4 = arm64_get_spectre_v4_state(),
		.bhb = arm64_get_spectre_bhb_state(),
	};
	BUILD_BUG_ON(SPECTRE_UNAFFECTED != 0 || SPECTRE_MITIGATED != 1 ||
		     SPECTRE_VULNERABLE != 2);
	return true;
#else
	return false;
#endif
}
