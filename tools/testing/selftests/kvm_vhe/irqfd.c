// SPDX-License-Identifier: GPL-2.0
/*
 * Shows KVM_IRQFD and KVM_SET_GSI_ROUTING: eventfds that interrupt the guest, with and
 * without resampling; what is refused; and that irqfds come and go while they are
 * signalled, in every order of closing. Runs on the module and on C KVM.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "gic.h"
#include "its.h"

#define RESAMPLE	KVM_IRQFD_FLAG_RESAMPLE
#define DEASSIGN	KVM_IRQFD_FLAG_DEASSIGN
#define BELL		0x18000000UL
#define STOP		95	/* the SPI that ends serve() */

/* What the guest makes of the SPIs. */
enum { LEVEL, EDGE, LEVEL_WITHOUT_EXIT, LEVEL_EOIMODE };

/* Counts interrupts by their numbers, until there is STOP. */
GUEST uint64_t serve(uint64_t how);
GUEST uint64_t serve(uint64_t how)
{
	struct guest_area *area = guest_area();
	uint64_t intid, n = 0;

	gic_start(0, how == EDGE);
	if (how == LEVEL_EOIMODE)
		gic_separate();
	guest_say(1, 0);
	for (;;) {
		intid = gic_acknowledge();
		if (intid == GIC_SPURIOUS) {
			asm volatile("wfi");
			continue;
		}
		area->data[intid & 511]++;
		/* C KVM sees the end of an interrupt only if it has seen it active. */
		if (how == LEVEL || how == LEVEL_EOIMODE)
			gic_read32(GUEST_GICD);
		gic_end(intid);
		if (how == LEVEL_EOIMODE)
			gic_deactivate(intid);
		if (intid == STOP)
			return n;
		n++;
	}
}

/* Takes n interrupts and drops their priority; the vCPU that deactivate() runs on does the rest. */
GUEST uint64_t take(uint64_t n);
GUEST uint64_t take(uint64_t n)
{
	struct guest_area *area = guest_area();
	volatile uint64_t *taken = &area->data[0], *done = &area->data[1];
	uint64_t i, intid;

	gic_start(0, false);
	gic_separate();
	guest_say(1, 0);
	for (i = 0; i < n; i++) {
		do {
			intid = gic_acknowledge();
		} while (intid == GIC_SPURIOUS);
		area->data[intid & 511]++;
		gic_end(intid);
		*taken = intid;
		while (*done == i)
			;
	}
	return n;
}

GUEST uint64_t deactivate(uint64_t n);
GUEST uint64_t deactivate(uint64_t n)
{
	struct guest_area *other = (struct guest_area *)GUEST_AREA(0);
	volatile uint64_t *taken = &other->data[0], *done = &other->data[1];
	uint64_t i;

	gic_start(1, false);
	GUEST_MSR("s3_0_c12_c12_7", 0);			/* ICC_IGRPEN1_EL1 */
	gic_separate();
	for (i = 0; i < n; i++) {
		while (!*taken)
			;
		gic_deactivate(*taken);
		*taken = 0;
		*done = i + 1;
	}
	return n;
}

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

static long irqfd(struct vm *vm, int fd, unsigned int gsi, unsigned int flags, int resamplefd)
{
	struct kvm_irqfd args = {
		.fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resamplefd,
	};

	return kvm_ioctl(vm->fd, KVM_IRQFD, (unsigned long)&args);
}

static long set_routes(struct vm *vm, const struct kvm_irq_routing_entry *entries,
		       unsigned int nr, unsigned int flags)
{
	struct kvm_irq_routing *args = calloc(1, sizeof(*args) + nr * sizeof(*entries));
	long ret;

	args->nr = nr;
	args->flags = flags;
	memcpy(args->entries, entries, nr * sizeof(*entries));
	ret = kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, (unsigned long)args);
	free(args);
	return ret;
}

static struct kvm_irq_routing_entry pin(unsigned int gsi, unsigned int pin)
{
	struct kvm_irq_routing_entry entry = {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip.pin = pin,
	};

	return entry;
}

