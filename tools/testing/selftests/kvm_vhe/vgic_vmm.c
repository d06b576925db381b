// SPDX-License-Identifier: GPL-2.0
/*
 * A GICv3 and its ITS as VMMs make them: the calls of each in its order, up to a guest
 * that takes an interrupt of a line and one of a message.
 * Runs on the module and on C KVM, as root.
 */
#include <sys/mman.h>

#include "vgic_regs.h"
#include "irqfd.h"
#include "its.h"

#define VCPUS		2
#define SPI		40
#define EVENT		3
/* GSIs of the routes that some VMMs make. */
#define GSI_LINE	8
#define GSI_MESSAGE	9

GUEST uint64_t guest_takes(uint64_t unused);
GUEST uint64_t guest_takes(uint64_t unused)
{
	uint64_t intid;

	(void)unused;
	gic_start(0, true);
	guest_say(1, 0);
	while ((intid = gic_acknowledge()) == GIC_SPURIOUS)
		asm volatile("wfi" : : : "memory");
	gic_end(intid);
	guest_say(2, intid);
	while ((intid = gic_acknowledge()) == GIC_SPURIOUS)
		asm volatile("wfi" : : : "memory");
	gic_end(intid);
	return intid;
}

FIXTURE(vmm)
{
	struct vm vm;
	struct vcpu vcpus[VCPUS];
	int gic, its;
	unsigned char *mem;
};

FIXTURE_SETUP(vmm)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	for (unsigned int n = 0; n < VCPUS; n++) {
		self->vcpus[n].fd = -1;
		self->vcpus[n].run = MAP_FAILED;
	}
	self->gic = self->its = -1;
	self->mem = mmap(NULL, ITS_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, vm_memory(&self->vm, 1, ITS_MEM, ITS_MEM_SIZE, self->mem, 0));
	if (make(&self->vm, KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_CREATE_DEVICE_TEST) == -ENODEV)
		SKIP(return, "no GICv3 with an ITS for VMs");
}

FIXTURE_TEARDOWN(vmm)
{
	for (unsigned int n = 0; n < VCPUS; n++)
		vcpu_destroy(&self->vcpus[n]);
	close(self->its);
	close(self->gic);
	vm_destroy(&self->vm);
	munmap(self->mem, ITS_MEM_SIZE);
}

static int set_ctrl(int fd, uint64_t what)
{
	return device_attr(fd, KVM_SET_DEVICE_ATTR, GRP_CTRL, what, NULL);
}

static int set_line(struct vm *vm, unsigned int level)
{
	struct kvm_irq_level line = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | SPI, .level = level,
	};

	return kvm_ioctl(vm->fd, KVM_IRQ_LINE, (unsigned long)&line);
}

/* The vCPUs but the first wait for PSCI. */
static int start_features(unsigned int n)
{
	return 1 << KVM_ARM_VCPU_PSCI_0_2 | (n ? 1 << KVM_ARM_VCPU_POWER_OFF : 0);
}

static void open_vcpus(struct __test_metadata *_metadata, FIXTURE_DATA(vmm) *self)
{
	for (unsigned int n = 0; n < VCPUS; n++)
		ASSERT_EQ(0, vcpu_open(&self->vm, &self->vcpus[n], n));
}

static void init_vcpus(struct __test_metadata *_metadata, FIXTURE_DATA(vmm) *self)
{
	for (unsigned int n = 0; n < VCPUS; n++)
		ASSERT_EQ(0, vcpu_init(&self->vcpus[n], start_features(n)));
}

