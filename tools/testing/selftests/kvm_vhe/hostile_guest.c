// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a guest can do what it likes: random instructions, every encoding of a
 * system instruction, page tables and jumps at random, all kinds of calls. The host
 * survives (the lab looks for splats), and KVM_RUN comes back with something that
 * it may come back with, or by the signal that ends each run.
 * Runs on the module and on C KVM: hostile_guest [SECONDS], for each of the random
 * ones. HOSTILE_SEED in the environment repeats a run, as far as time allows.
 */
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))
#define KICK_US		5000
#define RAM(vm, ipa)	((void *)((vm)->ram + ((ipa) - GUEST_RAM)))

static unsigned int seconds = 10;

FIXTURE(hostile_guest)
{
	struct vm vm;
	struct vcpu vcpu;
	unsigned char *pristine;
	uint64_t seed;
	struct timespec start;
	/* How the runs ended. */
	unsigned long runs, exits, interrupted, refused;
};

/* Of xorshift's kind: fast, and the same from the same seed. */
static uint64_t rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

FIXTURE_SETUP(hostile_guest)
{
	const char *seed = getenv("HOSTILE_SEED");

	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	self->pristine = malloc(GUEST_RAM_SIZE);
	ASSERT_NE(NULL, self->pristine);
	memcpy(self->pristine, self->vm.ram, GUEST_RAM_SIZE);
	if (seed)
		self->seed = strtoul(seed, NULL, 0);
	else if (getrandom(&self->seed, sizeof(self->seed), 0) != sizeof(self->seed))
		self->seed = 1;
	TH_LOG("HOSTILE_SEED=%#lx", self->seed);
	if (!self->seed)
		self->seed = 1;
	clock_gettime(CLOCK_MONOTONIC, &self->start);
	ASSERT_EQ(0, kick_every(KICK_US));
}

FIXTURE_TEARDOWN(hostile_guest)
{
	kick_every(0);
	free(self->pristine);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static bool time_left(FIXTURE_DATA(hostile_guest) *self)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - self->start.tv_sec < seconds;
}

/* One KVM_RUN whose result has to be a possible one: GUEST_ERROR when it was a signal. */
static enum guest_event one_run(struct __test_metadata *_metadata,
				FIXTURE_DATA(hostile_guest) *self)
{
	struct kvm_run *run = self->vcpu.run;
	int ret = IOCTL(self->vcpu.fd, KVM_RUN, 0);

	self->runs++;
	if (ret == -EINTR) {
		self->interrupted++;
		return guest_news(&self->vcpu, ret);
	}
	if (ret) {
		/* An access without a syndrome, or memory that cannot be had. */
		EXPECT_TRUE(ret == -ENOSYS || ret == -EFAULT) TH_LOG("KVM_RUN: %d", ret);
		self->refused++;
		return guest_news(&self->vcpu, ret);
	}
	self->exits++;
	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		EXPECT_TRUE(run->mmio.len == 1 || run->mmio.len == 2 || run->mmio.len == 4 ||
			    run->mmio.len == 8) TH_LOG("MMIO of %u bytes", run->mmio.len);
		EXPECT_LE(run->mmio.is_write, 1);
		EXPECT_EQ(0, run->mmio.phys_addr >> 40);
		if (!run->mmio.is_write) {
			uint64_t value = rnd(&self->seed);

			memcpy(run->mmio.data, &value, 8);
		}
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		EXPECT_TRUE(run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN ||
			    run->system_event.type == KVM_SYSTEM_EVENT_RESET);
		break;
	default:
		EXPECT_EQ(KVM_EXIT_MMIO, run->exit_reason);
	}
	return guest_news(&self->vcpu, 0);
}

/* Puts the VM back to where it can start again. */
static void restart(struct __test_metadata *_metadata, FIXTURE_DATA(hostile_guest) *self)
{
	struct kvm_mp_state state = { KVM_MP_STATE_RUNNABLE };

	memcpy(self->vm.ram, self->pristine, GUEST_RAM_SIZE);
	__builtin___clear_cache((char *)self->vm.ram, (char *)self->vm.ram + GUEST_RAM_SIZE);
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_MP_STATE, &state));
	EXPECT_EQ(0, vcpu_init(&self->vcpu, 1 << KVM_ARM_VCPU_PSCI_0_2));
}

