/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writing HCR_EL2, for assembly.
 */
#ifndef KVM_VHE_HCR_H
#define KVM_VHE_HCR_H

#include <asm/alternative.h>
#include <asm/cpucaps.h>

/*
 * On CPUs with AmpereOne's erratum AC04_CPU_23 a write of HCR_EL2 may corrupt the
 * translation of loads and stores around it: those before it are to be complete,
 * and those after it behind an ISB. Others have no more than two NOPs.
 */
	.macro	write_hcr_el2, reg
#ifdef ARM64_WORKAROUND_AMPERE_AC04_CPU_23
alternative_if_not ARM64_WORKAROUND_AMPERE_AC04_CPU_23
	msr	hcr_el2, \reg
	nop
	nop
alternative_else
	dsb	nsh
	msr	hcr_el2, \reg
	isb
alternative_endif
#else
	msr	hcr_el2, \reg
#endif
	.endm

#endif
