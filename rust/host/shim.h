/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's inlines and macros that Rust cannot call and that the kernel
 * crate has no helper for.
 */
#ifndef KVM_VHE_SHIM_H
#define KVM_VHE_SHIM_H

#include <linux/compiler.h>
#include <linux/mutex.h>
#include <linux/percpu-defs.h>
#include <linux/types.h>

/* The width of physical addresses, as a number for bindgen. */
enum { KVM_VHE_PHYSICAL_BITS = CONFIG_ARM64_PA_BITS };
#include <linux/mm_types.h>

bool kvm_vhe_is_compat_task(void);
int kvm_vhe_mutex_lock_killable(struct mutex *mutex);
void kvm_vhe_preempt_disable(void);
void kvm_vhe_preempt_enable(void);
u64 kvm_vhe_task_size_max(void);
u64 kvm_vhe_counter(void);
void kvm_vhe_allow_pread(struct file *file);
void __noreturn kvm_vhe_uncontained_error(u64 syndrome);
bool kvm_vhe_access_flag_erratum(void);
bool kvm_vhe_live_resize(void);
bool kvm_vhe_mismatched_caches(void);
u32 kvm_vhe_online_cpus(void);
u64 kvm_vhe_random(void);
bool kvm_vhe_wall_and_counter(u64 *wall, u64 *counter);
u64 kvm_vhe_run_delay(void);
void *kvm_vhe_per_cpu_ptr(void *base, unsigned int cpu);

/* registers.rs; whose registers a CPU has, NULL if no vCPU's */
DECLARE_PER_CPU(const void *, kvm_vhe_loaded_registers);
void kvm_vhe_set_loaded_here(const void *registers);
bool kvm_vhe_warn_unless_loaded_here(const void *registers);

void kvm_vhe_rewind_memory_copy(u64 *gprs, u64 *pc, u64 *pstate, u64 esr);

/* entry.S */
u64 kvm_vhe_translate(u64 va, u64 hcr);
void kvm_vhe_par_barrier(void);
extern const char kvm_vhe_vectors[];
void kvm_vhe_get_page(struct page *page);
void kvm_vhe_put_page(struct page *page);
void kvm_vhe_set_page_dirty(struct page *page);
void kvm_vhe_mark_page_accessed(struct page *page);
phys_addr_t kvm_vhe_page_to_phys(struct page *page);
unsigned long kvm_vhe_folio_size(struct page *page);
struct page *kvm_vhe_phys_to_page(phys_addr_t phys);
struct page *kvm_vhe_virt_to_page(void *virt);
void *kvm_vhe_page_to_virt(struct page *page);
void *kvm_vhe_memory_to_virt(phys_addr_t phys);
unsigned long kvm_vhe_page_private(struct page *page);
void kvm_vhe_set_page_private(struct page *page, unsigned long private);
bool kvm_vhe_take_page_private(struct page *page, unsigned long old,
			       unsigned long new);
void kvm_vhe_free_pages_after_readers(struct page *page, unsigned int order);
void kvm_vhe_count_table_pages(struct page *page, int pages);

bool kvm_vhe_may_map_uncached(struct vm_area_struct *vma);
unsigned long kvm_vhe_vma_page_size(struct vm_area_struct *vma);
unsigned int kvm_vhe_user_mapping_shift(unsigned long address);

bool kvm_vhe_is_being_killed(void);

/* cacheops.S */
unsigned long kvm_vhe_dcache_clean_inval(unsigned long start, unsigned long end,
					 unsigned long line);
void kvm_vhe_icache_inval_all(void);

/* tlb.S */
void kvm_vhe_reset_guest_translation(void);
void kvm_vhe_tlbi_ipas(u64 vttbr, u64 vtcr, const u64 *entries,
		       unsigned long entry_count, const u64 *ranges,
		       unsigned long range_count);
void kvm_vhe_tlbi_ipa_local(u64 vttbr, u64 vtcr, u64 operand);
void kvm_vhe_tlbi_vmid(u64 vttbr, u64 vtcr);
void kvm_vhe_tlbi_local(u64 vttbr, u64 vtcr);

#endif