/* Lets it run until a signal comes, a limited number of exits at most. */
static void let_run(struct __test_metadata *_metadata, FIXTURE_DATA(hostile_guest) *self)
{
	unsigned int exits = 0;

	while (one_run(_metadata, self) != GUEST_ERROR && exits++ < 200) {
		if (self->vcpu.run->exit_reason == KVM_EXIT_SYSTEM_EVENT)
			break;
	}
}

static void sum_up(struct __test_metadata *_metadata, FIXTURE_DATA(hostile_guest) *self)
{
	TH_LOG("%lu runs: %lu exits, %lu interrupted, %lu refused", self->runs, self->exits,
	       self->interrupted, self->refused);
	/* It is still there, and does what it should. */
	restart(_metadata, self);
	EXPECT_EQ(0, kick_every(0));
}

GUEST uint64_t add_one(uint64_t arg);
GUEST uint64_t add_one(uint64_t arg)
{
	return arg + 1;
}

/*
 * Every encoding of a system instruction in turn, from data[0] on: bits 5-20, with
 * data[1] what the register holds. What does not come back is left behind.
 */
GUEST uint64_t sweep(uint64_t base);
GUEST uint64_t sweep(uint64_t base)
{
	struct guest_area *area = guest_area();

	while (area->data[0] < 0x10000) {
		uint64_t i = area->data[0]++;

		guest_execute(base | i << 5, area->data[1]);
	}
	return 0;
}

GUEST uint64_t sweep_at_el0(uint64_t base);
GUEST uint64_t sweep_at_el0(uint64_t base)
{
	return guest_el0(sweep, base);
}

static void sweep_all(struct __test_metadata *_metadata, FIXTURE_DATA(hostile_guest) *self,
		      void *fn, uint32_t base, uint64_t value)
{
	struct guest_area *area = self->vcpu.area;
	unsigned long at = 0, left_behind = 0;
	enum guest_event event;
	uint64_t next;

	do {
		restart(_metadata, self);
		area->catch = 1;
		area->data[0] = at;
		area->data[1] = value;
		ASSERT_EQ(0, vcpu_start(&self->vcpu, fn, base, GUEST_MMU));
		/* EL0 may maintain caches, else guest_execute() traps. */
		ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, SCTLR_EL1,
					  vcpu_reg(&self->vcpu, SCTLR_EL1) | 1UL << 26));
		do {
			next = area->data[0];
			event = one_run(_metadata, self);
		} while (event == GUEST_ERROR && self->vcpu.error == -EINTR &&
			 area->data[0] > next && area->data[0] <= 0x10000);
		/* Where it got to, if that is still to be believed. */
		next = area->data[0];
		at = next > at && next <= 0x10000 ? next : at + 1;
		left_behind++;
	} while (event != GUEST_DONE && at < 0x10000);
	TH_LOG("%#x with %#lx: started %lu times", base, value, left_behind);
	EXPECT_GT(0x1000, left_behind);
}

#define WRITE_ALL	0xd5000000u
#define READ_ALL	0xd5200000u

