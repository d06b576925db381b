// SPDX-License-Identifier: GPL-2.0
#include <linux/compat.h>
#include <linux/cpumask.h>
#include <linux/hugetlb.h>
#include <linux/fs.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/percpu.h>
#include <linux/pgtable.h>
#include <linux/preempt.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>
#include <linux/version.h>
#include <linux/sched.h>
#include <linux/vmstat.h>
#include <asm/memory.h>

#include <asm/arch_timer.h>
#include <asm/debug-monitors.h>
#include <asm/processor.h>
#include <asm/traps.h>

#include <kvm_vhe.h>
#include "shim.h"

/* module! of the kernel crate knows no version. */
MODULE_VERSION(KVM_VHE_VERSION);

/* A macro where there is lockdep. */
int kvm_vhe_mutex_lock_killable(struct mutex *mutex)
{
	return mutex_lock_killable(mutex);
}

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

DEFINE_PER_CPU(const void *, kvm_vhe_loaded_registers);

void kvm_vhe_set_loaded_here(const void *registers)
{
	raw_cpu_write(kvm_vhe_loaded_registers, registers);
}

/* For who stays on its CPU. */
bool kvm_vhe_warn_unless_loaded_here(const void *registers)
{
	return WARN_ONCE(raw_cpu_read(kvm_vhe_loaded_registers) != registers,
			 "kvm_vhe: a vCPU's registers are asked for that this CPU does not have\n");
}

void kvm_vhe_get_page(struct page *page)
{
	get_page(page);
}

void kvm_vhe_put_page(struct page *page)
{
	put_page(page);
}

/*
 * Reserved pages are their owner's: those of a device with memory of its own,
 * and the page of zeroes.
 */
void kvm_vhe_set_page_dirty(struct page *page)
{
	if (!PageReserved(page) && !folio_test_dirty(page_folio(page)))
		SetPageDirty(page);
}

void kvm_vhe_mark_page_accessed(struct page *page)
{
	if (!PageReserved(page))
		mark_page_accessed(page);
}

phys_addr_t kvm_vhe_page_to_phys(struct page *page)
{
	return page_to_phys(page);
}

/* The size of all that a reference on a page keeps. */
unsigned long kvm_vhe_folio_size(struct page *page)
{
	return folio_size(page_folio(page));
}

/* Any address may be asked for: NULL where no memory is. */
struct page *kvm_vhe_phys_to_page(phys_addr_t phys)
{
	unsigned long pfn = PHYS_PFN(phys);

	return pfn_valid(pfn) ? pfn_to_page(pfn) : NULL;
}

struct page *kvm_vhe_virt_to_page(void *virt)
{
	return virt_to_page(virt);
}

void *kvm_vhe_page_to_virt(struct page *page)
{
	return page_address(page);
}

/*
 * The address in the linear map of memory, a device's included that has struct
 * pages and is accessed like other memory: what file systems map with DAX.  Any
 * address may be asked for: NULL where there is none.
 */
void *kvm_vhe_memory_to_virt(phys_addr_t phys)
{
	struct page *page;

	if (pfn_is_map_memory(PHYS_PFN(phys)))
		return phys_to_virt(phys);
	page = kvm_vhe_phys_to_page(phys);
	if (!page || !is_zone_device_page(page) ||
	    is_device_private_page(page) || is_pci_p2pdma_page(page))
		return NULL;
	return phys_to_virt(phys);
}

unsigned long kvm_vhe_page_private(struct page *page)
{
	return READ_ONCE(page->private);
}

void kvm_vhe_set_page_private(struct page *page, unsigned long private)
{
	WRITE_ONCE(page->private, private);
}

/* Whether it was the old value, which is the new one now. */
bool kvm_vhe_take_page_private(struct page *page, unsigned long old,
			       unsigned long new)
{
	return cmpxchg(&page->private, old, new) == old;
}

static void free_pages_of(struct rcu_head *head)
{
	struct page *page = container_of(head, struct page, rcu_head);
	unsigned int order = page_private(page);

	set_page_private(page, 0);
	__free_pages(page, order);
}

/*
 * Frees pages when all who may look at them under RCU have ended.  Which field of
 * struct page says the order meanwhile must be none of struct rcu_head's.
 */
void kvm_vhe_free_pages_after_readers(struct page *page, unsigned int order)
{
	BUILD_BUG_ON(offsetof(struct page, private) <
		     offsetofend(struct page, rcu_head));
	WRITE_ONCE(page->private, order);
	call_rcu(&page->rcu_head, free_pages_of);
}

