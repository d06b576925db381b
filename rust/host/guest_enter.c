// SPDX-License-Identifier: GPL-2.0
/*
 * Into a guest and out of it, as Linux is told of it.
 */
#include <linux/context_tracking.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/panic.h>
#include <asm/barrier.h>
#include <asm/daifflags.h>
#include <asm/esr.h>
#include <kvm_vhe_switch.h>

#include "guest_enter.h"

/*
 * Between the two, RCU does not watch this CPU and may take it for one in user
 * space: no code that is traced or instrumented, nothing that uses RCU.  That
 * is why all of it is one function here, outside of instrumentation, and Rust
 * code, which knows no such section, only calls it.
 *
 * RCU is not told of a quiescent state here, each time, but once in each series
 * of entries: an interrupt ends the series before RCU can miss it.
 *
 * The section is the one with interrupts off that this is called in. While an inner
 * one goes on, the guest is not entered: its owner counts on RCU.
 *
 * The world switch runs with all exceptions masked.  Afterwards PSTATE.D is as
 * it was, so that the caller can have debug registers in the CPU that are not
 * the host's.
 */
noinstr u64 kvm_vhe_run_guest(void *context, unsigned long section)
{
	unsigned long debug = read_sysreg(daif) & PSR_D_BIT;
	u64 code;

	instrumentation_begin();
	if (WARN_ON_ONCE(!kvm_vhe_is_innermost(section))) {
		instrumentation_end();
		return KVM_VHE_CODE_IRQ;
	}
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();
	context_tracking_guest_enter();
	lockdep_hardirqs_on(CALLER_ADDR0);
	local_daif_mask();
	/*
	 * Where the kernel masks interrupts by priority (pseudo-NMIs), they are let
	 * through again by now, or none would end the guest's run. The GIC is to
	 * know that before the guest is entered.
	 */
	pmr_sync();

	code = kvm_vhe_enter(context);

	local_daif_restore(DAIF_PROCCTX_NOIRQ | debug);
	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();
	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();

	return code;
}

/* From the world switch, with the host's state restored as far as it goes. */
asmlinkage void __noreturn kvm_vhe_switch_panic(u64 esr, u64 elr, u64 far, u64 spsr)
{
	panic("kvm_vhe: exception in the world switch: ESR_EL2 %#llx ELR_EL2 %pS FAR_EL2 %#llx SPSR_EL2 %#llx\n",
	      esr, (void *)elr, far, spsr);
}
