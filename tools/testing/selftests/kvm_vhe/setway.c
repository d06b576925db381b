// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what set/way cache operations come to, in every order with caches switched
 * on and off: the guest goes on, its other vCPU's data stay as they are, and what
 * was cleaned is there with caches off. A guest that does nothing else neither
 * starves other threads nor holds up a SIGKILL.
 * Runs on the module and on C KVM, as root. The trace events set_way_flush and
 * toggle_cache of either are held against a model.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

/* What a guest does; a sequence has 3 bits for each, from the lowest on. */
enum action { END, ISW, CSW, CISW, M_ON, M_OFF, C_ON, C_OFF };

#define ACTIONS		7
#define LENGTH		4
#define SEQUENCES	(ACTIONS * ACTIONS * ACTIONS * ACTIONS)
#define LINES		64	/* of data that have to survive a sequence */
#define DATA		GUEST_FREE
#define SCTLR_OFF	0x30d00980UL

#define SLOT_IPA	0x80000000UL
#define SLOT_SIZE	(32UL << 20)
#define SAY_TURN	1
#define SAY_BAD		2
#define SAY_TOUCHED	3

FIXTURE(setway)
{
	struct vm vm;
	struct vcpu vcpu[2];
};

FIXTURE_SETUP(setway)
{
	unsigned int i;

	ASSERT_EQ(0, vm_create(&self->vm));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu[i], i));
	}
}

FIXTURE_TEARDOWN(setway)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		vcpu_destroy(&self->vcpu[i]);
	vm_destroy(&self->vm);
}

/*
 * Does a sequence (x0), from and to SCTLR_EL1 as it finds it. It uses no memory: the
 * stack would be seen through caches at one time and past them at another.
 */
extern void do_sequence(uint64_t sequence);

asm(".pushsection guest_text, \"ax\"\n"
    ".globl do_sequence\n"
    "do_sequence:\n"
    "	mrs	x9, sctlr_el1\n"
    "	mov	x10, x9\n"
    "1:	and	x1, x0, #7\n"
    "	lsr	x0, x0, #3\n"
    "	cbz	x1, 9f\n"
    "	cmp	x1, #3\n"
    "	b.hi	2f\n"
    "	cmp	x1, #2\n"
    "	b.lo	3f\n"
    "	b.eq	4f\n"
    "	dc	cisw, xzr\n"
    "	b	1b\n"
    "3:	dc	isw, xzr\n"
    "	b	1b\n"
    "4:	dc	csw, xzr\n"
    "	b	1b\n"
    "2:	orr	x2, x10, #1\n"		/* M */
    "	cmp	x1, #4\n"
    "	b.eq	5f\n"
    "	bic	x2, x10, #1\n"
    "	cmp	x1, #5\n"
    "	b.eq	5f\n"
    "	orr	x2, x10, #4\n"		/* C */
    "	cmp	x1, #6\n"
    "	b.eq	5f\n"
    "	bic	x2, x10, #4\n"
    "5:	mov	x10, x2\n"
    "	dsb	sy\n"
    "	msr	sctlr_el1, x10\n"
    "	isb\n"
    "	b	1b\n"
    "9:	dsb	sy\n"
    "	msr	sctlr_el1, x9\n"
    "	isb\n"
    "	ret\n"
    ".popsection\n");

/* The number of a sequence to its actions. */
#define sequence_of(number)					\
({								\
	uint64_t n_ = (number), s_ = 0;				\
	unsigned int i_;					\
								\
	for (i_ = 0; i_ < LENGTH; i_++, n_ /= ACTIONS)		\
		s_ |= (n_ % ACTIONS + 1) << 3 * i_;		\
	s_;							\
})

/* One sequence from caches off, telling that it is done. */
GUEST uint64_t one_sequence(uint64_t sequence);
GUEST uint64_t one_sequence(uint64_t sequence)
{
	do_sequence(sequence);
	return GUEST_MRS("sctlr_el1");
}

/*
 * All sequences; a line of data for each eighth is written with caches on, cleaned
 * by set/way, and read with caches off: the reason for set/way operations to be.
 */
