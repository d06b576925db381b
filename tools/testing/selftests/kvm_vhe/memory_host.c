// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a guest's memory is its VMM's, whatever that or the host does with it while
 * vCPUs write: unmaps, replaces and moves it, punches holes, truncates the file, forks,
 * merges equal pages, runs into the limit of a memory cgroup. The guest goes on with
 * what is there afterwards, and what is not there any more does not change.
 * Runs on the module and on C KVM, as root. LAB_SCALE=600 is a minute of unmapping.
 * "-f memory_host" leaves the cgroup out, at whose limit the kernel tells of the OOM killer.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define PAGE		4096UL
#define IPA		0x80000000UL
#define VCPUS		4
#define PAGES		256U
#define SIZE		(PAGES * PAGE)
/* Words of a page, one for each vCPU. */
#define WORDS		(PAGE / 8)

/* Counts in all pages, each vCPU in its word of them, until it is told to stop. */
GUEST uint64_t count(uint64_t pages);
GUEST uint64_t count(uint64_t pages)
{
	struct guest_area *area = guest_area();
	uint64_t word = area->data[0], p;

	while (!*(volatile uint64_t *)&area->go) {
		for (p = 0; p < pages; p++)
			((volatile uint64_t *)(IPA + p * PAGE))[word]++;
		*(volatile uint64_t *)&area->seen += 1;
	}
	return 0;
}

GUEST uint64_t load(uint64_t address);
GUEST uint64_t load(uint64_t address)
{
	return *(volatile uint64_t *)address;
}

struct counter {
	struct vcpu vcpu;
	pthread_t thread;
	/* How often it met memory that was not there, and whether it may. */
	volatile unsigned long missed;
	volatile bool may_miss;
	bool good;
};

static void *counting(void *arg)
{
	struct counter *c = arg;
	enum guest_event event;

	while ((event = guest_run(&c->vcpu)) == GUEST_ERROR && c->vcpu.error == -EFAULT &&
	       c->may_miss)
		c->missed++;
	c->good = event == GUEST_DONE;
	if (!c->good)
		printf("# vCPU %u: %s\n", c->vcpu.id, guest_told(&c->vcpu, event));
	return NULL;
}

FIXTURE(memory_host)
{
	struct vm vm;
	struct counter counter[VCPUS];
	/* The slot's memory, a file that is mapped a second time. */
	int fd;
	uint64_t *slot, *view;
	unsigned int running;
};

FIXTURE_SETUP(memory_host)
{
	unsigned int i;

	self->fd = memfd_create("slot", 0);
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	self->slot = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	self->view = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->slot);
	ASSERT_NE(MAP_FAILED, self->view);
	ASSERT_EQ(0, vm_create(&self->vm));
	vm_map_high(&self->vm, IPA);
	for (i = 0; i < VCPUS; i++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->counter[i].vcpu, i));
	ASSERT_EQ(0, vm_memory(&self->vm, 1, IPA, SIZE, self->slot, 0));
}

FIXTURE_TEARDOWN(memory_host)
{
	unsigned int i;

	for (i = 0; i < VCPUS; i++)
		vcpu_destroy(&self->counter[i].vcpu);
	vm_destroy(&self->vm);
	munmap(self->slot, SIZE);
	munmap(self->view, SIZE);
	close(self->fd);
}

static int start(struct counter *counters, unsigned int vcpus, unsigned int pages, bool may_miss)
{
	unsigned int i;

	for (i = 0; i < vcpus; i++) {
		struct counter *c = &counters[i];

		c->vcpu.area->go = c->vcpu.area->seen = 0;
		c->vcpu.area->data[0] = i;
		c->missed = 0;
		c->may_miss = may_miss;
		if (vcpu_start(&c->vcpu, count, pages, GUEST_MMU) ||
		    pthread_create(&c->thread, NULL, counting, c))
			return -1;
	}
	return 0;
}

static bool stop(struct counter *counters, unsigned int vcpus)
{
	bool good = true;
	unsigned int i;

	for (i = 0; i < vcpus; i++)
		__atomic_store_n(&counters[i].vcpu.area->go, 1, __ATOMIC_RELEASE);
	for (i = 0; i < vcpus; i++) {
		pthread_join(counters[i].thread, NULL);
		good &= counters[i].good;
	}
	return good;
}

