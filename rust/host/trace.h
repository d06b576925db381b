/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events, /sys/kernel/tracing/events/kvm_vhe.  Read more than once, see
 * linux/tracepoint.h; trace.rs has the Rust side.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvm_vhe

#if !defined(KVM_VHE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KVM_VHE_TRACE_H

#include <linux/tracepoint.h>

#include "trace_shim.h"

/* ESR_ELx.EC.  Arm ARM DDI 0487, "ESR_EL2". */
#define kvm_vhe_exception_classes		\
	{ 0x00, "unknown" },			\
	{ 0x01, "wfx" },			\
	{ 0x03, "cp15" },			\
	{ 0x04, "cp15-64" },			\
	{ 0x05, "cp14" },			\
	{ 0x06, "cp14-dt" },			\
	{ 0x07, "fp" },				\
	{ 0x08, "cp10-id" },			\
	{ 0x09, "pauth" },			\
	{ 0x0c, "cp14-64" },			\
	{ 0x0e, "illegal-state" },		\
	{ 0x11, "svc32" },			\
	{ 0x12, "hvc32" },			\
	{ 0x13, "smc32" },			\
	{ 0x15, "svc" },			\
	{ 0x16, "hvc" },			\
	{ 0x17, "smc" },			\
	{ 0x18, "sysreg" },			\
	{ 0x19, "sve" },			\
	{ 0x1a, "eret" },			\
	{ 0x1d, "sme" },			\
	{ 0x20, "insn-abort" },			\
	{ 0x24, "data-abort" },			\
	{ 0x30, "breakpoint" },			\
	{ 0x32, "step" },			\
	{ 0x34, "watchpoint" },			\
	{ 0x38, "bkpt32" },			\
	{ 0x3a, "vector-catch" },		\
	{ 0x3c, "brk" }

#define kvm_vhe_exit_reasons			\
	{ KVM_VHE_EXIT_TRAP, "trap" },		\
	{ KVM_VHE_EXIT_IRQ, "irq" },		\
	{ KVM_VHE_EXIT_SERROR, "serror" },	\
	{ KVM_VHE_EXIT_ILLEGAL, "illegal" }

TRACE_EVENT(vcpu_entry,
	TP_PROTO(u32 vcpu, u64 pc),
	TP_ARGS(vcpu, pc),

	TP_STRUCT__entry(
		__field(u64, pc)
		__field(u32, vcpu)
	),

	TP_fast_assign(
		__entry->pc = pc;
		__entry->vcpu = vcpu;
	),

	TP_printk("vcpu %u pc 0x%016llx", __entry->vcpu, __entry->pc)
);

TRACE_EVENT(vcpu_exit,
	TP_PROTO(u32 vcpu, u32 reason, u64 esr, u64 pc),
	TP_ARGS(vcpu, reason, esr, pc),

	TP_STRUCT__entry(
		__field(u64, esr)
		__field(u64, pc)
		__field(u32, vcpu)
		__field(u32, reason)
	),

	TP_fast_assign(
		__entry->esr = esr;
		__entry->pc = pc;
		__entry->vcpu = vcpu;
		__entry->reason = reason;
	),

	TP_printk("vcpu %u %s esr 0x%09llx (%s) pc 0x%016llx", __entry->vcpu,
		  __print_symbolic(__entry->reason, kvm_vhe_exit_reasons),
		  __entry->esr,
		  __print_symbolic((__entry->esr >> 26) & 0x3f,
				   kvm_vhe_exception_classes),
		  __entry->pc)
);

TRACE_EVENT(set_way_flush,
	TP_PROTO(u32 vcpu, u64 pc, bool cached),
	TP_ARGS(vcpu, pc, cached),

	TP_STRUCT__entry(
		__field(u64, pc)
		__field(u32, vcpu)
		__field(bool, cached)
	),

	TP_fast_assign(
		__entry->pc = pc;
		__entry->vcpu = vcpu;
		__entry->cached = cached;
	),

	TP_printk("vcpu %u pc 0x%016llx caches %s", __entry->vcpu, __entry->pc,
		  __entry->cached ? "on" : "off")
);

TRACE_EVENT(toggle_cache,
	TP_PROTO(u32 vcpu, u64 pc, bool was, bool now),
	TP_ARGS(vcpu, pc, was, now),

	TP_STRUCT__entry(
		__field(u64, pc)
		__field(u32, vcpu)
		__field(bool, was)
		__field(bool, now)
	),

	TP_fast_assign(
		__entry->pc = pc;
		__entry->vcpu = vcpu;
		__entry->was = was;
		__entry->now = now;
	),

	TP_printk("vcpu %u pc 0x%016llx caches %s -> %s", __entry->vcpu,
		  __entry->pc, __entry->was ? "on" : "off",
		  __entry->now ? "on" : "off")
);

TRACE_EVENT(flush_range,
	TP_PROTO(u64 ipa, u64 bytes),
	TP_ARGS(ipa, bytes),

	TP_STRUCT__entry(
		__field(u64, ipa)
		__field(u64, bytes)
	),

	TP_fast_assign(
		__entry->ipa = ipa;
		__entry->bytes = bytes;
	),

	TP_printk("ipa 0x%llx bytes 0x%llx", __entry->ipa, __entry->bytes)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
