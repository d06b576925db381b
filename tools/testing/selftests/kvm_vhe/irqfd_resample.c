// SPDX-License-Identifier: GPL-2.0
/*
 * Shows KVM_IRQFD with resampling: lines that stay up until the guest has ended the
 * interrupt, and the eventfds that tell so. Runs on the module and on C KVM.
 */
#include "irqfd_vm.h"

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

/* However many they are, and whoever comes and goes meanwhile; nobody else is told. */
TEST_F(irqfd, many_users_of_a_line)
{
	enum { USERS = 100, OTHERS = 100, ALL = USERS + OTHERS };
	unsigned int i, round, n = 0, rounds = scaled(20);
	struct kvm_irq_routing_entry routes[2];
	int fds[ALL], ends[ALL];

	ASSERT_LE(2 * ALL + 50, raise_nofile(2 * ALL + 50));
	for (i = 0; i < ALL; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		ends[i] = eventfd(0, EFD_NONBLOCK);
		ASSERT_LE(0, fds[i]);
		ASSERT_LE(0, ends[i]);
		ASSERT_EQ(irqfd(&self->vm, fds[i], i < USERS ? 5 : 6 + i % 4, RESAMPLE, ends[i]),
			  0);
	}
	ASSERT_EQ(start(&self->vcpu, LEVEL, &self->thread), 0);
	for (round = 0; round < rounds; round++) {
		/* One goes, another comes. */
		unsigned int gone = round * 7 % USERS;

		ASSERT_EQ(irqfd(&self->vm, fds[gone], 5, DEASSIGN, -1), 0);
		ring(fds[(gone + 1) % USERS]);
		n++;
		for (i = 0; i < USERS; i++) {
			if (i != gone) {
				EXPECT_LE(1, rings(ends[i])) TH_LOG("%u, round %u", i, round);
			}
		}
		EXPECT_EQ(self->vcpu.area->data[37], n);
		EXPECT_EQ(rung(ends[gone]), 0);
		ASSERT_EQ(irqfd(&self->vm, fds[gone], 5, RESAMPLE, ends[gone]), 0);
	}
	msleep(20);
	for (i = 0; i < ALL; i++) {
		EXPECT_EQ(rung(ends[i]), 0) TH_LOG("%u", i);
	}
	/* They follow their routes: now it is the others who are told. */
	routes[0] = pin(5, 9);
	routes[1] = pin(6, 5);
	ASSERT_EQ(set_routes(&self->vm, routes, 2, 0), 0);
	ring(fds[USERS]);
	EXPECT_LE(1, rings(ends[ALL - 4]));
	ring(fds[USERS]);
	n++;
	msleep(100);
	for (i = 0; i < ALL; i++) {
		bool told = i >= USERS && i % 4 == 0;

		EXPECT_EQ(told, !!rung(ends[i])) TH_LOG("%u", i);
	}
	EXPECT_EQ(self->vcpu.area->data[37], n + 1);
	EXPECT_EQ(stop(&self->vm, &self->vcpu, self->thread), n + 1);
	for (i = 0; i < ALL; i++) {
		close(fds[i]);
		close(ends[i]);
	}
}

/* There may be as many as there are GSIs. */
TEST_F(irqfd, most)
{
	enum { MOST = 4096 };
	static int fds[MOST + 1];
	unsigned int i;

	if (!host_is_module())
		SKIP(return, "C KVM has no limit");
	ASSERT_LE(MOST + 50, raise_nofile(MOST + 50));
	for (i = 0; i <= MOST; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		ASSERT_LE(0, fds[i]);
	}
	for (i = 0; i < MOST; i++)
		ASSERT_EQ(irqfd(&self->vm, fds[i], i, RESAMPLE, self->other), 0);
	EXPECT_EQ(irqfd(&self->vm, fds[MOST], 5, RESAMPLE, self->other), -ENOMEM);
	/* Those that are not resampled do not count. */
	EXPECT_EQ(irqfd(&self->vm, fds[MOST], 5, 0, -1), 0);
	EXPECT_EQ(irqfd(&self->vm, fds[MOST], 5, DEASSIGN, -1), 0);
	EXPECT_EQ(irqfd(&self->vm, fds[5], 5, DEASSIGN, -1), 0);
	EXPECT_EQ(irqfd(&self->vm, fds[MOST], 5, RESAMPLE, self->other), 0);
	/* The last one works as the first one does. */
	ASSERT_EQ(start(&self->vcpu, LEVEL, &self->thread), 0);
	ring(fds[MOST]);
	EXPECT_EQ(rings(self->other), 1);
	EXPECT_EQ(self->vcpu.area->data[37], 1);
	EXPECT_EQ(stop(&self->vm, &self->vcpu, self->thread), 1);
	for (i = 0; i <= MOST; i++)
		close(fds[i]);
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

TEST_HARNESS_MAIN
