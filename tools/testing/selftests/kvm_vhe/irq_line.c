// SPDX-License-Identifier: GPL-2.0
/*
 * Shows KVM_IRQ_LINE: the lines of an interrupt controller in the kernel, and those of a
 * vCPU that has none; that it ends a WFI; and what it refuses.
 * Runs on the module and on C KVM.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "gic.h"

#define CPU		KVM_ARM_IRQ_TYPE_CPU
#define SPI		KVM_ARM_IRQ_TYPE_SPI
#define PPI		KVM_ARM_IRQ_TYPE_PPI
#define ISR_IRQ		(1UL << 7)
#define ISR_FIQ		(1UL << 6)
#define VECTOR_IRQ	5
#define VECTOR_FIQ	6

static long irq_line(struct vm *vm, unsigned int type, unsigned int vcpu, unsigned int number,
		     unsigned int level)
{
	struct kvm_irq_level args = {
		.irq = vcpu / 256 << KVM_ARM_IRQ_VCPU2_SHIFT | type << KVM_ARM_IRQ_TYPE_SHIFT |
		       vcpu % 256 << KVM_ARM_IRQ_VCPU_SHIFT | number,
		.level = level,
	};

	return kvm_ioctl(vm->fd, KVM_IRQ_LINE, (unsigned long)&args);
}

/* Says what is pending at the CPU, again and again. */
GUEST uint64_t say_lines(uint64_t unused);
GUEST uint64_t say_lines(uint64_t unused)
{
	for (;;) {
		GUEST_ISB();
		guest_say(1, GUEST_MRS("isr_el1"));
	}
	return unused;
}

/* Lets interrupts come: the vectors say what did. */
GUEST uint64_t take(uint64_t masks);
GUEST uint64_t take(uint64_t masks)
{
	GUEST_MSR("daif", masks);
	for (;;)
		asm volatile("nop");
	return 0;
}

/* Waits for interrupts, and says how often that ended because of one. */
GUEST uint64_t wait_often(uint64_t n);
GUEST uint64_t wait_often(uint64_t n)
{
	struct guest_area *area = guest_area();
	uint64_t i, woken = 0;

	for (i = 1; i <= n; i++) {
		area->seen = i;
		while (area->go < i)
			asm volatile("wfi" : : : "memory");
		woken++;
	}
	return woken;
}

FIXTURE(user_irqchip) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(user_irqchip)
{
	ASSERT_EQ(vm_create(&self->vm), 0);
	ASSERT_EQ(vcpu_create(&self->vm, &self->vcpu, 0), 0);
}

FIXTURE_TEARDOWN(user_irqchip)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static uint64_t lines(struct vcpu *vcpu)
{
	if (guest_run(vcpu) != GUEST_SAID)
		return ~0UL;
	return vcpu->value & (ISR_IRQ | ISR_FIQ);
}

TEST_F(user_irqchip, lines)
{
	struct vm *vm = &self->vm;

	ASSERT_EQ(vcpu_start(&self->vcpu, say_lines, 0, 0), 0);
	EXPECT_EQ(lines(&self->vcpu), 0);
	EXPECT_EQ(irq_line(vm, CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 1), 0);
	EXPECT_EQ(lines(&self->vcpu), ISR_IRQ);
	EXPECT_EQ(lines(&self->vcpu), ISR_IRQ);
	EXPECT_EQ(irq_line(vm, CPU, 0, KVM_ARM_IRQ_CPU_FIQ, 7), 0);
	EXPECT_EQ(irq_line(vm, CPU, 0, KVM_ARM_IRQ_CPU_FIQ, 1), 0);
	EXPECT_EQ(lines(&self->vcpu), ISR_IRQ | ISR_FIQ);
	EXPECT_EQ(irq_line(vm, CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 0), 0);
	EXPECT_EQ(lines(&self->vcpu), ISR_FIQ);
	EXPECT_EQ(irq_line(vm, CPU, 0, KVM_ARM_IRQ_CPU_FIQ, 0), 0);
	EXPECT_EQ(lines(&self->vcpu), 0);
	/* They are not the vCPU's: one that starts anew finds them as they are. */
	EXPECT_EQ(irq_line(vm, CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 1), 0);
	EXPECT_EQ(lines(&self->vcpu), ISR_IRQ);
	ASSERT_EQ(vcpu_init(&self->vcpu, 1 << KVM_ARM_VCPU_PSCI_0_2), 0);
	ASSERT_EQ(vcpu_start(&self->vcpu, say_lines, 0, 0), 0);
	EXPECT_EQ(lines(&self->vcpu), ISR_IRQ);
	EXPECT_EQ(irq_line(vm, CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 0), 0);
	EXPECT_EQ(lines(&self->vcpu), 0);
}

