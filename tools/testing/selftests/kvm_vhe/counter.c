// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's counters: with an offset that user space gives or writes, while a vCPU
 * runs, and WFIT, which goes by them; the attributes of a vCPU's timers.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <unistd.h>

#include "timer.h"

#define ID_AA64ISAR2_EL1	ARM64_SYS_REG(3, 0, 0, 6, 2)

/* In the area's data. */
enum { D_TICKS, D_COUNT, D_PCOUNT };

GUEST uint64_t guest_counters(uint64_t arg);
GUEST uint64_t guest_counters(uint64_t arg)
{
	struct guest_area *area = guest_area();

	area->data[D_COUNT] = count(false);
	area->data[D_PCOUNT] = count(true);
	return arg;
}

FIXTURE(counter)
{
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(counter)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(counter)
{
	kick_every(0);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* Both counters of the guest, which are the host's less these. */
static const char *offsets(struct vcpu *vcpu, uint64_t virt, uint64_t phys)
{
	uint64_t before = host_count(), after;
	const uint64_t *data = vcpu->area->data;

	if (guest_finish(vcpu, guest_counters, 0, 0))
		return "the guest failed";
	after = host_count();
	if (data[D_COUNT] - (before - virt) > after - before)
		return "CNTVCT_EL0 is wrong";
	if (data[D_PCOUNT] - (before - phys) > after - before)
		return "CNTPCT_EL0 is wrong";
	before = host_count();
	if (vcpu_reg(vcpu, KVM_REG_ARM_TIMER_CNT) - (before - virt) > host_count() - before)
		return "KVM_REG_ARM_TIMER_CNT is wrong";
	before = host_count();
	if (vcpu_reg(vcpu, KVM_REG_ARM_PTIMER_CNT) - (before - phys) > host_count() - before)
		return "KVM_REG_ARM_PTIMER_CNT is wrong";
	return NULL;
}

/* The physical counter is the host's at first; both go on from what is written. */
TEST_F(counter, written)
{
	struct vcpu *v = &self->vcpu;
	uint64_t now, value;

	ASSERT_EQ(0, guest_finish(v, guest_counters, 0, 0));
	now = host_count();
	EXPECT_LE(now - v->area->data[D_PCOUNT], ms(10000));

	ASSERT_EQ(0, vcpu_set_reg(v, KVM_REG_ARM_PTIMER_CNT, 0));
	ASSERT_EQ(0, vcpu_set_reg(v, KVM_REG_ARM_TIMER_CNT, 1UL << 40));
	ASSERT_EQ(0, guest_finish(v, guest_counters, 0, 0));
	EXPECT_GT(ms(10000), v->area->data[D_PCOUNT]);
	EXPECT_LE(1UL << 40, v->area->data[D_COUNT]);
	EXPECT_GT((1UL << 40) + ms(10000), v->area->data[D_COUNT]);
	value = vcpu_reg(v, KVM_REG_ARM_PTIMER_CNT);
	EXPECT_GT(ms(10000), value);
}

TEST_F(counter, given)
{
	struct kvm_arm_counter_offset offset = { .counter_offset = 12345 };
	struct vcpu *v = &self->vcpu;
	const char *error;

	offset.reserved = 1;
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, &offset));
	EXPECT_EQ(-EFAULT, IOCTL(self->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, 0));
	offset.reserved = 0;
	ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, &offset));
	error = offsets(v, 12345, 12345);
	EXPECT_EQ(NULL, error) TH_LOG("%s", error);

	/* Writes of counters do nothing any more, and fail not. */
	EXPECT_EQ(0, vcpu_set_reg(v, KVM_REG_ARM_TIMER_CNT, 7));
	EXPECT_EQ(0, vcpu_set_reg(v, KVM_REG_ARM_PTIMER_CNT, 7));
	error = offsets(v, 12345, 12345);
	EXPECT_EQ(NULL, error) TH_LOG("%s", error);

	/* It may be ahead of the host, and change once more. */
	offset.counter_offset = -12345UL;
	ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, &offset));
	error = offsets(v, -12345UL, -12345UL);
	EXPECT_EQ(NULL, error) TH_LOG("%s", error);
	offset.counter_offset = 0;
	ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, &offset));
	error = offsets(v, 0, 0);
	EXPECT_EQ(NULL, error) TH_LOG("%s", error);
}

