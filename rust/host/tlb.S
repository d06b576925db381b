/* SPDX-License-Identifier: GPL-2.0 */
#include <linux/linkage.h>
#include <asm/assembler.h>
#include <asm/sysreg.h>

/*
 * void kvm_vhe_reset_guest_translation(void)
 *
 * Leaves this CPU with no stage 2 and with no translation of any guest in its
 * TLBs: VMIDs are counted from the start each time the module is loaded, and
 * what was there before (an earlier load, the kernel that kexec'ed this one)
 * used the same numbers.
 *
 * VTTBR_EL2 goes first, and takes effect, so that no walk of the old tables can
 * fill the TLBs again behind the invalidation.  TLBI ALLE1 concerns the EL1&0
 * regime of all VMIDs on this CPU and leaves the host's EL2&0 regime alone.
 */
SYM_FUNC_START(kvm_vhe_reset_guest_translation)
	msr	vttbr_el2, xzr
	isb
	tlbi	alle1
	dsb	nsh
	isb
	ret
SYM_FUNC_END(kvm_vhe_reset_guest_translation)
