// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a flush of set/way operations ends while memory slots go and move, other
 * vCPUs map more and other threads want the CPU, that then it does not reach where the
 * slots were, and that a SIGKILL ends it half way.
 * Runs on the module, as root; the first point on C KVM as well.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "kselftest_harness.h"
#include "setway.h"

/* Set/way operations and caches off and on, for ever: three flushes each. */
GUEST FN uint64_t flood(uint64_t arg);
GUEST FN uint64_t flood(uint64_t arg)
{
	uint64_t on = GUEST_MRS("sctlr_el1");

	for (;; arg++) {
		asm volatile("dc cisw, xzr\n dsb sy" : : : "memory");
		GUEST_MSR("sctlr_el1", on & ~SCTLR_C);
		GUEST_ISB();
		GUEST_MSR("sctlr_el1", on);
		GUEST_ISB();
		if (arg % 4 == 0)
			guest_say(SAY_TURN, arg);
	}
}

/* Uses the slots, wherever they are now. */
GUEST FN uint64_t touch(uint64_t arg);
GUEST FN uint64_t touch(uint64_t arg)
{
	uint64_t i;

	for (;; arg++) {
		for (i = 0; i < 2 * SLOTS; i++)
			*(volatile uint64_t *)(SLOT_IPA(i) + arg % SLOT_PAGES * PAGE) = arg;
		if (arg % 16 == 0)
			guest_say(SAY_TURN, arg);
	}
}

struct runner {
	struct vcpu *vcpu;
	bool stop;
	unsigned long turns, nowhere;
	char wrong[200];
};

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	enum guest_event event;

	kick_every(10000);
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE) && !r->wrong[0]) {
		event = guest_run(r->vcpu);
		if (event == GUEST_SAID && r->vcpu->what == SAY_TURN) {
			__atomic_fetch_add(&r->turns, 1, __ATOMIC_RELEASE);
		} else if (event == GUEST_EXIT && r->vcpu->run->exit_reason == KVM_EXIT_MMIO &&
			   r->vcpu->run->mmio.phys_addr >= SLOT_IPA(0)) {
			r->nowhere++;
		} else if (event != GUEST_ERROR || r->vcpu->error != -EINTR) {
			snprintf(r->wrong, sizeof(r->wrong), "%s", guest_told(r->vcpu, event));
			__atomic_fetch_add(&r->turns, 1UL << 32, __ATOMIC_RELEASE);
		}
	}
	kick_every(0);
	return NULL;
}

static void *busy_main(void *stop)
{
	while (!__atomic_load_n((bool *)stop, __ATOMIC_ACQUIRE))
		;
	return NULL;
}

/* How far it has got; what waits for more is bounded by the point's time only. */
static unsigned long turns(struct runner *r)
{
	return __atomic_load_n(&r->turns, __ATOMIC_ACQUIRE);
}

/* Adds a page to a set in ascending order. */
static unsigned int add(uint64_t *pages, unsigned int n, uint64_t page)
{
	unsigned int i = n;

	page &= ~(PAGE - 1);
	while (i && pages[i - 1] > page)
		i--;
	if (i && pages[i - 1] == page)
		return n;
	memmove(&pages[i + 1], &pages[i], (n - i) * sizeof(*pages));
	pages[i] = page;
	return n + 1;
}

FIXTURE(churn)
{
	struct vm vm;
	struct vcpu vcpu[VCPUS];
	unsigned char *host[SLOTS];
	int pipe;
};

FIXTURE_SETUP(churn)
{
	unsigned int i;

	self->pipe = -1;
	ASSERT_EQ(0, vm_create(&self->vm));
	for (i = 0; i < VCPUS; i++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu[i], i));
	for (i = 0; i < SLOTS; i++) {
		self->host[i] = slot_memory();
		ASSERT_NE(NULL, self->host[i]);
		ASSERT_EQ(0, vm_memory(&self->vm, 1 + i, SLOT_IPA(2 * i), SLOT_SIZE,
				       self->host[i], 0));
	}
}

FIXTURE_TEARDOWN(churn)
{
	unsigned int i;

	if (self->pipe >= 0)
		close(self->pipe);
	if (host_is_module())
		tracing(false);
	for (i = 0; i < VCPUS; i++)
		vcpu_destroy(&self->vcpu[i]);
	vm_destroy(&self->vm);
	for (i = 0; i < SLOTS; i++)
		munmap(self->host[i], SLOT_SIZE);
}

