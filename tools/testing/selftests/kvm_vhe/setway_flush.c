// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what a flush of set/way operations reaches: exactly the pages that stage 2
 * maps, each once and in ascending order, at the moments that the rules of
 * rust/core/setway.rs name and at no others; a block in pieces, each of which is
 * cleaned in a bounded time. No cache needs to be modelled: what is read is the trace
 * events and the vCPUs' counters.
 * Runs on the module, as root.
 */
#include <errno.h>
#include <fcntl.h>

#include "kselftest_harness.h"
#include "setway.h"

#define STEPS		1000
#define BLOCK_IPA	SLOT_IPA(2 * SLOTS)
/* The most that the VM's lock is held for. */
#define MOST		(1UL << 20)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* What a vCPU does in a step. */
enum op { ISW, CSW, CISW, TTBR, SCTLR };

/* With those of setway.h; all use no stack, nor any other memory than they say. */
GUEST FN uint64_t do_isw(uint64_t arg);
GUEST FN uint64_t do_isw(uint64_t arg)
{
	asm volatile("dc isw, xzr\n dsb sy" : : : "memory");
	return arg;
}

GUEST FN uint64_t do_csw(uint64_t arg);
GUEST FN uint64_t do_csw(uint64_t arg)
{
	asm volatile("dc csw, xzr\n dsb sy" : : : "memory");
	return arg;
}

GUEST FN uint64_t do_cisw(uint64_t arg);
GUEST FN uint64_t do_cisw(uint64_t arg)
{
	asm volatile("dc cisw, xzr\n dsb sy" : : : "memory");
	return arg;
}

/* Another register that TVM traps. */
GUEST FN uint64_t do_ttbr(uint64_t arg);
GUEST FN uint64_t do_ttbr(uint64_t arg)
{
	GUEST_MSR("ttbr0_el1", GUEST_MRS("ttbr0_el1"));
	GUEST_ISB();
	return arg;
}

GUEST FN uint64_t do_read(uint64_t where);
GUEST FN uint64_t do_read(uint64_t where)
{
	return *(volatile uint64_t *)where;
}

static void *const functions[] = { do_isw, do_csw, do_cisw, do_ttbr, do_sctlr };

/* What the test knows of a memory slot. */
struct slot {
	unsigned char *host;
	uint64_t ipa;			/* 0: there is none now */
	bool mapped[SLOT_PAGES];	/* in stage 2 */
	bool hole[SLOT_PAGES];		/* the VMM has no memory there */
};

/* And of a vCPU. */
struct cpu {
	bool watching;			/* TVM is set */
	uint64_t sctlr;
	long flushes, traps, bytes;
};

FIXTURE(flush)
{
	struct vm vm;
	struct vcpu vcpu[VCPUS];
	struct cpu cpu[VCPUS];
	struct slot slot[SLOTS];
	/* Pages of slot 0 that the guest has used. */
	bool ram[GUEST_RAM_SIZE / PAGE];
	int pipe;
	bool fwb;
	uint64_t random;
};

FIXTURE_SETUP(flush)
{
	unsigned int i;

	self->pipe = -1;
	self->random = 1;
	ASSERT_EQ(0, vm_create(&self->vm));
	for (i = 0; i < VCPUS; i++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu[i], i));
	for (i = 0; i < SLOTS; i++) {
		self->slot[i].host = slot_memory();
		ASSERT_NE(NULL, self->slot[i].host);
		self->slot[i].ipa = SLOT_IPA(2 * i);
		ASSERT_EQ(0, vm_memory(&self->vm, 1 + i, self->slot[i].ipa, SLOT_SIZE,
				       self->slot[i].host, 0));
	}
}

FIXTURE_TEARDOWN(flush)
{
	unsigned int i;

	if (self->pipe >= 0)
		close(self->pipe);
	tracing(false);
	for (i = 0; i < VCPUS; i++)
		vcpu_destroy(&self->vcpu[i]);
	vm_destroy(&self->vm);
	for (i = 0; i < SLOTS; i++)
		munmap(self->slot[i].host, SLOT_SIZE);
}

static unsigned int any(uint64_t *state, unsigned int below)
{
	*state = *state * 6364136223846793005UL + 1442695040888963407UL;
	return (*state >> 33) % below;
}

