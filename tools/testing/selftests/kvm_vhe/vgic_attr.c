// SPDX-License-Identifier: GPL-2.0
/*
 * A GICv3 by its attributes: made and configured in all orders, with bad input, while
 * vCPUs run, and seen from the guest.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define V3		KVM_DEV_TYPE_ARM_VGIC_V3
#define GRP_ADDR	KVM_DEV_ARM_VGIC_GRP_ADDR
#define GRP_DIST	KVM_DEV_ARM_VGIC_GRP_DIST_REGS
#define GRP_REDIST	KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
#define GRP_IRQS	KVM_DEV_ARM_VGIC_GRP_NR_IRQS
#define GRP_CTRL	KVM_DEV_ARM_VGIC_GRP_CTRL
#define GRP_CPU		KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS
#define GRP_LEVEL	KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO
#define GRP_MAINT	9
#define DIST		KVM_VGIC_V3_ADDR_TYPE_DIST
#define REDIST		KVM_VGIC_V3_ADDR_TYPE_REDIST
#define REGION		KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION
#define INIT		KVM_DEV_ARM_VGIC_CTRL_INIT
#define SAVE		KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES

#define GICD_CTLR	0x0000
#define GICD_TYPER	0x0004
#define GICD_IIDR	0x0008
#define GICD_TYPER2	0x000c
#define GICD_ISENABLER	0x0100
#define GICD_ISPENDR	0x0200
#define GICD_ICPENDR	0x0280
#define GICD_ISACTIVER	0x0300
#define GICD_IPRIORITYR	0x0400
#define GICD_ICFGR	0x0c00
#define GICD_IROUTER	0x6000
#define GICR_CTLR	0x0000
#define GICR_TYPER	0x0008
#define GICR_SGI	0x10000

#define IIDR_REVISION	0xf000

/* The vCPU with number n has the affinity n. */
#define CPU(n)		((uint64_t)(n) << 32)
#define ICC(op1, crn, crm, op2)	(3 << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))
#define ICC_PMR		ICC(0, 4, 6, 0)
#define ICC_SRE		ICC(0, 12, 12, 5)
#define ICC_CTLR	ICC(0, 12, 12, 4)
#define ICC_IGRPEN1	ICC(0, 12, 12, 7)

static int make(struct vm *vm, unsigned int type, unsigned int flags)
{
	struct kvm_create_device device = { .type = type, .flags = flags, .fd = -1 };
	long ret = kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, (unsigned long)&device);

	return ret ? ret : (int)device.fd;
}

static int has(int fd, unsigned int group, uint64_t number)
{
	return device_attr(fd, KVM_HAS_DEVICE_ATTR, group, number, NULL);
}

static int set64(int fd, unsigned int group, uint64_t number, uint64_t value)
{
	return device_attr(fd, KVM_SET_DEVICE_ATTR, group, number, &value);
}

static int set32(int fd, unsigned int group, uint64_t number, uint32_t value)
{
	return device_attr(fd, KVM_SET_DEVICE_ATTR, group, number, &value);
}

/* The value, or -errno. */
static int64_t get32(int fd, unsigned int group, uint64_t number)
{
	uint32_t value = 0;
	int ret = device_attr(fd, KVM_GET_DEVICE_ATTR, group, number, &value);

	return ret ? ret : (int64_t)value;
}

static int get64(int fd, unsigned int group, uint64_t number, uint64_t *value)
{
	return device_attr(fd, KVM_GET_DEVICE_ATTR, group, number, value);
}

static int init(int fd)
{
	return device_attr(fd, KVM_SET_DEVICE_ATTR, GRP_CTRL, INIT, NULL);
}

static uint64_t region(uint64_t count, uint64_t base, uint64_t flags, uint64_t index)
{
	return count << 52 | base | flags << 12 | index;
}

GUEST uint64_t guest_read(uint64_t address)
{
	uint32_t value;

	asm volatile("ldr %w0, [%1]" : "=r" (value) : "r" (address) : "memory");
	return value;
}

/* The value in the upper half to the address in the lower one. */
GUEST uint64_t guest_write(uint64_t what)
{
	asm volatile("str %w0, [%1]" : : "r" (what >> 32), "r" (what & 0xffffffff) : "memory");
	return 0;
}

