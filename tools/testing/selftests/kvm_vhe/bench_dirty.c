// SPDX-License-Identifier: GPL-2.0
/*
 * Measures dirty logging of a slot of 1 GiB in pages of 4 KiB: a write fault while it logs,
 * KVM_GET_DIRTY_LOG of all pages and of none, KVM_CLEAR_DIRTY_LOG of all pages, and the
 * start of a log. The slot is the same few pages of memory again and again, or the host
 * would have to have as much. See bench.h for how.
 * Runs on the module and on C KVM: bench_dirty [MIB].
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_vhe_test.h"
#include "guest.h"
#include "bench.h"

#define PAGE		4096UL
#define SLOT		1
#define IPA		0x80000000UL
/* What is there several times: not a block's size, whose mappings are not what is measured. */
#define PIECE		(1UL << 20)

static struct vm vm;
static struct vcpu vcpu;
static unsigned char *mem;
static uint64_t size;
static uint64_t *bitmap;

static inline uint64_t host_count(void)
{
	uint64_t count;

	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (count) : : "memory");
	return count;
}

/* Writes to n pages; the ticks that it took. */
GUEST uint64_t write_all(uint64_t n);
GUEST uint64_t write_all(uint64_t n)
{
	uint64_t at = IPA, start, end;

	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (start) : : "memory");
	for (; n; n--, at += PAGE)
		asm volatile("str wzr, [%0]" : : "r" (at) : "memory");
	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (end) : : "memory");
	return end - start;
}

static int flags(unsigned int flags)
{
	return vm_memory(&vm, SLOT, IPA, size, mem, flags);
}

static int manual(uint64_t arg)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { arg },
	};

	return kvm_ioctl(vm.fd, KVM_ENABLE_CAP, (unsigned long)&cap);
}

static int get(void)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };

	return kvm_ioctl(vm.fd, KVM_GET_DIRTY_LOG, (unsigned long)&log);
}

static int clear(void)
{
	struct kvm_clear_dirty_log log = {
		.slot = SLOT, .num_pages = size / PAGE, .dirty_bitmap = bitmap,
	};

	return kvm_ioctl(vm.fd, KVM_CLEAR_DIRTY_LOG, (unsigned long)&log);
}

static int writes(const char *what)
{
	int ret = guest_finish(&vcpu, write_all, size / PAGE, 0);

	if (!ret)
		printf("# %-44s %12.1f ns a page\n", what,
		       vcpu.value * tick() / (size / PAGE));
	return ret;
}

static uint64_t marked(void)
{
	uint64_t i, n = 0;

	for (i = 0; i < size / PAGE / 64; i++)
		n += __builtin_popcountl(bitmap[i]);
	return n;
}

#define TIMED(what, call)						\
({									\
	uint64_t start_ = host_count();					\
	int ret_ = call;						\
	printf("# %-44s %12.0f ns\n", what, (host_count() - start_) * tick()); \
	ret_;								\
})

static int run(void)
{
	int ret = writes("first write, nothing logs");

	ret = ret ?: writes("write to what is mapped");
	ret = ret ?: TIMED("start of the log", flags(KVM_MEM_LOG_DIRTY_PAGES));
	ret = ret ?: writes("write while it logs");
	ret = ret ?: TIMED("KVM_GET_DIRTY_LOG, all pages", get());
	if (!ret && marked() != size / PAGE)
		return -EPROTO;
	ret = ret ?: TIMED("KVM_GET_DIRTY_LOG, no page", get());
	if (!ret && marked())
		return -EPROTO;
	ret = ret ?: manual(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	ret = ret ?: writes("write after it was taken");
	ret = ret ?: TIMED("KVM_GET_DIRTY_LOG, by hand", get());
	if (!ret && marked() != size / PAGE)
		return -EPROTO;
	ret = ret ?: TIMED("KVM_CLEAR_DIRTY_LOG, all pages", clear());
	ret = ret ?: TIMED("end of the log", flags(0));
	return ret ?: writes("write after it has ended");
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 1 ? strtoul(argv[1], NULL, 0) : 1024, at;
	int ret, fd = memfd_create("slot", 0);

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..1\n");
	print_head(1, 1, "dirty logging");
	size = mib << 20;
	bitmap = malloc(size / PAGE / 8);
	mem = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ret = fd < 0 || ftruncate(fd, PIECE) || mem == MAP_FAILED || !bitmap;
	for (at = 0; !ret && at < size; at += PIECE)
		ret = mmap(mem + at, PIECE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED;
	if (!ret)
		memset(bitmap, 0, size / PAGE / 8);
	ret = ret ?: vm_create(&vm);
	ret = ret ?: vcpu_create(&vm, &vcpu, 0);
	ret = ret ?: flags(0);
	ret = ret ?: run();
	printf("%sok 1 %lu MiB (%d)\n", ret ? "not " : "", mib, ret);
	return ret != 0;
}
