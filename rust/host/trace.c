// SPDX-License-Identifier: GPL-2.0
#include "trace_shim.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

void kvm_vhe_trace_vcpu_entry(u32 vcpu, u64 pc)
{
	trace_vcpu_entry(vcpu, pc);
}

void kvm_vhe_trace_vcpu_exit(u32 vcpu, u32 reason, u64 esr, u64 pc)
{
	trace_vcpu_exit(vcpu, reason, esr, pc);
}

void kvm_vhe_trace_set_way_flush(u32 vcpu, u64 pc, bool cached)
{
	trace_set_way_flush(vcpu, pc, cached);
}

void kvm_vhe_trace_toggle_cache(u32 vcpu, u64 pc, bool was, bool now)
{
	trace_toggle_cache(vcpu, pc, was, now);
}

void kvm_vhe_trace_flush_range(u64 ipa, u64 bytes)
{
	trace_flush_range(ipa, bytes);
}
