/* SPDX-License-Identifier: GPL-2.0 */
/* What setway_flush and setway_churn share: the slots, and reading a flush from the trace. */
#ifndef KVM_VHE_SETWAY_H
#define KVM_VHE_SETWAY_H

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_vhe_test.h"
#include "guest.h"

#define VCPUS		2
#define PAGE		4096UL
#define HUGE		0x200000UL
#define SCTLR_OFF	0x30d00980UL
#define SCTLR_ON	(SCTLR_OFF | SCTLR_M | SCTLR_C)
/* Two slots, each with room to move it to: SLOT_IPA(2 * n + 1). */
#define SLOT_PAGES	256
#define SLOT_SIZE	(SLOT_PAGES * PAGE)
#define SLOT_IPA(n)	(0x50000000UL + (n) * 0x1000000UL)
#define SLOTS		2

#define SAY_TURN	1

/* So that a guest function is on one page. */
#define FN	__attribute__((aligned(1024)))

/* Neither uses the stack. */
GUEST FN uint64_t do_sctlr(uint64_t sctlr);
GUEST FN uint64_t do_sctlr(uint64_t sctlr)
{
	asm volatile("dsb sy" : : : "memory");
	GUEST_MSR("sctlr_el1", sctlr);
	GUEST_ISB();
	return GUEST_MRS("sctlr_el1");
}

GUEST FN uint64_t do_write(uint64_t where);
GUEST FN uint64_t do_write(uint64_t where)
{
	*(volatile uint64_t *)where = where;
	return where;
}

/*
 * Memory of pages, none of them huge; NULL if there is none. It stays below a huge
 * page's size and is no neighbour of other memory: where a mapping covers the place
 * of a huge page, the kernel takes it all from the VM to split the mapping there.
 */
static inline void *slot_memory(void)
{
	unsigned char *room = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *memory;

	if (room == MAP_FAILED)
		return NULL;
	memory = (unsigned char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1)) + PAGE;
	if (mmap(memory, SLOT_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return NULL;
	return madvise(memory, SLOT_SIZE, MADV_NOHUGEPAGE) ? NULL : memory;
}

/* Switches what is read here on or off; false if one of the events is not there. */
static inline bool tracing(bool on)
{
	return !trace_enable("kvm_vhe/set_way_flush", on) &&
	       !trace_enable("kvm_vhe/toggle_cache", on) &&
	       !trace_enable("kvm_vhe/flush_range", on);
}

/* One CPU's events have an order. */
static inline void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* What the trace says of one step. */
struct seen {
	unsigned int set_way, toggle, after;	/* events; those that came after a range */
	unsigned int vcpu;
	bool was, now;
	unsigned int ranges;
	uint64_t range[2048][2];
};

/* Reads what was traced since the last time; false if that was too much. */
static inline bool look(int pipe, struct seen *seen)
{
	static char text[1 << 18];
	char *line, *event, *rest;
	size_t n = 0;
	ssize_t got;

	while ((got = read(pipe, text + n, sizeof(text) - 1 - n)) > 0)
		n += got;
	text[n] = 0;
	memset(seen, 0, offsetof(struct seen, range));
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if ((event = strstr(line, " flush_range: ipa "))) {
			if (seen->ranges == ARRAY_LEN(seen->range) ||
			    sscanf(event, " flush_range: ipa %lx bytes %lx",
				   &seen->range[seen->ranges][0],
				   &seen->range[seen->ranges][1]) != 2)
				return false;
			seen->ranges++;
			continue;
		}
		if ((event = strstr(line, " set_way_flush: vcpu "))) {
			seen->set_way++;
			seen->was = seen->now = !!strstr(event, "caches on");
		} else if ((event = strstr(line, " toggle_cache: vcpu "))) {
			seen->toggle++;
			seen->was = !!strstr(event, "caches on ->");
			seen->now = !!strstr(event, "-> on");
		} else {
			return false;
		}
		seen->after += seen->ranges > 0;
		seen->vcpu = strtoul(strstr(event, "vcpu ") + 5, NULL, 10);
	}
	return n < sizeof(text) - 1;
}

/* Whether the ranges are these pages, from the lowest to the highest, none twice. */
static inline bool exactly(const struct seen *seen, const uint64_t *pages, unsigned int n, char *why,
		    size_t size)
{
	unsigned int i = 0, r;
	uint64_t at;

	for (r = 0; r < seen->ranges; r++) {
		for (at = 0; at < seen->range[r][1]; at += PAGE, i++) {
			if (i < n && pages[i] == seen->range[r][0] + at)
				continue;
			snprintf(why, size, "range %u of %u, %#lx, page %u of %u should be %#lx", r,
				 seen->ranges, seen->range[r][0] + at, i, n, i < n ? pages[i] : 0);
			return false;
		}
	}
	snprintf(why, size, "%u pages of %u, next %#lx", i, n, i < n ? pages[i] : 0);
	return i == n;
}

#endif
