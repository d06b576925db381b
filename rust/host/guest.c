// SPDX-License-Identifier: GPL-2.0
/*
 * What Linux wants to be told when a CPU goes into a guest and comes back: RCU,
 * context tracking, time accounting, lockdep and the tracing of interrupts.
 */
#include <linux/context_tracking.h>
#include <linux/entry-virt.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/panic.h>
#include <linux/rcupdate.h>
#include <linux/rseq.h>
#include <linux/vtime.h>
#include <asm/daifflags.h>
#include <asm/esr.h>

#include <kvm_vhe_switch.h>
#include "shim.h"

/*
 * Runs the guest until its next exit, unless the task has something else to do
 * first.  Interrupts are off.
 *
 * PSTATE.D stays as it was, so that the caller can have debug registers in the
 * CPU that are not the host's.
 */
noinstr u64 kvm_vhe_run_guest(void *ctx)
{
	unsigned long debug;
	u64 code;

	if (unlikely(__xfer_to_guest_mode_work_pending()))
		return KVM_VHE_EXIT_NOT_ENTERED;

	debug = read_sysreg(daif) & PSR_D_BIT;

	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();
	context_tracking_guest_enter();
	lockdep_hardirqs_on(CALLER_ADDR0);
	local_daif_mask();

	code = kvm_vhe_enter(ctx);

	local_daif_restore(DAIF_PROCCTX_NOIRQ | debug);
	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();
	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();

	return code;
}

/*
 * Around a series of entries with interrupts off: the time from here on is the
 * guest's, and RCU may take it for a quiescent state, as it does with user mode.
 */
void kvm_vhe_guest_begin(void)
{
	xfer_to_guest_mode_prepare();
	vtime_account_guest_enter();
	rcu_virt_note_context_switch();
}

/*
 * The end of such a series.  An interrupt that ended it is taken here, so that
 * the tick that it may be is the guest's.
 */
void kvm_vhe_guest_end(void)
{
	local_irq_enable();
	/* An interrupt can be taken before the next instruction. */
	isb();
	local_irq_disable();
	vtime_account_guest_exit();
	local_irq_enable();
}

int kvm_vhe_handle_task_work(void)
{
	return xfer_to_guest_mode_handle_work();
}

void kvm_vhe_rseq_leave(void)
{
	rseq_virt_userspace_exit();
}

void kvm_vhe_irq_disable(void)
{
	local_irq_disable();
}

void kvm_vhe_irq_enable(void)
{
	local_irq_enable();
}

/* From the world switch, with the host's state restored as far as it goes. */
void __noreturn kvm_vhe_switch_panic(u64 esr, u64 elr, u64 far, u64 spsr)
{
	panic("kvm_vhe: exception in the world switch: ESR_EL2 %#llx (%#llx) ELR_EL2 %pS FAR_EL2 %#llx SPSR_EL2 %#llx\n",
	      esr, ESR_ELx_EC(esr), (void *)elr, far, spsr);
}
