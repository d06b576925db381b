// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-info: what /dev/kvm answers, for people.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/kvm.h>

/* The capabilities that mean something on arm64 and that VMMs ask for. */
#define CAP(name) { KVM_CAP_##name, #name }
static const struct {
	int number;
	const char *name;
} caps[] = {
	CAP(ARM_EL1_32BIT), CAP(ARM_EL2), CAP(ARM_INJECT_EXT_DABT), CAP(ARM_INJECT_SERROR_ESR),
	CAP(ARM_MTE), CAP(ARM_NISV_TO_USER), CAP(ARM_PMU_V3), CAP(ARM_PSCI), CAP(ARM_PSCI_0_2),
	CAP(ARM_PTRAUTH_ADDRESS), CAP(ARM_PTRAUTH_GENERIC), CAP(ARM_SEA_TO_USER), CAP(ARM_SVE),
	CAP(ARM_SYSTEM_SUSPEND),
	CAP(ARM_USER_IRQ), CAP(ARM_VM_IPA_SIZE), CAP(ARM_WRITABLE_IMP_ID_REGS), CAP(BINARY_STATS_FD),
	CAP(CHECK_EXTENSION_VM), CAP(COALESCED_MMIO), CAP(COUNTER_OFFSET), CAP(DEVICE_CTRL),
	CAP(DIRTY_LOG_RING_ACQ_REL), CAP(ENABLE_CAP_VM), CAP(GUEST_DEBUG_HW_BPS),
	CAP(GUEST_DEBUG_HW_WPS), CAP(GUEST_MEMFD), CAP(IMMEDIATE_EXIT), CAP(IOEVENTFD), CAP(IRQCHIP),
	CAP(IRQFD), CAP(IRQ_ROUTING), CAP(MANUAL_DIRTY_LOG_PROTECT2), CAP(MAX_VCPUS), CAP(MAX_VCPU_ID),
	CAP(MP_STATE), CAP(MSI_DEVID), CAP(NR_MEMSLOTS), CAP(NR_VCPUS), CAP(ONE_REG),
	CAP(READONLY_MEM), CAP(SET_GUEST_DEBUG), CAP(SIGNAL_MSI), CAP(STEAL_TIME), CAP(SYNC_MMU),
	CAP(USER_MEMORY), CAP(USER_MEMORY2), CAP(VCPU_ATTRIBUTES), CAP(VCPU_EVENTS), CAP(VM_ATTRIBUTES),
};

int main(void)
{
	size_t i, none = 0;
	struct stat st;
	int kvm, vm, value;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0 || fstat(kvm, &st)) {
		fprintf(stderr, "kvm-info: /dev/kvm: %s\n", strerror(errno));
		return 1;
	}

	printf("/dev/kvm (%u:%u, mode %04o) answers:\n", major(st.st_rdev), minor(st.st_rdev),
	       st.st_mode & 07777);
	printf("  KVM_GET_API_VERSION     %d\n", ioctl(kvm, KVM_GET_API_VERSION, 0));
	printf("  KVM_GET_VCPU_MMAP_SIZE  %d\n", ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	for (i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		value = ioctl(kvm, KVM_CHECK_EXTENSION, caps[i].number);
		if (value > 0)
			printf("  KVM_CAP_%-26s %d\n", caps[i].name, value);
		else
			none++;
	}
	printf("  and no to %zu other capabilities that VMMs ask for\n", none);

	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		printf("  KVM_CREATE_VM           %s\n", strerror(errno));
	else
		printf("  KVM_CREATE_VM           a VM, as descriptor %d\n", vm);
	return vm < 0;
}
