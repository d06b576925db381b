// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's timers where user space has the interrupt controller: it is told the
 * lines' levels, KVM_CAP_ARM_USER_IRQ. Timers that fire while the guest runs, while it
 * waits, while its vCPU moves between CPUs.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "timer.h"

#define LINES		(KVM_ARM_DEV_EL1_VTIMER | KVM_ARM_DEV_EL1_PTIMER)

enum { SAY_WORKING = 1, SAY_LOW };

/* What the guest is to do, in its area's data. */
enum { D_PHYSICAL, D_TICKS, D_CTL, D_WAIT, D_COUNT, D_OUT };

/*
 * Again and again: sets the timer, waits until the test says go, switches it off and
 * says so.
 */
GUEST uint64_t guest_timer(uint64_t arg);
GUEST uint64_t guest_timer(uint64_t arg)
{
	volatile struct guest_area *area = guest_area();
	bool physical = area->data[D_PHYSICAL];

	for (;;) {
		uint64_t now = count(physical);

		area->go = 0;
		area->data[D_COUNT] = now;
		set_cval(physical, now + area->data[D_TICKS]);
		set_ctl(physical, area->data[D_CTL]);
		while (!area->go) {
			if (area->data[D_WAIT])
				asm volatile("wfi" : : : "memory");
			area->seen++;
		}
		set_ctl(physical, 0);
		guest_say(SAY_LOW, count(physical) - now);
	}
	return arg;
}

FIXTURE(timer)
{
	struct vm vm;
	struct vcpu vcpu;
	uint64_t line;
};

FIXTURE_VARIANT(timer)
{
	bool physical;
	bool offset;	/* the counters are not the host's: the physical timer may trap */
};

FIXTURE_VARIANT_ADD(timer, virtual) { false, false };
FIXTURE_VARIANT_ADD(timer, physical) { true, false };
FIXTURE_VARIANT_ADD(timer, virtual_with_offset) { false, true };
FIXTURE_VARIANT_ADD(timer, physical_with_offset) { true, true };

FIXTURE_SETUP(timer)
{
	struct kvm_arm_counter_offset offset = { .counter_offset = host_count() / 2 };

	ASSERT_EQ(0, vm_create(&self->vm));
	if (IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_USER_IRQ) < 1)
		SKIP(return, "KVM_CAP_ARM_USER_IRQ is not here");
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	if (variant->offset)
		ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, &offset));
	self->vcpu.area->data[D_PHYSICAL] = variant->physical;
	self->vcpu.area->data[D_CTL] = CTL_ENABLE;
	self->line = variant->physical ? KVM_ARM_DEV_EL1_PTIMER : KVM_ARM_DEV_EL1_VTIMER;
}