GUEST uint64_t guest_spin(uint64_t unused)
{
	(void)unused;
	guest_say(1, 0);
	for (;;)
		guest_read(GUEST_GICD + GICD_TYPER);
	return 0;
}

/* Reads GICR_TYPER of a redistributor for ever. */
GUEST uint64_t guest_read_on(uint64_t gicr)
{
	guest_say(1, 0);
	for (;;)
		guest_read(gicr + GICR_TYPER);
	return 0;
}

FIXTURE(attr)
{
	struct vm vm;
	struct vcpu vcpus[2];
	int gic;
};

FIXTURE_SETUP(attr)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	for (unsigned int n = 0; n < 2; n++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpus[n], n));
	if (make(&self->vm, V3, KVM_CREATE_DEVICE_TEST) == -ENODEV)
		SKIP(return, "there is no GIC for VMs");
	self->gic = make(&self->vm, V3, 0);
	ASSERT_LE(0, self->gic);
}

FIXTURE_TEARDOWN(attr)
{
	for (unsigned int n = 0; n < 2; n++)
		vcpu_destroy(&self->vcpus[n]);
	if (self->gic > 0)
		close(self->gic);
	vm_destroy(&self->vm);
}

static int place(int gic)
{
	int ret = set64(gic, GRP_ADDR, DIST, GUEST_GICD);

	return ret ? ret : set64(gic, GRP_ADDR, REDIST, GUEST_GICR);
}

static int64_t guest_reads(struct vcpu *vcpu, uint64_t address)
{
	int ret = guest_finish(vcpu, guest_read, address, 0);

	return ret ? ret : (int64_t)vcpu->value;
}

