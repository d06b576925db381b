// SPDX-License-Identifier: GPL-2.0
/*
 * A GICv3's configuration by its attributes: in all orders, with bad input, and what of
 * it the guest sees.
 * Runs on the module and on C KVM, as root.
 */
#include <sys/mman.h>

#include "vgic_attr.h"

TEST_F(attr, create)
{
	struct kvm_create_device device = { .type = V3 };
	int fds = open_fds();
	struct vm other;

	EXPECT_EQ(-ENODEV, make(&self->vm, 0, KVM_CREATE_DEVICE_TEST));
	EXPECT_EQ(-ENODEV, make(&self->vm, 0, 0));
	EXPECT_EQ(-ENODEV, make(&self->vm, 1000, 0));
	EXPECT_EQ(-ENODEV, make(&self->vm, ~0U, 0));
	EXPECT_EQ(-EEXIST, make(&self->vm, V3, 0));
	EXPECT_EQ(-EFAULT, kvm_ioctl(self->vm.fd, KVM_CREATE_DEVICE, 8));
	EXPECT_EQ(fds, open_fds());
	EXPECT_EQ(-ENOTTY, kvm_ioctl(self->gic, KVM_RUN, 0));
	EXPECT_EQ(-EFAULT, kvm_ioctl(self->gic, KVM_SET_DEVICE_ATTR, 8));

	/* Nowhere to write the descriptor's number to: the VM has no GIC then. */
	if (host_is_module()) {
		void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);

		ASSERT_NE(MAP_FAILED, page);
		memcpy(page, &device, sizeof(device));
		ASSERT_EQ(0, mprotect(page, 4096, PROT_READ));
		ASSERT_EQ(0, vm_create(&other));
		fds = open_fds();
		EXPECT_EQ(-EFAULT, kvm_ioctl(other.fd, KVM_CREATE_DEVICE, (unsigned long)page));
		EXPECT_EQ(fds, open_fds());
		EXPECT_LE(0, make(&other, V3, 0));
		vm_destroy(&other);
		munmap(page, 4096);
	}
}

TEST_F(attr, too_late)
{
	struct vcpu vcpu;
	struct vm vm;

	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
	ASSERT_EQ(0, guest_finish(&vcpu, guest_read, GUEST_RAM, 0));
	EXPECT_EQ(-EBUSY, make(&vm, V3, 0));
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);

	/* The vCPUs of a GIC are those that there are when it is initialised. */
	ASSERT_EQ(0, init(self->gic));
	EXPECT_EQ(-EBUSY, vcpu_open(&self->vm, &vcpu, 2));
	EXPECT_EQ(0, init(self->gic));
	EXPECT_EQ(-EBUSY, device_set(self->gic, GRP_IRQS, 0, 64));
	EXPECT_EQ(256, get32(self->gic, GRP_IRQS, 0));
}

TEST_F(attr, addresses)
{
	const uint64_t end = 1UL << 40;
	uint64_t value = 0;

	EXPECT_EQ(0, get64(self->gic, GRP_ADDR, DIST, &value));
	EXPECT_EQ(~0UL, value);
	EXPECT_EQ(0, get64(self->gic, GRP_ADDR, REDIST, &value));
	EXPECT_EQ(~0UL, value);
	value = 0;
	EXPECT_EQ(-ENOENT, get64(self->gic, GRP_ADDR, REGION, &value));
	for (unsigned int type = 0; type < 8; type++) {
		bool known = type == DIST || type == REDIST || type == REGION;

		EXPECT_EQ(known ? 0 : -ENXIO, has(self->gic, GRP_ADDR, type));
		if (known) {
			EXPECT_EQ(-EFAULT, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_ADDR, type,
						(void *)8));
		} else {
			EXPECT_EQ(-ENXIO, device_set(self->gic, GRP_ADDR, type, 0));
		}
	}
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_ADDR, DIST, 0x1000));
	EXPECT_EQ(-E2BIG, device_set(self->gic, GRP_ADDR, DIST, end));
	EXPECT_EQ(-E2BIG, device_set(self->gic, GRP_ADDR, REDIST, end - 0x30000));
	EXPECT_EQ(0, device_set(self->gic, GRP_ADDR, DIST, end - 0x10000));
	EXPECT_EQ(-EEXIST, device_set(self->gic, GRP_ADDR, DIST, 0));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_ADDR, REGION, region(1, 0, 1, 0)));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_ADDR, REGION, region(0, 0, 0, 0)));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_ADDR, REGION, region(1, 0, 0, 1)));
	EXPECT_EQ(-E2BIG, device_set(self->gic, GRP_ADDR, REGION, region(4095, end - 0x20000, 0, 0)));
	EXPECT_EQ(0, device_set(self->gic, GRP_ADDR, REGION, region(1, 0x80000, 0, 0)));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_ADDR, REGION, region(1, 0x90000, 0, 1)));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_ADDR, REDIST, 0x100000));
	EXPECT_EQ(0, device_set(self->gic, GRP_ADDR, REGION, region(4, 0, 0, 1)));
	value = 1;
	EXPECT_EQ(0, get64(self->gic, GRP_ADDR, REGION, &value));
	EXPECT_EQ(region(4, 0, 0, 1), value);
	EXPECT_EQ(0, get64(self->gic, GRP_ADDR, REDIST, &value));
	EXPECT_EQ(0x80000, value);
	ASSERT_EQ(0, init(self->gic));
	/* The first vCPU has the first place; nothing is behind it, though the other is before. */
	EXPECT_EQ(0x010, get32(self->gic, GRP_REDIST, CPU(0) | GICR_TYPER));
	EXPECT_EQ(0x110, get32(self->gic, GRP_REDIST, CPU(1) | GICR_TYPER));
	EXPECT_EQ(0x010, guest_reads(&self->vcpus[0], 0x80000 + GICR_TYPER));
	EXPECT_EQ(0x110, guest_reads(&self->vcpus[0], GICR_TYPER));
}

