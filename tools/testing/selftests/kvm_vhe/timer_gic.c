// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's timers as interrupts of a GICv3: which they are, that each comes once for
 * each time that the timer fires, ends when the guest ends it, and comes again as long
 * as the timer's line is up; in WFI, and while the vCPU moves between CPUs.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "timer.h"

#define GICR_WAKER	0x14UL
#define GICR_SGI	0x10000UL
#define GICR_IGROUPR0	(GICR_SGI + 0x80)
#define GICR_ISENABLER0	(GICR_SGI + 0x100)
#define GICR_ISPENDR0	(GICR_SGI + 0x200)
#define GICR_IPRIORITYR	(GICR_SGI + 0x400)
#define ICC_PMR_EL1	"S3_0_C4_C6_0"
#define ICC_IAR1_EL1	"S3_0_C12_C12_0"
#define ICC_EOIR1_EL1	"S3_0_C12_C12_1"
#define ICC_HPPIR1_EL1	"S3_0_C12_C12_2"
#define ICC_IGRPEN1_EL1	"S3_0_C12_C12_7"
#define SPURIOUS	1023

enum { D_PHYSICAL, D_TICKS, D_WAIT, D_ROUNDS, D_INTID, D_OUT };

/* What the guest returns. */
enum { GOOD, WRONG_INTID, EARLY, NOT_OVER, NOT_AGAIN, NOT_GONE };

GUEST_INLINE void write32(uint64_t address, uint32_t value)
{
	asm volatile("str %w0, [%1]" : : "r" (value), "r" (address) : "memory");
}

GUEST_INLINE void gic_init(void)
{
	unsigned int n;

	write32(GUEST_GICD, 1 << 4 | 1 << 1);	/* GICD_CTLR.ARE_NS, EnableGrp1 */
	write32(GUEST_GICR + GICR_WAKER, 0);
	write32(GUEST_GICR + GICR_IGROUPR0, ~0);
	for (n = 0; n < 32; n += 4)
		write32(GUEST_GICR + GICR_IPRIORITYR + n, 0x80808080);
	write32(GUEST_GICR + GICR_ISENABLER0, 0xffff0000);
	GUEST_MSR(ICC_PMR_EL1, 0xff);
	GUEST_MSR(ICC_IGRPEN1_EL1, 1);
	GUEST_ISB();
}

GUEST_INLINE void set_timer(bool physical, uint64_t cval, uint64_t ctl)
{
	if (physical) {
		GUEST_MSR("cntp_cval_el0", cval);
		GUEST_MSR("cntp_ctl_el0", ctl);
	} else {
		GUEST_MSR("cntv_cval_el0", cval);
		GUEST_MSR("cntv_ctl_el0", ctl);
	}
	GUEST_ISB();
}

GUEST_INLINE uint64_t acknowledge(void)
{
	uint64_t intid = GUEST_MRS(ICC_IAR1_EL1) & 0xffffff;

	asm volatile("dsb sy" : : : "memory");
	return intid;
}

GUEST_INLINE void end(uint64_t intid)
{
	GUEST_MSR(ICC_EOIR1_EL1, intid);
	GUEST_ISB();
}

/* Interrupts are masked by PSTATE: they are looked for. */
GUEST_INLINE uint64_t wait_for_irq(bool wait)
{
	uint64_t intid;

	do {
		if (wait)
			asm volatile("wfi" : : : "memory");
		intid = acknowledge();
	} while (intid == SPURIOUS);
	return intid;
}