static int guest_writes(struct vcpu *vcpu, uint64_t address, uint32_t value)
{
	return guest_finish(vcpu, guest_write, (uint64_t)value << 32 | address, 0);
}

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
	EXPECT_EQ(-EBUSY, set32(self->gic, GRP_IRQS, 0, 64));
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
			EXPECT_EQ(-ENXIO, set64(self->gic, GRP_ADDR, type, 0));
		}
	}
	EXPECT_EQ(-EINVAL, set64(self->gic, GRP_ADDR, DIST, 0x1000));
	EXPECT_EQ(-E2BIG, set64(self->gic, GRP_ADDR, DIST, end));
	EXPECT_EQ(-E2BIG, set64(self->gic, GRP_ADDR, REDIST, end - 0x30000));
	EXPECT_EQ(0, set64(self->gic, GRP_ADDR, DIST, end - 0x10000));
	EXPECT_EQ(-EEXIST, set64(self->gic, GRP_ADDR, DIST, 0));
	EXPECT_EQ(-EINVAL, set64(self->gic, GRP_ADDR, REGION, region(1, 0, 1, 0)));
	EXPECT_EQ(-EINVAL, set64(self->gic, GRP_ADDR, REGION, region(0, 0, 0, 0)));
	EXPECT_EQ(-EINVAL, set64(self->gic, GRP_ADDR, REGION, region(1, 0, 0, 1)));
	EXPECT_EQ(-E2BIG, set64(self->gic, GRP_ADDR, REGION, region(4095, end - 0x20000, 0, 0)));
	EXPECT_EQ(0, set64(self->gic, GRP_ADDR, REGION, region(1, 0x80000, 0, 0)));
	EXPECT_EQ(-EINVAL, set64(self->gic, GRP_ADDR, REGION, region(1, 0x90000, 0, 1)));
	EXPECT_EQ(-EINVAL, set64(self->gic, GRP_ADDR, REDIST, 0x100000));
	EXPECT_EQ(0, set64(self->gic, GRP_ADDR, REGION, region(4, 0, 0, 1)));
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
		EXPECT_EQ(-EINVAL, set32(self->gic, GRP_IRQS, 0, bad[i]));
	EXPECT_EQ(-EFAULT, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_IRQS, 0, (void *)8));
	/* 1024 is what the documentation says; C KVM ends at 992. */
	EXPECT_EQ(0, set32(self->gic, GRP_IRQS, 0, count));
	EXPECT_EQ(-EBUSY, set32(self->gic, GRP_IRQS, 0, count));
	EXPECT_EQ(count, get32(self->gic, GRP_IRQS, 0));
	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	EXPECT_EQ(count / 32 - 1, guest_reads(&self->vcpus[0], GUEST_GICD + GICD_TYPER) & 31);
	/* What is beyond the last interrupt, and the four numbers that are none. */
	EXPECT_EQ(0, set32(self->gic, GRP_DIST, last, ~0U));
	EXPECT_EQ(count == 1024 ? 0x0fffffff : ~0U, get32(self->gic, GRP_DIST, last));
	EXPECT_EQ(0, set32(self->gic, GRP_DIST, GICD_IROUTER + 1023 * 8, ~0U));
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
			EXPECT_EQ(0, set64(gic, GRP_ADDR, DIST, GUEST_GICD));
			break;
		case STEP_REDIST:
			EXPECT_EQ(0, set64(gic, GRP_ADDR, REDIST, GUEST_GICR));
			break;
		case STEP_IRQS:
			ret = set32(gic, GRP_IRQS, 0, 96);
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
			EXPECT_EQ(0, set64(gic, GRP_ADDR, REDIST, GUEST_GICR));
		if (cases[i].dist)
			EXPECT_EQ(0, set64(gic, GRP_ADDR, DIST,
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
	EXPECT_EQ(0, set32(self->gic, GRP_DIST, GICD_IIDR, iidr));
	EXPECT_EQ(-EINVAL, set32(self->gic, GRP_DIST, GICD_IIDR, 0));
	EXPECT_EQ(-EINVAL, set32(self->gic, GRP_DIST, GICD_IIDR, iidr ^ 1));
	EXPECT_EQ(-EINVAL, set32(self->gic, GRP_DIST, GICD_IIDR, iidr | IIDR_REVISION));
	EXPECT_EQ(0, get32(self->gic, GRP_DIST, GICD_TYPER2));
	EXPECT_EQ(-EINVAL, set32(self->gic, GRP_DIST, GICD_TYPER2, 1U << 8));
	EXPECT_EQ(-EBUSY, get32(self->gic, GRP_DIST, GICD_CTLR));
	EXPECT_EQ(-EBUSY, set32(self->gic, GRP_DIST, GICD_CTLR, 0));
	EXPECT_EQ(-EBUSY, get32(self->gic, GRP_REDIST, GICR_CTLR));
	EXPECT_EQ(-EBUSY, get32(self->gic, GRP_LEVEL, 32));
	EXPECT_EQ(-EINVAL, get32(self->gic, GRP_REDIST, CPU(7) | GICR_CTLR));
	EXPECT_EQ(-ENXIO, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_CTRL, SAVE, NULL));
	EXPECT_EQ(0, set32(self->gic, GRP_DIST, GICD_IIDR, (iidr & ~IIDR_REVISION) | 2 << 12));
	EXPECT_EQ(0, set32(self->gic, GRP_MAINT, 0, 20));
	EXPECT_EQ(20, get32(self->gic, GRP_MAINT, 0));
	EXPECT_EQ(-EINVAL, set32(self->gic, GRP_MAINT, 0, 15));
	EXPECT_EQ(-EINVAL, set32(self->gic, GRP_MAINT, 0, 32));

	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	EXPECT_EQ(-EBUSY, set32(self->gic, GRP_MAINT, 0, 20));
	EXPECT_EQ(-EBUSY, set32(self->gic, GRP_DIST, GICD_TYPER2, 1U << 8));
	EXPECT_EQ(0, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_CTRL, SAVE, NULL));
	/* In that revision LPIs cannot be disabled again. */
	EXPECT_EQ(0, guest_reads(&self->vcpus[0], GUEST_GICR + GICR_CTLR));
	EXPECT_EQ((iidr & ~IIDR_REVISION) | 2 << 12,
		  guest_reads(&self->vcpus[0], GUEST_GICD + GICD_IIDR));
}

