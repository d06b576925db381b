/* SPDX-License-Identifier: GPL-2.0 */
/* A VM with a GIC and a vCPU for the tests of irqfds. */
#ifndef KVM_VHE_IRQFD_VM_H
#define KVM_VHE_IRQFD_VM_H

#include "irqfd.h"

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

#endif
