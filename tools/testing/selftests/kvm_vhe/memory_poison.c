// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what becomes of memory with a hardware error (MADV_HWPOISON) that a guest reads all
 * the time: it does not get at it any more; the thread of the vCPU that wants it gets a
 * signal, which says where and how much is lost; the VMM has the guest take an External
 * abort, which says where; all other memory and vCPUs go on; and in the end the VMM puts
 * other memory there. Pages, a page of a transparent huge page, and huge pages of hugetlbfs.
 * Runs on the module and on C KVM, as root. What is poisoned is lost to the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/memfd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define SLOT		1
#define IPA		0x48000000UL
#define PAGE		4096UL
#define M2		(2UL << 20)
#define NR_HUGE		"/proc/sys/vm/nr_hugepages"
/* So many pages each vCPU reads, from the start of one of two blocks. */
#define PAGES		16UL
#define VCPUS		2
/* The page that is lost, of the first vCPU's. */
#define LOST		5UL
#define FAR		(IPA + LOST * PAGE + 0x40)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/*
 * Reads from pages, at an address, until it is told to stop: how many words were not what
 * they should be. A load that is aborted leaves what is in the register, the right value.
 */
GUEST uint64_t read_all(uint64_t at);
GUEST uint64_t read_all(uint64_t at)
{
	struct guest_area *area = guest_area();
	uint64_t page, value, wrong = 0;

	while (!*(volatile uint64_t *)&area->go) {
		for (page = 0; page < PAGES; page++) {
			value = page + 1;
			asm volatile("ldr %0, [%1]"
				     : "+r" (value) : "r" (at + page * PAGE + 0x40) : "memory");
			wrong += value != page + 1;
		}
		*(volatile uint64_t *)&area->seen += 1;
	}
	return wrong;
}

struct reader {
	struct vcpu vcpu;
	pthread_t thread;
	volatile unsigned int signals;
	siginfo_t last;
	int failed;		/* of KVM_SET_VCPU_EVENTS */
	enum guest_event end;
};

/* The reader whose thread this is. */
static __thread struct reader *here;
static volatile unsigned int strays;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	if (!here) {
		/* Who injects an error is told of it, too. */
		strays++;
		return;
	}
	here->last = *info;
	here->signals++;
}

static void *reading(void *arg)
{
	struct kvm_vcpu_events events = { .exception.ext_dabt_pending = 1 };
	struct reader *r = arg;
	unsigned int seen = 0;

	here = r;
	while ((r->end = guest_run(&r->vcpu)) == GUEST_ERROR && r->vcpu.error == -EINTR) {
		if (r->signals == seen)
			continue;
		seen = r->signals;
		r->failed |= kvm_ioctl(r->vcpu.fd, KVM_SET_VCPU_EVENTS, (unsigned long)&events);
	}
	return NULL;
}

FIXTURE(poison)
{
	struct vm vm;
	struct reader reader[VCPUS];
	unsigned char *area, *mem;	/* mem: two blocks in area */
	int fd;
	char nr_huge[32];
};

FIXTURE_VARIANT(poison)
{
	bool huge, hugetlb;
	int lsb;
};

FIXTURE_VARIANT_ADD(poison, page)
{
	.lsb = 12,
};

FIXTURE_VARIANT_ADD(poison, of_a_transparent_huge_page)
{
	.huge = true,
	.lsb = 12,
};

FIXTURE_VARIANT_ADD(poison, huge_page)
{
	.hugetlb = true,
	.lsb = 21,
};

FIXTURE_SETUP(poison)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	unsigned int i;

	self->fd = -1;
	self->area = mmap(NULL, 3 * M2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	self->mem = (void *)(((uintptr_t)self->area + M2 - 1) & ~(M2 - 1));
	ASSERT_TRUE(read_text(NR_HUGE, self->nr_huge, sizeof(self->nr_huge)));
	if (variant->hugetlb) {
		/* One is to come in the lost one's place. */
		write_text(NR_HUGE, "3");
		self->fd = memfd_create("huge", MFD_HUGETLB | MFD_HUGE_2MB);
		if (self->fd < 0 || ftruncate(self->fd, 3 * M2) ||
		    mmap(self->mem, 2 * M2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 self->fd, 0) == MAP_FAILED) {
			write_text(NR_HUGE, self->nr_huge);
			SKIP(return, "no huge pages");
		}
	}
	if (!variant->hugetlb)
		madvise(self->mem, 2 * M2, variant->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (i = 0; i < VCPUS * PAGES; i++)
		*(uint64_t *)(self->mem + i / PAGES * M2 + i % PAGES * PAGE + 0x40) = i % PAGES + 1;
	if (variant->huge && madvise(self->mem, M2, MADV_COLLAPSE))
		SKIP(return, "no transparent huge pages");
	ASSERT_EQ(0, sigaction(SIGBUS, &action, NULL));
	strays = 0;
	ASSERT_EQ(0, vm_create(&self->vm));
	for (i = 0; i < VCPUS; i++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->reader[i].vcpu, i));
	ASSERT_EQ(0, vm_memory(&self->vm, SLOT, IPA, 2 * M2, self->mem, 0));
}

FIXTURE_TEARDOWN(poison)
{
	unsigned int i;

	for (i = 0; i < VCPUS; i++)
		vcpu_destroy(&self->reader[i].vcpu);
	vm_destroy(&self->vm);
	munmap(self->area, 3 * M2);
	if (self->fd >= 0)
		close(self->fd);
	write_text(NR_HUGE, self->nr_huge);
	signal(SIGBUS, SIG_DFL);
}

static uint64_t rounds(struct reader *r)
{
	return __atomic_load_n(&r->vcpu.area->seen, __ATOMIC_ACQUIRE);
}