TEST_F(attr, guest_and_user_see_the_same)
{
	struct vcpu *vcpu = &self->vcpus[0];
	const uint64_t sgi = GICR_SGI;

	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	EXPECT_EQ(0, set32(self->gic, GRP_DIST, GICD_ISENABLER + 4, 0x80000001));
	EXPECT_EQ(0x80000001, guest_reads(vcpu, GUEST_GICD + GICD_ISENABLER + 4));
	EXPECT_EQ(0, guest_writes(vcpu, GUEST_GICD + GICD_IPRIORITYR + 40, 0x98a81828));
	EXPECT_EQ(0x98a81828, get32(self->gic, GRP_DIST, GICD_IPRIORITYR + 40));
	EXPECT_EQ(0, set32(self->gic, GRP_DIST, GICD_IROUTER + 40 * 8, 1));
	EXPECT_EQ(1, guest_reads(vcpu, GUEST_GICD + GICD_IROUTER + 40 * 8));

	/* Each vCPU has its own SGIs and PPIs, and a guest may look at another's. */
	EXPECT_EQ(0, set32(self->gic, GRP_REDIST, CPU(1) | (sgi + GICD_ISENABLER), 1U << 20));
	EXPECT_EQ(0, guest_reads(vcpu, GUEST_GICR + sgi + GICD_ISENABLER) & 1U << 20);
	EXPECT_EQ(1U << 20, guest_reads(vcpu, GUEST_GICR + 0x20000 + sgi + GICD_ISENABLER) &
				    1U << 20);

	/* A level: pending for the guest, and no latch for user space. */
	EXPECT_EQ(0, set32(self->gic, GRP_DIST, GICD_ICFGR + 8, 0));
	EXPECT_EQ(0, set32(self->gic, GRP_LEVEL, 32, 1U << 2));
	EXPECT_EQ(1U << 2, get32(self->gic, GRP_LEVEL, 32));
	EXPECT_EQ(0, get32(self->gic, GRP_DIST, GICD_ISPENDR + 4));
	EXPECT_EQ(1U << 2, guest_reads(vcpu, GUEST_GICD + GICD_ISPENDR + 4));
	EXPECT_EQ(0, set32(self->gic, GRP_LEVEL, 32, 0));
	EXPECT_EQ(0, guest_reads(vcpu, GUEST_GICD + GICD_ISPENDR + 4));
	/* A latch: the guest sets one, and user space both sets and clears it. */
	EXPECT_EQ(0, guest_writes(vcpu, GUEST_GICD + GICD_ISPENDR + 4, 1U << 3));
	EXPECT_EQ(1U << 3, get32(self->gic, GRP_DIST, GICD_ISPENDR + 4));
	EXPECT_EQ(0, get32(self->gic, GRP_DIST, GICD_ICPENDR + 4));
	EXPECT_EQ(0, set32(self->gic, GRP_DIST, GICD_ICPENDR + 4, ~0U));
	EXPECT_EQ(1U << 3, get32(self->gic, GRP_DIST, GICD_ISPENDR + 4));
	EXPECT_EQ(0, set32(self->gic, GRP_DIST, GICD_ISPENDR + 4, 1U << 5));
	EXPECT_EQ(1U << 5, guest_reads(vcpu, GUEST_GICD + GICD_ISPENDR + 4));

	/* What does not exist is zero, and ignored. */
	EXPECT_EQ(-ENXIO, has(self->gic, GRP_DIST, 0x8000));
	EXPECT_EQ(0, get32(self->gic, GRP_DIST, 0x8000));
	EXPECT_EQ(0, set32(self->gic, GRP_DIST, 0x8000, ~0U));
	EXPECT_EQ(-ENXIO, has(self->gic, GRP_DIST, GICD_CTLR + 2));
	EXPECT_EQ(-ENXIO, has(self->gic, GRP_REDIST, 0x30000));
	EXPECT_EQ(-EINVAL, has(self->gic, GRP_REDIST, CPU(9)));
	EXPECT_EQ(-EINVAL, get32(self->gic, GRP_LEVEL, 33));
	EXPECT_EQ(-EINVAL, get32(self->gic, GRP_LEVEL, 1 << 10));
	EXPECT_EQ(-EFAULT, device_attr(self->gic, KVM_GET_DEVICE_ATTR, GRP_DIST, 0, (void *)8));
	EXPECT_EQ(-EFAULT, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_DIST, 0, (void *)8));
}