GUEST uint64_t all_sequences(uint64_t first);
GUEST uint64_t all_sequences(uint64_t first)
{
	uint64_t number, i, sctlr = GUEST_MRS("sctlr_el1");
	volatile uint64_t *data = (uint64_t *)DATA;

	for (number = first; number < SEQUENCES; number++) {
		do_sequence(sequence_of(number));
		if (GUEST_MRS("sctlr_el1") != sctlr)
			guest_say(SAY_BAD, number);
		if (number % 8 == 0) {
			GUEST_MSR("sctlr_el1", sctlr | SCTLR_M | SCTLR_C);
			GUEST_ISB();
			for (i = 0; i < LINES; i++)
				data[8 * i] = number ^ i;
			asm volatile("dc cisw, xzr\n dsb sy" : : : "memory");
			GUEST_MSR("sctlr_el1", sctlr);
			GUEST_ISB();
			for (i = 0; i < LINES; i++)
				if (data[8 * i] != (number ^ i))
					guest_say(SAY_BAD, number | i << 32);
		}
		if (number % 64 == 0)
			guest_say(SAY_TURN, number);
	}
	return number;
}

/* The other vCPU: data of its own, written and checked with caches on, for ever. */
GUEST uint64_t look_after_data(uint64_t where);
GUEST uint64_t look_after_data(uint64_t where)
{
	volatile uint64_t *data = (uint64_t *)where;
	uint64_t round, i;

	for (round = 1;; round++) {
		for (i = 0; i < 512; i++)
			data[8 * i] = round * 1000 + i;
		for (i = 0; i < 512; i++)
			if (data[8 * i] != round * 1000 + i)
				guest_say(SAY_BAD, round);
		if (round % 16 == 0)
			guest_say(SAY_TURN, round);
	}
}

struct runner {
	struct vcpu *vcpu;
	bool stop;
	unsigned long turns;
	char wrong[200];
};

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	enum guest_event event;

	kick_every(10000);
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE) && !r->wrong[0]) {
		event = guest_run(r->vcpu);
		if (event == GUEST_SAID && r->vcpu->what == SAY_TURN)
			__atomic_fetch_add(&r->turns, 1, __ATOMIC_RELAXED);
		else if (event != GUEST_ERROR || r->vcpu->error != -EINTR)
			snprintf(r->wrong, sizeof(r->wrong), "%s", guest_told(r->vcpu, event));
	}
	kick_every(0);
	return NULL;
}

/* As with GUEST_MMU, but still off. */
static int start_off(struct vcpu *vcpu, void *fn, uint64_t arg)
{
	int ret = vcpu_start(vcpu, fn, arg, GUEST_MMU);

	return ret ? ret : vcpu_set_reg(vcpu, SCTLR_EL1, SCTLR_OFF);
}

