// SPDX-License-Identifier: GPL-2.0
/*
 * Shows KVM_IRQFD and KVM_SET_GSI_ROUTING: eventfds that interrupt the guest, and what
 * is refused. Runs on the module and on C KVM.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include "irqfd_vm.h"

/* Each signal is an interrupt. Nobody else sees that the eventfd was signalled. */
TEST_F(irqfd, interrupts)
{
	unsigned int i, n = scaled(100);

	ASSERT_EQ(irqfd(&self->vm, self->fd, 5, 0, -1), 0);
	ASSERT_EQ(irqfd(&self->vm, self->other, 6, 0, -1), 0);
	ASSERT_EQ(start(&self->vcpu, EDGE, &self->thread), 0);
	for (i = 1; i <= n; i++) {
		ring(self->fd);
		ASSERT_TRUE(guest_counts(&self->vcpu, 37, i));
		EXPECT_EQ(rung(self->fd), 0);
	}
	ring(self->other);
	ASSERT_TRUE(guest_counts(&self->vcpu, 38, 1));
	EXPECT_EQ(stop(&self->vm, &self->vcpu, self->thread), n + 1);
}

/* One that was signalled before it is an irqfd counts. */
TEST_F(irqfd, signalled_before)
{
	ASSERT_EQ(start(&self->vcpu, EDGE, &self->thread), 0);
	ring(self->fd);
	ASSERT_EQ(irqfd(&self->vm, self->fd, 5, 0, -1), 0);
	ASSERT_TRUE(guest_counts(&self->vcpu, 37, 1));
	ASSERT_EQ(irqfd(&self->vm, self->fd, 5, DEASSIGN, -1), 0);
	EXPECT_EQ(stop(&self->vm, &self->vcpu, self->thread), 1);
}

TEST_F(irqfd, deassigned)
{
	ASSERT_EQ(irqfd(&self->vm, self->fd, 5, 0, -1), 0);
	ASSERT_EQ(start(&self->vcpu, EDGE, &self->thread), 0);
	/* Of another GSI, of another eventfd: nothing. */
	EXPECT_EQ(irqfd(&self->vm, self->fd, 6, DEASSIGN, -1), 0);
	EXPECT_EQ(irqfd(&self->vm, self->other, 5, DEASSIGN, -1), 0);
	ring(self->fd);
	ASSERT_TRUE(guest_counts(&self->vcpu, 37, 1));
	EXPECT_EQ(irqfd(&self->vm, self->fd, 5, DEASSIGN | RESAMPLE, -1), 0);
	ring(self->fd);
	msleep(20);
	EXPECT_EQ(rung(self->fd), 1);
	EXPECT_EQ(irqfd(&self->vm, self->fd, 5, DEASSIGN, -1), 0);
	/* And again. */
	ASSERT_EQ(irqfd(&self->vm, self->fd, 7, 0, -1), 0);
	ring(self->fd);
	ASSERT_TRUE(guest_counts(&self->vcpu, 39, 1));
	EXPECT_EQ(stop(&self->vm, &self->vcpu, self->thread), 2);
}