TEST_F(attr, cpu_interface)
{
	uint64_t value = 0, ctlr = 0;
	unsigned int found = 0;

	EXPECT_EQ(-EBUSY, get64(self->gic, GRP_CPU, ICC_PMR, &value));
	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	/* All that there are can be read, and written with what was read. */
	for (unsigned int reg = 0; reg < 1 << 16; reg++) {
		if (has(self->gic, GRP_CPU, CPU(1) | reg))
			continue;
		found++;
		if (get64(self->gic, GRP_CPU, CPU(1) | reg, &value) == 0) {
			EXPECT_EQ(0, set64(self->gic, GRP_CPU, CPU(1) | reg, value)) {
				TH_LOG("register %#x", reg);
			}
		}
	}
	EXPECT_LE(15, found);
	EXPECT_EQ(0, set64(self->gic, GRP_CPU, ICC_PMR, 0xf8));
	EXPECT_EQ(0, get64(self->gic, GRP_CPU, ICC_PMR, &value));
	EXPECT_EQ(0xf8, value);
	EXPECT_EQ(0, get64(self->gic, GRP_CPU, CPU(1) | ICC_PMR, &value));
	EXPECT_EQ(0, value);
	EXPECT_EQ(0, set64(self->gic, GRP_CPU, ICC_IGRPEN1, 1));
	EXPECT_EQ(0, get64(self->gic, GRP_CPU, ICC_IGRPEN1, &value));
	EXPECT_EQ(1, value);
	EXPECT_EQ(-EINVAL, set64(self->gic, GRP_CPU, ICC_SRE, 0));
	EXPECT_EQ(0, get64(self->gic, GRP_CPU, ICC_CTLR, &ctlr));
	EXPECT_EQ(-EINVAL, set64(self->gic, GRP_CPU, ICC_CTLR, ctlr | 7 << 8));
	EXPECT_EQ(0, set64(self->gic, GRP_CPU, ICC_CTLR, ctlr));
	EXPECT_EQ(-EINVAL, get64(self->gic, GRP_CPU, CPU(5) | ICC_PMR, &value));
	EXPECT_EQ(-EFAULT, device_attr(self->gic, KVM_GET_DEVICE_ATTR, GRP_CPU, ICC_PMR, (void *)8));
}

/*
 * CVE-2025-37849: a vCPU whose creation fails leaves nothing of itself in the GIC, neither a
 * redistributor in a region nor a place in front of the next one.
 */
TEST_F(attr, cve_2025_37849_vcpu_that_fails)
{
	struct rlimit old, none;
	struct vcpu third, other;

	if (!host_is_module())
		SKIP(return, "C KVM gives away the places of such vCPUs");
	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	for (unsigned int i = 0; i < 20; i++) {
		EXPECT_EQ(-EEXIST, vcpu_open(&self->vm, &other, i % 2));
		none = (struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max };
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
		EXPECT_EQ(-EMFILE, vcpu_open(&self->vm, &other, 2));
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	}
	ASSERT_EQ(0, vcpu_create(&self->vm, &third, 2));
	ASSERT_EQ(0, init(self->gic));
	EXPECT_EQ(0x000, guest_reads(&third, GUEST_GICR + GICR_TYPER));
	EXPECT_EQ(0x100, guest_reads(&third, GUEST_GICR + 0x20000 + GICR_TYPER));
	EXPECT_EQ(0x210, guest_reads(&third, GUEST_GICR + 0x40000 + GICR_TYPER));
	vcpu_destroy(&third);
}

static void *spin(void *arg)
{
	struct vcpu *vcpu = arg;

	while (guest_run(vcpu) == GUEST_AGAIN)
		;
	return NULL;
}