GUEST uint64_t guest_spin(uint64_t arg);
GUEST uint64_t guest_spin(uint64_t arg)
{
	volatile struct guest_area *area = guest_area();

	area->seen = 1;
	while (!area->go)
		;
	return arg;
}

TEST_F(counter, busy_while_a_vcpu_runs)
{
	struct kvm_arm_counter_offset offset = { .counter_offset = 1 };
	volatile struct guest_area *area = self->vcpu.area;
	pthread_t thread;
	void *event;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, guest_spin, 0, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, guest_thread, &self->vcpu));
	while (!area->seen)
		usleep(1000);
	EXPECT_EQ(-EBUSY, IOCTL(self->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, &offset));
	area->go = 1;
	pthread_join(thread, &event);
	EXPECT_EQ(GUEST_DONE, (long)event);
	EXPECT_EQ(0, IOCTL(self->vm.fd, KVM_ARM_SET_COUNTER_OFFSET, &offset));
}

TEST_F(counter, attributes)
{
	static const unsigned int defaults[] = { 27, 30, 28, 26 };
	const unsigned int group = KVM_ARM_VCPU_TIMER_CTRL;
	int irq, vcpu = self->vcpu.fd;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(defaults); i++) {
		irq = -1;
		EXPECT_EQ(0, device_attr(vcpu, KVM_HAS_DEVICE_ATTR, group, i, NULL));
		EXPECT_EQ(0, device_attr(vcpu, KVM_GET_DEVICE_ATTR, group, i, &irq));
		EXPECT_EQ(defaults[i], irq);
		/* The lines are not an interrupt controller's here. */
		EXPECT_EQ(-EINVAL, device_set(vcpu, group, i, irq));
		EXPECT_EQ(-EFAULT, device_attr(vcpu, KVM_GET_DEVICE_ATTR, group, i, NULL));
	}
	EXPECT_EQ(-ENXIO, device_attr(vcpu, KVM_HAS_DEVICE_ATTR, group, 4, NULL));
	EXPECT_EQ(-ENXIO, device_attr(vcpu, KVM_GET_DEVICE_ATTR, group, 4, &irq));
	EXPECT_EQ(-ENXIO, device_attr(vcpu, KVM_HAS_DEVICE_ATTR, group, 1UL << 32, NULL));
}

#define WFET_X0		0xd5031000
#define WFIT_X0		0xd5031020

GUEST uint64_t guest_wait_until(uint64_t arg);
GUEST uint64_t guest_wait_until(uint64_t arg)
{
	struct guest_area *area = guest_area();
	uint64_t before = count(false);

	guest_execute(arg ? WFET_X0 : WFIT_X0, before + area->data[D_TICKS]);
	return count(false) - before;
}

/* Nothing but its timeout ends it. */
TEST_F(counter, wfit)
{
	struct vcpu *v = &self->vcpu;
	double cpu;

	if ((vcpu_reg(v, ID_AA64ISAR2_EL1) & 15) < 2)
		SKIP(return, "no FEAT_WFxT");
	v->area->data[D_TICKS] = ms(200);
	cpu = cpu_seconds();
	ASSERT_EQ(0, guest_finish(v, guest_wait_until, 0, 0));
	EXPECT_LE(ms(200), v->value);
	EXPECT_GT(ms(5000), v->value);
	EXPECT_GT(0.1, cpu_seconds() - cpu);
	/* One that is over, and a WFET, which may end early. */
	v->area->data[D_TICKS] = 0;
	ASSERT_EQ(0, guest_finish(v, guest_wait_until, 0, 0));
	EXPECT_GT(ms(5000), v->value);
	v->area->data[D_TICKS] = ms(10);
	ASSERT_EQ(0, guest_finish(v, guest_wait_until, 1, 0));
	EXPECT_GT(ms(5000), v->value);
}

TEST_HARNESS_MAIN