TEST_F(irqfd, refused)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	int file = open("/dev/null", O_RDWR);
	struct vm *vm = &self->vm, second;
	struct vcpu vcpu;
	unsigned int i;

	for (i = 2; i < 32; i++) {
		EXPECT_EQ(irqfd(vm, self->fd, 5, 1U << i, -1), -EINVAL);
	}
	EXPECT_EQ(irqfd(vm, -1, 5, 0, -1), -EBADF);
	EXPECT_EQ(irqfd(vm, 1000000, 5, 0, -1), -EBADF);
	EXPECT_EQ(irqfd(vm, file, 5, 0, -1), -EINVAL);
	EXPECT_EQ(irqfd(vm, vm->fd, 5, 0, -1), -EINVAL);
	EXPECT_EQ(irqfd(vm, -1, 5, DEASSIGN, -1), -EBADF);
	EXPECT_EQ(irqfd(vm, file, 5, DEASSIGN, -1), -EINVAL);
	EXPECT_EQ(irqfd(vm, self->fd, 5, RESAMPLE, -1), -EBADF);
	EXPECT_EQ(irqfd(vm, self->fd, 5, RESAMPLE, file), -EINVAL);
	EXPECT_EQ(kvm_ioctl(vm->fd, KVM_IRQFD, 8), -EFAULT);
	/* None of these has left anything. */
	ASSERT_EQ(irqfd(vm, self->fd, 5, 0, -1), 0);
	EXPECT_EQ(irqfd(vm, self->fd, 5, 0, -1), -EBUSY);
	EXPECT_EQ(irqfd(vm, self->fd, 6, RESAMPLE, self->other), -EBUSY);

	ASSERT_EQ(vm_create(&second), 0);
	ASSERT_EQ(vcpu_create(&second, &vcpu, 0), 0);
	/* No interrupt controller; one that is not initialised. */
	EXPECT_EQ(irqfd(&second, self->other, 5, 0, -1), -EAGAIN);
	EXPECT_EQ(irqfd(&second, self->other, 5, DEASSIGN, -1), 0);
	ASSERT_EQ(kvm_ioctl(second.fd, KVM_CREATE_DEVICE, (unsigned long)&device), 0);
	EXPECT_EQ(irqfd(&second, self->other, 5, 0, -1), -EAGAIN);
	close(device.fd);
	vcpu_destroy(&vcpu);
	vm_destroy(&second);

	ASSERT_EQ(vm_create(&second), 0);
	ASSERT_EQ(vcpu_create(&second, &vcpu, 0), 0);
	ASSERT_EQ(vm_gic(&second), 0);
	/* Another VM has it. */
	EXPECT_EQ(irqfd(&second, self->fd, 5, 0, -1), -EBUSY);
	EXPECT_EQ(irqfd(&second, self->fd, 5, DEASSIGN, -1), 0);
	EXPECT_EQ(irqfd(&second, self->fd, 5, 0, -1), -EBUSY);
	EXPECT_EQ(irqfd(vm, self->fd, 5, DEASSIGN, -1), 0);
	EXPECT_EQ(irqfd(&second, self->fd, 5, 0, -1), 0);
	/* It goes with its VM. */
	vcpu_destroy(&vcpu);
	vm_destroy(&second);
	EXPECT_EQ(irqfd(vm, self->fd, 5, 0, -1), 0);
	close(file);
}

TEST_F(irqfd, routes)
{
	struct kvm_irq_routing_entry entries[2] = { pin(100, 3), pin(5, 9) };

	ASSERT_EQ(irqfd(&self->vm, self->fd, 5, 0, -1), 0);
	ASSERT_EQ(irqfd(&self->vm, self->other, 100, 0, -1), 0);
	ASSERT_EQ(start(&self->vcpu, EDGE, &self->thread), 0);
	ring(self->fd);
	ASSERT_TRUE(guest_counts(&self->vcpu, 37, 1));
	ASSERT_EQ(set_routes(&self->vm, entries, 2, 0), 0);
	ring(self->fd);
	ring(self->other);
	ASSERT_TRUE(guest_counts(&self->vcpu, 41, 1));
	ASSERT_TRUE(guest_counts(&self->vcpu, 35, 1));
	/* Without a route it goes nowhere. */
	ASSERT_EQ(set_routes(&self->vm, entries, 1, 0), 0);
	ring(self->fd);
	ring(self->other);
	ASSERT_TRUE(guest_counts(&self->vcpu, 35, 2));
	ASSERT_EQ(set_routes(&self->vm, entries, 0, 0), 0);
	ring(self->other);
	/* A pin without an SPI, and a message without an ITS, neither. */
	entries[0] = pin(100, 900);
	entries[1].type = KVM_IRQ_ROUTING_MSI;
	entries[1].u.msi.address_lo = 0x8080040;
	ASSERT_EQ(set_routes(&self->vm, entries, 2, 0), 0);
	ring(self->fd);
	ring(self->other);
	msleep(20);
	EXPECT_EQ(stop(&self->vm, &self->vcpu, self->thread), 4);
}