GUEST uint64_t guest_irqs(uint64_t arg);
GUEST uint64_t guest_irqs(uint64_t arg)
{
	volatile struct guest_area *area = guest_area();
	bool physical = area->data[D_PHYSICAL];
	uint64_t i, intid, cval;

	gic_init();
	for (i = 0; i < area->data[D_ROUNDS]; i++) {
		bool wait = area->data[D_WAIT] && (i & 1 || area->data[D_WAIT] == 2);

		area->seen = i;
		cval = count(physical) + area->data[D_TICKS] * (i % 3);
		set_timer(physical, cval, 1);
		intid = wait_for_irq(wait);
		area->data[D_OUT] = intid;
		if (intid != area->data[D_INTID])
			return WRONG_INTID;
		if (count(physical) < cval)
			return EARLY;
		if (get_ctl(physical) != 5)
			return NOT_OVER;
		/* The line is still up when it is ended: it comes again. */
		if (i % 4 == 0) {
			end(intid);
			if (wait_for_irq(wait) != intid)
				return NOT_AGAIN;
		}
		/* It is low, so it does not come again. */
		set_timer(physical, cval, 0);
		end(intid);
		intid = acknowledge();
		area->data[D_OUT] = intid;
		if (intid != SPURIOUS)
			return NOT_GONE;
	}
	return arg;
}

static uint64_t us(unsigned int n)
{
	return frequency() * n / 1000000;
}

FIXTURE(gic)
{
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_VARIANT(gic)
{
	bool physical, offset;
	unsigned int intid;
};

FIXTURE_VARIANT_ADD(gic, virtual) { false, false, 27 };
FIXTURE_VARIANT_ADD(gic, physical) { true, false, 30 };
FIXTURE_VARIANT_ADD(gic, physical_with_offset) { true, true, 30 };

static int create(struct vm *vm, struct vcpu *vcpu)
{
	int ret = vm_create(vm);

	if (!ret)
		ret = vcpu_create(vm, vcpu, 0);
	return ret ? ret : vm_gic(vm);
}

FIXTURE_SETUP(gic)
{
	struct kvm_arm_counter_offset offset = { .counter_offset = 1000 };
	int ret = create(&self->vm, &self->vcpu);

	if (ret == -ENODEV)
		SKIP(return, "no GICv3 here");
	ASSERT_EQ(0, ret);
	if (variant->offset)
		ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, &offset));
	self->vcpu.area->data[D_PHYSICAL] = variant->physical;
	self->vcpu.area->data[D_INTID] = variant->intid;
	self->vcpu.area->data[D_TICKS] = us(1000);
	self->vcpu.area->data[D_ROUNDS] = scaled(60);
}

FIXTURE_TEARDOWN(gic)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

TEST_F(gic, comes_and_ends)
{
	struct vcpu *v = &self->vcpu;

	ASSERT_EQ(0, guest_finish(v, guest_irqs, GOOD, 0));
	EXPECT_EQ(GOOD, v->value) TH_LOG("round %lu, interrupt %lu", v->area->seen,
					 v->area->data[D_OUT]);
	/* It is the GIC's, not user space's. */
	EXPECT_EQ(0, v->run->s.regs.device_irq_level);
}

TEST_F(gic, ends_wfi)
{
	struct vcpu *v = &self->vcpu;
	double cpu = cpu_seconds();

	v->area->data[D_WAIT] = 2;
	v->area->data[D_TICKS] = us(10000);
	ASSERT_EQ(0, guest_finish(v, guest_irqs, GOOD, 0));
	EXPECT_EQ(GOOD, v->value) TH_LOG("round %lu, interrupt %lu", v->area->seen,
					 v->area->data[D_OUT]);
	cpu = cpu_seconds() - cpu;
	EXPECT_GT(0.005 * v->area->data[D_ROUNDS], cpu) TH_LOG("%f s of CPU time", cpu);
}

struct mover {
	pid_t tid;
	bool stop;
	unsigned int moves;
};

static void *mover_thread(void *arg)
{
	unsigned int cpu, cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct mover *m = arg;
	cpu_set_t set;

	while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE)) {
		CPU_ZERO(&set);
		CPU_SET(m->moves % cpus, &set);
		if (sched_setaffinity(m->tid, sizeof(set), &set))
			break;
		m->moves++;
		usleep(700);
	}
	CPU_ZERO(&set);
	for (cpu = 0; cpu < cpus; cpu++)
		CPU_SET(cpu, &set);
	sched_setaffinity(m->tid, sizeof(set), &set);
	return NULL;
}

