// SPDX-License-Identifier: GPL-2.0
/* The capabilities that the module has, their values, and the tests that show them. */
#include <sys/auxv.h>
#include <unistd.h>

#include "kvm_vhe_test.h"

#define HWCAP_BOTH_KEYS	(3UL << 30)	/* HWCAP_PACA and HWCAP_PACG */
#define MAX_VCPUS	512
#define ONE		1, 1

static const struct capability capabilities[] = {
	{ KVM_CAP_USER_MEMORY, ONE, "capabilities.memory_comes_and_goes" },
	{ KVM_CAP_USER_MEMORY2, ONE, "capabilities.memory_by_region2" },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, ONE, "capabilities.memory_comes_and_goes" },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, ONE, "capabilities.memory_comes_and_goes" },
	{ KVM_CAP_SYNC_MMU, ONE, "capabilities.memory_follows_user_space" },
	{ KVM_CAP_READONLY_MEM, ONE, "capabilities.read_only_memory" },
	{ KVM_CAP_PRE_FAULT_MEMORY, ONE, "memory_faults.before_use" },
	{ KVM_CAP_MEMORY_FAULT_INFO, ONE, "memory_faults.nothing_there" },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
	  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET,
	  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET,
	  "dirty_log.manual_flags" },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 1 << 20, 1 << 20, "dirty_ring.sizes" },
	{ KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, ONE, "dirty_ring.bitmap_beside_it" },
	/* 0 unless set, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE goes with it. */
	{ KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES, 1 << 30 | 1 << 21 | 1 << 12,
	  1 << 30 | 1 << 21 | 1 << 12, "dirty_log.sizes_of_chunks" },
	{ KVM_CAP_NR_MEMSLOTS, 32767, 32767, "capabilities.last_memory_slot" },
	{ KVM_CAP_NR_VCPUS, CAPABILITY_CPUS, 0, "capabilities.values" },
	{ KVM_CAP_MAX_VCPUS, MAX_VCPUS, MAX_VCPUS, "vcpu_fd.as_many_as_promised" },
	{ KVM_CAP_MAX_VCPU_ID, MAX_VCPUS, MAX_VCPUS, "vcpu_fd.create_errors" },
	{ KVM_CAP_ONE_REG, ONE, "one_reg" },
	{ KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES, 1 << KVM_ARM_FEATURE_ID_RANGE,
	  1 << KVM_ARM_FEATURE_ID_RANGE, "capabilities.writable_masks" },
	{ KVM_CAP_ARM_WRITABLE_IMP_ID_REGS, ONE, "capabilities.implementation_registers" },
	{ KVM_CAP_MP_STATE, ONE, "vcpu_run.mp_state" },
	{ KVM_CAP_IMMEDIATE_EXIT, ONE, "vcpu_run.immediate_exit_completes_mmio" },
	{ KVM_CAP_VCPU_EVENTS, ONE, "vcpu_run.vcpu_events" },
	/* Whether there is RAS is not to be seen from user space. */
	{ KVM_CAP_ARM_INJECT_SERROR_ESR, 0, 1, "vcpu_run.vcpu_events" },
	{ KVM_CAP_ARM_INJECT_EXT_DABT, ONE, "exits.abort_instead_of_mmio" },
	{ KVM_CAP_ARM_NISV_TO_USER, ONE, "exits.no_syndrome" },
	/* No machine of the lab has an External abort that is taken to EL2: rust/core/tests/esr.rs. */
	{ KVM_CAP_ARM_SEA_TO_USER, ONE, "capabilities.enable_cap" },
	/* That there are data is all it says; KVM_EXIT_INTERNAL_ERROR is no arm64 exit. */
	{ KVM_CAP_INTERNAL_ERROR_DATA, ONE, NULL },
	{ KVM_CAP_ARM_PSCI, ONE, "capabilities.psci_0_1" },
	{ KVM_CAP_ARM_PSCI_0_2, ONE, "calls.calls" },
	{ KVM_CAP_ARM_SYSTEM_SUSPEND, ONE, "capabilities.system_suspend" },
	{ KVM_CAP_SYSTEM_EVENT_DATA, ONE, "calls.system_events" },
	{ KVM_CAP_IRQCHIP, ONE, "vgic_cpu" },
	{ KVM_CAP_ARM_SET_DEVICE_ADDR, ONE, "vgic_v2.legacy" },
	{ KVM_CAP_SIGNAL_MSI, ONE, "vgic_its" },
	{ KVM_CAP_ARM_IRQ_LINE_LAYOUT_2, ONE, "irq_line.refused" },
	{ KVM_CAP_IRQ_ROUTING, 4096, 4096, "irqfd.bad_routes" },
	{ KVM_CAP_IRQFD, ONE, "irqfd.interrupts" },
	{ KVM_CAP_IRQFD_RESAMPLE, ONE, "irqfd_resample.resampled" },
	{ KVM_CAP_IOEVENTFD, ONE, "ioeventfd.values" },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, ONE, "ioeventfd.lengths" },
	{ KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET, KVM_COALESCED_MMIO_PAGE_OFFSET,
	  "coalesced.ring" },
	{ KVM_CAP_COALESCED_PIO, ONE, "coalesced.zones" },
	{ KVM_CAP_PTP_KVM, ONE, "capabilities.precise_time" },
	{ KVM_CAP_DEVICE_CTRL, ONE, "vgic_attr.create" },
	{ KVM_CAP_COUNTER_OFFSET, ONE, "counter.given" },
	{ KVM_CAP_ARM_USER_IRQ, ONE, "timer_user.fires_while_running" },
	{ KVM_CAP_BINARY_STATS_FD, ONE, "observing.statistics" },
	{ KVM_CAP_HALT_POLL, ONE, "halt_poll.capability" },
	{ KVM_CAP_STEAL_TIME, ONE, "capabilities.stolen_time" },
	{ KVM_CAP_VCPU_ATTRIBUTES, ONE, "capabilities.stolen_time" },
	{ KVM_CAP_VM_ATTRIBUTES, ONE, "capabilities.filtered_calls" },
	{ KVM_CAP_ENABLE_CAP_VM, ONE, "capabilities.enable_cap" },
	{ KVM_CAP_CHECK_EXTENSION_VM, ONE, "system_fd.both_fds_agree" },
	{ KVM_CAP_ARM_PTRAUTH_ADDRESS, CAPABILITY_PAUTH, 0, "capabilities.pointer_authentication" },
	{ KVM_CAP_ARM_PTRAUTH_GENERIC, CAPABILITY_PAUTH, 0, "capabilities.pointer_authentication" },
	{ KVM_CAP_ARM_VM_IPA_SIZE, 32, 52, "system_fd.vm_types" },
	{ KVM_CAP_SET_GUEST_DEBUG, ONE, "guest_debug" },
	{ KVM_CAP_SET_GUEST_DEBUG2,
	  KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |
	  KVM_GUESTDBG_USE_HW,
	  KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |
	  KVM_GUESTDBG_USE_HW, "guest_debug.control_bits" },
	/* The architecture's least and most; guest_debug.how_many has the number. */
	{ KVM_CAP_GUEST_DEBUG_HW_BPS, 2, 16, "guest_debug.breakpoints" },
	{ KVM_CAP_GUEST_DEBUG_HW_WPS, 2, 16, "guest_debug.watchpoints" },
};

struct capability capability_of(unsigned long cap)
{
	struct capability found = { .cap = cap };
	size_t i;

	for (i = 0; i < ARRAY_LEN(capabilities); i++)
		if (capabilities[i].cap == cap)
			found = capabilities[i];
	if (found.low == CAPABILITY_CPUS)
		found.low = found.high = sysconf(_SC_NPROCESSORS_ONLN);
	if (found.low == CAPABILITY_PAUTH)
		found.low = found.high =
			(getauxval(AT_HWCAP) & HWCAP_BOTH_KEYS) == HWCAP_BOTH_KEYS;
	return found;
}