FIXTURE_TEARDOWN(timer)
{
	kick_every(0);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static uint64_t levels(struct vcpu *vcpu)
{
	return vcpu->run->s.regs.device_irq_level & LINES;
}

/* Runs on until user space is told of a line, then until the guest has switched it off. */
static const char *round_trip(struct vcpu *vcpu, uint64_t line)
{
	enum guest_event event;

	if (guest_run(vcpu) != GUEST_ERROR || vcpu->error != -EINTR)
		return "the timer's line was not told";
	if (vcpu->run->exit_reason != KVM_EXIT_INTR)
		return "the exit has another reason";
	if (levels(vcpu) != line)
		return "the levels are wrong";
	vcpu->area->go = 1;
	event = guest_run(vcpu);
	/* That the line is low may be told at once. */
	if (event == GUEST_ERROR && vcpu->error == -EINTR && levels(vcpu) == 0)
		event = guest_run(vcpu);
	if (event != GUEST_SAID || vcpu->what != SAY_LOW)
		return "the guest did not go on";
	if (levels(vcpu) != 0)
		return "the line did not go down";
	return NULL;
}

/* Told once, and not again while the line stays up. */
TEST_F(timer, fires_while_running)
{
	struct vcpu *v = &self->vcpu;
	const char *error;
	unsigned int i;
	uint64_t seen;

	v->area->data[D_TICKS] = ms(3);
	ASSERT_EQ(0, vcpu_start(v, guest_timer, 0, 0));
	for (i = 0; i < scaled(20); i++) {
		error = round_trip(v, self->line);
		ASSERT_EQ(NULL, error) TH_LOG("round %u: %s, %s", i, error,
					      guest_told(v, GUEST_ERROR));
		EXPECT_LE(ms(3), v->value);
	}
	/* With the line up, the guest gets on. */
	ASSERT_EQ(GUEST_ERROR, guest_run(v));
	ASSERT_EQ(self->line, levels(v));
	seen = v->area->seen;
	ASSERT_EQ(0, kick_every(50000));
	ASSERT_EQ(GUEST_ERROR, guest_run(v));
	EXPECT_LT(seen + 1000, v->area->seen);
	EXPECT_EQ(self->line, levels(v));
}

/* One that is over already, and one that is far away. */
TEST_F(timer, over_and_never)
{
	struct vcpu *v = &self->vcpu;
	const char *error;

	v->area->data[D_TICKS] = -1000UL;
	ASSERT_EQ(0, vcpu_start(v, guest_timer, 0, 0));
	error = round_trip(v, self->line);
	EXPECT_EQ(NULL, error) TH_LOG("%s", error);
	v->area->data[D_TICKS] = 1UL << 62;
	ASSERT_EQ(0, vcpu_start(v, guest_timer, 0, 0));
	ASSERT_EQ(0, kick_every(50000));
	ASSERT_EQ(GUEST_ERROR, guest_run(v));
	EXPECT_EQ(0, levels(v));
	EXPECT_LE(1, kicks);
}

TEST_F(timer, masked)
{
	struct vcpu *v = &self->vcpu;
	unsigned int wait;

	for (wait = 0; wait < 2; wait++) {
		v->area->data[D_WAIT] = wait;
		v->area->data[D_TICKS] = ms(5);
		v->area->data[D_CTL] = CTL_ENABLE | CTL_IMASK;
		ASSERT_EQ(0, vcpu_start(v, guest_timer, 0, 0));
		ASSERT_EQ(0, kick_every(100000));
		ASSERT_EQ(GUEST_ERROR, guest_run(v));
		EXPECT_EQ(0, levels(v));
		v->area->go = 1;
		kick_every(0);
		if (!wait)
			ASSERT_EQ(GUEST_SAID, guest_run(v));
	}
}

/* The vCPU sleeps meanwhile. */
TEST_F(timer, fires_while_waiting)
{
	struct vcpu *v = &self->vcpu;
	double cpu = cpu_seconds();
	const char *error;
	unsigned int i;

	v->area->data[D_WAIT] = 1;
	v->area->data[D_TICKS] = ms(50);
	ASSERT_EQ(0, vcpu_start(v, guest_timer, 0, 0));
	for (i = 0; i < 10; i++) {
		error = round_trip(v, self->line);
		ASSERT_EQ(NULL, error) TH_LOG("round %u: %s, %s", i, error,
					      guest_told(v, GUEST_ERROR));
		EXPECT_LE(ms(50), v->value);
		EXPECT_GT(ms(5000), v->value);
	}
	cpu = cpu_seconds() - cpu;
	EXPECT_GT(0.25, cpu) TH_LOG("%f s of CPU time in 0.5 s", cpu);
}

struct mover {
	pid_t tid;
	bool stop;
	unsigned int moves;
};

static void *mover_thread(void *arg)
{
	struct mover *m = arg;
	unsigned int cpu = 0, cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE)) {
		CPU_ZERO(&set);
		CPU_SET(cpu++ % cpus, &set);
		if (!sched_setaffinity(m->tid, sizeof(set), &set))
			m->moves++;
		usleep(1500);
	}
	CPU_ZERO(&set);
	for (cpu = 0; cpu < cpus; cpu++)
		CPU_SET(cpu, &set);
	sched_setaffinity(m->tid, sizeof(set), &set);
	return NULL;
}

TEST_F(timer, fires_while_moving)
{
	struct mover m = { .tid = syscall(SYS_gettid) };
	struct vcpu *v = &self->vcpu;
	const char *error = NULL;
	pthread_t thread;
	unsigned int i;

	ASSERT_EQ(0, vcpu_start(v, guest_timer, 0, 0));
	v->area->data[D_TICKS] = ms(1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, mover_thread, &m));
	for (i = 0; i < scaled(100) && !error; i++) {
		v->area->data[D_WAIT] = i & 1;
		v->area->data[D_TICKS] = ms(i % 7);
		error = round_trip(v, self->line);
	}
	__atomic_store_n(&m.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	EXPECT_EQ(NULL, error) TH_LOG("round %u: %s", i, error);
	EXPECT_LT(3, m.moves);
}