TEST_F(attr, irq_count)
{
	static const uint32_t bad[] = { 0, 1, 32, 63, 65, 80, 1023, 1025, 1056, ~0U };
	const uint32_t count = host_is_module() ? 1024 : 992;
	const uint64_t last = GICD_ISENABLER + count / 8 - 4;

	for (unsigned int i = 0; i < ARRAY_LEN(bad); i++)
		EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_IRQS, 0, bad[i]));
	EXPECT_EQ(-EFAULT, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_IRQS, 0, (void *)8));
	/* 1024 is what the documentation says; C KVM ends at 992. */
	EXPECT_EQ(0, device_set(self->gic, GRP_IRQS, 0, count));
	EXPECT_EQ(-EBUSY, device_set(self->gic, GRP_IRQS, 0, count));
	EXPECT_EQ(count, get32(self->gic, GRP_IRQS, 0));
	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	EXPECT_EQ(count / 32 - 1, guest_reads(&self->vcpus[0], GUEST_GICD + GICD_TYPER) & 31);
	/* What is beyond the last interrupt, and the four numbers that are none. */
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, last, ~0U));
	EXPECT_EQ(count == 1024 ? 0x0fffffff : ~0U, get32(self->gic, GRP_DIST, last));
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, GICD_IROUTER + 1023 * 8, ~0U));
	EXPECT_EQ(0, get32(self->gic, GRP_DIST, GICD_IROUTER + 1023 * 8));
}

/* The steps that make a GIC ready, in all orders. */
enum step { STEP_DIST, STEP_REDIST, STEP_IRQS, STEP_VCPU, STEP_INIT, STEPS };

static int order(struct __test_metadata *_metadata, const enum step *steps)
{
	bool vcpu = false, initialised = false, counted = false;
	struct vcpu second;
	struct vcpu first;
	struct vm vm;
	int gic, ret;

	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_create(&vm, &first, 0));
	gic = make(&vm, V3, 0);
	ASSERT_LE(0, gic);
	second.fd = -1;
	for (unsigned int i = 0; i < STEPS; i++) {
		switch (steps[i]) {
		case STEP_DIST:
			EXPECT_EQ(0, device_set(gic, GRP_ADDR, DIST, GUEST_GICD));
			break;
		case STEP_REDIST:
			EXPECT_EQ(0, device_set(gic, GRP_ADDR, REDIST, GUEST_GICR));
			break;
		case STEP_IRQS:
			ret = device_set(gic, GRP_IRQS, 0, 96);
			EXPECT_EQ(initialised ? -EBUSY : 0, ret);
			counted = ret == 0;
			break;
		case STEP_VCPU:
			ret = vcpu_open(&vm, &second, 1);
			EXPECT_EQ(initialised ? -EBUSY : 0, ret);
			vcpu = ret == 0;
			break;
		default:
			EXPECT_EQ(0, init(gic));
			initialised = true;
		}
	}
	EXPECT_EQ(counted ? 2 : 7, guest_reads(&first, GUEST_GICD + GICD_TYPER) & 31);
	EXPECT_EQ(vcpu ? 0 : 0x10, guest_reads(&first, GUEST_GICR + GICR_TYPER));
	if (vcpu) {
		EXPECT_EQ(0x110, guest_reads(&first, GUEST_GICR + 0x20000 + GICR_TYPER));
	}
	if (second.fd >= 0)
		vcpu_destroy(&second);
	/* The device's descriptor may go before the VM, or behind it. */
	if (steps[0] == STEP_DIST)
		close(gic);
	vcpu_destroy(&first);
	vm_destroy(&vm);
	if (steps[0] != STEP_DIST)
		close(gic);
	return 0;
}

