// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that irqfds come and go while they are signalled, and in every order of closing.
 * Runs on the module and on C KVM.
 */
#include <signal.h>
#include "irqfd_vm.h"

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