TEST_F_TIMEOUT(setway, every_order, 280)
{
	struct runner other = { .vcpu = &self->vcpu[1] };
	struct vcpu *v = &self->vcpu[0];
	enum guest_event event;
	unsigned long turns = 0;
	pthread_t thread;

	ASSERT_EQ(0, vcpu_start(&self->vcpu[1], look_after_data, DATA + 0x20000, GUEST_MMU));
	ASSERT_EQ(0, pthread_create(&thread, NULL, runner_main, &other));
	ASSERT_EQ(0, start_off(v, all_sequences, 0));
	while ((event = guest_run(v)) == GUEST_SAID) {
		EXPECT_EQ(SAY_TURN, v->what) TH_LOG("sequence %#lx", v->value);
		turns++;
	}
	EXPECT_EQ(GUEST_DONE, event) TH_LOG("%s", guest_told(v, event));
	EXPECT_EQ(SEQUENCES, v->value);
	EXPECT_LE(SEQUENCES / 64, turns);
	__atomic_store_n(&other.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	EXPECT_STREQ("", other.wrong);
	EXPECT_LT(0, other.turns);
}

/* Switches both events on or off: whether they are there. */
static bool events(const char *prefix, bool on)
{
	char name[64];
	bool there;

	snprintf(name, sizeof(name), "%sset_way_flush", prefix);
	there = !trace_enable(name, on);
	snprintf(name, sizeof(name), "%stoggle_cache", prefix);
	return !trace_enable(name, on) && there;
}

/*
 * What the events of a sequence should be: one character each, 's' and 't'. Returns
 * how many of its writes of SCTLR_EL1 trap.
 */
static unsigned int model(uint64_t sequence, bool tvm, char *out)
{
	unsigned int sctlr = 0, next, traps = 0;
	bool on, was;

	/* At its end the sequence puts SCTLR_EL1 back to both off, by one write. */
	for (;; sequence >>= 3) {
		next = sctlr;
		switch (sequence & 7) {
		case ISW:
		case CSW:
		case CISW:
			if (!tvm)
				*out++ = 's';
			tvm = true;
			continue;
		case M_ON:
			next |= 1;
			break;
		case M_OFF:
			next &= ~1U;
			break;
		case C_ON:
			next |= 4;
			break;
		case C_OFF:
			next &= ~4U;
			break;
		case END:
			next = 0;
			break;
		}
		was = sctlr == 5;
		on = next == 5;
		traps += tvm;
		if (tvm && was != on)
			*out++ = 't';
		if (tvm && on)
			tvm = false;
		sctlr = next;
		if (!(sequence & 7))
			break;
	}
	*out = 0;
	return traps;
}

/* Whether an event's PC, the first number of it, is in do_sequence(). */
static bool from_sequence(const char *event)
{
	const char *number = strstr(event, "0x");
	uint64_t pc = number ? strtoull(number, NULL, 16) : 0;

	return pc - guest_address(do_sequence) < 0x100;
}

/*
 * The events since the trace was cleared, in the same way; '?' is one that is not
 * from the sequence. C KVM traces each trapped write, those that switch nothing too.
 */
static bool traced(char *out, size_t size)
{
	static const char * const no_change[] = {
		"was on, now on", "was off, now off", "on -> on", "off -> off",
	};
	FILE *file = fopen(TRACING "/trace", "re");
	size_t n = 0, i;
	char line[512], *event;

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file) && n + 1 < size) {
		if (line[0] == '#')
			continue;
		if ((event = strstr(line, "set_way_flush:"))) {
			out[n++] = from_sequence(event) ? 's' : '?';
		} else if ((event = strstr(line, "toggle_cache:"))) {
			for (i = 0; i < ARRAY_LEN(no_change); i++)
				if (strstr(event, no_change[i]))
					break;
			if (i == ARRAY_LEN(no_change))
				out[n++] = from_sequence(event) ? 't' : '?';
		}
	}
	fclose(file);
	out[n] = 0;
	return true;
}

/*
 * The first set/way operation flushes and has the VM registers trapped, unless they
 * are already, as a new vCPU's may be and the module's is; switching caches on or off
 * flushes while they are, and on ends it. The module's counters say the same. With
 * FEAT_S2FWB the module does nothing at all.
 */
TEST_F_TIMEOUT(setway, traced_as_the_model_says, 280)
{
	char seen[64], fresh[64], trapped[64];
	bool module = host_is_module();
	const char *prefix = module ? "kvm_vhe/" : "kvm/kvm_";
	struct vcpu *v = &self->vcpu[0];
	int fwb = module ? module_found("FWB") : 0;
	uint64_t sequence, flushes = 0, traps = 0;
	unsigned int number, wrong = 0, more;
	bool ok;

	ASSERT_LE(0, fwb);
	if (!events(prefix, true))
		SKIP(return, "no trace events");
	for (number = 0; number < SEQUENCES; number += 1 + SEQUENCES / 500) {
		sequence = sequence_of(number);
		ASSERT_EQ(0, vcpu_init(v, 1 << KVM_ARM_VCPU_PSCI_0_2));
		ASSERT_EQ(0, start_off(v, one_sequence, sequence));
		ASSERT_EQ(0, trace_clear());
		ASSERT_EQ(GUEST_DONE, guest_run(v));
		EXPECT_EQ(SCTLR_OFF, v->value);
		ASSERT_TRUE(traced(seen, sizeof(seen)));
		model(sequence, false, fresh);
		more = model(sequence, true, trapped);
		flushes += strlen(seen);
		if (fwb) {
			ok = !*seen;
		} else if (module) {
			traps += more;
			ok = !strcmp(seen, trapped) &&
			     vcpu_counter(v, "set_way_flushes") == flushes &&
			     vcpu_counter(v, "tvm_traps") == traps;
		} else {
			ok = !strcmp(seen, fresh) || !strcmp(seen, trapped) || !flushes;
		}
		if (!ok && wrong++ < 5) {
			TH_LOG("sequence %#lo: \"%s\", not \"%s\" nor \"%s\"; %ld flushes, %ld traps",
			       sequence, seen, fresh, trapped,
			       vcpu_counter(v, "set_way_flushes"), vcpu_counter(v, "tvm_traps"));
		}
	}
	events(prefix, false);
	if (!module && !flushes)
		SKIP(return, "C KVM does nothing where FEAT_S2FWB makes it unnecessary");
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(!fwb, flushes > 0);
	if (module) {
		EXPECT_EQ(flushes, vcpu_counter(v, "set_way_flushes"));
		EXPECT_EQ(traps, vcpu_counter(v, "tvm_traps"));
		EXPECT_EQ(!fwb, vcpu_counter(v, "set_way_flushed_bytes") > 0);
	}
}

