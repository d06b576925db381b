/* SPDX-License-Identifier: GPL-2.0 */
/* Irqfds and routes, and a guest that counts its interrupts, for the tests of both. */
#ifndef KVM_VHE_IRQFD_H
#define KVM_VHE_IRQFD_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "gic.h"

#define RESAMPLE	KVM_IRQFD_FLAG_RESAMPLE
#define DEASSIGN	KVM_IRQFD_FLAG_DEASSIGN
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

static inline long irqfd(struct vm *vm, int fd, unsigned int gsi, unsigned int flags, int resamplefd)
{
	struct kvm_irqfd args = {
		.fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resamplefd,
	};

	return kvm_ioctl(vm->fd, KVM_IRQFD, (unsigned long)&args);
}

static inline long set_routes(struct vm *vm, const struct kvm_irq_routing_entry *entries,
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

static inline struct kvm_irq_routing_entry pin(unsigned int gsi, unsigned int pin)
{
	struct kvm_irq_routing_entry entry = {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip.pin = pin,
	};

	return entry;
}

static inline void ring(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		ksft_print_msg("an eventfd cannot be written to: %d\n", errno);
}

static inline uint64_t rung(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* The same, if need be in a while. */
static inline uint64_t rings(int fd)
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

/* Has the guest configure its GIC. */
static inline int prepare(struct vcpu *vcpu, unsigned int how)
{
	int ret = vcpu_start(vcpu, serve, how, 0);

	if (!ret && guest_run(vcpu) != GUEST_SAID)
		ret = -EPROTO;
	return ret;
}

/* And run on in a thread. */
static inline int start(struct vcpu *vcpu, unsigned int how, pthread_t *thread)
{
	int ret = prepare(vcpu, how);

	return ret ? ret : pthread_create(thread, NULL, guest_thread, vcpu);
}

/* Ends it. How many interrupts there were, or ~0. */
static inline uint64_t stop(struct vm *vm, struct vcpu *vcpu, pthread_t thread)
{
	struct kvm_irq_level line = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | STOP, .level = 1,
	};
	void *event;

	kvm_ioctl(vm->fd, KVM_IRQ_LINE, (unsigned long)&line);
	pthread_join(thread, &event);
	return (uintptr_t)event == GUEST_DONE ? vcpu->value : ~0UL;
}

#endif