static uint64_t rounds(struct counter *c)
{
	return __atomic_load_n(&c->vcpu.area->seen, __ATOMIC_ACQUIRE);
}

/* Waits until the guest has gone over all pages once more, from the start. */
static bool goes_on(struct counter *c)
{
	uint64_t then = rounds(c);
	unsigned int i;

	for (i = 0; i < 30000 && rounds(c) < then + 2; i++)
		usleep(1000);
	return rounds(c) >= then + 2;
}

static bool same(const volatile uint64_t *page, const uint64_t *before)
{
	unsigned int i;

	for (i = 0; i < VCPUS; i++)
		if (page[i] != before[i])
			return false;
	return true;
}

static void *map_again(uint64_t *at, size_t size, int fd, off_t offset)
{
	return mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset);
}

static void *map_other(uint64_t *at, size_t size)
{
	return mmap(at, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* A page of the file is replaced by another one: the guest does not change it any more. */
static void replace(struct __test_metadata *_metadata, uint64_t *slot, uint64_t *view, int fd,
		    unsigned int p, bool hole)
{
	uint64_t *at = slot + p * WORDS, *page = view + p * WORDS, before[VCPUS];

	if (hole) {
		ASSERT_EQ(0, munmap(at, PAGE));
	} else {
		ASSERT_EQ(at, map_other(at, PAGE));
	}
	memcpy(before, page, sizeof(before));
	usleep(random() % 200);
	EXPECT_EQ(true, same(page, before));
	ASSERT_EQ(at, map_again(at, PAGE, fd, p * PAGE));
}

TEST_F_TIMEOUT(memory_host, unmapped_under_faults, 300)
{
	time_t end = time(NULL) + scaled(10);
	unsigned long changes = 0, missed = 0;
	uint64_t seen = 0;
	unsigned int i;

	ASSERT_EQ(0, start(self->counter, VCPUS, PAGES, true));
	while (time(NULL) < end) {
		unsigned int p = random() % PAGES, n = random() % (PAGES - p) + 1;
		uint64_t *at = self->slot + p * WORDS;

		switch (random() % 6) {
		case 0:
			replace(_metadata, self->slot, self->view, self->fd, p, true);
			break;
		case 1:
			replace(_metadata, self->slot, self->view, self->fd, p, false);
			break;
		case 2:
			ASSERT_EQ(0, madvise(at, n * PAGE, MADV_DONTNEED));
			break;
		case 3:
			ASSERT_EQ(0, madvise(at, n * PAGE, MADV_REMOVE));
			break;
		case 4:
			ASSERT_EQ(0, mprotect(at, n * PAGE, PROT_READ));
			ASSERT_EQ(0, mprotect(at, n * PAGE, PROT_READ | PROT_WRITE));
			break;
		default:
			/* Other memory, for a moment. */
			ASSERT_EQ(at, map_other(at, n * PAGE));
			ASSERT_EQ(at, map_again(at, n * PAGE, self->fd, p * PAGE));
		}
		changes++;
	}
	for (i = 0; i < VCPUS; i++) {
		EXPECT_EQ(true, goes_on(&self->counter[i]));
		missed += self->counter[i].missed;
		seen += rounds(&self->counter[i]);
	}
	EXPECT_EQ(true, stop(self->counter, VCPUS));
	TH_LOG("%lu changes, %lu rounds, %lu faults on nothing", changes, seen, missed);
	/* At the end it is all one again. */
	EXPECT_EQ(0, memcmp(self->slot, self->view, SIZE));
}

/*
 * A slot goes, and its memory is unmapped at once: a fault that has seen the slot must not
 * end in EFAULT, since for the VMM there is no memory any more that could be missing.
 */
static void *answering(void *arg)
{
	struct counter *c = arg;
	struct kvm_run *run = c->vcpu.run;
	enum guest_event event;

	while ((event = guest_run(&c->vcpu)) == GUEST_EXIT) {
		if (run->exit_reason != KVM_EXIT_MMIO)
			break;
		c->missed++;
	}
	c->good = event == GUEST_DONE;
	if (!c->good)
		printf("# vCPU %u: %s\n", c->vcpu.id, guest_told(&c->vcpu, event));
	return NULL;
}

TEST_F_TIMEOUT(memory_host, slot_and_memory_go, 300)
{
	time_t end = time(NULL) + scaled(10);
	unsigned int i, n;
	struct counter *c = self->counter;

	for (i = 0; i < VCPUS; i++) {
		c[i].vcpu.area->go = c[i].vcpu.area->seen = 0;
		c[i].vcpu.area->data[0] = i;
		ASSERT_EQ(0, vcpu_start(&c[i].vcpu, count, 16, GUEST_MMU));
		ASSERT_EQ(0, pthread_create(&c[i].thread, NULL, answering, &c[i]));
	}
	for (n = 0; time(NULL) < end; n++) {
		uint64_t before[VCPUS];

		ASSERT_EQ(0, vm_memory(&self->vm, 1, 0, 0, NULL, 0));
		ASSERT_EQ(0, munmap(self->slot, SIZE));
		memcpy(before, self->view, sizeof(before));
		usleep(random() % 100);
		EXPECT_EQ(true, same(self->view, before));
		ASSERT_EQ(self->slot, map_again(self->slot, SIZE, self->fd, 0));
		ASSERT_EQ(0, vm_memory(&self->vm, 1, IPA, SIZE, self->slot, 0));
		usleep(random() % 2000);
	}
	EXPECT_EQ(true, stop(c, VCPUS));
	TH_LOG("%u times, %lu exits of vCPU 0", n, c[0].missed);
}

TEST_F_TIMEOUT(memory_host, holes, 120)
{
	struct counter *c = self->counter;
	unsigned int i;

	ASSERT_EQ(0, start(c, 1, PAGES, true));
	ASSERT_EQ(true, goes_on(c));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE));
		ASSERT_EQ(true, goes_on(c));
		/* What was there is gone; what comes is the file's. */
		EXPECT_EQ(0, self->view[5 * WORDS + 9]);
		EXPECT_LE(1, self->view[5 * WORDS]);
		self->view[5 * WORDS + 9] = 1;
		ASSERT_EQ(true, goes_on(c));
		EXPECT_EQ(1, self->slot[5 * WORDS + 9]);
	}
	EXPECT_EQ(0, c->missed);
	/* Beyond the end of a file is nothing, until it is there again. */
	ASSERT_EQ(0, ftruncate(self->fd, PAGE));
	for (i = 0; i < 10000 && !c->missed; i++)
		usleep(1000);
	EXPECT_NE(0, c->missed);
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	EXPECT_EQ(true, goes_on(c));
	EXPECT_EQ(true, stop(c, 1));
}