GUEST uint64_t guest_tval(uint64_t value);
GUEST uint64_t guest_tval(uint64_t value)
{
	struct guest_area *area = guest_area();
	bool physical = area->data[D_PHYSICAL];
	uint64_t before = count(physical);

	set_ctl(physical, CTL_IMASK | CTL_ENABLE);
	set_tval(physical, value);
	area->data[D_OUT] = get_cval(physical) - before;
	area->data[D_OUT + 1] = count(physical) - before;
	area->data[D_OUT + 2] = get_tval(physical);
	area->data[D_OUT + 3] = get_ctl(physical);
	area->data[D_OUT + 4] = count(physical) - before;
	set_ctl(physical, 0);
	area->data[D_OUT + 5] = get_ctl(physical);
	return 0;
}

/* TVAL is a signed number of 32 bits. */
TEST_F(timer, tval)
{
	static const uint64_t values[] = { 0, 1, 1000, -1UL, -100000UL, 0x7fffffff, 0x80000000,
					   0xffffffff00000010, 0x123456789 };
	struct vcpu *v = &self->vcpu;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(values); i++) {
		const uint64_t *out = &v->area->data[D_OUT];
		int64_t distance = (int32_t)values[i];
		uint64_t count = vcpu_reg(v, variant->physical ? KVM_REG_ARM_PTIMER_CNT :
							   KVM_REG_ARM_TIMER_CNT);
		int32_t tval;

		ASSERT_EQ(0, guest_finish(v, guest_tval, values[i], 0));
		/* CVAL is what the counter was when TVAL was written, and the distance. */
		EXPECT_LE(0, (int64_t)out[0] - distance);
		EXPECT_GE(out[1], (int64_t)out[0] - distance);
		tval = out[2];
		EXPECT_EQ(0, out[2] >> 32);
		EXPECT_GE(distance, tval - (distance == -0x80000000L ? 1L << 32 : 0));
		/* Numbers do not wrap around: a CVAL below zero is a large one. */
		if (distance <= 0 && count >= (uint64_t)-distance)
			EXPECT_EQ(7, out[3]) TH_LOG("%#lx", values[i]);
		if ((int64_t)out[4] < (int64_t)out[0])
			EXPECT_EQ(3, out[3]) TH_LOG("%#lx", values[i]);
		EXPECT_EQ(0, out[5] & 3);
	}
}

/* A timer that is on is on after its registers were moved to another vCPU. */
TEST_F(timer, moved_by_one_reg)
{
	uint64_t ctl_id = variant->physical ? KVM_REG_ARM_PTIMER_CTL : KVM_REG_ARM_TIMER_CTL;
	uint64_t cval_id = variant->physical ? KVM_REG_ARM_PTIMER_CVAL : KVM_REG_ARM_TIMER_CVAL;
	uint64_t cnt_id = variant->physical ? KVM_REG_ARM_PTIMER_CNT : KVM_REG_ARM_TIMER_CNT;
	struct vcpu *v = &self->vcpu;
	uint64_t now = vcpu_reg(v, cnt_id);

	ASSERT_EQ(0, vcpu_set_reg(v, cval_id, now + ms(100000)));
	ASSERT_EQ(0, vcpu_set_reg(v, ctl_id, CTL_ENABLE));
	EXPECT_EQ(now + ms(100000), vcpu_reg(v, cval_id));
	EXPECT_EQ(CTL_ENABLE, vcpu_reg(v, ctl_id));
	/* Its line is up from the first entry on. */
	v->area->data[D_TICKS] = ms(3);
	ASSERT_EQ(0, vcpu_start(v, guest_timer, 0, 0));
	ASSERT_EQ(0, vcpu_set_reg(v, cval_id, now));
	ASSERT_EQ(GUEST_ERROR, guest_run(v));
	EXPECT_EQ(-EINTR, v->error);
	EXPECT_EQ(self->line, levels(v));
	EXPECT_EQ(guest_address(guest_entry), vcpu_reg(v, REG_PC));
	/* An ioctl that resets switches it off. */
	ASSERT_EQ(0, vcpu_init(v, 1 << KVM_ARM_VCPU_PSCI_0_2));
	EXPECT_EQ(0, vcpu_reg(v, ctl_id) & 3);
	v->run->immediate_exit = 1;
	EXPECT_EQ(GUEST_ERROR, guest_run(v));
	v->run->immediate_exit = 0;
}

TEST_HARNESS_MAIN