TEST_F(gic, comes_while_moving)
{
	struct mover m = { .tid = syscall(SYS_gettid) };
	struct vcpu *v = &self->vcpu;
	pthread_t thread;

	v->area->data[D_WAIT] = 1;
	v->area->data[D_ROUNDS] = scaled(300);
	ASSERT_EQ(0, pthread_create(&thread, NULL, mover_thread, &m));
	EXPECT_EQ(0, guest_finish(v, guest_irqs, GOOD, 0));
	EXPECT_EQ(GOOD, v->value) TH_LOG("round %lu, interrupt %lu", v->area->seen,
					 v->area->data[D_OUT]);
	__atomic_store_n(&m.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	EXPECT_LT(10, m.moves);
}

FIXTURE(ppi)
{
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(ppi)
{
	int ret = create(&self->vm, &self->vcpu);

	if (ret == -ENODEV)
		SKIP(return, "no GICv3 here");
	ASSERT_EQ(0, ret);
	self->vcpu.area->data[D_TICKS] = us(1000);
	self->vcpu.area->data[D_ROUNDS] = 10;
}

FIXTURE_TEARDOWN(ppi)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static int set_ppi(struct vcpu *vcpu, unsigned int attr, int *ppi)
{
	return device_attr(vcpu->fd, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_CTRL, attr, ppi);
}

static int get_ppi(struct vcpu *vcpu, unsigned int attr)
{
	int ppi = -1;

	return device_attr(vcpu->fd, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_CTRL, attr, &ppi) ?
		-1 : ppi;
}

TEST_F(ppi, others)
{
	struct vcpu *v = &self->vcpu;
	int ppi = 20, other = 27;

	ASSERT_EQ(0, set_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &ppi));
	ASSERT_EQ(0, set_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_PTIMER, &other));
	EXPECT_EQ(20, get_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_VTIMER));
	EXPECT_EQ(27, get_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_PTIMER));
	v->area->data[D_INTID] = 20;
	ASSERT_EQ(0, guest_finish(v, guest_irqs, GOOD, 0));
	EXPECT_EQ(GOOD, v->value) TH_LOG("interrupt %lu", v->area->data[D_OUT]);
	v->area->data[D_PHYSICAL] = 1;
	v->area->data[D_INTID] = 27;
	ASSERT_EQ(0, guest_finish(v, guest_irqs, GOOD, 0));
	EXPECT_EQ(GOOD, v->value) TH_LOG("interrupt %lu", v->area->data[D_OUT]);
	/* They stay what they are. */
	ppi = 21;
	EXPECT_EQ(-EBUSY, set_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &ppi));
	EXPECT_EQ(20, get_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_VTIMER));
}

TEST_F(ppi, bad)
{
	static int bad[] = { -1, 0, 15, 32, 1023, 0x7fffffff };
	struct vcpu *v = &self->vcpu;
	unsigned int i;
	int ppi = 30;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT_EQ(-EINVAL, set_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &bad[i]));
	}
	EXPECT_EQ(-EFAULT, set_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, NULL));
	EXPECT_EQ(-ENXIO, set_ppi(v, 4, &ppi));
	EXPECT_EQ(27, get_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_VTIMER));
	/* That two have one is seen when a vCPU runs; it can be mended. */
	ASSERT_EQ(0, set_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &ppi));
	ASSERT_EQ(0, vcpu_start(v, guest_irqs, GOOD, 0));
	EXPECT_EQ(GUEST_ERROR, guest_run(v));
	EXPECT_EQ(-EINVAL, v->error);
	ppi = 27;
	ASSERT_EQ(0, set_ppi(v, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &ppi));
	v->area->data[D_INTID] = 27;
	EXPECT_EQ(GUEST_DONE, guest_run(v));
	EXPECT_EQ(GOOD, v->value);
}

TEST_HARNESS_MAIN