/* Has much memory to flush, then does set/way operations and nothing else. */
GUEST uint64_t flood(uint64_t toggle);
GUEST uint64_t flood(uint64_t toggle)
{
	uint64_t i;

	for (i = 0; i < SLOT_SIZE; i += 4096)
		*(volatile uint64_t *)(SLOT_IPA + i) = i;
	guest_say(SAY_TOUCHED, 0);
	for (;;) {
		if (toggle)
			do_sequence(CISW | M_ON << 3 | C_ON << 6);
		else
			asm volatile("dc cisw, xzr" : : : "memory");
	}
}

struct neighbour {
	bool stop;
	long cpu_ms, longest_ms;
};

static long now_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *neighbour_main(void *arg)
{
	struct neighbour *n = arg;
	long start = now_ms(CLOCK_THREAD_CPUTIME_ID), last = now_ms(CLOCK_MONOTONIC), now;

	while (!__atomic_load_n(&n->stop, __ATOMIC_ACQUIRE)) {
		now = now_ms(CLOCK_MONOTONIC);
		if (now - last > n->longest_ms)
			n->longest_ms = now - last;
		last = now;
	}
	n->cpu_ms = now_ms(CLOCK_THREAD_CPUTIME_ID) - start;
	return NULL;
}

/* A VM in a child, flooding on the CPU that a thread of ours needs too; then killed. */
static void flooded(struct __test_metadata *_metadata, uint64_t toggle)
{
	struct neighbour n = { .stop = false };
	long start, killed, wall;
	pthread_t thread;
	int pair[2], child;
	cpu_set_t one;
	char byte;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	ASSERT_EQ(0, pipe(pair));
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		void *memory = mmap(NULL, SLOT_SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct vcpu vcpu;
		struct vm vm;

		if (memory == MAP_FAILED || madvise(memory, SLOT_SIZE, MADV_NOHUGEPAGE) ||
		    vm_create(&vm) || vm_memory(&vm, 1, SLOT_IPA, SLOT_SIZE, memory, 0) ||
		    vcpu_create(&vm, &vcpu, 0) || start_off(&vcpu, flood, toggle))
			_exit(1);
		if (guest_run(&vcpu) != GUEST_SAID || vcpu.what != SAY_TOUCHED ||
		    write(pair[1], &byte, 1) != 1)
			_exit(2);
		guest_run(&vcpu);
		_exit(3);
	}
	close(pair[1]);
	ASSERT_EQ(1, read(pair[0], &byte, 1));
	start = now_ms(CLOCK_MONOTONIC);
	ASSERT_EQ(0, pthread_create(&thread, NULL, neighbour_main, &n));
	msleep(3000);
	__atomic_store_n(&n.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	wall = now_ms(CLOCK_MONOTONIC) - start;
	killed = now_ms(CLOCK_MONOTONIC);
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, wait_child(child));
	killed = now_ms(CLOCK_MONOTONIC) - killed;
	close(pair[0]);
	TH_LOG("the neighbour had %ld ms of %ld, waited %ld at most; SIGKILL took %ld ms", n.cpu_ms,
	       wall, n.longest_ms, killed);
	/* Half of it is fair. */
	EXPECT_LE(wall / 5, n.cpu_ms);
	EXPECT_GE(1500, n.longest_ms);
	EXPECT_GE(1500, killed);
}

TEST_F_TIMEOUT(setway, flood, 120)
{
	flooded(_metadata, 0);
}

TEST_F_TIMEOUT(setway, flood_with_caches_switched, 120)
{
	flooded(_metadata, 1);
}

TEST_HARNESS_MAIN
