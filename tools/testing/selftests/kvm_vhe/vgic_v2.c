// SPDX-License-Identifier: GPL-2.0
/*
 * A GICv2 in software: made and configured by its attributes and in the legacy way, and
 * moved to another VM, refused where it cannot be, and interrupted by an eventfd.
 * Runs on the module and on C KVM, which has none on a host without v2 compatibility.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "gicv2.h"

#define V2		KVM_DEV_TYPE_ARM_VGIC_V2
#define GRP_ADDR	KVM_DEV_ARM_VGIC_GRP_ADDR
#define GRP_DIST	KVM_DEV_ARM_VGIC_GRP_DIST_REGS
#define GRP_CPU		KVM_DEV_ARM_VGIC_GRP_CPU_REGS
#define GRP_IRQS	KVM_DEV_ARM_VGIC_GRP_NR_IRQS
#define GRP_CTRL	KVM_DEV_ARM_VGIC_GRP_CTRL
#define INIT		KVM_DEV_ARM_VGIC_CTRL_INIT
#define DIST		KVM_VGIC_V2_ADDR_TYPE_DIST
#define CPU		KVM_VGIC_V2_ADDR_TYPE_CPU

#define SPI		40
#define OTHER		41

/* The value of 32 bits, or -errno. */
static int64_t get32(int fd, unsigned int group, uint64_t number)
{
	uint32_t value = 0;
	int ret = device_attr(fd, KVM_GET_DEVICE_ATTR, group, number, &value);

	return ret ? ret : (int64_t)value;
}

static int legacy(struct vm *vm, uint64_t id, uint64_t address)
{
	struct kvm_arm_device_addr place = { .id = id, .addr = address };

	return kvm_ioctl(vm->fd, KVM_ARM_SET_DEVICE_ADDR, (unsigned long)&place);
}

/* An SGI to itself ends a WFI. */
GUEST uint64_t guest_sgi(uint64_t unused)
{
	uint32_t id;

	(void)unused;
	start_gic(0);
	write32(GICD + GICD_SGIR, 2 << 24 | 5);
	asm volatile("dsb sy\n\twfi" : : : "memory");
	id = acknowledge();
	end(id);
	return id;
}

/* What is signalled to it, and is none of the GIC's. */
GUEST uint64_t guest_nothing(uint64_t unused)
{
	(void)unused;
	return signalled();
}

/* Runs until it is told not to. */
GUEST uint64_t guest_spin(uint64_t unused)
{
	volatile struct guest_area *area = guest_area();

	area->seen = 1;
	while (!area->go)
		;
	return unused;
}

/* Takes one SPI and leaves much behind, for another VM's guest to go on with. */
GUEST uint64_t guest_before(uint64_t unused)
{
	(void)unused;
	start_gic(CTLR_EOI_MODE | CTLR_ACK);
	start_spi(SPI, 0x80);
	start_spi(OTHER, 0x40);
	write32(GICD + GICD_ICFGR + SPI / 16 * 4, 2U << SPI % 16 * 2);
	write32(GICD + GICD_IGROUPR + 4, 1U << OTHER % 32);
	write32(GICC + GICC_BPR, 3);
	set_bit(GICD_ISPENDR, SPI);
	if (acknowledge() != SPI)
		return 1;
	set_bit(GICD_ISPENDR, SPI);
	write32(GICD + GICD_SGIR, 1 << 16 | 9);
	return signalled();
}

/* Returns the step that failed, or 0. */
GUEST uint64_t guest_after(uint64_t unused)
{
	(void)unused;
	/* The line of the other one is up. */
	if (signalled() != ISR_I || read32(GICC + GICC_RPR) != 0x80)
		return 1;
	if (acknowledge() != 9)
		return 2;
	end(9);
	write32(GICC + GICC_DIR, 9);
	if (acknowledge() != OTHER || read32(GICC + GICC_RPR) != 0x40)
		return 3;
	end(OTHER);
	if (read32(GICC + GICC_RPR) != 0x80 || get_bit(GICD_ISACTIVER, OTHER) != 1)
		return 4;
	/* The edge that came while it was active. */
	end(SPI);
	if (signalled() || !get_bit(GICD_ISPENDR, SPI))
		return 5;
	write32(GICC + GICC_DIR, SPI);
	if (acknowledge() != SPI)
		return 6;
	return read32(GICC + GICC_BPR) == 3 ? 0 : 7;
}