TEST_F_TIMEOUT(memory_host, moved_away, 120)
{
	uint64_t before[VCPUS] = {}, *away;
	struct counter *c = self->counter;

	away = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, away);
	ASSERT_EQ(self->slot, map_other(self->slot, SIZE));
	ASSERT_EQ(0, start(c, 1, PAGES, true));
	ASSERT_EQ(true, goes_on(c));
	EXPECT_EQ(0, c->missed);

	/* It takes the pages with it. */
	ASSERT_EQ(away, mremap(self->slot, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, away));
	memcpy(before, away, sizeof(before));
	EXPECT_NE(0, before[0]);
	for (unsigned int i = 0; i < 10000 && !c->missed; i++)
		usleep(1000);
	EXPECT_NE(0, c->missed);
	EXPECT_EQ(true, same(away, before));
	/* Back, and the guest finds them; then without the addresses. */
	ASSERT_EQ(self->slot, mremap(away, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
				     self->slot));
	ASSERT_EQ(true, goes_on(c));
	EXPECT_LT(before[0], self->slot[0]);
	c->may_miss = false;
	away = mremap(self->slot, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	ASSERT_NE(MAP_FAILED, away);
	memcpy(before, away, sizeof(before));
	ASSERT_EQ(true, goes_on(c));
	EXPECT_EQ(true, same(away, before));
	EXPECT_EQ(true, stop(c, 1));
	munmap(away, SIZE);
}

