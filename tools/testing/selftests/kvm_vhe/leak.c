// SPDX-License-Identifier: GPL-2.0
/*
 * Finds lost memory by counting, to the object where that is possible:
 *  - free pages from /proc/zoneinfo, those on the CPUs' own lists included;
 *  - the objects of every slab cache from /proc/slabinfo, after each cache gave
 *    back what its per-CPU parts held (/sys/kernel/slab/NAME/shrink);
 *  - Percpu, VmallocUsed, KernelStack and PageTables from /proc/meminfo.
 * Reclaimable caches are dropped and RCU's work is waited for first.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/membarrier.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm_vhe_test.h"

#define ROUNDS	3
#define CACHES	512

struct cache {
	char name[48];
	long objects;
};

/* Kinds of memory that are counted in KiB. */
enum { FREE_PAGES, PERCPU, VMALLOC, KSTACK, PGTABLES, SLAB, KINDS };

static const char * const kind_name[KINDS] = {
	"free pages lost", "Percpu", "VmallocUsed", "KernelStack", "PageTables", "Slab",
};

struct snapshot {
	long kb[KINDS];
	unsigned int caches;
	struct cache cache[CACHES];
};

static void settle(void)
{
	struct dirent *entry;
	char path[320];
	struct stat st;
	DIR *dir;
	int i;

	sync();
	/* Twice: what the first pass queues (RCU, work items) the second finds done. */
	for (i = 0; i < 2; i++) {
		write_text("/proc/sys/vm/drop_caches", "3");
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		msleep(150);
	}
	dir = opendir("/sys/kernel/slab");
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s", entry->d_name);
		if (entry->d_name[0] == '.' || lstat(path, &st) || !S_ISDIR(st.st_mode))
			continue;	/* links are names of merged caches */
		strncat(path, "/shrink", sizeof(path) - strlen(path) - 1);
		write_text(path, "1");
	}
	if (dir)
		closedir(dir);
}

static long free_kb(void)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	long pages = 0, n;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " nr_free_pages %ld", &n) == 1 || sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	if (file)
		fclose(file);
	return pages * (getpagesize() / 1024);
}

static void take(struct snapshot *s)
{
	FILE *file;
	char line[512];

	settle();
	s->kb[FREE_PAGES] = -free_kb();		/* so that growth is bad for all kinds */
	s->kb[PERCPU] = read_field("/proc/meminfo", "Percpu");
	s->kb[VMALLOC] = read_field("/proc/meminfo", "VmallocUsed");
	s->kb[KSTACK] = read_field("/proc/meminfo", "KernelStack");
	s->kb[PGTABLES] = read_field("/proc/meminfo", "PageTables");
	s->kb[SLAB] = read_field("/proc/meminfo", "Slab");
	s->caches = 0;
	file = fopen("/proc/slabinfo", "re");
	while (file && s->caches < CACHES && fgets(line, sizeof(line), file)) {
		struct cache *c = &s->cache[s->caches];

		if (line[0] != '#' && sscanf(line, "%47s %ld", c->name, &c->objects) == 2)
			s->caches++;
	}
	if (file)
		fclose(file);
}

static long objects_before(const struct snapshot *s, const char *name)
{
	unsigned int i;

	for (i = 0; i < s->caches; i++)
		if (!strcmp(s->cache[i].name, name))
			return s->cache[i].objects;
	return 0;
}

/* Keeps of kinds and suspects only what grew beyond the rule; returns how many that is. */
static unsigned int sift(const struct leak_rule *rule, const struct snapshot *a,
			 const struct snapshot *b, long *kinds, struct cache *suspects,
			 unsigned int *n_suspects)
{
	long page_kb = getpagesize() / 1024;
	unsigned int i, j, left = 0;

	for (i = 0; i < KINDS; i++) {
		long allowed = i == PERCPU ? (long)rule->percpu_kb : rule->pages * page_kb;
		long grew = b->kb[i] - a->kb[i];

		kinds[i] = kinds[i] >= 0 && grew > allowed ? grew : -1;
		left += kinds[i] >= 0;
	}
	for (i = j = 0; i < *n_suspects; i++) {
		long was = objects_before(a, suspects[i].name);
		long is = objects_before(b, suspects[i].name);

		/* Freed vmap areas wait for a purge far away; VmallocUsed has what is lost. */
		if (is - was <= (long)rule->objects || !strcmp(suspects[i].name, "vmap_area"))
			continue;
		suspects[j] = suspects[i];
		suspects[j++].objects = is - was;
	}
	*n_suspects = j;
	return left + j;
}

static void report(const long *kinds, const struct cache *suspects, unsigned int n,
		   unsigned int cycles, char *what, size_t size)
{
	size_t used = snprintf(what, size, "in %u cycles, three times over:", cycles);
	unsigned int i;

	for (i = 0; i < KINDS && used < size; i++)
		if (kinds[i] >= 0)
			used += snprintf(what + used, size - used, " %s %ld kB;", kind_name[i],
					 kinds[i]);
	for (i = 0; i < n && used < size; i++)
		used += snprintf(what + used, size - used, " slab %s %ld objects;",
				 suspects[i].name, suspects[i].objects);
}

int leak_check(const struct leak_rule *rule, int (*cycle)(void *), void *arg,
	       char *what, size_t size)
{
	static struct snapshot before, after;
	static struct cache suspects[CACHES];
	unsigned int n_suspects = 0, left = 0, i, round;
	long kinds[KINDS] = { 0 };
	int ret;

	for (i = 0; i < rule->warm; i++)
		if ((ret = cycle(arg)) < 0)
			return ret;
	/* The first measurement allocates a little itself; the second one counts. */
	take(&before);
	take(&before);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < rule->n; i++)
			if ((ret = cycle(arg)) < 0)
				return ret;
		take(&after);
		if (!round) {
			memcpy(suspects, after.cache, sizeof(suspects));
			n_suspects = after.caches;
		}
		left = sift(rule, &before, &after, kinds, suspects, &n_suspects);
		printf("# round %u: free %+ld kB, Percpu %+ld, VmallocUsed %+ld, Slab %+ld; %u suspects\n",
		       round, before.kb[FREE_PAGES] - after.kb[FREE_PAGES],
		       after.kb[PERCPU] - before.kb[PERCPU], after.kb[VMALLOC] - before.kb[VMALLOC],
		       after.kb[SLAB] - before.kb[SLAB], left);
		if (!left)
			return 0;
		before = after;
	}
	report(kinds, suspects, n_suspects, rule->n, what, size);
	return 1;
}