/* Takes an SPI whenever there is one, and counts them. */
GUEST uint64_t guest_take(uint64_t n)
{
	struct guest_area *area = guest_area();

	start_gic(0);
	start_spi(SPI, 0x80);
	for (; n; n--) {
		uint32_t id = await();

		area->data[0] += id == SPI;
		end(id);
	}
	return 0;
}

FIXTURE(v2)
{
	struct vm vm;
	struct vcpu vcpus[2];
};

FIXTURE_SETUP(v2)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	for (unsigned int n = 0; n < 2; n++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpus[n], n));
	if (!v2_exists(&self->vm))
		SKIP(return, "there is no GICv2 for VMs");
}

FIXTURE_TEARDOWN(v2)
{
	for (unsigned int n = 0; n < 2; n++)
		vcpu_destroy(&self->vcpus[n]);
	vm_destroy(&self->vm);
}

TEST_F(v2, attributes)
{
	int gic = vm_device(&self->vm, V2);
	uint64_t address = 0;

	ASSERT_LE(0, gic);
	EXPECT_EQ(-EEXIST, vm_device(&self->vm, V2));
	EXPECT_EQ(-EEXIST, vm_device(&self->vm, KVM_DEV_TYPE_ARM_VGIC_V3));
	EXPECT_EQ(-EEXIST, kvm_ioctl(self->vm.fd, KVM_CREATE_IRQCHIP, 0));

	EXPECT_EQ(0, device_attr(gic, KVM_GET_DEVICE_ATTR, GRP_ADDR, DIST, &address));
	EXPECT_EQ(UINT64_MAX, address);
	EXPECT_EQ(-EINVAL, device_set(gic, GRP_ADDR, DIST, GICD + 0x800));
	EXPECT_EQ(-E2BIG, device_set(gic, GRP_ADDR, DIST, 1UL << 52));
	EXPECT_EQ(-E2BIG, device_set(gic, GRP_ADDR, CPU, (1UL << 40) - 0x1000));
	EXPECT_EQ(-ENXIO, device_set(gic, GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, GICD));
	EXPECT_EQ(0, v2_place(gic));
	EXPECT_EQ(-EEXIST, v2_place(gic));

	EXPECT_EQ(-EINVAL, device_set(gic, GRP_IRQS, 0, 65));
	EXPECT_EQ(0, device_set(gic, GRP_IRQS, 0, 96));
	EXPECT_EQ(-EBUSY, device_set(gic, GRP_IRQS, 0, 96));
	EXPECT_EQ(96, get32(gic, GRP_IRQS, 0));
	EXPECT_EQ(0, v2_init(gic));

	/* Three groups of 32, two CPUs. */
	EXPECT_EQ(1 << 5 | 2, get32(gic, GRP_DIST, GICD_TYPER));
	EXPECT_EQ(0x4b00343b, get32(gic, GRP_DIST, GICD_IIDR));
	EXPECT_EQ(-EINVAL, device_set(gic, GRP_DIST, GICD_IIDR, 0x4b00343c));
	EXPECT_EQ(0, device_set(gic, GRP_DIST, GICD_IIDR, 0x4b00243b));
	EXPECT_EQ(0x4b00243b, get32(gic, GRP_DIST, GICD_IIDR));
	EXPECT_EQ(0x04b2043b, get32(gic, GRP_CPU, GICC_IIDR));
	EXPECT_EQ(-EINVAL, get32(gic, GRP_DIST, 2UL << 32 | GICD_TYPER));
	EXPECT_EQ(-ENXIO, get32(gic, GRP_CPU, GICC_IAR));
	EXPECT_EQ(-ENXIO, device_attr(gic, KVM_HAS_DEVICE_ATTR, GRP_DIST, GICD_ISENABLER + 12, NULL));

	/* Each CPU has its own. GICC_PMR is in the lower bits here. */
	EXPECT_EQ(0, device_set(gic, GRP_CPU, 1UL << 32 | GICC_PMR, 0x1e));
	EXPECT_EQ(0x1e, get32(gic, GRP_CPU, 1UL << 32 | GICC_PMR));
	EXPECT_EQ(0, get32(gic, GRP_CPU, GICC_PMR));
	EXPECT_EQ(0, device_set(gic, GRP_DIST, 1UL << 32 | GICD_SPENDSGIR, 0x0201));
	EXPECT_EQ(0x0201, get32(gic, GRP_DIST, 1UL << 32 | GICD_SPENDSGIR));
	EXPECT_EQ(0, get32(gic, GRP_DIST, GICD_SPENDSGIR));
	EXPECT_EQ(2 * 0x01010101, get32(gic, GRP_DIST, 1UL << 32 | GICD_ITARGETSR));
	close(gic);
}

