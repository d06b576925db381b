// SPDX-License-Identifier: GPL-2.0
/*
 * Breakpoint and watchpoint registers that are moved when they matter: nothing is moved for
 * a guest that has none enabled, and those of guests, and of the host beside them, are
 * theirs, fire, and fire for nobody else, whatever comes in between.
 * Runs on the module and on C KVM, as root. LAB_SCALE=N per cent makes it longer.
 */
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"
#include "churn.h"

#define PARAMETER	"/sys/module/kvm_vhe/parameters/lazy_debug"
#define SMCCC_VERSION	0x80000000UL

#define MDE_KDE		(1UL << 15 | 1UL << 13)
#define BCR_EL1		0x1e3UL		/* enabled, four bytes, EL1 */
#define WCR_EL1		0x1ff3UL	/* enabled, eight bytes, stores, EL1 */
#define EC_BRKPT_CUR	0x31
#define EC_WATCHPT_CUR	0x35
#define OSLAR_EL1	"s2_0_c1_c0_4"
#define DBGBVR(n)	ARM64_SYS_REG(2, 0, 0, n, 4)
#define DBGBCR(n)	ARM64_SYS_REG(2, 0, 0, n, 5)
#define DBGWVR(n)	ARM64_SYS_REG(2, 0, 0, n, 6)
#define DBGWCR(n)	ARM64_SYS_REG(2, 0, 0, n, 7)

/* Those that all CPUs have. */
#define ALL(R)									\
	R("dbgbvr0_el1", "dbgbcr0_el1", 0) R("dbgbvr1_el1", "dbgbcr1_el1", 1)	\
	R("dbgwvr0_el1", "dbgwcr0_el1", 2) R("dbgwvr1_el1", "dbgwcr1_el1", 3)

/* An address, and a control that is not enabled. */
#define address_of(seed, n)	((((seed) * 4 + (n)) * 0x9e3779b1UL & 0xffffff) << 3)
#define control_of(seed, n)	(0x1e0UL | (((seed) + (n)) % 3 + 1) << 1)

#define WITH_EXITS	(1UL << 32)

GUEST uint64_t hvcs(uint64_t n);
GUEST uint64_t hvcs(uint64_t n)
{
	while (n--)
		guest_hvc(SMCCC_VERSION, 0, 0, 0);
	return 0;
}

/* As Linux does when it finds a CPU; then exits. */
GUEST uint64_t clears_all(uint64_t n);
GUEST uint64_t clears_all(uint64_t n)
{
#define CLEAR(value, control, i) GUEST_MSR(control, 0); GUEST_MSR(value, 0);
	ALL(CLEAR)
	GUEST_ISB();
	while (n--)
		guest_say(1, n);
	return 0;
}

GUEST void spot(void);
GUEST void spot(void)
{
	asm volatile("nop");
}

GUEST_INLINE void set_both(volatile struct guest_area *area)
{
	uint64_t pc;

	asm volatile("adr %0, spot" : "=r" (pc));
	GUEST_MSR("dbgbvr1_el1", pc);
	GUEST_MSR("dbgbcr1_el1", BCR_EL1);
	GUEST_MSR("dbgwvr0_el1", (uint64_t)&area->data[8]);
	GUEST_MSR("dbgwcr0_el1", WCR_EL1);
	GUEST_MSR("mdscr_el1", MDE_KDE);
	asm volatile("isb\n msr daifclr, #8" : : : "memory");
	area->catch = 1;
}

/* How often a breakpoint and a watchpoint did not fire in n rounds, or fired too often. */
GUEST uint64_t fires(uint64_t n);
GUEST uint64_t fires(uint64_t n)
{
	volatile struct guest_area *area = guest_area();
	uint64_t exits = n & WITH_EXITS, bad = 0, before;

	set_both(area);
	for (n &= ~WITH_EXITS; n; n--) {
		if (exits)
			guest_say(1, n);
		else
			guest_hvc(SMCCC_VERSION, 0, 0, 0);
		before = area->caught;
		spot();
		bad += area->caught != before + 1 || ESR_EC(area->esr) != EC_BRKPT_CUR;
		*(volatile uint64_t *)&area->data[8] = n;
		bad += area->caught != before + 2 || ESR_EC(area->esr) != EC_WATCHPT_CUR;
		/* Beside it. */
		*(volatile uint64_t *)&area->data[9] = n;
		bad += area->caught != before + 2;
	}
	return bad;
}

