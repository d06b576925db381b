/* SPDX-License-Identifier: GPL-2.0 */
#include <linux/linkage.h>
#include <asm/asm-extable.h>
#include <asm/assembler.h>

/*
 * unsigned long kvm_vhe_dcache_clean_inval(unsigned long start,
 *					    unsigned long end,
 *					    unsigned long line)
 *
 * Cleans and invalidates the data cache to the point of coherency by virtual
 * address, from start, which is aligned to a line, up to end.  line is the size
 * in bytes of the smallest line in the system.
 *
 * Returns zero, or the address that is not mapped: memory may have been taken
 * out of the linear map.  What was cleaned before it is complete, too.
 */
SYM_FUNC_START(kvm_vhe_dcache_clean_inval)
0:	cmp	x0, x1
	b.hs	2f
1:	dc	civac, x0
	_asm_extable_uaccess	1b, 3f
	add	x0, x0, x2
	b	0b
2:	mov	x0, xzr
3:	dsb	sy
	ret
SYM_FUNC_END(kvm_vhe_dcache_clean_inval)

/*
 * void kvm_vhe_icache_inval_all(void)
 *
 * Invalidates the instruction caches of all CPUs.
 */
SYM_FUNC_START(kvm_vhe_icache_inval_all)
	ic	ialluis
	dsb	ish
	isb
	ret
SYM_FUNC_END(kvm_vhe_icache_inval_all)
