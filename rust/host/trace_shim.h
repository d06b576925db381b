/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What trace.rs calls when an event is on, and the keys by which it knows.
 */
#ifndef KVM_VHE_TRACE_SHIM_H
#define KVM_VHE_TRACE_SHIM_H

#include <linux/tracepoint-defs.h>
#include <linux/types.h>

enum kvm_vhe_exit_reason {
	KVM_VHE_EXIT_TRAP,
	KVM_VHE_EXIT_IRQ,
	KVM_VHE_EXIT_SERROR,
	KVM_VHE_EXIT_ILLEGAL,
};

extern struct tracepoint __tracepoint_vcpu_entry;
extern struct tracepoint __tracepoint_vcpu_exit;
extern struct tracepoint __tracepoint_set_way_flush;
extern struct tracepoint __tracepoint_toggle_cache;
extern struct tracepoint __tracepoint_flush_range;

void kvm_vhe_trace_vcpu_entry(u32 vcpu, u64 pc);
void kvm_vhe_trace_vcpu_exit(u32 vcpu, u32 reason, u64 esr, u64 pc);
void kvm_vhe_trace_set_way_flush(u32 vcpu, u64 pc, bool cached);
void kvm_vhe_trace_toggle_cache(u32 vcpu, u64 pc, bool was, bool now);
void kvm_vhe_trace_flush_range(u64 ipa, u64 bytes);

#endif