/* Of a message's device and event; DeviceIDs are valid with an ITS. */
static void route(struct __test_metadata *_metadata, FIXTURE_DATA(vmm) *self)
{
	struct kvm_irq_routing_entry entries[2] = { pin(GSI_LINE, SPI - 32) };

	entries[1] = (struct kvm_irq_routing_entry){
		.gsi = GSI_MESSAGE, .type = KVM_IRQ_ROUTING_MSI, .flags = KVM_MSI_VALID_DEVID,
		.u.msi = { .address_lo = ITS_DOORBELL, .devid = ITS_DEVICE, .data = EVENT },
	};
	ASSERT_EQ(1, kvm_ioctl(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MSI_DEVID));
	ASSERT_EQ(0, set_routes(&self->vm, entries, 2, 0));
}

/* The guest takes the SPI and the LPI, by ioctls or by irqfds. */
static void takes_both(struct __test_metadata *_metadata, FIXTURE_DATA(vmm) *self, bool irqfds)
{
	struct vcpu *vcpu = &self->vcpus[0];
	int fds[2] = { -1, -1 };

	/* What the guest's driver does. */
	ASSERT_EQ(0, its_prepare(self->gic, self->its, self->mem));
	ASSERT_EQ(0, vcpu_start(vcpu, guest_takes, 0, 0));
	ASSERT_EQ(GUEST_SAID, guest_run(vcpu));
	for (unsigned int i = 0; i < 2 && irqfds; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, irqfd(&self->vm, fds[i], i ? GSI_MESSAGE : GSI_LINE, 0, -1));
	}
	if (irqfds) {
		ring(fds[0]);
	} else {
		EXPECT_EQ(0, set_line(&self->vm, 1));
		EXPECT_EQ(0, set_line(&self->vm, 0));
	}
	ASSERT_EQ(GUEST_SAID, guest_run(vcpu));
	EXPECT_EQ(SPI, vcpu->value);
	if (irqfds) {
		ring(fds[1]);
	} else {
		EXPECT_EQ(1, vm_message(&self->vm, ITS_DEVICE, EVENT));
	}
	ASSERT_EQ(GUEST_DONE, guest_run(vcpu));
	EXPECT_EQ(LPI(EVENT), vcpu->value);
	for (unsigned int i = 0; i < 2 && irqfds; i++)
		close(fds[i]);
}

/*
 * vCPUs, which are initialised; the devices, initialised before they have a place; their places when
 * the machine is ready; and a reset, which reads and writes all before anything runs.
 */
TEST_F(vmm, qemu)
{
	uint64_t value;

	open_vcpus(_metadata, self);
	init_vcpus(_metadata, self);
	ASSERT_NE(-ENODEV, make(&self->vm, V3, KVM_CREATE_DEVICE_TEST));
	self->gic = make(&self->vm, V3, 0);
	ASSERT_LE(0, self->gic);
	ASSERT_EQ(0, has(self->gic, GRP_ADDR, REGION));
	ASSERT_EQ(0, device_set(self->gic, GRP_IRQS, 0, 288));
	ASSERT_EQ(0, has(self->gic, GRP_CTRL, INIT));
	ASSERT_EQ(0, set_ctrl(self->gic, INIT));
	ASSERT_EQ(0, has(self->gic, GRP_DIST, GICD_CTLR));
	ASSERT_EQ(0, has(self->gic, GRP_CTRL, SAVE));
	self->its = make(&self->vm, KVM_DEV_TYPE_ARM_VGIC_ITS, 0);
	ASSERT_LE(0, self->its);
	ASSERT_EQ(0, has(self->its, GRP_CTRL, INIT));
	ASSERT_EQ(0, set_ctrl(self->its, INIT));
	ASSERT_EQ(0, has(self->its, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0));
	ASSERT_EQ(0, has(self->its, GRP_CTRL, KVM_DEV_ARM_ITS_SAVE_TABLES));
	route(_metadata, self);
	ASSERT_EQ(0, device_set(self->gic, GRP_ADDR, DIST, GUEST_GICD));
	/* Room for more redistributors than there are vCPUs. */
	ASSERT_EQ(0, device_set(self->gic, GRP_ADDR, REGION, region(123, GUEST_GICR, 0, 0)));
	ASSERT_EQ(0, device_set(self->its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ITS));

	init_vcpus(_metadata, self);
	for (unsigned int n = 0; n < VCPUS; n++) {
		EXPECT_EQ(0, get64(self->gic, GRP_CPU, CPU(n) | ICC_CTLR, &value));
		EXPECT_EQ(0, device_set(self->gic, GRP_REDIST, CPU(n) | GICR_CTLR, 0));
		EXPECT_EQ(0, device_set(self->gic, GRP_CPU, CPU(n) | ICC_SRE, 7));
		EXPECT_EQ(0, device_set(self->gic, GRP_CPU, CPU(n) | ICC_CTLR, value));
	}
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, GICD_CTLR, 0));
	EXPECT_EQ(0, has(self->its, GRP_CTRL, KVM_DEV_ARM_ITS_CTRL_RESET));
	EXPECT_EQ(0, set_ctrl(self->its, KVM_DEV_ARM_ITS_CTRL_RESET));
	takes_both(_metadata, self, true);
}

