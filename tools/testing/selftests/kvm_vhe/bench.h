/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the benchmarks share. A series is a guest function that does an operation n
 * times and returns the ticks of its counter that it took. It is run in batches: what
 * the host does besides (its own timer) is in the median's and the mean's distance
 * from the best one. With the lab's --icount shift=0,sleep=off a nanosecond is one
 * instruction; without, the numbers say how fast QEMU is.
 */
#ifndef KVM_VHE_BENCH_H
#define KVM_VHE_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * What stands in the loop, n times, with the loop's own cost told by a series that
 * does nothing. Each is a function of its own so that nothing but the operation
 * differs; the counter is read behind an ISB, which waits for all before.
 */
#define SERIES(name, operation)						\
GUEST uint64_t name(uint64_t n);					\
GUEST uint64_t name(uint64_t n)						\
{									\
	uint64_t start, end;						\
									\
	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (start) : : "memory");	\
	do {								\
		operation;						\
		asm volatile("" : : : "memory");			\
	} while (--n);							\
	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (end) : : "memory");	\
	return end - start;						\
}

#define BATCHES_MAX	1000

static int by_size(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return (d > 0) - (d < 0);
}

/* Nanoseconds of a tick of the counter. */
static inline double tick(void)
{
	uint64_t cntfrq;

	asm("mrs %0, cntfrq_el0" : "=r" (cntfrq));
	return 1e9 / cntfrq;
}

static inline void print_head(uint64_t n, unsigned int batches, const char *what)
{
	const char *icount = getenv("LAB_ICOUNT");

	printf("# %.1f ns a tick; %u times %lu; %s; icount: %s\n", tick(), batches, n, what,
	       icount ? icount : "unknown");
	printf("# %-34s %10s %10s %10s\n", "nanoseconds each", "best", "median", "mean");
}

/*
 * Calls batch(fn, n), which returns the ticks of an operation or something negative, and
 * prints what one costs beyond the empty loop's ticks. Returns the best, or -1.
 */
static inline double report(const char *name, double (*batch)(void *fn, uint64_t n), void *fn,
			    uint64_t n, unsigned int batches, double empty)
{
	static double ticks[BATCHES_MAX];
	double mean = 0, scale = tick();
	unsigned int i;

	for (i = 0; i < batches; i++) {
		ticks[i] = batch(fn, n);
		if (ticks[i] < 0)
			return -1;
		mean += ticks[i] / batches;
	}
	qsort(ticks, batches, sizeof(ticks[0]), by_size);
	printf("# %-34s %10.1f %10.1f %10.1f\n", name, (ticks[0] - empty) * scale,
	       (ticks[batches / 2] - empty) * scale, (mean - empty) * scale);
	return ticks[0];
}

#endif