/* The pages that stage 2 should map, in ascending order: how many. */
static unsigned int expected(FIXTURE_DATA(flush) *self, uint64_t *pages)
{
	unsigned int n = 0, i, s;

	for (i = 0; i < GUEST_RAM_SIZE / PAGE; i++)
		if (self->ram[i])
			pages[n++] = GUEST_RAM + i * PAGE;
	for (s = 0; s < SLOTS; s++) {
		struct slot *slot = &self->slot[s];

		for (i = 0; i < SLOT_PAGES; i++)
			if (slot->ipa && slot->mapped[i])
				pages[n++] = slot->ipa + i * PAGE;
	}
	return n;
}

/* The guest code that a function of it takes, and the tables if caches are on. */
static void used(FIXTURE_DATA(flush) *self, const void *fn, uint64_t sctlr)
{
	self->ram[(guest_address(guest_entry) - GUEST_RAM) / PAGE] = true;
	self->ram[(guest_address(fn) - GUEST_RAM) / PAGE] = true;
	if (sctlr & SCTLR_M)
		self->ram[(GUEST_TABLES - GUEST_RAM) / PAGE] = true;
}

/* Runs a function with SCTLR_EL1 as the vCPU has it. */
static enum guest_event call(FIXTURE_DATA(flush) *self, unsigned int n, void *fn, uint64_t arg)
{
	struct vcpu *v = &self->vcpu[n];
	int ret = vcpu_start(v, fn, arg, GUEST_MMU);

	if (!ret)
		ret = vcpu_set_reg(v, SCTLR_EL1, self->cpu[n].sctlr);
	if (ret) {
		v->error = ret;
		return GUEST_ERROR;
	}
	used(self, fn, self->cpu[n].sctlr);
	return guest_run(v);
}