/* State is not saved, nor changed, while a vCPU runs. */
TEST_F(attr, busy_while_a_vcpu_runs)
{
	pthread_t thread;
	uint64_t value;

	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	ASSERT_EQ(0, vcpu_start(&self->vcpus[1], guest_spin, 0, 0));
	ASSERT_EQ(GUEST_SAID, guest_run(&self->vcpus[1]));
	ASSERT_EQ(0, pthread_create(&thread, NULL, spin, &self->vcpus[1]));
	while (get32(self->gic, GRP_DIST, GICD_CTLR) != -EBUSY)
		msleep(1);
	for (unsigned int i = 0; i < 50; i++) {
		EXPECT_EQ(-EBUSY, get32(self->gic, GRP_DIST, GICD_CTLR));
		EXPECT_EQ(-EBUSY, set32(self->gic, GRP_DIST, GICD_CTLR, 0));
		EXPECT_EQ(-EBUSY, get32(self->gic, GRP_REDIST, GICR_CTLR));
		EXPECT_EQ(-EBUSY, get32(self->gic, GRP_LEVEL, 32));
		EXPECT_EQ(-EBUSY, get64(self->gic, GRP_CPU, ICC_PMR, &value));
		EXPECT_EQ(-EBUSY, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_CTRL, SAVE, NULL));
		EXPECT_EQ(0, get64(self->gic, GRP_ADDR, DIST, &value));
	}
	self->vcpus[1].run->immediate_exit = 1;
	/* By a signal that does nothing. */
	pthread_kill(thread, SIGUSR1);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-EINTR, self->vcpus[1].error);
	EXPECT_LE(0, get32(self->gic, GRP_DIST, GICD_CTLR));
}

/*
 * CVE-2024-40989: redistributors and their regions go while they are in use. The descriptors of the
 * GIC and of the VM are closed while a vCPU reads a redistributor of another, whose descriptor is
 * closed, too; the last one that goes is that of the vCPU which runs.
 */
TEST_F(attr, cve_2024_40989_redistributors_that_go)
{
	for (unsigned int i = 0; i < 10; i++) {
		struct vcpu vcpus[2];
		pthread_t thread;
		struct vm vm;
		int gic;

		ASSERT_EQ(0, vm_create(&vm));
		for (unsigned int n = 0; n < 2; n++)
			ASSERT_EQ(0, vcpu_create(&vm, &vcpus[n], n));
		gic = make(&vm, V3, 0);
		ASSERT_LE(0, gic);
		ASSERT_EQ(0, set64(gic, GRP_ADDR, DIST, GUEST_GICD));
		ASSERT_EQ(0, set64(gic, GRP_ADDR, REGION, region(1, GUEST_GICR, 0, 0)));
		ASSERT_EQ(0, set64(gic, GRP_ADDR, REGION, region(1, GUEST_GICR + 0x40000, 0, 1)));
		ASSERT_EQ(0, init(gic));
		ASSERT_EQ(0, vcpu_start(&vcpus[0], guest_read_on, GUEST_GICR + 0x40000, 0));
		ASSERT_EQ(GUEST_SAID, guest_run(&vcpus[0]));
		ASSERT_EQ(0, pthread_create(&thread, NULL, spin, &vcpus[0]));
		close(gic);
		vcpu_destroy(&vcpus[1]);
		close(vm.fd);
		vm.fd = -1;
		msleep(5);
		vcpus[0].run->immediate_exit = 1;
		pthread_kill(thread, SIGUSR1);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(-EINTR, vcpus[0].error);
		vcpu_destroy(&vcpus[0]);
		vm_destroy(&vm);
	}
}

static void ignore(int signal)
{
	(void)signal;
}

/* Whatever is asked for: an answer, and a GIC that still works. */
TEST_F(attr, anything)
{
	unsigned int seed = 1;
	uint64_t value;

	for (unsigned int i = 0; i < scaled(20000); i++) {
		static const unsigned long commands[] = {
			KVM_SET_DEVICE_ATTR, KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR,
		};
		unsigned int group = rand_r(&seed) % 12;
		uint64_t number = rand_r(&seed);

		number = number % 3 ? number % 0x20000 : number << 33 ^ rand_r(&seed);
		/* Most addresses and counts would only be set once. */
		value = rand_r(&seed) % 2 ? ~0UL : (uint64_t)rand_r(&seed) << 32 | rand_r(&seed);
		if (i == scaled(20000) / 2)
			EXPECT_EQ(0, init(self->gic));
		device_attr(self->gic, commands[rand_r(&seed) % 3], group, number,
		     rand_r(&seed) % 16 ? (void *)&value : (void *)(unsigned long)rand_r(&seed));
	}
	set64(self->gic, GRP_ADDR, DIST, GUEST_GICD);
	set64(self->gic, GRP_ADDR, REDIST, GUEST_GICR);
	EXPECT_EQ(0x3b, get32(self->gic, GRP_DIST, 0xffe8));
}

int main(int argc, char **argv)
{
	signal(SIGUSR1, ignore);
	return test_harness_run(argc, argv);
}