TEST_F(irqfd, bad_routes)
{
	struct kvm_irq_routing_entry good = pin(5, 9), bad[2] = { good, good };
	struct kvm_irq_routing_entry *many = calloc(4097, sizeof(*many));
	struct vm *vm = &self->vm;
	unsigned int i;

	ASSERT_EQ(set_routes(vm, &good, 1, 0), 0);
	EXPECT_EQ(set_routes(vm, &good, 1, 1), -EINVAL);
	/* Twice the same GSI. */
	EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	bad[1] = pin(4096, 9);
	EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	bad[1] = pin(~0U, 9);
	EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	bad[1] = pin(6, 988);
	EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	bad[1] = pin(6, ~0U);
	EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	bad[1] = pin(6, 9);
	bad[1].u.irqchip.irqchip = 1;
	EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	bad[1] = pin(6, 9);
	bad[1].flags = 1;
	EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	bad[1].type = KVM_IRQ_ROUTING_MSI;
	EXPECT_EQ(set_routes(vm, bad, 2, 0), 0);
	bad[1].flags = 2;
	EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	bad[1].flags = 0;
	for (i = 3; i < 8; i++) {
		bad[1].type = i;
		EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	}
	bad[1].type = 0;
	EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	EXPECT_EQ(kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, 8), -EFAULT);
	/* All that there can be, and one more. */
	for (i = 0; i < 4097; i++)
		many[i] = pin(i % 4096, i % 988);
	EXPECT_EQ(set_routes(vm, many, 4096, 0), 0);
	EXPECT_EQ(set_routes(vm, many, 4097, 0), -EINVAL);
	free(many);

	/* What was refused has changed nothing. */
	ASSERT_EQ(set_routes(vm, &good, 1, 0), 0);
	bad[0] = pin(5, 10);
	bad[1] = pin(5, 11);
	EXPECT_EQ(set_routes(vm, bad, 2, 0), -EINVAL);
	ASSERT_EQ(irqfd(vm, self->fd, 5, 0, -1), 0);
	ASSERT_EQ(start(&self->vcpu, EDGE, &self->thread), 0);
	ring(self->fd);
	ASSERT_TRUE(guest_counts(&self->vcpu, 41, 1));
	EXPECT_EQ(stop(vm, &self->vcpu, self->thread), 1);
}

#define BELL	0x18000000UL

/* Rings a doorbell and waits for the interrupt that comes of it. */
GUEST uint64_t ring_and_wait(uint64_t n);
GUEST uint64_t ring_and_wait(uint64_t n)
{
	uint64_t i, tries, got = 0;

	gic_start(0, true);
	for (i = 0; i < n; i++) {
		gic_write32(BELL, i);
		for (tries = 0; tries < 1000000; tries++) {
			uint64_t intid = gic_acknowledge();

			if (intid == GIC_SPURIOUS)
				continue;
			gic_end(intid);
			got++;
			break;
		}
	}
	return got;
}

/* A guest's write that signals an irqfd: all of it in the kernel. */
TEST_F(irqfd, rung_by_the_guest)
{
	struct kvm_ioeventfd args = { .fd = self->fd, .addr = BELL, .len = 4 };
	unsigned int n = scaled(500);

	ASSERT_EQ(kvm_ioctl(self->vm.fd, KVM_IOEVENTFD, (unsigned long)&args), 0);
	ASSERT_EQ(irqfd(&self->vm, self->fd, 5, 0, -1), 0);
	ASSERT_EQ(guest_finish(&self->vcpu, ring_and_wait, n, 0), 0);
	EXPECT_EQ(self->vcpu.value, n);
}

TEST_HARNESS_MAIN