/* What a child finds in its copy of the memory: 0 if all is as it should be. */
static int child_of_fork(volatile uint64_t *slot, volatile uint64_t *told)
{
	uint64_t before[2] = { slot[0], slot[9 * WORDS] };
	unsigned int i;

	told[0] = 1;
	while (told[1] < 1)
		usleep(1000);
	/* The guest has gone over all pages meanwhile. */
	if (slot[0] != before[0] || slot[9 * WORDS] != before[1])
		return 1;
	for (i = 0; i < PAGES; i++)
		slot[i * WORDS + 1] = slot[i * WORDS] = 0xdead0000dead;
	told[0] = 2;
	while (told[1] < 2)
		usleep(1000);
	for (i = 0; i < PAGES; i++)
		if (slot[i * WORDS] != 0xdead0000dead)
			return 2;
	return 0;
}

TEST_F_TIMEOUT(memory_host, forked, 120)
{
	volatile uint64_t *told = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct counter *c = self->counter;
	int child;

	ASSERT_EQ(self->slot, map_other(self->slot, SIZE));
	ASSERT_EQ(0, start(c, 1, PAGES, false));
	ASSERT_EQ(true, goes_on(c));
	for (int round = 0; round < 5; round++) {
		uint64_t then;

		told[0] = told[1] = 0;
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			_exit(child_of_fork(self->slot, told));
		while (told[0] < 1)
			usleep(1000);
		then = self->slot[0];
		ASSERT_EQ(true, goes_on(c));
		/* The guest's writes are this process's. */
		EXPECT_LT(then, self->slot[0]);
		told[1] = 1;
		while (told[0] < 2)
			usleep(1000);
		ASSERT_EQ(true, goes_on(c));
		/* The child's are not; and this process's are the guest's. */
		EXPECT_GT(0xdead0000dead, self->slot[0]);
		EXPECT_EQ(0, self->slot[7 * WORDS + 1]);
		self->slot[WORDS + 2] = 1000 + round;
		told[1] = 2;
		EXPECT_EQ(0, wait_child(child));
	}
	EXPECT_EQ(true, stop(c, 1));
	EXPECT_EQ(0, guest_finish(&c->vcpu, load, IPA + PAGE + 16, GUEST_MMU));
	EXPECT_EQ(1004, c->vcpu.value);
	munmap((void *)told, PAGE);
}

#define KSM "/sys/kernel/mm/ksm/"

/* Reads all pages until it is told to stop: how many were not what they should be. */
GUEST uint64_t check_all(uint64_t pages);
GUEST uint64_t check_all(uint64_t pages)
{
	struct guest_area *area = guest_area();
	uint64_t p, wrong = 0;

	while (!*(volatile uint64_t *)&area->go) {
		for (p = 0; p < pages; p++)
			wrong += *(volatile uint64_t *)(IPA + p * PAGE + 64) != 0x5a5a;
		*(volatile uint64_t *)&area->seen += 1;
	}
	return wrong;
}

/* Writes its number to each page. */
GUEST uint64_t number_all(uint64_t pages);
GUEST uint64_t number_all(uint64_t pages)
{
	uint64_t p;

	for (p = 0; p < pages; p++)
		*(volatile uint64_t *)(IPA + p * PAGE) = p + 1;
	return 0;
}

/* Waits until half of the pages are, which have all the same in them. */
static bool is_merged(void)
{
	char text[32] = "0";
	unsigned int i;

	for (i = 0; i < 2000 && strtoul(text, NULL, 10) < PAGES / 2; i++) {
		usleep(10000);
		if (!read_text(KSM "pages_sharing", text, sizeof(text)))
			return false;
	}
	return strtoul(text, NULL, 10) >= PAGES / 2;
}