/* One vCPU floods, one uses the slots, while these change and two threads want the CPUs. */
static void flood_and_churn(struct __test_metadata *_metadata, FIXTURE_DATA(churn) *self)
{
	unsigned int round, i, rounds = scaled(100);
	struct runner r[VCPUS] = { };
	pthread_t thread[VCPUS], busy[2];
	unsigned long before[VCPUS];
	bool stop = false;

	for (i = 0; i < VCPUS; i++) {
		r[i].vcpu = &self->vcpu[i];
		ASSERT_EQ(0, vcpu_start(r[i].vcpu, i ? touch : flood, 1, GUEST_MMU));
	}
	for (i = 0; i < VCPUS; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, runner_main, &r[i]));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&busy[i], NULL, busy_main, &stop));
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < VCPUS; i++)
			before[i] = turns(&r[i]);
		/* At the end the first is gone and the second where it was. */
		EXPECT_EQ(0, vm_memory(&self->vm, 1, SLOT_IPA(0), 0, self->host[0], 0));
		EXPECT_EQ(0, vm_memory(&self->vm, 2, SLOT_IPA(3), SLOT_SIZE, self->host[1], 0));
		for (i = 0; i < VCPUS; i++)
			while (turns(&r[i]) == before[i])
				msleep(1);
		EXPECT_EQ(0, vm_memory(&self->vm, 2, SLOT_IPA(2), SLOT_SIZE, self->host[1], 0));
		if (round + 1 < rounds) {
			EXPECT_EQ(0, vm_memory(&self->vm, 1, SLOT_IPA(0), SLOT_SIZE, self->host[0],
					       0));
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < VCPUS; i++)
		__atomic_store_n(&r[i].stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < VCPUS; i++) {
		pthread_join(thread[i], NULL);
		pthread_join(busy[i], NULL);
		EXPECT_STREQ("", r[i].wrong);
		EXPECT_LE(rounds, r[i].turns);
	}
	EXPECT_LT(0, r[1].nowhere);
	TH_LOG("%lu and %lu turns", r[0].turns, r[1].turns);
}

/* Makes the second slot's pages and this code the only ones mapped, and flushes them. */
static void flush_rest(struct __test_metadata *_metadata, FIXTURE_DATA(churn) *self, bool fwb)
{
	static uint64_t pages[SLOT_PAGES];
	static struct seen seen;
	unsigned int i, n = 0;
	char why[160];

	ASSERT_EQ(0, madvise(self->host[1], SLOT_SIZE, MADV_DONTNEED));
	n = add(pages, n, GUEST_TABLES);
	n = add(pages, n, guest_address(guest_entry));
	n = add(pages, n, guest_address(flood));
	n = add(pages, n, guest_address(touch));
	n = add(pages, n, guest_address(do_write));
	n = add(pages, n, guest_address(do_sctlr));
	for (i = 3; i < SLOT_PAGES; i *= 2) {
		n = add(pages, n, SLOT_IPA(2) + i * PAGE);
		ASSERT_EQ(0, guest_finish(&self->vcpu[1], do_write, SLOT_IPA(2) + i * PAGE, 0));
	}
	/* The signal that stopped the vCPU may have left the rest of a flush for later. */
	ASSERT_EQ(0, guest_finish(&self->vcpu[0], do_sctlr, SCTLR_OFF, 0));
	/* A reset vCPU is watched: its caches going on is one flush. */
	ASSERT_EQ(0, vcpu_init(&self->vcpu[0], 1 << KVM_ARM_VCPU_PSCI_0_2));
	ASSERT_EQ(0, vcpu_start(&self->vcpu[0], do_sctlr, SCTLR_ON, GUEST_MMU));
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu[0], SCTLR_EL1, SCTLR_OFF));
	stay_on(0);
	ASSERT_TRUE(tracing(true));
	self->pipe = open(TRACING "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->pipe);
	ASSERT_EQ(0, trace_clear());
	ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu[0]));
	ASSERT_TRUE(look(self->pipe, &seen));
	if (fwb) {
		EXPECT_EQ(0, seen.set_way + seen.toggle + seen.ranges);
	} else {
		EXPECT_EQ(1, seen.toggle);
		EXPECT_TRUE(exactly(&seen, pages, n, why, sizeof(why))) TH_LOG("%s", why);
	}
}

TEST_F_TIMEOUT(churn, slots_go_and_move, 280)
{
	int fwb;

	flood_and_churn(_metadata, self);
	if (!host_is_module())
		return;
	fwb = module_found("FWB");
	ASSERT_LE(0, fwb);
	EXPECT_EQ(fwb, !vcpu_counter(&self->vcpu[0], "set_way_flushes"));
	flush_rest(_metadata, self, fwb);
}