static void ring(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		ksft_print_msg("an eventfd cannot be written to: %d\n", errno);
}

static uint64_t rung(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* The same, if need be in a while. */
static uint64_t rings(int fd)
{
	uint64_t count = 0;
	unsigned int i;

	for (i = 0; i < 5000 && !count; i++) {
		count = rung(fd);
		if (!count)
			usleep(1000);
	}
	return count;
}

FIXTURE(irqfd) {
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	int fd, other;
};

FIXTURE_SETUP(irqfd)
{
	int ret;

	ASSERT_EQ(vm_create(&self->vm), 0);
	ASSERT_EQ(vcpu_create(&self->vm, &self->vcpu, 0), 0);
	ret = vm_gic(&self->vm);
	if (ret == -ENODEV)
		SKIP(return, "no GICv3 here");
	ASSERT_EQ(ret, 0);
	self->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	self->other = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_GE(self->fd, 0);
	ASSERT_GE(self->other, 0);
}

FIXTURE_TEARDOWN(irqfd)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	close(self->fd);
	close(self->other);
}

/* Has the guest configure its GIC. */
static int prepare(struct vcpu *vcpu, unsigned int how)
{
	int ret = vcpu_start(vcpu, serve, how, 0);

	if (!ret && guest_run(vcpu) != GUEST_SAID)
		ret = -EPROTO;
	return ret;
}

/* And run on in a thread. */
static int start(struct vcpu *vcpu, unsigned int how, pthread_t *thread)
{
	int ret = prepare(vcpu, how);

	return ret ? ret : pthread_create(thread, NULL, guest_thread, vcpu);
}

/* Ends it. How many interrupts there were, or ~0. */
static uint64_t stop(struct vm *vm, struct vcpu *vcpu, pthread_t thread)
{
	struct kvm_irq_level line = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | STOP, .level = 1,
	};
	void *event;

	kvm_ioctl(vm->fd, KVM_IRQ_LINE, (unsigned long)&line);
	pthread_join(thread, &event);
	return (uintptr_t)event == GUEST_DONE ? vcpu->value : ~0UL;
}

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

/* The level stays up until the guest has ended the interrupt, and goes down then. */
TEST_F(irqfd, resampled)
{
	unsigned int i, n = scaled(100);

	ASSERT_EQ(irqfd(&self->vm, self->fd, 5, RESAMPLE, self->other), 0);
	ASSERT_EQ(start(&self->vcpu, host_is_module() ? LEVEL_WITHOUT_EXIT : LEVEL,
			&self->thread), 0);
	for (i = 1; i <= n; i++) {
		ring(self->fd);
		ASSERT_EQ(rings(self->other), 1);
		EXPECT_EQ(self->vcpu.area->data[37], i);
	}
	msleep(20);
	EXPECT_EQ(rung(self->other), 0);
	EXPECT_EQ(stop(&self->vm, &self->vcpu, self->thread), n);
}

/* The same for a guest that deactivates interrupts by themselves. */
TEST_F(irqfd, resampled_with_eoimode)
{
	unsigned int i, n = scaled(100);

	ASSERT_EQ(irqfd(&self->vm, self->fd, 5, RESAMPLE, self->other), 0);
	ASSERT_EQ(start(&self->vcpu, LEVEL_EOIMODE, &self->thread), 0);
	for (i = 1; i <= n; i++) {
		ring(self->fd);
		ASSERT_EQ(rings(self->other), 1);
		EXPECT_EQ(self->vcpu.area->data[37], i);
	}
	msleep(20);
	EXPECT_EQ(rung(self->other), 0);
	EXPECT_EQ(stop(&self->vm, &self->vcpu, self->thread), n);
}