TEST_F_TIMEOUT(memory_host, merged, 120)
{
	struct counter *c = self->counter;
	unsigned int i, wrong = 0;
	char text[32] = "0";

	if (write_text(KSM "run", "1")) {
		SKIP(return, "no KSM");
	}
	write_text(KSM "pages_to_scan", "2000");
	write_text(KSM "sleep_millisecs", "20");
	ASSERT_EQ(self->slot, map_other(self->slot, SIZE));
	for (i = 0; i < PAGES; i++)
		self->slot[i * WORDS + 8] = 0x5a5a;
	ASSERT_EQ(0, madvise(self->slot, SIZE, MADV_MERGEABLE));
	c->vcpu.area->go = c->vcpu.area->seen = 0;
	ASSERT_EQ(0, vcpu_start(&c->vcpu, check_all, PAGES, GUEST_MMU));
	ASSERT_EQ(0, pthread_create(&c->thread, NULL, counting, c));
	/* The guest's reads do not keep pages from being merged. */
	EXPECT_EQ(true, is_merged());
	ASSERT_EQ(true, goes_on(c));
	/* Each gets a page of its own again; and back. */
	ASSERT_EQ(0, write_text(KSM "run", "2"));
	ASSERT_EQ(true, read_text(KSM "pages_sharing", text, sizeof(text)));
	EXPECT_EQ(0, strtoul(text, NULL, 10));
	ASSERT_EQ(true, goes_on(c));
	ASSERT_EQ(0, write_text(KSM "run", "1"));
	EXPECT_EQ(true, is_merged());
	ASSERT_EQ(true, goes_on(c));
	EXPECT_EQ(true, stop(c, 1));
	EXPECT_EQ(0, c->vcpu.value);
	/* A write is one to its page only. */
	ASSERT_EQ(0, guest_finish(&c->vcpu, number_all, PAGES, GUEST_MMU));
	for (i = 0; i < PAGES; i++)
		wrong += self->slot[i * WORDS] != i + 1 || self->slot[i * WORDS + 8] != 0x5a5a;
	EXPECT_EQ(0, wrong);
	write_text(KSM "run", "2");
}

#define CGROUP	"/tmp/memory_host"

/* A VMM whose guest writes to more memory than it may have. */
static void glutton(void)
{
	size_t size = 64UL << 20;
	struct counter c = {};
	struct vm vm;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || write_text(CGROUP "/test/cgroup.procs", "0") ||
	    vm_create(&vm) || vm_memory(&vm, 1, IPA, size, memory, 0) ||
	    vcpu_create(&vm, &c.vcpu, 0))
		_exit(1);
	vm_map_high(&vm, IPA);
	if (vcpu_start(&c.vcpu, count, size / PAGE, GUEST_MMU))
		_exit(2);
	counting(&c);
	/* C KVM and the module may see the end of memory as an error before the signal comes. */
	_exit(c.vcpu.error == -EFAULT || c.vcpu.error == -ENOMEM ? 3 : 4);
}

TEST(limit_of_a_cgroup)
{
	unsigned int i;
	long charged;

	mkdir(CGROUP, 0755);
	if (mount("none", CGROUP, "cgroup2", 0, NULL) ||
	    write_text(CGROUP "/cgroup.subtree_control", "+memory")) {
		SKIP(return, "no memory cgroups");
	}
	ASSERT_EQ(0, mkdir(CGROUP "/test", 0755));
	ASSERT_EQ(0, write_text(CGROUP "/test/memory.max", "24M"));
	write_text(CGROUP "/test/memory.swap.max", "0");
	for (i = 0; i < 3; i++) {
		int child = fork();

		ASSERT_LE(0, child);
		if (!child)
			glutton();
		EXPECT_EQ(256 + SIGKILL, wait_child(child));
	}
	/* All of it is freed, some a while later: what is left is RCU's and caches of the CPUs. */
	for (i = 0, charged = 1L << 30; i < 200 && charged > 2L << 20; i++) {
		char text[32] = "";

		msleep(50);
		ASSERT_EQ(true, read_text(CGROUP "/test/memory.current", text, sizeof(text)));
		charged = strtol(text, NULL, 10);
	}
	EXPECT_GE(2L << 20, charged);
	EXPECT_EQ(0, rmdir(CGROUP "/test"));
	umount(CGROUP);
	rmdir(CGROUP);
}

TEST_HARNESS_MAIN
