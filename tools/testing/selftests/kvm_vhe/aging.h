/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Has the host look which memory is in use: its multi-generational LRU begins a new
 * generation when debugfs asks for it, and clears the access flags on the way, those
 * of stage 2 as well. For root.
 */
#ifndef KVM_VHE_AGING_H
#define KVM_VHE_AGING_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "kvm_vhe_test.h"

#define DEBUGFS		"/sys/kernel/debug"
#define LRU_GEN		DEBUGFS "/lru_gen"

/* Whether the host can be told to. */
static inline bool aging_exists(void)
{
	if (access(LRU_GEN, F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	return !access(LRU_GEN, W_OK);
}

/* Lets the host begin a new generation in all groups of memory and on all nodes. */
static inline int age(void)
{
	unsigned long group = 0, node = 0, gen, last = 0;
	char line[256], order[64];
	int ret = -1;
	FILE *file = fopen(LRU_GEN, "r");

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "memcg %lu", &group) == 1 || sscanf(line, " node %lu", &node) == 1)
			continue;
		/* Four lines, of which the last is the youngest. */
		if (sscanf(line, "%lu", &gen) != 1)
			continue;
		last = gen;
		snprintf(order, sizeof(order), "+ %lu %lu %lu 1 1", group, node, last);
		/* Only that of the youngest is taken. */
		if (!write_text(LRU_GEN, order))
			ret = 0;
	}
	fclose(file);
	return ret;
}

#endif
