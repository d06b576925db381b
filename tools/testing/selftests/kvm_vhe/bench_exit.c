// SPDX-License-Identifier: GPL-2.0
/*
 * Measures what an exit costs: hypercalls, trapped register accesses and
 * MMIO to user space, as the guest sees them. See bench.h for how.
 * Runs on the module and on C KVM: bench_exit [ITERATIONS [BATCHES [gic]]], with
 * "gic" for a VM that has a GICv3, which is what a real one has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm_vhe_test.h"
#include "guest.h"
#include "bench.h"

#define UNKNOWN_VENDOR	0x86001234UL	/* a vendor's hypervisor call nobody has */
#define SMCCC_VERSION	0x80000000UL
#define MMIO		0x2000UL

SERIES(no_operation, asm volatile("nop"))
SERIES(hvc_unknown, guest_hvc(UNKNOWN_VENDOR, 0, 0, 0))
SERIES(hvc_version, guest_hvc(SMCCC_VERSION, 0, 0, 0))
SERIES(read_id, GUEST_MRS("id_aa64pfr0_el1"))
SERIES(read_mdscr, GUEST_MRS("mdscr_el1"))
SERIES(write_mdscr, GUEST_MSR("mdscr_el1", 0))
SERIES(read_oslsr, GUEST_MRS("oslsr_el1"))
SERIES(read_actlr, GUEST_MRS("actlr_el1"))
SERIES(mmio_read, (void)*(volatile uint32_t *)MMIO)
SERIES(mmio_write, *(volatile uint32_t *)MMIO = 0)
SERIES(hvc_with_fp, asm volatile(".arch_extension fp\n fmov d0, xzr");
       guest_hvc(SMCCC_VERSION, 0, 0, 0))
SERIES(mmio_with_fp, asm volatile("fmov d0, xzr");
       (void)*(volatile uint32_t *)MMIO)
SERIES(mmio_with_pir, GUEST_MSR("s3_0_c10_c2_3", n);
       (void)*(volatile uint32_t *)MMIO)

static const struct series {
	const char *name;
	void *fn;
} series[] = {
	{ "HVC, unknown vendor function", hvc_unknown },
	{ "HVC, SMCCC_VERSION", hvc_version },
	{ "HVC, with FP/SIMD in use", hvc_with_fp },
	{ "read ID_AA64PFR0_EL1", read_id },
	{ "read MDSCR_EL1", read_mdscr },
	{ "write MDSCR_EL1", write_mdscr },
	{ "read OSLSR_EL1", read_oslsr },
	{ "read ACTLR_EL1", read_actlr },
	{ "MMIO read, to user space", mmio_read },
	{ "MMIO write, to user space", mmio_write },
	{ "MMIO read, with FP/SIMD in use", mmio_with_fp },
	/* If the VM has it. */
	{ "MMIO read, PIR_EL1 written", mmio_with_pir },
};

#define MMFR3_S1PIE	(0xfUL << 8)

static struct vcpu vcpu;

/* Runs one batch of a series; MMIO is answered with as little as a VMM can do. -1: failed. */
static double measure(void *fn, uint64_t n)
{
	struct kvm_run *run = vcpu.run;
	enum guest_event event;

	if (vcpu_start(&vcpu, fn, n, 0))
		return -1;
	do {
		event = guest_run(&vcpu);
	} while (event == GUEST_EXIT && run->exit_reason == KVM_EXIT_MMIO &&
		 run->mmio.phys_addr == MMIO);
	if (event != GUEST_DONE) {
		printf("# %s\n", guest_told(&vcpu, event));
		return -1;
	}
	return (double)vcpu.value / n;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
	unsigned int batches = argc > 2 ? strtoul(argv[2], NULL, 0) : 20, i, bad = 0, count;
	struct vm vm;
	double empty;

	setlinebuf(stdout);
	puts("TAP version 13");
	if (!n || !batches || batches > BATCHES_MAX || vm_create(&vm) ||
	    vcpu_create(&vm, &vcpu, 0) || (argc > 3 && vm_gic(&vm))) {
		puts("Bail out! no VM, or a senseless number");
		return 1;
	}
	count = ARRAY_LEN(series);
	if (!(vcpu_reg(&vcpu, ARM64_SYS_REG(3, 0, 0, 7, 3)) & MMFR3_S1PIE))
		count--;
	printf("1..%u\n", count);
	print_head(n, batches, argc > 3 ? "with a GIC" : "no GIC");
	/* Once for all that happens the first time. */
	measure(no_operation, 10);
	empty = report("the loop alone", measure, no_operation, n, batches, 0);
	for (i = 0; i < count; i++) {
		bool good = measure(series[i].fn, 10) >= 0 &&
			    report(series[i].name, measure, series[i].fn, n, batches, empty) >= 0;

		printf("%sok %u %s\n", good ? "" : "not ", i + 1, series[i].name);
		bad += !good;
	}
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	return bad ? 1 : 0;
}