/* With the OS lock nothing fires, and the registers are still there. */
GUEST uint64_t os_lock(uint64_t n);
GUEST uint64_t os_lock(uint64_t n)
{
	volatile struct guest_area *area = guest_area();
	uint64_t bad = 0, before;

	set_both(area);
	for (; n; n--) {
		GUEST_MSR(OSLAR_EL1, 1);
		GUEST_ISB();
		before = area->caught;
		spot();
		*(volatile uint64_t *)&area->data[8] = n;
		bad += area->caught != before || area->data[8] != n;
		bad += GUEST_MRS("dbgwvr0_el1") != (uint64_t)&area->data[8];
		bad += GUEST_MRS("dbgbcr1_el1") != BCR_EL1;
		GUEST_MSR("dbgwvr0_el1", (uint64_t)&area->data[8 + n % 2]);
		if (n % 4 == 1)
			guest_say(1, n);
		GUEST_MSR(OSLAR_EL1, 0);
		GUEST_ISB();
		*(volatile uint64_t *)&area->data[8 + n % 2] = 0;
		bad += area->caught != before + 1;
		spot();
		bad += area->caught != before + 2;
		GUEST_MSR("dbgwvr0_el1", (uint64_t)&area->data[8]);
		GUEST_ISB();
	}
	return bad;
}

GUEST_INLINE void write_all(uint64_t seed)
{
#define WRITE(value, control, i)						\
	GUEST_MSR(value, address_of(seed, i)); GUEST_MSR(control, control_of(seed, i));
	ALL(WRITE)
}

GUEST_INLINE uint64_t check_all(uint64_t seed)
{
	uint64_t bad = 0;

#define CHECK(value, control, i)						\
	bad += GUEST_MRS(value) != address_of(seed, i);				\
	bad += GUEST_MRS(control) != control_of(seed, i);
	ALL(CHECK)
	return bad;
}

/* What user space has set; then others for it. */
GUEST uint64_t check_and_write(uint64_t seed);
GUEST uint64_t check_and_write(uint64_t seed)
{
	uint64_t bad = check_all(seed);

	write_all(seed + 1);
	return bad;
}

/* For ever: sometimes only values, sometimes such that fire. */
GUEST uint64_t churn_debug(uint64_t seed);
GUEST uint64_t churn_debug(uint64_t seed)
{
	volatile struct guest_area *area = guest_area();
	uint64_t round, bad, spin, before;

	for (round = 0;; round++) {
		bool armed = round / 8 % 2;

		if (armed) {
			set_both(area);
		} else {
			GUEST_MSR("mdscr_el1", 0);
			write_all(seed + round);
		}
		if (round % 4 == 1)
			guest_hvc(SMCCC_VERSION, 0, 0, 0);
		for (spin = (round * 37) % 1024; spin; spin--)
			asm volatile("");
		if (round % 16 == 3 || round % 16 == 11)
			guest_say(SAY_TURN, round);
		if (armed) {
			before = area->caught;
			spot();
			*(volatile uint64_t *)&area->data[8] = round;
			bad = area->caught != before + 2;
		} else {
			bad = check_all(seed + round);
		}
		if (bad)
			guest_say(SAY_BAD, bad | round << 8);
	}
}

FIXTURE(lazy_debug)
{
	struct vm vm;
	struct vcpu vcpu;
	cpu_set_t cpus;
	char before[16];
};

FIXTURE_VARIANT(lazy_debug)
{
	const char *policy;
};

