// SPDX-License-Identifier: GPL-2.0
/*
 * Measures what a guest's faults on its memory cost: on a page that the VMM has and
 * stage 2 has not, on a block of 2 MiB, on a page that is mapped but not executable or
 * write-protected for the dirty log. See bench.h for how. A CPU that has no instruction
 * caches to maintain has no faults for want of permission to execute: what is printed
 * then is what the access costs without. There are no access flag faults to measure: most
 * CPUs set the flag themselves, and where they do not the host's LRU does not clear it.
 * Runs on the module and on C KVM: bench_fault [BATCHES].
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_vhe_test.h"
#include "guest.h"
#include "bench.h"

#define SLOT		1
#define IPA		0x48000000UL
#define PAGE		4096UL
#define M2		(2UL << 20)
#define PAGES		256UL
#define BLOCKS		8UL
#define SIZE		(BLOCKS * M2)
#define RET		0xd65f03c0

/*
 * The first word of n places, each step from the last, is written; the TLB holds none of
 * them. Ticks.
 */
#define TOUCH(name, step, access)					\
GUEST uint64_t name(uint64_t n);					\
GUEST uint64_t name(uint64_t n)						\
{									\
	uint64_t start, end, at = IPA;					\
									\
	asm volatile("tlbi vmalle1\n dsb nsh" : : : "memory");		\
	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (start) : : "memory");	\
	do {								\
		access;							\
		at += step;						\
	} while (--n);							\
	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (end) : : "memory");	\
	return end - start;						\
}

TOUCH(write_pages, PAGE, *(volatile uint64_t *)(at + 8) = n)
TOUCH(write_blocks, M2, *(volatile uint64_t *)(at + 8) = n)
TOUCH(execute_pages, PAGE, ((void (*)(void))at)())

static struct vm vm;
static struct vcpu vcpu;
static unsigned char *mem;

static bool remap_as(bool huge, unsigned int flags)
{
	/* There is none the first time. */
	vm_memory(&vm, SLOT, IPA, 0, mem, 0);
	return (!huge || !madvise(mem, SIZE, MADV_COLLAPSE)) &&
	       !vm_memory(&vm, SLOT, IPA, SIZE, mem, flags);
}

static bool remap(bool huge)
{
	return remap_as(huge, 0);
}

static double finish(void *fn, uint64_t n)
{
	return guest_finish(&vcpu, fn, n, GUEST_MMU) ? -1 : (double)vcpu.value / n;
}

/* All is mapped already. */
static double mapped(void *fn, uint64_t n)
{
	return finish(fn, n);
}

static double unmapped(void *fn, uint64_t n)
{
	return remap(false) ? finish(fn, n) : -1;
}

static double unmapped_blocks(void *fn, uint64_t n)
{
	return remap(true) ? finish(fn, n) : -1;
}

/* Written to, but never executed. */
static double not_executable(void *fn, uint64_t n)
{
	return remap(false) && finish(write_pages, n) >= 0 ? finish(fn, n) : -1;
}

/* Written to, and protected when the VMM got to know. */
static double protected(void *fn, uint64_t n)
{
	static uint64_t bitmap[SIZE / PAGE / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };

	return remap_as(false, KVM_MEM_LOG_DIRTY_PAGES) && finish(fn, n) >= 0 &&
	       !kvm_ioctl(vm.fd, KVM_GET_DIRTY_LOG, (unsigned long)&log) ? finish(fn, n) : -1;
}

static const struct series {
	const char *name;
	double (*batch)(void *fn, uint64_t n);
	void *fn;
	uint64_t n;
	bool huge, optional;
} series[] = {
	{ "mapped 4K page, written", mapped, write_pages, PAGES, false, false },
	{ "new 4K page", unmapped, write_pages, PAGES, false, false },
	{ "mapped 4K page, first executed", not_executable, execute_pages, PAGES, false, false },
	{ "4K page protected for the log", protected, write_pages, PAGES, false, false },
	{ "new 2M block", unmapped_blocks, write_blocks, BLOCKS, true, true },
};

int main(int argc, char **argv)
{
	unsigned int batches = argc > 1 ? strtoul(argv[1], NULL, 0) : 10, i, bad = 0;
	unsigned char *area;
	uint64_t at;

	setlinebuf(stdout);
	puts("TAP version 13");
	area = mmap(NULL, SIZE + M2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mem = (void *)(((uintptr_t)area + M2 - 1) & ~(M2 - 1));
	write_text("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	if (area == MAP_FAILED || !batches || batches > BATCHES_MAX || vm_create(&vm) ||
	    vcpu_create(&vm, &vcpu, 0)) {
		puts("Bail out! no VM, or a senseless number");
		return 1;
	}
	for (at = 0; at < SIZE; at += PAGE)
		*(uint32_t *)(mem + at) = RET;
	printf("1..%zu\n", ARRAY_LEN(series));
	print_head(PAGES, batches, "faults");
	for (i = 0; i < ARRAY_LEN(series); i++) {
		const struct series *s = &series[i];
		bool good;

		madvise(mem, SIZE, s->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		good = remap(false) && finish(s->fn, s->n) >= 0 && s->batch(s->fn, s->n) >= 0 &&
		       report(s->name, s->batch, s->fn, s->n, batches, 0) >= 0;
		printf("%sok %u %s%s\n", good || s->optional ? "" : "not ", i + 1, s->name,
		       !good && s->optional ? " # SKIP the host cannot" : "");
		bad += !good && !s->optional;
	}
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	return bad ? 1 : 0;
}