TEST_F(v2, legacy)
{
	EXPECT_EQ(-ENODEV, legacy(&self->vm, DIST, GICD));
	ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_CREATE_IRQCHIP, 0));
	EXPECT_EQ(-EEXIST, vm_device(&self->vm, V2));
	EXPECT_EQ(-ENODEV, legacy(&self->vm, 1 << 16, GICD));
	EXPECT_EQ(-EINVAL, legacy(&self->vm, DIST, GICD + 1));
	/* Without its frames it does not run. */
	EXPECT_NE(0, guest_finish(&self->vcpus[0], guest_sgi, 0, 0));
	EXPECT_EQ(-ENXIO, self->vcpus[0].error);
	ASSERT_EQ(0, legacy(&self->vm, DIST, GICD));
	ASSERT_EQ(0, legacy(&self->vm, CPU, GICC));
	EXPECT_EQ(-EEXIST, legacy(&self->vm, CPU, GICC));
	/* It is initialised by its use. */
	EXPECT_EQ(0, v2_line(&self->vm, SPI, 1));
	EXPECT_EQ(0, guest_finish(&self->vcpus[0], guest_sgi, 0, 0));
	EXPECT_EQ(5, self->vcpus[0].value);
}

TEST_F(v2, overlap)
{
	int gic = vm_device(&self->vm, V2);

	ASSERT_LE(0, gic);
	ASSERT_EQ(0, device_set(gic, GRP_ADDR, DIST, GICC + 0x1000));
	ASSERT_EQ(0, device_set(gic, GRP_ADDR, CPU, GICC));
	EXPECT_NE(0, guest_finish(&self->vcpus[0], guest_sgi, 0, 0));
	EXPECT_EQ(-EINVAL, self->vcpus[0].error);
	close(gic);
}

/* There are at most 8 vCPUs, whose numbers are those of the CPU interfaces. */
TEST_F(v2, eight_vcpus)
{
	int gic = vm_device(&self->vm, V2), fds[8];
	unsigned int n;

	ASSERT_LE(0, gic);
	EXPECT_EQ(8, kvm_ioctl(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS));
	EXPECT_EQ(8, kvm_ioctl(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID));
	EXPECT_EQ(-EINVAL, kvm_ioctl(self->vm.fd, KVM_CREATE_VCPU, 8));
	for (n = 7; n >= 2; n--) {
		fds[n] = kvm_ioctl(self->vm.fd, KVM_CREATE_VCPU, n);
		ASSERT_LE(0, fds[n]);
	}
	ASSERT_EQ(0, v2_place(gic));
	ASSERT_EQ(0, v2_init(gic));
	for (n = 0; n < 8; n++)
		EXPECT_EQ(0x01010101UL << n,
			  get32(gic, GRP_DIST, (uint64_t)n << 32 | GICD_ITARGETSR));
	for (n = 2; n < 8; n++)
		close(fds[n]);
	close(gic);
}

TEST_F(v2, vcpus_beyond)
{
	int fd = kvm_ioctl(self->vm.fd, KVM_CREATE_VCPU, 8);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-E2BIG, vm_device(&self->vm, V2));
	EXPECT_EQ(-E2BIG, kvm_ioctl(self->vm.fd, KVM_CREATE_IRQCHIP, 0));
	close(fd);
}