TEST_F(attr, all_orders)
{
	enum step steps[STEPS] = { 0 };

	/* All sequences of five digits that have each digit once. */
	for (unsigned int n = 0; n < 5 * 5 * 5 * 5 * 5; n++) {
		unsigned int seen = 0, rest = n;

		for (unsigned int i = 0; i < STEPS; i++, rest /= STEPS) {
			steps[i] = rest % STEPS;
			seen |= 1U << steps[i];
		}
		if (seen == (1U << STEPS) - 1)
			order(_metadata, steps);
	}
}

TEST_F(attr, cannot_run)
{
	static const struct {
		bool dist, redist, overlap, init;
		int error;
	} cases[] = {
		{ false, false, false, true, -ENXIO },
		{ true, false, false, true, -ENXIO },
		{ false, true, false, true, -ENXIO },
		{ true, true, true, true, -EINVAL },
		{ true, true, false, false, -EBUSY },
		{ true, true, false, true, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_LEN(cases); i++) {
		struct vcpu vcpus[2];
		struct vm vm;
		int gic;

		ASSERT_EQ(0, vm_create(&vm));
		for (unsigned int n = 0; n < 2; n++)
			ASSERT_EQ(0, vcpu_create(&vm, &vcpus[n], n));
		gic = make(&vm, V3, 0);
		ASSERT_LE(0, gic);
		if (cases[i].redist)
			EXPECT_EQ(0, device_set(gic, GRP_ADDR, REDIST, GUEST_GICR));
		if (cases[i].dist)
			EXPECT_EQ(0, device_set(gic, GRP_ADDR, DIST,
					   cases[i].overlap ? GUEST_GICR + 0x30000 : GUEST_GICD));
		if (cases[i].init)
			EXPECT_EQ(0, init(gic));
		ASSERT_EQ(0, vcpu_start(&vcpus[1], guest_read, GUEST_RAM, 0));
		if (cases[i].error) {
			EXPECT_EQ(GUEST_ERROR, guest_run(&vcpus[1]));
			EXPECT_EQ(cases[i].error, vcpus[1].error);
		} else {
			EXPECT_EQ(GUEST_DONE, guest_run(&vcpus[1]));
		}
		close(gic);
		for (unsigned int n = 0; n < 2; n++)
			vcpu_destroy(&vcpus[n]);
		vm_destroy(&vm);
	}
}

TEST_F(attr, before_init)
{
	int64_t iidr = get32(self->gic, GRP_DIST, GICD_IIDR);

	EXPECT_EQ(0x4b00043b, iidr & ~IIDR_REVISION);
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, GICD_IIDR, iidr));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_DIST, GICD_IIDR, 0));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_DIST, GICD_IIDR, iidr ^ 1));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_DIST, GICD_IIDR, iidr | IIDR_REVISION));
	EXPECT_EQ(0, get32(self->gic, GRP_DIST, GICD_TYPER2));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_DIST, GICD_TYPER2, 1U << 8));
	EXPECT_EQ(-EBUSY, get32(self->gic, GRP_DIST, GICD_CTLR));
	EXPECT_EQ(-EBUSY, device_set(self->gic, GRP_DIST, GICD_CTLR, 0));
	EXPECT_EQ(-EBUSY, get32(self->gic, GRP_REDIST, GICR_CTLR));
	EXPECT_EQ(-EBUSY, get32(self->gic, GRP_LEVEL, 32));
	EXPECT_EQ(-EINVAL, get32(self->gic, GRP_REDIST, CPU(7) | GICR_CTLR));
	EXPECT_EQ(-ENXIO, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_CTRL, SAVE, NULL));
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, GICD_IIDR, (iidr & ~IIDR_REVISION) | 2 << 12));
	EXPECT_EQ(0, device_set(self->gic, GRP_MAINT, 0, 20));
	EXPECT_EQ(20, get32(self->gic, GRP_MAINT, 0));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_MAINT, 0, 15));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_MAINT, 0, 32));

	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	EXPECT_EQ(-EBUSY, device_set(self->gic, GRP_MAINT, 0, 20));
	EXPECT_EQ(-EBUSY, device_set(self->gic, GRP_DIST, GICD_TYPER2, 1U << 8));
	EXPECT_EQ(0, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_CTRL, SAVE, NULL));
	/* In that revision LPIs cannot be disabled again. */
	EXPECT_EQ(0, guest_reads(&self->vcpus[0], GUEST_GICR + GICR_CTLR));
	EXPECT_EQ((iidr & ~IIDR_REVISION) | 2 << 12,
		  guest_reads(&self->vcpus[0], GUEST_GICD + GICD_IIDR));
}

TEST_HARNESS_MAIN