TEST_F_TIMEOUT(hostile_guest, every_read, 280)
{
	sweep_all(_metadata, self, sweep, READ_ALL, 0);
	sum_up(_metadata, self);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

TEST_F_TIMEOUT(hostile_guest, every_write, 280)
{
	sweep_all(_metadata, self, sweep, WRITE_ALL, GUEST_FREE);
	sum_up(_metadata, self);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

TEST_F_TIMEOUT(hostile_guest, every_write_of_random, 280)
{
	sweep_all(_metadata, self, sweep, WRITE_ALL, rnd(&self->seed));
	sum_up(_metadata, self);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

TEST_F_TIMEOUT(hostile_guest, every_one_at_el0, 280)
{
	sweep_all(_metadata, self, sweep_at_el0, READ_ALL, 0);
	sweep_all(_metadata, self, sweep_at_el0, WRITE_ALL, ~0UL);
	sum_up(_metadata, self);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

/* A word that is more often an instruction that matters than chance would have it. */
static uint32_t random_insn(uint64_t *seed)
{
	uint32_t r = rnd(seed);

	switch (rnd(seed) % 8) {
	case 0:
		return 0xd5000000 | (r & 0x3fffff);	/* system */
	case 1:
		return 0x38000000 | (r & 0xc7ffffff);	/* load or store */
	case 2:
		return 0x28000000 | (r & 0xc1ffffff);	/* of a pair */
	case 3:
		return 0x08000000 | (r & 0xf0ffffff);	/* exclusive */
	case 4:
		return 0xd4000000 | (r & 0xffffff);	/* svc, hvc, smc, brk */
	case 5:
		return 0x0c000000 | (r & 0xf1ffffff);	/* SIMD */
	}
	return r;
}

/* Jumps to where the test put random words; random things go on from there. */
GUEST uint64_t jump(uint64_t where);
GUEST uint64_t jump(uint64_t where)
{
	return ((uint64_t (*)(uint64_t))where)(where);
}

GUEST uint64_t jump_at_el0(uint64_t where);
GUEST uint64_t jump_at_el0(uint64_t where)
{
	return guest_el0((void *)where, where);
}

static void random_code(struct __test_metadata *_metadata, FIXTURE_DATA(hostile_guest) *self,
			void *fn)
{
	uint32_t *code = RAM(&self->vm, GUEST_FREE);
	unsigned int i;

	while (time_left(self)) {
		restart(_metadata, self);
		for (i = 0; i < 1024; i++)
			code[i] = random_insn(&self->seed);
		__builtin___clear_cache((char *)code, (char *)(code + 1024));
		self->vcpu.area->catch = 1;
		ASSERT_EQ(0, vcpu_start(&self->vcpu, fn, GUEST_FREE,
					rnd(&self->seed) & 3 || fn != jump ? GUEST_MMU : 0));
		for (i = 2; i < 31; i++) {
			ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_X(i),
						  rnd(&self->seed) >> rnd(&self->seed) % 64));
		}
		let_run(_metadata, self);
	}
	sum_up(_metadata, self);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

TEST_F_TIMEOUT(hostile_guest, random_code_at_el1, 3600)
{
	random_code(_metadata, self, jump);
}

TEST_F_TIMEOUT(hostile_guest, random_code_at_el0, 3600)
{
	random_code(_metadata, self, jump_at_el0);
}

/* Touches addresses of all kinds, whatever the tables say. */
GUEST uint64_t wander(uint64_t seed);
GUEST uint64_t wander(uint64_t seed)
{
	volatile uint64_t *p;

	for (;;) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		p = (uint64_t *)(seed >> (seed & 31) & ~7UL);
		if (seed & 1UL << 40)
			*p = seed;
		else
			(void)*p;
	}
}

/* Descriptors that lead to memory of the VM, often enough. */
static uint64_t random_descriptor(uint64_t *seed)
{
	uint64_t d = rnd(seed);

	if (d & 3 << 20)
		d = (d & ~0x0000fffffffff000UL) | GUEST_RAM | (d & (GUEST_RAM_SIZE - 1) & ~0xfffUL);
	if (rnd(seed) & 3)
		d |= 3;
	return d;
}

TEST_F_TIMEOUT(hostile_guest, random_tables, 3600)
{
	static const uint64_t random_regs[] = { TTBR0_EL1, TTBR1_EL1, TCR_EL1, MAIR_EL1, SCTLR_EL1 };
	uint64_t *tables = RAM(&self->vm, GUEST_FREE), value;
	unsigned int i;

	while (time_left(self)) {
		restart(_metadata, self);
		for (i = 0; i < (GUEST_RAM_SIZE - (GUEST_FREE - GUEST_RAM)) / 16; i++)
			tables[i] = random_descriptor(&self->seed);
		self->vcpu.area->catch = 1;
		ASSERT_EQ(0, vcpu_start(&self->vcpu, wander, rnd(&self->seed), GUEST_MMU));
		if (rnd(&self->seed) & 1) {
			/* It can still be executed by the identity map, half of the time. */
			value = (GUEST_FREE + (rnd(&self->seed) & 0x7f000)) | 3;
			((uint64_t *)RAM(&self->vm, GUEST_TABLES))[2] = value;
			((uint64_t *)RAM(&self->vm, GUEST_TABLES))[0] = value + 0x1000;
		} else {
			for (i = 0; i < ARRAY_LEN(random_regs); i++) {
				value = rnd(&self->seed);
				if (i < 2)
					value = (GUEST_FREE + (value & 0x7f000)) | (value & 1);
				if (i == 4)
					value |= SCTLR_M;
				ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, random_regs[i], value));
			}
		}
		let_run(_metadata, self);
	}
	sum_up(_metadata, self);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

/* Starts in places where there is nothing, or something that is no code. */
TEST_F_TIMEOUT(hostile_guest, random_jumps, 3600)
{
	static const uint64_t places[] = {
		0, GUEST_MMIO, GUEST_RAM - 4, GUEST_RAM + GUEST_RAM_SIZE, 0xffffffffffffff00,
		0xffff000000000000, 1UL << 40, 1UL << 48, GUEST_RAM + 2, GUEST_TABLES,
	};
	uint64_t pc;

	while (time_left(self)) {
		restart(_metadata, self);
		pc = places[rnd(&self->seed) % ARRAY_LEN(places)];
		if (rnd(&self->seed) & 1)
			pc = rnd(&self->seed) >> rnd(&self->seed) % 64;
		self->vcpu.area->catch = rnd(&self->seed) & 1;
		ASSERT_EQ(0, vcpu_start(&self->vcpu, add_one, 0,
					rnd(&self->seed) & 1 ? GUEST_MMU : 0));
		ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PC, pc));
		if (rnd(&self->seed) & 1) {
			ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_SP_EL1, rnd(&self->seed)));
		}
		if (rnd(&self->seed) & 1) {
			ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, VBAR_EL1, rnd(&self->seed)));
		}
		if (rnd(&self->seed) & 1) {
			ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PSTATE,
						  rnd(&self->seed) & 0xfff003c0));
		}
		let_run(_metadata, self);
	}
	sum_up(_metadata, self);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