FIXTURE_VARIANT_ADD(lazy_debug, eager) { "0" };
FIXTURE_VARIANT_ADD(lazy_debug, lazy) { "1" };

FIXTURE_SETUP(lazy_debug)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->cpus), &self->cpus));
	if (host_is_module()) {
		ASSERT_TRUE(read_text(PARAMETER, self->before, sizeof(self->before)));
		ASSERT_EQ(0, write_text(PARAMETER, variant->policy));
	} else if (variant->policy[0] != '1') {
		SKIP(return, "C KVM has one policy");
	}
}

FIXTURE_TEARDOWN(lazy_debug)
{
	kick_every(0);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	if (self->before[0])
		write_text(PARAMETER, self->before);
}

/* Where accesses to other debug registers cannot be trapped by themselves, all are. */
static bool may_be_let_through(void)
{
	return host_is_module() && module_found("FGT") == 1;
}

TEST_F(lazy_debug, none_for_a_guest_that_has_none)
{
	ASSERT_EQ(0, guest_finish(&self->vcpu, hvcs, 2000, 0));
	if (!may_be_let_through())
		return;
	EXPECT_EQ(0, vcpu_counter(&self->vcpu, "debug_traps"));
	if (variant->policy[0] == '1') {
		EXPECT_EQ(0, vcpu_counter(&self->vcpu, "debug_restores"));
	} else {
		EXPECT_LE(1, vcpu_counter(&self->vcpu, "debug_restores"));
	}
	EXPECT_EQ(vcpu_counter(&self->vcpu, "debug_saves"),
		  vcpu_counter(&self->vcpu, "debug_restores"));
}

TEST_F(lazy_debug, none_for_a_guest_that_has_cleared_all)
{
	unsigned int i;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, clears_all, 300, 0));
	for (i = 0; i < 300; i++)
		ASSERT_EQ(GUEST_SAID, guest_run(&self->vcpu));
	ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	if (!may_be_let_through())
		return;
	if (variant->policy[0] == '1') {
		/* The kernel may have taken the CPU away while it cleared them. */
		EXPECT_LE(1, vcpu_counter(&self->vcpu, "debug_traps"));
		EXPECT_GT(10, vcpu_counter(&self->vcpu, "debug_traps"));
		EXPECT_EQ(vcpu_counter(&self->vcpu, "debug_restores"),
			  vcpu_counter(&self->vcpu, "debug_traps"));
	} else {
		EXPECT_EQ(0, vcpu_counter(&self->vcpu, "debug_traps"));
		EXPECT_LE(300, vcpu_counter(&self->vcpu, "debug_restores"));
	}
}

TEST_F(lazy_debug, fire_after_hypercalls)
{
	ASSERT_EQ(0, guest_finish(&self->vcpu, fires, 2000, 0));
	EXPECT_EQ(0, self->vcpu.value);
	if (!may_be_let_through())
		return;
	/* What is enabled is kept over exits, and is there without a trap. */
	EXPECT_GT(500, vcpu_counter(&self->vcpu, "debug_restores"));
	EXPECT_GT(10, vcpu_counter(&self->vcpu, "debug_traps"));
}

TEST_F(lazy_debug, fire_after_exits)
{
	unsigned int i;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, fires, 300 | WITH_EXITS, 0));
	for (i = 0; i < 300; i++)
		ASSERT_EQ(GUEST_SAID, guest_run(&self->vcpu));
	ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	EXPECT_EQ(0, self->vcpu.value);
	if (may_be_let_through()) {
		EXPECT_LE(300, vcpu_counter(&self->vcpu, "debug_restores"));
		EXPECT_GT(10, vcpu_counter(&self->vcpu, "debug_traps"));
	}
}

TEST_F(lazy_debug, os_lock)
{
	enum guest_event event;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, os_lock, 200, 0));
	while ((event = guest_run(&self->vcpu)) == GUEST_SAID)
		;
	ASSERT_EQ(GUEST_DONE, event);
	EXPECT_EQ(0, self->vcpu.value);
}

