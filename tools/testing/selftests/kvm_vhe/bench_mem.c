// SPDX-License-Identifier: GPL-2.0
/*
 * Measures what guest memory costs: to create, move and delete a memory slot of a page
 * while there are 1, 32, 512 and 32,000 others, and to look one up, which an exit for
 * an access to no slot does. See bench.h for how.
 * Runs on the module and on C KVM: bench_mem [ITERATIONS [BATCHES [MOST SLOTS]]].
 */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kvm_vhe_test.h"
#include "guest.h"
#include "bench.h"

#define PAGE		4096UL
/* The slots, every other page; what is measured is between two of them, in the middle. */
#define SLOTS		0x80000000UL

static struct vm vm;
static struct vcpu vcpu;
static unsigned char *mem;
static unsigned int others;

static inline uint64_t host_count(void)
{
	uint64_t count;

	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (count) : : "memory");
	return count;
}

static uint64_t place(unsigned int n)
{
	return SLOTS + 2 * n * PAGE;
}

/* Slot 1, which is measured, at its place or at another one. */
static int one(uint64_t size, unsigned int pages_up)
{
	return vm_memory(&vm, 1, place(others / 2) + (1 + 2 * pages_up) * PAGE, size, mem, 0);
}

enum { CREATE, MOVE, DELETE, PARTS };

/* The ticks of one of the three, each of them done n times. */
static double part(unsigned int which, uint64_t n)
{
	uint64_t sum[PARTS] = {}, at[PARTS + 1], i, p;

	for (i = 0; i < n; i++) {
		int bad;

		at[CREATE] = host_count();
		bad = one(PAGE, 0);
		at[MOVE] = host_count();
		bad |= one(PAGE, 1);
		at[DELETE] = host_count();
		bad |= one(0, 1);
		at[PARTS] = host_count();
		if (bad)
			return -1;
		for (p = 0; p < PARTS; p++)
			sum[p] += at[p + 1] - at[p];
	}
	return (double)sum[which] / n;
}

static double create_batch(void *unused, uint64_t n)
{
	(void)unused;
	return part(CREATE, n);
}

static double move_batch(void *unused, uint64_t n)
{
	(void)unused;
	return part(MOVE, n);
}

static double delete_batch(void *unused, uint64_t n)
{
	(void)unused;
	return part(DELETE, n);
}

/* Writes between two slots, n times. */
GUEST uint64_t write_nowhere(uint64_t n);
GUEST uint64_t write_nowhere(uint64_t n)
{
	uint64_t address = guest_area()->data[0], start, end;

	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (start) : : "memory");
	do {
		asm volatile("str wzr, [%0]" : : "r" (address) : "memory");
	} while (--n);
	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (end) : : "memory");
	return end - start;
}

static double lookup_batch(void *unused, uint64_t n)
{
	enum guest_event event;

	(void)unused;
	vcpu.area->data[0] = place(others / 2) + PAGE;
	if (vcpu_start(&vcpu, write_nowhere, n, 0))
		return -1;
	while ((event = guest_run(&vcpu)) == GUEST_EXIT)
		;
	return event == GUEST_DONE ? (double)vcpu.value / n : -1;
}

static const struct {
	const char *name;
	double (*batch)(void *fn, uint64_t n);
} series[] = {
	{ "create", create_batch },
	{ "move", move_batch },
	{ "delete", delete_batch },
	{ "write to no slot, to user space", lookup_batch },
};

int main(int argc, char **argv)
{
	static const unsigned int counts[] = { 1, 32, 512, 32000 };
	uint64_t n = argc > 1 ? strtoul(argv[1], NULL, 0) : 50;
	unsigned int batches = argc > 2 ? strtoul(argv[2], NULL, 0) : 10, i, s, bad = 0, tests = 0;
	unsigned int most = argc > 3 ? strtoul(argv[3], NULL, 0) : 512;

	setlinebuf(stdout);
	puts("TAP version 13");
	mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!n || !batches || batches > BATCHES_MAX || mem == MAP_FAILED || vm_create(&vm) ||
	    vcpu_create(&vm, &vcpu, 0)) {
		puts("Bail out! no VM, or a senseless number");
		return 1;
	}
	print_head(n, batches, "1 vCPU");
	for (i = 0; i < ARRAY_LEN(counts) && counts[i] <= most; i++) {
		/* The VM has one for its memory. */
		for (; 1 + others < counts[i] && !bad; others++)
			bad += vm_memory(&vm, 2 + others, place(others), PAGE, mem, 0) != 0;
		printf("# with %u other slots:\n", counts[i]);
		for (s = 0; s < ARRAY_LEN(series); s++) {
			/* Once before, for all that happens the first time. */
			bool good = !bad && series[s].batch(NULL, n) >= 0 &&
				    report(series[s].name, series[s].batch, NULL, n, batches, 0) >= 0;

			printf("%sok %u %s, %u slots\n", good ? "" : "not ", ++tests,
			       series[s].name, counts[i]);
			bad += !good;
		}
	}
	printf("1..%u\n", tests);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	return bad ? 1 : 0;
}
