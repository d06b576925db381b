// SPDX-License-Identifier: GPL-2.0
#include <linux/compat.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/preempt.h>

#include <kvm_vhe.h>
#include "shim.h"

/* module! of the kernel crate knows no version. */
MODULE_VERSION(KVM_VHE_VERSION);

bool kvm_vhe_is_compat_task(void)
{
	return is_compat_task();
}

void kvm_vhe_preempt_disable(void)
{
	preempt_disable();
}

void kvm_vhe_preempt_enable(void)
{
	preempt_enable();
}

void *kvm_vhe_per_cpu_ptr(void *base, unsigned int cpu)
{
	return per_cpu_ptr((void __percpu *)base, cpu);
}