/* The devices with their places, and an ITS that is initialised, before there is a vCPU. */
TEST_F(vmm, kvmtool)
{
	self->gic = make(&self->vm, V3, 0);
	ASSERT_LE(0, self->gic);
	ASSERT_EQ(0, device_set(self->gic, GRP_ADDR, REDIST, GUEST_GICR));
	ASSERT_EQ(0, device_set(self->gic, GRP_ADDR, DIST, GUEST_GICD));
	self->its = make(&self->vm, KVM_DEV_TYPE_ARM_VGIC_ITS, 0);
	ASSERT_LE(0, self->its);
	ASSERT_EQ(0, has(self->its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE));
	ASSERT_EQ(0, device_set(self->its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ITS));
	ASSERT_EQ(0, set_ctrl(self->its, INIT));
	open_vcpus(_metadata, self);
	init_vcpus(_metadata, self);
	ASSERT_EQ(0, has(self->gic, GRP_IRQS, 0));
	ASSERT_EQ(0, device_set(self->gic, GRP_IRQS, 0, 64));
	ASSERT_EQ(0, has(self->gic, GRP_CTRL, INIT));
	ASSERT_EQ(0, set_ctrl(self->gic, INIT));
	takes_both(_metadata, self, false);
}

/* The devices as VMMs of the rust-vmm family make them: an ITS that is initialised before the GIC. */
static void devices(struct __test_metadata *_metadata, FIXTURE_DATA(vmm) *self, unsigned int irqs)
{
	self->gic = make(&self->vm, V3, 0);
	ASSERT_LE(0, self->gic);
	ASSERT_EQ(0, device_set(self->gic, GRP_ADDR, DIST, GUEST_GICD));
	ASSERT_EQ(0, device_set(self->gic, GRP_ADDR, REDIST, GUEST_GICR));
	self->its = make(&self->vm, KVM_DEV_TYPE_ARM_VGIC_ITS, 0);
	ASSERT_LE(0, self->its);
	ASSERT_EQ(0, device_set(self->its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ITS));
	ASSERT_EQ(0, set_ctrl(self->its, INIT));
	ASSERT_EQ(0, device_set(self->gic, GRP_IRQS, 0, irqs));
	ASSERT_EQ(0, set_ctrl(self->gic, INIT));
}

/* vCPUs that are initialised only when the devices are. */
TEST_F(vmm, firecracker)
{
	open_vcpus(_metadata, self);
	devices(_metadata, self, 128);
	init_vcpus(_metadata, self);
	route(_metadata, self);
	takes_both(_metadata, self, true);
}

/* vCPUs that are initialised before there is a device. */
TEST_F(vmm, cloud_hypervisor)
{
	open_vcpus(_metadata, self);
	init_vcpus(_metadata, self);
	devices(_metadata, self, 256);
	route(_metadata, self);
	takes_both(_metadata, self, true);
}

TEST_HARNESS_MAIN