TEST_F(user_irqchip, taken)
{
	struct vm *vm = &self->vm;
	struct vcpu *vcpu = &self->vcpu;

	/* Both are up; what is masked does not come. */
	EXPECT_EQ(irq_line(vm, CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 1), 0);
	EXPECT_EQ(irq_line(vm, CPU, 0, KVM_ARM_IRQ_CPU_FIQ, 1), 0);
	ASSERT_EQ(vcpu_start(vcpu, take, 0x340, 0), 0);
	EXPECT_EQ(guest_run(vcpu), GUEST_EXCEPTION);
	EXPECT_EQ(vcpu->vector, VECTOR_IRQ);
	ASSERT_EQ(vcpu_start(vcpu, take, 0x380, 0), 0);
	EXPECT_EQ(guest_run(vcpu), GUEST_EXCEPTION);
	EXPECT_EQ(vcpu->vector, VECTOR_FIQ);
}

TEST_F(user_irqchip, refused)
{
	struct vm *vm = &self->vm;
	struct vcpu other;
	unsigned int type, i;

	EXPECT_EQ(irq_line(vm, CPU, 0, 2, 1), -EINVAL);
	EXPECT_EQ(irq_line(vm, CPU, 0, 0xffff, 1), -EINVAL);
	EXPECT_EQ(irq_line(vm, CPU, 1, 0, 1), -EINVAL);
	EXPECT_EQ(irq_line(vm, CPU, 4095, 0, 1), -EINVAL);
	for (type = 3; type < 16; type++) {
		EXPECT_EQ(irq_line(vm, type, 0, 32, 1), -EINVAL);
	}
	/* There is no GIC. */
	for (i = 0; i < 1100; i += 31) {
		EXPECT_EQ(irq_line(vm, SPI, 0, i, 1), -ENXIO);
		EXPECT_EQ(irq_line(vm, PPI, 0, i, 1), -ENXIO);
	}
	EXPECT_EQ(kvm_ioctl(vm->fd, KVM_IRQ_LINE, 8), -EFAULT);
	/* The number has two parts. */
	EXPECT_EQ(irq_line(vm, CPU, 300, 0, 1), -EINVAL);
	ASSERT_EQ(vcpu_create(vm, &other, 300), 0);
	EXPECT_EQ(irq_line(vm, CPU, 300, 0, 1), 0);
	EXPECT_EQ(irq_line(vm, CPU, 44, 0, 1), -EINVAL);
	vcpu_destroy(&other);
}

/* A vCPU that sleeps wakes up by its line. */
TEST_F(user_irqchip, ends_wfi)
{
	struct guest_area *area = self->vcpu.area;
	unsigned int i, n = scaled(200);
	pthread_t thread;
	void *event;

	ASSERT_EQ(vcpu_start(&self->vcpu, wait_often, n, 0), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, guest_thread, &self->vcpu), 0);
	for (i = 1; i <= n; i++) {
		while (*(volatile uint64_t *)&area->seen < i)
			sched_yield();
		if (i % 8 == 0)
			usleep(1000);
		*(volatile uint64_t *)&area->go = i;
		EXPECT_EQ(irq_line(&self->vm, CPU, 0, i % 2, 1), 0);
		EXPECT_EQ(irq_line(&self->vm, CPU, 0, (i + 1) % 2, 0), 0);
	}
	pthread_join(thread, &event);
	EXPECT_EQ((uintptr_t)event, GUEST_DONE);
	EXPECT_EQ(self->vcpu.value, n);
}

/* Counts interrupts by their numbers until there is SPI 95. */
GUEST uint64_t serve(uint64_t edge);
GUEST uint64_t serve(uint64_t edge)
{
	struct guest_area *area = guest_area();
	uint64_t intid, n = 0;

	gic_start(0, edge);
	guest_say(1, 0);
	for (;;) {
		intid = gic_acknowledge();
		if (intid == GIC_SPURIOUS) {
			asm volatile("wfi");
			continue;
		}
		area->data[intid & 511]++;
		/* Once for each level: as a device that is told. */
		if (!edge && area->go)
			guest_say(2, intid);
		gic_end(intid);
		if (intid == 95)
			return n;
		n++;
	}
}

FIXTURE(gic) {
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
};

FIXTURE_SETUP(gic)
{
	int ret;

	ASSERT_EQ(vm_create(&self->vm), 0);
	ASSERT_EQ(vcpu_create(&self->vm, &self->vcpu, 0), 0);
	ret = vm_gic(&self->vm);
	if (ret == -ENODEV)
		SKIP(return, "no GICv3 here");
	ASSERT_EQ(ret, 0);
}

