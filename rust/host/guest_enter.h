/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Into the guest and back out of it.
 */
#ifndef KVM_VHE_GUEST_ENTER_H
#define KVM_VHE_GUEST_ENTER_H

#include <linux/compiler.h>
#include <linux/linkage.h>
#include <linux/types.h>

/* The assembly that enters the guest and returns when it is left. */
asmlinkage u64 kvm_vhe_enter(void *context);

u64 kvm_vhe_run_guest(void *context);

asmlinkage void __noreturn kvm_vhe_switch_panic(u64 esr, u64 elr, u64 far, u64 spsr);

#endif
