// SPDX-License-Identifier: GPL-2.0
/*
 * Measures what the tables of stage 2 take: a slot of 1 GiB is read by the guest, in pages
 * of 4 KiB, in blocks of 2 MiB and in one of 1 GiB, and the kernel's count of pages in
 * secondary page tables says what that took. But for the last, the slot is the same memory
 * again and again.
 * Runs on the module and on C KVM: bench_tables.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/memfd.h>

#include "kvm_vhe_test.h"
#include "guest.h"

#define PAGE		4096UL
#define SLOT		1
#define IPA		0x80000000UL
#define SIZE		(1UL << 30)
#define NR_HUGE		"/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages"

static unsigned char *mem;

GUEST uint64_t read_all(uint64_t step);
GUEST uint64_t read_all(uint64_t step)
{
	uint64_t at;

	for (at = IPA; at < IPA + SIZE; at += step)
		*(volatile uint64_t *)at;
	return 0;
}

/* The pages of secondary page tables. -1: it is not known. */
static long table_pages(void)
{
	char line[128];
	long count = -1;
	FILE *file;

	/* Each CPU counts by itself for a while. */
	write_text("/proc/sys/vm/stat_refresh", "1");
	file = fopen("/proc/vmstat", "r");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		sscanf(line, "nr_sec_page_table_pages %ld", &count);
	fclose(file);
	return count;
}

/* Maps a file of this size, whose pages have the other, over all of the memory. */
static int map_all(uint64_t file_size, uint64_t page)
{
	unsigned int flags = page == PAGE ? 0 : MFD_HUGETLB | __builtin_ctzl(page) << MFD_HUGE_SHIFT;
	int fd = memfd_create("slot", flags);
	uint64_t at;
	void *got;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, file_size)) {
		close(fd);
		return -errno;
	}
	for (at = 0; at < SIZE; at += file_size) {
		got = mmap(mem + at, file_size, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0);
		if (got == MAP_FAILED) {
			close(fd);
			return -ENOMEM;
		}
	}
	close(fd);
	return 0;
}

/* What is there several times is smaller than a block, or is one. */
static int measure(const char *what, uint64_t file_size, uint64_t page)
{
	static const char *const names[] = {
		"stage2_pages", "stage2_level2_blocks", "stage2_level1_blocks",
	};
	long before, after;
	struct vcpu vcpu;
	struct vm vm;
	char path[128];
	unsigned int i;
	int ret, fd;

	snprintf(path, sizeof(path), NR_HUGE, page >> 10);
	if (page != PAGE)
		write_text(path, "1");
	ret = map_all(file_size, page);
	if (ret)
		return ret;
	ret = vm_create(&vm);
	ret = ret ?: vcpu_create(&vm, &vcpu, 0);
	ret = ret ?: vm_memory(&vm, SLOT, IPA, SIZE, mem, 0);
	/* The guest's own tables for this, and its program. */
	ret = ret ?: guest_finish(&vcpu, read_all, SIZE, 0);
	if (ret)
		return ret;
	vm_memory(&vm, SLOT, IPA, 0, mem, 0);
	before = table_pages();
	ret = vm_memory(&vm, SLOT, IPA, SIZE, mem, 0);
	ret = ret ?: guest_finish(&vcpu, read_all, PAGE, 0);
	after = table_pages();
	if (before < 0 || after < 0)
		ret = -ENOENT;
	if (!ret)
		printf("# %-24s %6ld pages, %8ld bytes of tables\n", what, after - before,
		       (after - before) * PAGE);
	fd = host_is_module() ? ioctl(vm.fd, KVM_GET_STATS_FD, 0) : -1;
	for (i = 0; fd >= 0 && i < 3; i++)
		printf("#     %-22s %6ld\n", names[i], statistic(fd, names[i]));
	close(fd);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	return ret;
}

static int test(unsigned int n, const char *what, uint64_t file_size, uint64_t page)
{
	int ret = measure(what, file_size, page);

	/* Memory for a large block may be missing. */
	if (page != PAGE && (ret == -ENOMEM || ret == -ENOENT || ret == -ENODEV || ret == -EINVAL))
		printf("ok %u %s # SKIP no such block (%d)\n", n, what, ret);
	else
		printf("%sok %u %s (%d)\n", ret ? "not " : "", n, what, ret);
	return ret;
}

int main(void)
{
	unsigned char *area = mmap(NULL, 2 * SIZE, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int ret;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..3\n");
	if (area == MAP_FAILED)
		return 1;
	mem = (void *)(((uintptr_t)area + SIZE - 1) & ~(SIZE - 1));
	ret = test(1, "pages of 4 KiB", 1UL << 20, PAGE);
	test(2, "blocks of 2 MiB", 2UL << 20, 2UL << 20);
	test(3, "a block of 1 GiB", SIZE, SIZE);
	return ret != 0;
}