FIXTURE_TEARDOWN(gic)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* Each report of the high level of an edge is an interrupt. */
TEST_F(gic, edges)
{
	unsigned int i, n = scaled(100);
	uint64_t expected[96] = {};
	void *event;

	ASSERT_EQ(vcpu_start(&self->vcpu, serve, 1, 0), 0);
	ASSERT_EQ(guest_run(&self->vcpu), GUEST_SAID);
	ASSERT_EQ(pthread_create(&self->thread, NULL, guest_thread, &self->vcpu), 0);
	for (i = 1; i <= n; i++) {
		unsigned int spi = 32 + i % 60;

		EXPECT_EQ(irq_line(&self->vm, SPI, i % 4096, spi, 1), 0);
		EXPECT_EQ(irq_line(&self->vm, SPI, 0, spi, 0), 0);
		ASSERT_TRUE(guest_counts(&self->vcpu, spi, ++expected[spi]));
	}
	EXPECT_EQ(irq_line(&self->vm, SPI, 0, 95, 1), 0);
	pthread_join(self->thread, &event);
	EXPECT_EQ((uintptr_t)event, GUEST_DONE);
	EXPECT_EQ(self->vcpu.value, n);
}

/* A level stays until it is lowered. */
TEST_F(gic, levels)
{
	struct vcpu *vcpu = &self->vcpu;
	unsigned int i;

	vcpu->area->go = 1;
	ASSERT_EQ(vcpu_start(vcpu, serve, 0, 0), 0);
	ASSERT_EQ(guest_run(vcpu), GUEST_SAID);
	EXPECT_EQ(irq_line(&self->vm, SPI, 0, 40, 1), 0);
	for (i = 1; i < 4; i++) {
		ASSERT_EQ(guest_run(vcpu), GUEST_SAID);
		EXPECT_EQ(vcpu->value, 40);
		EXPECT_EQ(vcpu->area->data[40], i);
	}
	EXPECT_EQ(irq_line(&self->vm, SPI, 0, 40, 0), 0);
	/* A PPI of this vCPU. */
	EXPECT_EQ(irq_line(&self->vm, PPI, 0, 20, 1), 0);
	ASSERT_EQ(guest_run(vcpu), GUEST_SAID);
	EXPECT_EQ(vcpu->value, 20);
	EXPECT_EQ(irq_line(&self->vm, PPI, 0, 20, 0), 0);
	EXPECT_EQ(irq_line(&self->vm, SPI, 0, 95, 1), 0);
	ASSERT_EQ(guest_run(vcpu), GUEST_SAID);
	EXPECT_EQ(vcpu->value, 95);
	EXPECT_EQ(guest_run(vcpu), GUEST_DONE);
	EXPECT_EQ(vcpu->area->data[40], 3);
	EXPECT_EQ(vcpu->area->data[20], 1);
}

TEST_F(gic, refused)
{
	struct vm *vm = &self->vm;
	unsigned int i;

	EXPECT_EQ(irq_line(vm, CPU, 0, KVM_ARM_IRQ_CPU_IRQ, 1), -ENXIO);
	for (i = 0; i < 32; i++) {
		EXPECT_EQ(irq_line(vm, SPI, 0, i, 1), -EINVAL);
	}
	/* As many as there are by default: 256 with the private ones. */
	EXPECT_EQ(irq_line(vm, SPI, 0, 255, 0), 0);
	EXPECT_EQ(irq_line(vm, SPI, 0, 256, 0), -EINVAL);
	EXPECT_EQ(irq_line(vm, SPI, 0, 1019, 0), -EINVAL);
	EXPECT_EQ(irq_line(vm, SPI, 0, 1020, 0), -EINVAL);
	EXPECT_EQ(irq_line(vm, SPI, 0, 8192, 0), -EINVAL);
	EXPECT_EQ(irq_line(vm, SPI, 0, 0xffff, 0), -EINVAL);
	for (i = 0; i < 16; i++) {
		EXPECT_EQ(irq_line(vm, PPI, 0, i, 1), -EINVAL);
	}
	EXPECT_EQ(irq_line(vm, PPI, 0, 32, 1), -EINVAL);
	EXPECT_EQ(irq_line(vm, PPI, 1, 20, 1), -EINVAL);
	EXPECT_EQ(irq_line(vm, PPI, 4095, 20, 1), -EINVAL);
	for (i = 3; i < 16; i++) {
		EXPECT_EQ(irq_line(vm, i, 0, 32, 1), -EINVAL);
	}
}

/* The GIC is there and not initialised. */
TEST(not_initialised)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	struct vcpu vcpu;
	struct vm vm;

	ASSERT_EQ(vm_create(&vm), 0);
	ASSERT_EQ(vcpu_create(&vm, &vcpu, 0), 0);
	if (kvm_ioctl(vm.fd, KVM_CREATE_DEVICE, (unsigned long)&device) == 0) {
		EXPECT_EQ(irq_line(&vm, SPI, 0, 32, 1), -EBUSY);
		EXPECT_EQ(irq_line(&vm, PPI, 0, 20, 1), -EBUSY);
		EXPECT_EQ(irq_line(&vm, CPU, 0, 0, 1), -ENXIO);
		close(device.fd);
	}
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

TEST_HARNESS_MAIN
