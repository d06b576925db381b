// SPDX-License-Identifier: GPL-2.0
/*
 * Measures what a GICv2 in software costs: accesses to its registers, an SGI to the
 * vCPU itself, one to another vCPU that sleeps and back, and a call of the hypervisor
 * beside it. See bench.h for how.
 * Runs on the module: bench_gicv2 [ITERATIONS [BATCHES]].
 */
#include <pthread.h>

#include "kvm_vhe_test.h"
#include "gicv2.h"
#include "bench.h"

GUEST uint64_t guest_init(uint64_t unused)
{
	start_gic(0);
	return unused;
}

GUEST_INLINE void send(uint32_t what)
{
	write32(GICD + GICD_SGIR, what);
}

/* What a series calls: its end is the time. */
GUEST_INLINE void finish(uint32_t id)
{
	end(id);
}

SERIES(no_operation, asm volatile("nop"))
SERIES(hypercall, guest_hvc(PSCI_0_2_FN_PSCI_VERSION, 0, 0, 0))
SERIES(dist_typer, read32(GICD + GICD_TYPER))
SERIES(cpu_pmr, read32(GICC + GICC_PMR))
SERIES(cpu_iar, acknowledge())
SERIES(cpu_eoir, finish(SPURIOUS))
SERIES(sgi_itself, send(2 << 24 | 1); finish(acknowledge()))
SERIES(ipi, send(1 << 24 | 1); finish(await()))

/* The other vCPU: answers each SGI 1, and ends with SGI 2. */
GUEST uint64_t answer(uint64_t unused)
{
	uint32_t id;

	start_gic(0);
	for (;;) {
		id = await();
		end(id);
		if ((id & 0xf) == 2)
			return unused;
		send(1 << 24 | 1);
	}
}

GUEST uint64_t stop_other(uint64_t unused)
{
	send(1 << 24 | 2);
	return unused;
}

static struct vm vm;
static struct vcpu vcpus[2];

static double in_guest(void *fn, uint64_t n)
{
	if (guest_finish(&vcpus[0], fn, n, 0))
		return -1;
	return (double)vcpus[0].value / n;
}

static void *answerer(void *unused)
{
	(void)unused;
	return (void *)(long)guest_finish(&vcpus[1], answer, 0, 0);
}

/* Runs a batch while the other vCPU answers. */
static double ipi_batch(void *fn, uint64_t n)
{
	pthread_t other;
	double ticks;
	void *failed;

	if (pthread_create(&other, NULL, answerer, NULL))
		return -1;
	ticks = in_guest(fn, n);
	if (guest_finish(&vcpus[0], stop_other, 0, 0))
		ticks = -1;
	pthread_join(other, &failed);
	return failed ? -1 : ticks;
}

static const struct {
	const char *name;
	double (*batch)(void *fn, uint64_t n);
	void *fn;
} series[] = {
	{ "hypercall, PSCI_VERSION", in_guest, hypercall },
	{ "GICD_TYPER, read", in_guest, dist_typer },
	{ "GICC_PMR, read", in_guest, cpu_pmr },
	{ "GICC_IAR, nothing pending", in_guest, cpu_iar },
	{ "GICC_EOIR, of nothing", in_guest, cpu_eoir },
	{ "SGI to itself, taken and ended", in_guest, sgi_itself },
	{ "SGI to a vCPU in WFI, and back", ipi_batch, ipi },
};

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
	unsigned int batches = argc > 2 ? strtoul(argv[2], NULL, 0) : 20, i, bad = 0;
	double empty;

	setlinebuf(stdout);
	puts("TAP version 13");
	if (!n || !batches || batches > BATCHES_MAX || vm_create(&vm) ||
	    vcpu_create(&vm, &vcpus[0], 0) || vcpu_create(&vm, &vcpus[1], 1)) {
		puts("Bail out! no VM, or a senseless number");
		return 1;
	}
	if (!v2_exists(&vm)) {
		puts("1..0 # SKIP no GICv2 for VMs");
		return 4;
	}
	if (v2_make(&vm) < 0 || guest_finish(&vcpus[0], guest_init, 0, 0)) {
		puts("Bail out! the GIC cannot be initialised");
		return 1;
	}
	printf("1..%zu\n", ARRAY_LEN(series));
	print_head(n, batches, "2 vCPUs");
	empty = report("the loop alone", in_guest, no_operation, n, batches, 0);
	for (i = 0; i < ARRAY_LEN(series); i++) {
		/* Once before, for all that happens the first time. */
		bool good = series[i].batch(series[i].fn, n) >= 0 &&
			    report(series[i].name, series[i].batch, series[i].fn, n, batches,
				   empty) >= 0;

		printf("%sok %u %s\n", good ? "" : "not ", i + 1, series[i].name);
		bad += !good;
	}
	vcpu_destroy(&vcpus[0]);
	vcpu_destroy(&vcpus[1]);
	vm_destroy(&vm);
	return bad ? 1 : 0;
}