TEST_F(lazy_debug, one_reg)
{
	uint64_t seed, value[4], control[4];
	const uint64_t ids[4][2] = {
		{ DBGBVR(0), DBGBCR(0) }, { DBGBVR(1), DBGBCR(1) },
		{ DBGWVR(0), DBGWCR(0) }, { DBGWVR(1), DBGWCR(1) },
	};
	unsigned int i;

	for (seed = 1; seed < 100; seed++) {
		ASSERT_EQ(0, vcpu_start(&self->vcpu, check_and_write, seed, 0));
		for (i = 0; i < 4; i++) {
			value[i] = address_of(seed, i);
			control[i] = control_of(seed, i);
			ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, ids[i][0], value[i]));
			ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, ids[i][1], control[i]));
		}
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(0, self->vcpu.value);
		for (i = 0; i < 4; i++) {
			EXPECT_EQ(address_of(seed + 1, i), vcpu_reg(&self->vcpu, ids[i][0]));
			EXPECT_EQ(control_of(seed + 1, i), vcpu_reg(&self->vcpu, ids[i][1]));
		}
	}
}

/* A watchpoint of the host on this thread: counts writes to what is at an address. */
static int watch(const volatile void *at)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = (uintptr_t)at,
		.bp_len = HW_BREAKPOINT_LEN_8,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static long watched(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? (long)count : -1;
}

/* The host watches the VMM's memory, and at the guest's address, where the guest has its own. */
TEST_F(lazy_debug, beside_the_hosts)
{
	static volatile uint64_t mine;
	struct vcpu *vcpu = &self->vcpu;
	uint64_t there = guest_pa(&self->vm, &vcpu->area->data[8]);
	volatile uint64_t *same = (void *)(there & ~4095UL);
	int own, at_guests;
	unsigned int i;

	if (mmap((void *)same, 4096, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)same)
		SKIP(return, "the address is in use");
	same = (void *)there;
	own = watch(&mine);
	at_guests = watch(same);
	if (own < 0 || at_guests < 0)
		SKIP(return, "no hardware breakpoints for user space: %s", strerror(errno));
	ASSERT_EQ(0, vcpu_start(vcpu, fires, 300 | WITH_EXITS, 0));
	for (i = 0; i < 300; i++) {
		mine = i;
		ASSERT_EQ(GUEST_SAID, guest_run(vcpu));
		*same = i;
	}
	ASSERT_EQ(GUEST_DONE, guest_run(vcpu));
	EXPECT_EQ(0, vcpu->value);
	EXPECT_EQ(300, watched(own));
	EXPECT_EQ(300, watched(at_guests));
	/* Without the host's again. */
	close(own);
	close(at_guests);
	ASSERT_EQ(0, guest_finish(vcpu, fires, 300, 0));
	EXPECT_EQ(0, vcpu->value);
	*same = 0;
	munmap((void *)((uintptr_t)same & ~4095UL), 4096);
}

static void two_vms(struct __test_metadata *_metadata, FIXTURE_DATA(lazy_debug) *self, bool move)
{
	struct churner c[2] = {
		{ .vcpu = &self->vcpu, .fn = churn_debug, .seed = 1UL << 20 },
		{ .fn = churn_debug, .seed = 2UL << 20 },
	};
	struct vcpu vcpu;
	struct vm vm;

	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
	c[1].vcpu = &vcpu;
	CPU_ZERO(&c[0].cpus);
	CPU_SET(0, &c[0].cpus);
	c[1].cpus = c[0].cpus;
	churn_for(_metadata, c, 2, &self->cpus, move);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

TEST_F_TIMEOUT(lazy_debug, beside_four_threads, 120)
{
	two_vms(_metadata, self, false);
}

TEST_F_TIMEOUT(lazy_debug, moved_beside_four_threads, 120)
{
	two_vms(_metadata, self, true);
}

TEST_HARNESS_MAIN