void kvm_vhe_count_table_pages(struct page *page, int pages)
{
	mod_lruvec_page_state(page, NR_SECONDARY_PAGETABLE, pages);
}

bool kvm_vhe_may_map_uncached(struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_ALLOW_ANY_UNCACHED;
}

unsigned long kvm_vhe_vma_page_size(struct vm_area_struct *vma)
{
	return vma_kernel_pagesize(vma);
}

/*
 * The logarithm of the size of what the current process's tables map at an
 * address in one entry, zero for nothing.  With interrupts off no table that is
 * being looked at is freed.
 */
unsigned int kvm_vhe_user_mapping_shift(unsigned long address)
{
	unsigned int shift = 0;
	unsigned long flags;
	pgd_t *pgdp, pgd;
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t pmd;

	if (!current->mm || address >= TASK_SIZE)
		return 0;

	local_irq_save(flags);

	pgdp = pgd_offset(current->mm, address);
	pgd = READ_ONCE(*pgdp);
	if (pgd_none(pgd))
		goto out;

	p4dp = p4d_offset_lockless(pgdp, pgd, address);
	p4d = READ_ONCE(*p4dp);
	if (p4d_none(p4d))
		goto out;

	pudp = pud_offset_lockless(p4dp, p4d, address);
	pud = READ_ONCE(*pudp);
	if (!pud_present(pud))
		goto out;
	if (pud_leaf(pud)) {
		shift = PUD_SHIFT;
		goto out;
	}

	pmd = READ_ONCE(*pmd_offset_lockless(pudp, pud, address));
	if (pmd_present(pmd))
		shift = pmd_leaf(pmd) ? PMD_SHIFT : PAGE_SHIFT;
out:
	local_irq_restore(flags);
	return shift;
}

u64 kvm_vhe_task_size_max(void)
{
	return TASK_SIZE_MAX;
}

/* The host's counter, with its errata's workarounds. */
u64 kvm_vhe_counter(void)
{
	return arch_timer_read_counter();
}

u64 kvm_vhe_random(void)
{
	return get_random_u64();
}

bool kvm_vhe_wall_and_counter(u64 *wall, u64 *counter)
{
	struct system_time_snapshot now;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	ktime_get_snapshot_id(CLOCK_REALTIME, &now);
	*wall = ktime_to_ns(now.systime);
	if (!now.valid)
		return false;
#else
	ktime_get_snapshot(&now);
	*wall = ktime_to_ns(now.real);
#endif
	*counter = now.cycles;
	return now.cs_id == CSID_ARM_ARCH_COUNTER;
}

u64 kvm_vhe_run_delay(void)
{
	return READ_ONCE(current->sched_info.run_delay);
}

/* Where the Arm ARM has a generic routine, so does the kernel. */
void kvm_vhe_rewind_memory_copy(u64 *gprs, u64 *pc, u64 *pstate, u64 esr)
{
	struct user_pt_regs regs = { .pc = *pc, .pstate = *pstate };

	memcpy(regs.regs, gprs, sizeof(regs.regs));
	arm64_mops_reset_regs(&regs, esr);
	memcpy(gprs, regs.regs, sizeof(regs.regs));
	*pc = regs.pc;
	/* A software step ends here, before the prologue. */
	*pstate &= ~DBG_SPSR_SS;
}

/* pread() at any place; FMODE_PREAD is a cast that bindgen does not see through. */
void kvm_vhe_allow_pread(struct file *file)
{
	file->f_mode |= FMODE_PREAD;
}

/* Whether a CPU's CTR_EL0 is not the system's, so that EL0's reads of it trap. */
bool kvm_vhe_mismatched_caches(void)
{
	return cpus_have_final_cap(ARM64_MISMATCHED_CACHE_TYPE);
}

bool kvm_vhe_access_flag_erratum(void)
{
	return cpus_have_final_cap(ARM64_WORKAROUND_AMPERE_AC03_CPU_38);
}

/* The name before it was changed. */
#ifndef ARM64_HAS_BBML3
#define ARM64_HAS_BBML3 ARM64_HAS_BBML2_NOABORT
#endif

bool kvm_vhe_live_resize(void)
{
	return cpus_have_final_cap(ARM64_HAS_BBML3);
}

u32 kvm_vhe_online_cpus(void)
{
	return num_online_cpus();
}

void __noreturn kvm_vhe_uncontained_error(u64 syndrome)
{
	panic("kvm_vhe: uncontainable SError, syndrome %#llx\n", syndrome);
}

bool kvm_vhe_is_being_killed(void)
{
	return fatal_signal_pending(current);
}