/* The GIC first; and not after a vCPU has run, nor a vCPU after it is initialised. */
TEST_F(v2, order)
{
	struct vcpu vcpu;
	struct vm vm;
	int gic;

	ASSERT_EQ(0, vm_create(&vm));
	gic = vm_device(&vm, V2);
	ASSERT_LE(0, gic);
	EXPECT_EQ(-ENODEV, v2_init(gic));
	ASSERT_EQ(0, v2_place(gic));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 3));
	EXPECT_EQ(0, guest_finish(&vcpu, guest_sgi, 0, 0));
	EXPECT_EQ(5, vcpu.value);
	EXPECT_EQ(-EBUSY, kvm_ioctl(vm.fd, KVM_CREATE_VCPU, 0));
	close(gic);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);

	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_nothing, 0, 0));
	EXPECT_EQ(-EBUSY, vm_device(&self->vm, V2));
	EXPECT_EQ(-EBUSY, kvm_ioctl(self->vm.fd, KVM_CREATE_IRQCHIP, 0));
}

/* A line that user space has raised before there was a GIC is not the GIC's. */
TEST_F(v2, line_before)
{
	struct kvm_irq_level line = { .irq = 0, .level = 1 };
	int gic;

	ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_IRQ_LINE, (unsigned long)&line));
	gic = v2_make(&self->vm);
	ASSERT_LE(0, gic);
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_nothing, 0, 0));
	EXPECT_EQ(0, self->vcpus[0].value);
	EXPECT_EQ(-ENXIO, kvm_ioctl(self->vm.fd, KVM_IRQ_LINE, (unsigned long)&line));
	close(gic);
}

/* A GICv2 has no LPIs. */
TEST_F(v2, no_messages)
{
	struct kvm_msi msi = { .address_lo = 0x08080040, .flags = KVM_MSI_VALID_DEVID };
	int gic = v2_make(&self->vm);

	ASSERT_LE(0, gic);
	EXPECT_EQ(-ENODEV, vm_device(&self->vm, KVM_DEV_TYPE_ARM_VGIC_ITS));
	EXPECT_EQ(-ENODEV, kvm_ioctl(self->vm.fd, KVM_SIGNAL_MSI, (unsigned long)&msi));
	EXPECT_EQ(0, kvm_ioctl(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MSI_DEVID));
	close(gic);
}

/* While a vCPU runs, even one that it is not about, nothing is read or written. */
TEST_F(v2, running)
{
	volatile struct guest_area *area = self->vcpus[0].area;
	int gic = v2_make(&self->vm);
	pthread_t thread;
	void *event;

	ASSERT_LE(0, gic);
	ASSERT_EQ(0, vcpu_start(&self->vcpus[0], guest_spin, 0, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, guest_thread, &self->vcpus[0]));
	while (!area->seen)
		usleep(1000);
	for (uint64_t n = 0; n < 2; n++) {
		EXPECT_EQ(-EBUSY, get32(gic, GRP_DIST, n << 32 | GICD_CTLR));
		EXPECT_EQ(-EBUSY, get32(gic, GRP_CPU, n << 32 | GICC_CTLR));
		EXPECT_EQ(-EBUSY, device_set(gic, GRP_DIST, n << 32 | GICD_CTLR, 1));
		EXPECT_EQ(-EBUSY, device_set(gic, GRP_CPU, n << 32 | GICC_CTLR, 1));
	}
	area->go = 1;
	ASSERT_EQ(0, pthread_join(thread, &event));
	EXPECT_EQ(GUEST_DONE, (long)event);
	EXPECT_EQ(0, get32(gic, GRP_DIST, GICD_CTLR));
	EXPECT_EQ(0, get32(gic, GRP_CPU, GICC_CTLR));
	close(gic);
}