/* And for one that does so on another vCPU. */
TEST(resampled_by_another_vcpu)
{
	int fd = eventfd(0, EFD_NONBLOCK), end = eventfd(0, EFD_NONBLOCK);
	unsigned int i, n = scaled(100);
	pthread_t threads[2];
	struct vcpu vcpus[2];
	struct vm vm;
	int ret;

	if (!host_is_module())
		SKIP(return, "C KVM tells nobody if the vCPU that took it has not exited since");
	ASSERT_EQ(vm_create(&vm), 0);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(vcpu_create(&vm, &vcpus[i], i), 0);
	ret = vm_gic(&vm);
	if (ret == -ENODEV)
		SKIP(return, "no GICv3 here");
	ASSERT_EQ(ret, 0);
	ASSERT_EQ(irqfd(&vm, fd, 5, RESAMPLE, end), 0);
	ASSERT_EQ(vcpu_start(&vcpus[0], take, n, 0), 0);
	ASSERT_EQ(guest_run(&vcpus[0]), GUEST_SAID);
	ASSERT_EQ(vcpu_start(&vcpus[1], deactivate, n, 0), 0);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, guest_thread, &vcpus[i]), 0);
	for (i = 1; i <= n; i++) {
		ring(fd);
		ASSERT_EQ(rings(end), 1);
		EXPECT_EQ(vcpus[0].area->data[37], i);
	}
	for (i = 0; i < 2; i++) {
		void *event;

		pthread_join(threads[i], &event);
		EXPECT_EQ((uintptr_t)event, GUEST_DONE);
		vcpu_destroy(&vcpus[i]);
	}
	vm_destroy(&vm);
	close(fd);
	close(end);
}

/* All users of a line are told, also those that did not raise it. */
TEST_F(irqfd, shared_line)
{
	int fds[3], ends[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		ends[i] = eventfd(0, EFD_NONBLOCK);
		/* The last one is another pin's. */
		ASSERT_EQ(irqfd(&self->vm, fds[i], i == 2 ? 6 : 5, RESAMPLE, ends[i]), 0);
	}
	ASSERT_EQ(start(&self->vcpu, LEVEL, &self->thread), 0);
	ring(fds[0]);
	EXPECT_EQ(rings(ends[0]), 1);
	EXPECT_EQ(rings(ends[1]), 1);
	EXPECT_EQ(self->vcpu.area->data[37], 1);
	ASSERT_EQ(irqfd(&self->vm, fds[0], 5, DEASSIGN, -1), 0);
	ring(fds[1]);
	EXPECT_EQ(rings(ends[1]), 1);
	EXPECT_EQ(rung(ends[0]), 0);
	EXPECT_EQ(self->vcpu.area->data[37], 2);
	EXPECT_EQ(rung(ends[2]), 0);
	ring(fds[2]);
	EXPECT_EQ(rings(ends[2]), 1);
	EXPECT_EQ(stop(&self->vm, &self->vcpu, self->thread), 3);
	for (i = 0; i < 3; i++) {
		close(fds[i]);
		close(ends[i]);
	}
}

