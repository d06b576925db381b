/* SPDX-License-Identifier: GPL-2.0 */
/* A VM with a vCPU for the tests of exits. */
#ifndef KVM_VHE_EXITS_H
#define KVM_VHE_EXITS_H

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))

FIXTURE(exits)
{
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(exits)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(exits)
{
	kick_every(0);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

#endif