/* Reads all registers of one GIC and writes them to the other; how many differ then. */
static int move(int from, int to)
{
	static const unsigned int order[] = {
		GICD_IIDR, GICD_CTLR, GICD_IGROUPR, GICD_ICENABLER, GICD_ISENABLER, GICD_ICFGR,
		GICD_ISPENDR, GICD_ICACTIVER, GICD_ISACTIVER, GICD_IPRIORITYR, GICD_ITARGETSR,
		GICD_CPENDSGIR, GICD_SPENDSGIR,
	};
	static const unsigned int lengths[] = {
		4, 4, 12, 12, 12, 24, 12, 12, 12, 96, 96, 16, 16,
	};
	static const unsigned int cpu[] = {
		GICC_CTLR, GICC_PMR, GICC_BPR, GICC_ABPR, GICC_APR,
	};
	int bad = 0;

	for (uint64_t n = 0; n < 2; n++) {
		for (unsigned int i = 0; i < ARRAY_LEN(order); i++) {
			for (unsigned int at = 0; at < lengths[i]; at += 4) {
				uint64_t number = n << 32 | (order[i] + at);
				int64_t value = get32(from, GRP_DIST, number);
				bool clears = order[i] == GICD_ICENABLER ||
					      order[i] == GICD_ICACTIVER ||
					      order[i] == GICD_CPENDSGIR;

				bad += value < 0 || device_set(to, GRP_DIST, number,
							       clears ? ~0UL : value);
			}
		}
		for (unsigned int i = 0; i < ARRAY_LEN(cpu); i++) {
			int64_t value = get32(from, GRP_CPU, n << 32 | cpu[i]);

			bad += value < 0 || device_set(to, GRP_CPU, n << 32 | cpu[i], value);
		}
	}
	for (uint64_t number = 0; number < 0x1000; number += 4)
		bad += get32(from, GRP_DIST, number) != get32(to, GRP_DIST, number);
	return bad;
}

TEST_F(v2, moved)
{
	struct vcpu vcpus[2];
	int gic = v2_make(&self->vm), other;
	struct vm vm;

	ASSERT_LE(0, gic);
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_before, 0, 0));
	/* The SGI's priority is zero. */
	ASSERT_EQ(ISR_I, self->vcpus[0].value);

	ASSERT_EQ(0, vm_create(&vm));
	for (unsigned int n = 0; n < 2; n++)
		ASSERT_EQ(0, vcpu_create(&vm, &vcpus[n], n));
	other = v2_make(&vm);
	ASSERT_LE(0, other);
	EXPECT_EQ(0, move(gic, other));
	ASSERT_EQ(0, v2_line(&vm, OTHER, 1));
	ASSERT_EQ(0, guest_finish(&vcpus[0], guest_after, 0, 0));
	EXPECT_EQ(0, vcpus[0].value);
	close(other);
	close(gic);
	for (unsigned int n = 0; n < 2; n++)
		vcpu_destroy(&vcpus[n]);
	vm_destroy(&vm);
}

/* A GSI that is routed to the SPI's pin, and resampled when the guest has ended it. */
TEST_F(v2, eventfds)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routing = {
		.head = { .nr = 1 },
		.entry = {
			.gsi = 3, .type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip.pin = SPI - 32,
		},
	};
	int fd = eventfd(0, EFD_CLOEXEC), again = eventfd(0, EFD_CLOEXEC);
	struct kvm_irqfd irqfd = {
		.fd = fd, .gsi = 3, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = again,
	};
	struct vcpu *vcpu = &self->vcpus[0];
	int gic = vm_device(&self->vm, V2);
	pthread_t thread;
	uint64_t one = 1;
	void *event;

	ASSERT_LE(0, gic);
	EXPECT_EQ(-EAGAIN, kvm_ioctl(self->vm.fd, KVM_IRQFD, (unsigned long)&irqfd));
	ASSERT_EQ(0, v2_place(gic));
	ASSERT_EQ(0, v2_init(gic));
	ASSERT_EQ(0, v2_level(gic, SPI));
	ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_SET_GSI_ROUTING, (unsigned long)&routing));
	ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_IRQFD, (unsigned long)&irqfd));
	ASSERT_EQ(0, vcpu_start(vcpu, guest_take, 5, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, guest_thread, vcpu));
	for (unsigned int n = 1; n <= 5; n++) {
		struct pollfd ended = { .fd = again, .events = POLLIN };

		ASSERT_EQ(sizeof(one), write(fd, &one, sizeof(one)));
		ASSERT_EQ(1, poll(&ended, 1, 5000));
		ASSERT_EQ(sizeof(one), read(again, &one, sizeof(one)));
		EXPECT_EQ(1, one);
		EXPECT_TRUE(guest_counts(vcpu, 0, n));
	}
	ASSERT_EQ(0, pthread_join(thread, &event));
	EXPECT_EQ(GUEST_DONE, (long)event);
	close(gic);
	close(again);
	close(fd);
}

TEST_HARNESS_MAIN