/* When the last user of a line goes, it goes down. */
TEST_F(irqfd, lowered_when_deassigned)
{
	ASSERT_EQ(prepare(&self->vcpu, LEVEL), 0);
	ASSERT_EQ(irqfd(&self->vm, self->fd, 5, RESAMPLE, self->other), 0);
	ring(self->fd);
	ASSERT_EQ(irqfd(&self->vm, self->fd, 5, DEASSIGN, -1), 0);
	ASSERT_EQ(pthread_create(&self->thread, NULL, guest_thread, &self->vcpu), 0);
	msleep(20);
	EXPECT_EQ(stop(&self->vm, &self->vcpu, self->thread), 0);
	EXPECT_EQ(rung(self->other), 0);
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

struct racer {
	struct vm *vm;
	int fd;
	volatile bool stop;
	unsigned long rounds, errors;
};

static void *ring_often(void *arg)
{
	struct racer *racer = arg;

	while (!racer->stop) {
		ring(racer->fd);
		rung(racer->fd);
		racer->rounds++;
	}
	return NULL;
}

static void *come_and_go(void *arg)
{
	struct racer *racer = arg;
	int end = eventfd(0, EFD_NONBLOCK);

	while (!racer->stop) {
		unsigned int flags = racer->rounds % 2 ? RESAMPLE : 0;

		if (irqfd(racer->vm, racer->fd, 5, flags, end) ||
		    irqfd(racer->vm, racer->fd, 5, DEASSIGN, -1))
			racer->errors++;
		racer->rounds++;
	}
	close(end);
	return NULL;
}

/* Eventfds that are closed as they are. */
static void *close_often(void *arg)
{
	struct racer *racer = arg;

	while (!racer->stop) {
		int fd = eventfd(0, EFD_NONBLOCK), end = eventfd(0, EFD_NONBLOCK);

		if (irqfd(racer->vm, fd, 7, racer->rounds % 2 ? RESAMPLE : 0, end))
			racer->errors++;
		ring(fd);
		close(racer->rounds % 3 ? fd : end);
		close(racer->rounds % 3 ? end : fd);
		racer->rounds++;
	}
	return NULL;
}

static void *reroute(void *arg)
{
	struct racer *racer = arg;

	while (!racer->stop) {
		struct kvm_irq_routing_entry entries[2] = {
			pin(5, 5 + racer->rounds % 3), pin(7, 7),
		};

		if (set_routes(racer->vm, entries, 1 + racer->rounds % 2, 0))
			racer->errors++;
		racer->rounds++;
	}
	return NULL;
}

static void *(*const races[])(void *) = { ring_often, come_and_go, close_often, reroute };

TEST_F(irqfd, all_at_once)
{
	struct racer racers[ARRAY_LEN(races)] = {};
	pthread_t threads[ARRAY_LEN(races)];
	unsigned int i;

	ASSERT_EQ(start(&self->vcpu, EDGE, &self->thread), 0);
	for (i = 0; i < ARRAY_LEN(races); i++) {
		racers[i].vm = &self->vm;
		racers[i].fd = self->fd;
		ASSERT_EQ(pthread_create(&threads[i], NULL, races[i], &racers[i]), 0);
	}
	msleep(scaled(1500));
	for (i = 0; i < ARRAY_LEN(races); i++) {
		racers[i].stop = true;
		pthread_join(threads[i], NULL);
		EXPECT_EQ(racers[i].errors, 0);
		EXPECT_GT(racers[i].rounds, 0);
	}
	EXPECT_NE(stop(&self->vm, &self->vcpu, self->thread), ~0UL);
}

/* Eventfds that are closed without being deassigned leave nothing behind. */
static int assign_and_close(void *arg)
{
	int fd = eventfd(0, EFD_NONBLOCK), end = eventfd(0, EFD_NONBLOCK);
	long ret = irqfd(arg, fd, 5, RESAMPLE, end);

	close(fd);
	close(end);
	return ret;
}

TEST_F(irqfd, closed)
{
	struct leak_rule rule = { .warm = 100, .n = 1000, .objects = 200, .pages = 400,
				  .percpu_kb = 200 };
	char what[256];

	EXPECT_EQ(leak_check(&rule, assign_and_close, &self->vm, what, sizeof(what)), 0)
		TH_LOG("%s", what);
}

/* All orders of closing the VM, its vCPU, the eventfd and the one that is told. */
TEST(closing)
{
	unsigned int order;

	for (order = 0; order < 24; order++) {
		struct vm vm;
		struct vcpu vcpu;
		int left[4], n = 4, k;
		int fd = eventfd(0, EFD_NONBLOCK), end = eventfd(0, EFD_NONBLOCK);
		struct racer racer = { .fd = dup(fd) };
		unsigned int rest = order;
		pthread_t thread;

		ASSERT_EQ(vm_create(&vm), 0);
		ASSERT_EQ(vcpu_create(&vm, &vcpu, 0), 0);
		k = vm_gic(&vm);
		if (k == -ENODEV)
			SKIP(return, "no GICv3 here");
		ASSERT_EQ(k, 0);
		ASSERT_EQ(irqfd(&vm, fd, 5, RESAMPLE, end), 0);
		/* Somebody signals it all the time. */
		ASSERT_EQ(pthread_create(&thread, NULL, ring_often, &racer), 0);
		left[0] = vm.fd;
		left[1] = vcpu.fd;
		left[2] = fd;
		left[3] = end;
		while (n) {
			k = rest % n;
			rest /= n;
			EXPECT_EQ(close(left[k]), 0);
			left[k] = left[--n];
			msleep(1);
		}
		munmap(vcpu.run, 8192);
		msleep(1);
		racer.stop = true;
		pthread_join(thread, NULL);
		EXPECT_GT(racer.rounds, 0);
		close(racer.fd);
		close(vm.kvm);
		munmap(vm.ram, GUEST_RAM_SIZE);
	}
}

static struct kvm_irq_routing_entry msi(unsigned int gsi, unsigned int device, unsigned int event)
{
	struct kvm_irq_routing_entry entry = {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI, .flags = KVM_MSI_VALID_DEVID,
		.u.msi = { .address_lo = ITS_DOORBELL, .devid = device, .data = event },
	};

	return entry;
}

/* Messages to an ITS, the first of which has its translation looked up. */
TEST(messages)
{
	struct kvm_irq_routing_entry entries[ITS_EVENTS + 3];
	unsigned int i, j, n = scaled(20);
	unsigned char *mem = mmap(NULL, ITS_MEM_SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fds[ARRAY_LEN(entries)], its;
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;

	ASSERT_NE(mem, MAP_FAILED);
	ASSERT_EQ(vm_create(&vm), 0);
	ASSERT_EQ(vm_memory(&vm, 1, ITS_MEM, ITS_MEM_SIZE, mem, 0), 0);
	ASSERT_EQ(vcpu_create(&vm, &vcpu, 0), 0);
	its = vm_gic_and_its(&vm, mem);
	if (its == -ENODEV)
		SKIP(return, "no ITS here");
	ASSERT_GE(its, 0);
	close(its);
	for (i = 0; i < 16; i++)
		entries[i] = msi(i, 1, i);
	/* No such event, no DeviceID, no doorbell: nothing. */
	entries[16] = msi(16, 1, 16);
	/* C KVM takes the DeviceID that is not valid if the event's translation is cached. */
	entries[17] = msi(17, 1, host_is_module() ? 0 : 16);
	entries[17].flags = 0;
	entries[18] = msi(18, 1, 0);
	entries[18].u.msi.address_lo = ITS + 0x20040;
	ASSERT_EQ(set_routes(&vm, entries, ARRAY_LEN(entries), 0), 0);
	for (i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		ASSERT_EQ(irqfd(&vm, fds[i], i, 0, -1), 0);
	}
	ASSERT_EQ(start(&vcpu, EDGE, &thread), 0);
	for (j = 1; j <= n; j++) {
		for (i = 0; i < ARRAY_LEN(fds); i++)
			ring(fds[i]);
		for (i = 0; i < 16; i++) {
			ASSERT_TRUE(guest_counts(&vcpu, LPI(i) & 511, j))
				TH_LOG("event %u, time %u", i, j);
		}
	}
	EXPECT_EQ(stop(&vm, &vcpu, thread), 16 * n);
	for (i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	munmap(mem, ITS_MEM_SIZE);
}

/* An ITS that is saved, and what came of it. */
struct stopped_its {
	int its;
	int ret;
};

static void *save_tables(void *arg)
{
	struct stopped_its *stopped = arg;

	stopped->ret = device_set(stopped->its, KVM_DEV_ARM_VGIC_GRP_CTRL,
				KVM_DEV_ARM_ITS_SAVE_TABLES, 0);
	return NULL;
}

/* More than a work queue of the system does at once on a CPU. */
#define BLOCKED	1100

/*
 * A VMM keeps its ITS busy by memory that does not come, and has many messages wait for
 * it. Those of another VM arrive all the same: they do not need the same threads.
 */
TEST(blocked_messages)
{
	struct kvm_irq_routing_entry entry = msi(0, 1, 0);
	struct rlimit files = { BLOCKED + 100, BLOCKED + 100 };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage page;
	struct stopped_its stopped;
	int fds[BLOCKED], its[2], other, uffd, v;
	unsigned char *mem[2];
	struct vcpu vcpus[2];
	struct vm vms[2];
	pthread_t saver, runner;
	struct pollfd event;
	cpu_set_t cpu;
	unsigned int i;

	if (!host_is_module())
		SKIP(return, "C KVM has the system's work queue do it");
	uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0)
		SKIP(return, "no userfaultfd here");
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
	for (v = 0; v < 2; v++) {
		mem[v] = mmap(NULL, ITS_MEM_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(mem[v], MAP_FAILED);
		ASSERT_EQ(vm_create(&vms[v]), 0);
		ASSERT_EQ(vm_memory(&vms[v], 1, ITS_MEM, ITS_MEM_SIZE, mem[v], 0), 0);
		ASSERT_EQ(vcpu_create(&vms[v], &vcpus[v], 0), 0);
		its[v] = vm_gic_and_its(&vms[v], mem[v]);
		if (its[v] == -ENODEV)
			SKIP(return, "no ITS here");
		ASSERT_GE(its[v], 0);
		ASSERT_EQ(set_routes(&vms[v], &entry, 1, 0), 0);
	}
	stopped.its = its[0];
	for (i = 0; i < BLOCKED; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		ASSERT_EQ(irqfd(&vms[0], fds[i], 0, 0, -1), 0);
	}
	other = eventfd(0, EFD_NONBLOCK);
	ASSERT_EQ(irqfd(&vms[1], other, 0, 0, -1), 0);
	ASSERT_EQ(start(&vcpus[1], EDGE, &runner), 0);

	/* The device table, which is written last, is gone. */
	ASSERT_EQ(ioctl(uffd, UFFDIO_API, &api), 0);
	range.range.start = (uintptr_t)mem[0] + 0x10000;
	range.range.len = 0x10000;
	ASSERT_EQ(madvise((void *)(uintptr_t)range.range.start, range.range.len, MADV_DONTNEED), 0);
	ASSERT_EQ(ioctl(uffd, UFFDIO_REGISTER, &range), 0);
	ASSERT_EQ(pthread_create(&saver, NULL, save_tables, &stopped), 0);
	event = (struct pollfd) { .fd = uffd, .events = POLLIN };
	ASSERT_EQ(poll(&event, 1, 10000), 1);

	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	ASSERT_EQ(sched_setaffinity(0, sizeof(cpu), &cpu), 0);
	for (i = 0; i < BLOCKED; i++)
		ring(fds[i]);
	ring(other);
	EXPECT_TRUE(guest_counts(&vcpus[1], LPI(0) & 511, 1));

	page = (struct uffdio_zeropage) { .range = range.range };
	ASSERT_EQ(ioctl(uffd, UFFDIO_ZEROPAGE, &page), 0);
	pthread_join(saver, NULL);
	EXPECT_EQ(stopped.ret, 0);
	EXPECT_EQ(stop(&vms[1], &vcpus[1], runner), 1);
	for (i = 0; i < BLOCKED; i++)
		close(fds[i]);
	close(other);
	close(uffd);
	for (v = 0; v < 2; v++) {
		close(its[v]);
		vcpu_destroy(&vcpus[v]);
		vm_destroy(&vms[v]);
		munmap(mem[v], ITS_MEM_SIZE);
	}
}

/* Killed in the middle of it. */
TEST(killed)
{
	unsigned int round;

	for (round = 0; round < scaled(10); round++) {
		int pid = fork();

		ASSERT_GE(pid, 0);
		if (!pid) {
			struct vm vm;
			struct vcpu vcpu;
			struct racer racers[ARRAY_LEN(races)] = {};
			pthread_t thread;
			unsigned int i;
			int fd = eventfd(0, EFD_NONBLOCK);

			if (vm_create(&vm) || vcpu_create(&vm, &vcpu, 0) || vm_gic(&vm) ||
			    start(&vcpu, EDGE, &thread))
				_exit(1);
			for (i = 0; i < ARRAY_LEN(races); i++) {
				racers[i].vm = &vm;
				racers[i].fd = fd;
				pthread_create(&thread, NULL, races[i], &racers[i]);
			}
			for (;;)
				pause();
		}
		msleep(100 + 13 * round);
		kill(pid, SIGKILL);
		EXPECT_EQ(wait_child(pid), 256 + SIGKILL);
	}
}

TEST_HARNESS_MAIN