#define MUCH_PAGES	2048
#define MUCH_SIZE	(MUCH_PAGES * PAGE)
/* What a flush may still do for a vCPU after a SIGKILL. */
#define REST_PAGES	64

/* Has much memory to flush, then as flood(). */
GUEST FN uint64_t flood_much(uint64_t half);
GUEST FN uint64_t flood_much(uint64_t half)
{
	uint64_t i;

	for (i = half; i < MUCH_PAGES; i += VCPUS)
		*(volatile uint64_t *)(SLOT_IPA(8) + i * PAGE) = i;
	return flood(0);
}

/* How often each vCPU of the child has said something. */
static unsigned long *said;

/* So that nobody waits for it. */
static void dead(int code)
{
	said[0] = said[1] = 1;
	_exit(code);
}

static void *victim_main(void *arg)
{
	while (guest_run(arg) == GUEST_SAID)
		__atomic_fetch_add(&said[((struct vcpu *)arg)->id], 1, __ATOMIC_RELEASE);
	dead(5);
	return NULL;
}

static void victim(void)
{
	void *memory = mmap(NULL, MUCH_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	static struct vcpu vcpu[VCPUS];
	static struct vm vm;
	pthread_t thread;
	unsigned int i;

	if (memory == MAP_FAILED || madvise(memory, MUCH_SIZE, MADV_NOHUGEPAGE) ||
	    vm_create(&vm) || vm_memory(&vm, 1, SLOT_IPA(8), MUCH_SIZE, memory, 0))
		dead(1);
	for (i = 0; i < VCPUS; i++)
		if (vcpu_create(&vm, &vcpu[i], i) ||
		    vcpu_start(&vcpu[i], flood_much, i, GUEST_MMU))
			dead(2);
	for (i = 0; i < VCPUS; i++)
		if (pthread_create(&thread, NULL, victim_main, &vcpu[i]))
			dead(3);
	for (;;)
		pause();
}

/* Counts the flush's events before and after the mark, and whether the last one ended one. */
static bool count_around(const char *mark, unsigned int *before, unsigned int *after, bool *ended)
{
	FILE *file = fopen(TRACING "/trace", "re");
	uint64_t ipa = 0, bytes = 0;
	char line[512], *event;
	bool marked = false;

	*before = *after = 0;
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		marked |= line[0] != '#' && strstr(line, mark);
		event = strstr(line, " flush_range: ipa ");
		if (event && sscanf(event, " flush_range: ipa %lx bytes %lx", &ipa, &bytes) == 2)
			++*(marked ? after : before);
	}
	fclose(file);
	*ended = ipa + bytes == SLOT_IPA(8) + MUCH_SIZE;
	return marked;
}

TEST_F_TIMEOUT(churn, ends_with_a_sigkill, 280)
{
	unsigned int round, rounds = 5 + scaled(5), before, after, i, most = 0, inside = 0, all = 0;
	int child, fwb;
	bool ended;

	if (!host_is_module())
		SKIP(return, "C KVM does not say what it flushes");
	fwb = module_found("FWB");
	ASSERT_LE(0, fwb);
	said = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, said);
	ASSERT_TRUE(tracing(true));
	for (round = 0; round < rounds; round++) {
		memset(said, 0, PAGE);
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			victim();
		for (i = 0; i < VCPUS; i++)
			while (!__atomic_load_n(&said[i], __ATOMIC_ACQUIRE))
				msleep(1);
		ASSERT_EQ(0, trace_clear());
		usleep(5000 + random() % 20000);
		ASSERT_EQ(0, kill(child, SIGKILL));
		/* It is pending for all of its threads now. */
		ASSERT_EQ(0, trace_mark("setway_churn: killed\n"));
		EXPECT_EQ(256 + SIGKILL, wait_child(child));
		ASSERT_TRUE(count_around("setway_churn: killed", &before, &after, &ended));
		EXPECT_GE(VCPUS * REST_PAGES, after);
		most = after > most ? after : most;
		inside += before + after && !ended;
		all += before + after;
	}
	TH_LOG("%u of %u in the middle of a flush, %u pages afterwards at most", inside, rounds,
	       most);
	if (fwb) {
		EXPECT_EQ(0, all);
	} else {
		EXPECT_LT(0, inside);
	}
	munmap(said, PAGE);
}

TEST_HARNESS_MAIN