/* Waits until the guest has read all pages once more, from the start. */
static bool goes_on(struct reader *r)
{
	uint64_t then = rounds(r);
	unsigned int i;

	for (i = 0; i < 20000 && rounds(r) < then + 2; i++)
		usleep(1000);
	return rounds(r) >= then + 2;
}

static int start(struct reader *r)
{
	struct guest_area *area = r->vcpu.area;

	area->go = area->seen = area->caught = 0;
	area->catch = 1;
	r->signals = r->failed = 0;
	return vcpu_start(&r->vcpu, read_all, IPA + r->vcpu.id * M2, GUEST_MMU) ||
	       pthread_create(&r->thread, NULL, reading, r);
}

/* Ends it: how often the guest has read something wrong. */
static uint64_t stop(struct reader *r)
{
	__atomic_store_n(&r->vcpu.area->go, 1, __ATOMIC_RELEASE);
	pthread_join(r->thread, NULL);
	return r->end == GUEST_DONE ? r->vcpu.value : ~0UL;
}

TEST_F_TIMEOUT(poison, under_running_vcpus, 120)
{
	struct reader *r = &self->reader[0], *other = &self->reader[1];
	unsigned char *lost = self->mem + LOST * PAGE;
	uintptr_t mask = ~((1UL << variant->lsb) - 1);
	struct guest_area *area = r->vcpu.area;
	unsigned int i, seen;

	ASSERT_EQ(0, start(r));
	ASSERT_EQ(0, start(other));
	ASSERT_TRUE(goes_on(r));
	ASSERT_TRUE(goes_on(other));
	EXPECT_EQ(0, r->signals);
	EXPECT_EQ(0, area->caught);

	if (madvise(lost, PAGE, MADV_HWPOISON)) {
		int error = errno;

		stop(r);
		stop(other);
		SKIP(return, "MADV_HWPOISON: %s", strerror(error));
	}
	strays = 0;
	/* Each time the guest comes there. */
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(goes_on(r));
	}
	EXPECT_LE(3, r->signals);
	EXPECT_EQ(SIGBUS, r->last.si_signo);
	EXPECT_EQ(BUS_MCEERR_AR, r->last.si_code);
	EXPECT_EQ(variant->lsb, r->last.si_addr_lsb);
	EXPECT_EQ((uintptr_t)lost & mask, (uintptr_t)r->last.si_addr & mask);
	EXPECT_EQ(0, r->failed);
	EXPECT_LE(3, area->caught);
	EXPECT_EQ(EC_DABT_CUR, ESR_EC(area->esr));
	EXPECT_EQ(0x10, area->esr & 0x3f);
	EXPECT_EQ(0, area->esr & 1 << 10) TH_LOG("FnV");
	if (variant->lsb == 12) {
		EXPECT_EQ(FAR, area->far);
	} else {
		EXPECT_EQ(FAR & mask, area->far & mask);
	}
	/* No other thread is told, and the other vCPU goes on. */
	EXPECT_TRUE(goes_on(other));
	EXPECT_EQ(0, other->signals);
	EXPECT_EQ(0, other->vcpu.area->caught);
	EXPECT_EQ(0, strays);

	/* Other memory comes, with what was there. */
	if (variant->hugetlb) {
		unsigned char *new = mmap(NULL, M2, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
					  2 * M2);

		ASSERT_NE(MAP_FAILED, new);
		for (i = 0; i < PAGES; i++)
			*(uint64_t *)(new + i * PAGE + 0x40) = i + 1;
		ASSERT_EQ(self->mem, mremap(new, M2, M2, MREMAP_MAYMOVE | MREMAP_FIXED, self->mem));
	} else {
		unsigned char *new = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ASSERT_NE(MAP_FAILED, new);
		*(uint64_t *)(new + 0x40) = LOST + 1;
		ASSERT_EQ(lost, mremap(new, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, lost));
	}
	ASSERT_TRUE(goes_on(r));
	seen = r->signals;
	ASSERT_TRUE(goes_on(r));
	EXPECT_EQ(seen, r->signals);
	EXPECT_EQ(0, stop(r));
	EXPECT_EQ(0, stop(other));
}

/* Memory that is not mapped yet: to be read first, or mapped before that. */
TEST_F(poison, not_mapped_yet)
{
	struct kvm_pre_fault_memory range = { .gpa = IPA, .size = 8 * PAGE };
	struct reader *r = &self->reader[0];

	if (madvise(self->mem + LOST * PAGE, PAGE, MADV_HWPOISON))
		SKIP(return, "MADV_HWPOISON: %s", strerror(errno));
	if (host_is_module()) {
		int ret;

		/* As far as there is memory; then the signal. */
		here = r;
		ret = kvm_ioctl(r->vcpu.fd, KVM_PRE_FAULT_MEMORY, (unsigned long)&range);
		if (!ret) {
			EXPECT_EQ(IPA + LOST * PAGE, range.gpa);
			ret = kvm_ioctl(r->vcpu.fd, KVM_PRE_FAULT_MEMORY, (unsigned long)&range);
		}
		here = NULL;
		EXPECT_EQ(-EINTR, ret);
		EXPECT_LE(1, r->signals);
		EXPECT_EQ(BUS_MCEERR_AR, r->last.si_code);
		EXPECT_EQ(variant->lsb, r->last.si_addr_lsb);
	}
	ASSERT_EQ(0, start(r));
	ASSERT_TRUE(goes_on(r));
	EXPECT_LE(1, r->signals);
	EXPECT_EQ(variant->lsb, r->last.si_addr_lsb);
	EXPECT_LE(1, r->vcpu.area->caught);
	EXPECT_EQ(0, stop(r));
}

TEST_HARNESS_MAIN