/* x0-x3 from x1 on, by HVC or SMC. */
extern char raw_call[];

asm(".pushsection guest_text, \"ax\"\n"
    ".globl raw_call\n"
    "raw_call:\n"			/* x0: four arguments, x1: not 0 for SMC */
    "	mov	x9, x1\n"
    "	mov	x10, x0\n"
    "	ldp	x0, x1, [x10]\n"
    "	ldp	x2, x3, [x10, #16]\n"
    "	cbnz	x9, 1f\n"
    "	hvc	#0\n"
    "	ret\n"
    "1:	smc	#0\n"
    "	ret\n"
    ".popsection\n");

GUEST uint64_t calls(uint64_t seed);
GUEST uint64_t calls(uint64_t seed)
{
	struct guest_area *area = guest_area();
	uint64_t i, fn;

	for (;;) {
		for (i = 0; i < 4; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			area->data[i] = seed >> (seed & 63);
		}
		fn = seed >> 8;
		if (fn & 7)	/* a function of a known owner, with a small number */
			area->data[0] = (fn & 1UL << 10 ? 0x80000000 : 0xc0000000) |
					(fn >> 16 & 7) << 24 | (fn >> 32 & 0x7f);
		((uint64_t (*)(uint64_t *, uint64_t))raw_call)(area->data, fn >> 50 & 1);
	}
}

TEST_F_TIMEOUT(hostile_guest, random_calls, 3600)
{
	while (time_left(self)) {
		restart(_metadata, self);
		self->vcpu.area->catch = 1;
		ASSERT_EQ(0, vcpu_start(&self->vcpu, calls, rnd(&self->seed), GUEST_MMU));
		let_run(_metadata, self);
	}
	sum_up(_metadata, self);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
}

int main(int argc, char **argv)
{
	if (argc > 1 && argv[1][0] != '-') {
		seconds = strtoul(argv[1], NULL, 10);
		argc = 1;
	}
	return test_harness_run(argc, argv);
}