/* Changes what stage 2 maps. */
static void change(struct __test_metadata *_metadata, FIXTURE_DATA(flush) *self, unsigned int n)
{
	unsigned int s = any(&self->random, SLOTS), page = any(&self->random, SLOT_PAGES);
	unsigned int what = any(&self->random, 20), count, i;
	struct slot *slot = &self->slot[s];
	enum guest_event event;
	uint64_t to;
	bool write;

	count = 1 + any(&self->random, 40);
	if (page + count > SLOT_PAGES)
		count = SLOT_PAGES - page;
	switch (what) {
	case 0:	/* the slot goes, or comes */
		to = slot->ipa ? 0 : SLOT_IPA(2 * s);
		ASSERT_EQ(0, vm_memory(&self->vm, 1 + s, to ? to : slot->ipa, to ? SLOT_SIZE : 0,
				       slot->host, 0));
		slot->ipa = to;
		memset(slot->mapped, 0, sizeof(slot->mapped));
		return;
	case 1:	/* the slot moves */
		if (!slot->ipa)
			return;
		to = slot->ipa ^ SLOT_IPA(2 * s) ^ SLOT_IPA(2 * s + 1);
		ASSERT_EQ(0, vm_memory(&self->vm, 1 + s, to, SLOT_SIZE, slot->host, 0));
		slot->ipa = to;
		memset(slot->mapped, 0, sizeof(slot->mapped));
		return;
	case 2:	/* a hole in the VMM's memory, or memory again */
		to = slot->hole[page];
		ASSERT_NE(MAP_FAILED, mmap(slot->host + page * PAGE, count * PAGE,
					   to ? PROT_READ | PROT_WRITE : PROT_NONE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		madvise(slot->host + page * PAGE, count * PAGE, MADV_NOHUGEPAGE);
		for (i = page; i < page + count; i++) {
			slot->hole[i] = !to;
			slot->mapped[i] = false;
		}
		return;
	case 3:
	case 4:	/* pages are discarded */
		ASSERT_EQ(0, madvise(slot->host + page * PAGE, count * PAGE, MADV_DONTNEED));
		memset(slot->mapped + page, 0, count * sizeof(slot->mapped[0]));
		return;
	}
	/* Some of the pages are touched, one by one. */
	if (!slot->ipa)
		return;
	for (i = page; i < page + count; i += 1 + any(&self->random, 8)) {
		write = any(&self->random, 2) == 0;
		to = slot->ipa + i * PAGE;
		event = call(self, n, write ? do_write : do_read, to);
		if (slot->hole[i]) {
			EXPECT_EQ(GUEST_ERROR, event);
			EXPECT_EQ(-EFAULT, self->vcpu[n].error);
			continue;
		}
		ASSERT_EQ(GUEST_DONE, event) TH_LOG("%s", guest_told(&self->vcpu[n], event));
		slot->mapped[i] = true;
		/* It is this memory that the guest has seen. */
		EXPECT_EQ(*(uint64_t *)(slot->host + i * PAGE), self->vcpu[n].value)
			TH_LOG("vCPU %u, %s of %#lx", n, write ? "write" : "read", to);
	}
}

/* What a step should come to. */
struct rule {
	bool event, flush;
};

/* The rules: rust/core/setway.rs says why. */
static struct rule rule(struct cpu *cpu, enum op op, uint64_t sctlr, bool fwb)
{
	struct rule rule = { false, false };
	bool was = (cpu->sctlr & SCTLR_M) && (cpu->sctlr & SCTLR_C);
	bool on = (sctlr & SCTLR_M) && (sctlr & SCTLR_C);

	if (fwb)
		return rule;
	if (op <= CISW) {
		rule.event = rule.flush = !cpu->watching;
		cpu->watching = true;
	} else if (cpu->watching) {
		cpu->traps++;
		rule.flush = on != was;
		rule.event = rule.flush || on;
		cpu->watching = !on;
	}
	return rule;
}

static bool counters_are(FIXTURE_DATA(flush) *self)
{
	unsigned int i;
	bool same = true;

	for (i = 0; i < VCPUS; i++) {
		struct vcpu *v = &self->vcpu[i];
		struct cpu *cpu = &self->cpu[i];

		same &= vcpu_counter(v, "set_way_flushes") == cpu->flushes;
		same &= vcpu_counter(v, "tvm_traps") == cpu->traps;
		same &= vcpu_counter(v, "set_way_flushed_bytes") == cpu->bytes;
	}
	return same;
}

TEST_F_TIMEOUT(flush, exactly_what_is_mapped, 280)
{
	static const uint64_t sctlrs[] = {
		SCTLR_OFF, SCTLR_OFF | SCTLR_M, SCTLR_OFF | SCTLR_C, SCTLR_ON,
	};
	static uint64_t pages[GUEST_RAM_SIZE / PAGE + SLOTS * SLOT_PAGES];
	unsigned int step, n, i, count, most = 0, wrong = 0, flushes = 0, quiet = 0, nothing = 0;
	static struct seen seen;
	struct rule should;
	enum guest_event event;
	uint64_t sctlr;
	struct cpu *cpu;
	char why[160];
	enum op op;
	bool ok;

	if (!host_is_module())
		SKIP(return, "C KVM does not say what it flushes");
	ASSERT_TRUE(tracing(true));
	i = module_found("FWB");
	ASSERT_GE((int)i, 0);
	self->fwb = i;
	stay_on(0);
	self->pipe = open(TRACING "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->pipe);
	ASSERT_EQ(0, trace_clear());
	for (i = 0; i < VCPUS; i++) {
		/* After a reset caches are off, and their being turned on is watched for. */
		self->cpu[i].watching = !self->fwb;
		self->cpu[i].sctlr = SCTLR_OFF;
	}
	for (step = 0; step < STEPS && wrong < 5; step++) {
		n = any(&self->random, VCPUS);
		cpu = &self->cpu[n];
		if (any(&self->random, 2))
			change(_metadata, self, n);
		ASSERT_TRUE(look(self->pipe, &seen));
		EXPECT_EQ(0, seen.set_way + seen.toggle + seen.ranges);
		op = any(&self->random, SCTLR + 3);
		if (op > SCTLR)
			op = SCTLR;
		sctlr = op == SCTLR ? sctlrs[any(&self->random, ARRAY_LEN(sctlrs))] : cpu->sctlr;
		event = call(self, n, functions[op], sctlr);
		ASSERT_EQ(GUEST_DONE, event) TH_LOG("%s", guest_told(&self->vcpu[n], event));
		EXPECT_EQ(sctlr, self->vcpu[n].value);
		should = rule(cpu, op, sctlr, self->fwb);

		count = expected(self, pages);
		/* Only behind the flush the vCPU looks at its tables, if it does now. */
		used(self, functions[op], sctlr);
		ASSERT_TRUE(look(self->pipe, &seen));
		ok = seen.set_way == (should.event && op <= CISW) &&
		     seen.toggle == (should.event && op > CISW) && !seen.after;
		if (should.event) {
			bool was = (cpu->sctlr & SCTLR_M) && (cpu->sctlr & SCTLR_C);
			bool now = (sctlr & SCTLR_M) && (sctlr & SCTLR_C);

			ok &= seen.vcpu == n && seen.was == was && seen.now == now;
		}
		if (should.flush) {
			ok &= exactly(&seen, pages, count, why, sizeof(why));
			cpu->flushes++;
			cpu->bytes += count * PAGE;
			flushes++;
			most = count > most ? count : most;
		} else {
			ok &= !seen.ranges;
			snprintf(why, sizeof(why), "%u ranges", seen.ranges);
			quiet += op <= CISW;
			nothing += op > CISW;
		}
		ok &= counters_are(self);
		if (!ok && ++wrong) {
			TH_LOG("step %u, vCPU %u, operation %u, SCTLR %#lx to %#lx: %u and %u events, %s; %ld flushes of %ld bytes, %ld traps (%ld, %ld, %ld)",
			       step, n, op, cpu->sctlr, sctlr, seen.set_way, seen.toggle, why,
			       cpu->flushes, cpu->bytes, cpu->traps,
			       vcpu_counter(&self->vcpu[n], "set_way_flushes"),
			       vcpu_counter(&self->vcpu[n], "set_way_flushed_bytes"),
			       vcpu_counter(&self->vcpu[n], "tvm_traps"));
		}
		cpu->sctlr = sctlr;
	}
	EXPECT_EQ(0, wrong);
	TH_LOG("%u flushes of %u pages at most; %u set/way operations and %u writes without",
	       flushes, most, quiet, nothing);
	EXPECT_LT(10, quiet);
	EXPECT_LT(10, nothing);
	if (!self->fwb) {
		EXPECT_LT(100, flushes);
		EXPECT_LT(50, most);
	}
}

TEST_F(flush, a_block_in_pieces)
{
	unsigned char *room, *block;
	static struct seen seen;
	uint64_t next = BLOCK_IPA, i;

	if (!host_is_module())
		SKIP(return, "C KVM does not say what it flushes");
	if (module_found("FWB"))
		SKIP(return, "with FEAT_S2FWB nothing is flushed");
	write_text("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	room = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	block = (void *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	if (madvise(block, HUGE, MADV_HUGEPAGE))
		SKIP(return, "no transparent huge pages");
	memset(block, 1, HUGE);
	if (madvise(block, HUGE, MADV_COLLAPSE) && errno != EINVAL)
		SKIP(return, "no transparent huge pages");
	ASSERT_EQ(0, vm_memory(&self->vm, 1 + SLOTS, BLOCK_IPA, HUGE, block, 0));

	ASSERT_TRUE(tracing(true));
	stay_on(0);
	self->pipe = open(TRACING "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->pipe);
	ASSERT_EQ(0, trace_clear());
	self->cpu[0].sctlr = SCTLR_OFF;
	/* A fault that is interrupted maps its page alone. */
	for (i = 0; i < 16; i++)
		ASSERT_EQ(GUEST_DONE, call(self, 0, do_write, BLOCK_IPA + i * PAGE));
	ASSERT_EQ(GUEST_DONE, call(self, 0, do_sctlr, SCTLR_ON));
	ASSERT_TRUE(look(self->pipe, &seen));
	EXPECT_EQ(1, seen.toggle);
	for (i = 0; i < seen.ranges; i++) {
		if (seen.range[i][0] < BLOCK_IPA)
			continue;
		EXPECT_EQ(next, seen.range[i][0]);
		EXPECT_GE(MOST, seen.range[i][1]);
		next = seen.range[i][0] + seen.range[i][1];
	}
	EXPECT_EQ(BLOCK_IPA + HUGE, next);
	munmap(room, 2 * HUGE);
}

TEST_HARNESS_MAIN
