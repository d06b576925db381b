// SPDX-License-Identifier: GPL-2.0
/*
 * Shows KVM_IOEVENTFD: which writes it takes, that others are exits, what it refuses, and
 * that ioeventfds and coalesced MMIO come and go while a guest writes and in every order
 * of closing. Runs on the module and on C KVM.
 */
#include "bus.h"

/* Writes n times; the values go up. */
GUEST uint64_t write_often(uint64_t n);
GUEST uint64_t write_often(uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		asm volatile("str %w0, [%1]" : : "r" (i), "r" (BELL) : "memory");
	return i;
}

/* A doorbell of each length: it is rung by writes of this length and by no others. */
TEST_F(bus, lengths)
{
	static const unsigned int lengths[] = { 0, 1, 2, 4, 8 };
	unsigned int i, j;

	for (i = 0; i < ARRAY_LEN(lengths); i++) {
		unsigned int len = lengths[i];

		ASSERT_EQ(ioeventfd(&self->vm, self->fd, BELL, len, 0, 0), 0);
		for (j = 1; j < ARRAY_LEN(lengths); j++) {
			bool rings = !len || len == lengths[j];

			EXPECT_EQ(exits(&self->vcpu, BELL, lengths[j], 5), !rings);
			EXPECT_EQ(rung(self->fd), rings);
			/* Not at its address. */
			EXPECT_TRUE(exits(&self->vcpu, BELL + 8, lengths[j], 5));
			EXPECT_TRUE(exits(&self->vcpu, BELL - 8, lengths[j], 5));
		}
		/* Nor by reads. */
		EXPECT_TRUE(exits(&self->vcpu, BELL, 0, 5));
		EXPECT_EQ(rung(self->fd), 0);
		ASSERT_EQ(ioeventfd(&self->vm, self->fd, BELL, len, DEASSIGN, 0), 0);
		EXPECT_TRUE(exits(&self->vcpu, BELL, len ? len : 4, 5));
		EXPECT_EQ(rung(self->fd), 0);
	}
}

/* Many at one address, one for each value: as the queues of a virtio device. */
TEST_F(bus, values)
{
	int fds[64];
	unsigned int i, j;

	for (i = 0; i < ARRAY_LEN(fds); i++) {
		/* Not in the order of the values. */
		unsigned int value = i * 29 % ARRAY_LEN(fds);

		fds[value] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ASSERT_GE(fds[value], 0);
		ASSERT_EQ(ioeventfd(&self->vm, fds[value], BELL, 4, DATAMATCH, value), 0);
	}
	for (i = 0; i < ARRAY_LEN(fds); i++) {
		EXPECT_FALSE(exits(&self->vcpu, BELL, 4, i));
		/* The rest of the register is not written. */
		EXPECT_FALSE(exits(&self->vcpu, BELL, 4, 0xffffffff00000000 | i));
		EXPECT_TRUE(exits(&self->vcpu, BELL, 2, i));
		for (j = 0; j < ARRAY_LEN(fds); j++) {
			EXPECT_EQ(rung(fds[j]), j == i ? 2 : 0);
		}
	}
	EXPECT_TRUE(exits(&self->vcpu, BELL, 4, ARRAY_LEN(fds)));
	/* A value that 4 bytes cannot have is nothing that is ever written. */
	ASSERT_EQ(ioeventfd(&self->vm, self->fd, BELL, 4, DATAMATCH, 1UL << 32), 0);
	EXPECT_FALSE(exits(&self->vcpu, BELL, 4, 0));
	EXPECT_EQ(rung(self->fd), 0);
	EXPECT_EQ(rung(fds[0]), 1);
	for (i = 0; i < ARRAY_LEN(fds); i++) {
		EXPECT_EQ(ioeventfd(&self->vm, fds[i], BELL, 4, DATAMATCH | DEASSIGN, i), 0);
		close(fds[i]);
	}
	EXPECT_TRUE(exits(&self->vcpu, BELL, 4, 1));
}

/* What a write could ring two of is refused, and what is not there cannot be removed. */
TEST_F(bus, exist)
{
	int fd = self->fd, other = eventfd(0, EFD_NONBLOCK);
	struct vm *vm = &self->vm;

	ASSERT_GE(other, 0);
	ASSERT_EQ(ioeventfd(vm, fd, BELL, 4, DATAMATCH, 1), 0);
	EXPECT_EQ(ioeventfd(vm, fd, BELL, 4, DATAMATCH, 1), -EEXIST);
	EXPECT_EQ(ioeventfd(vm, other, BELL, 4, DATAMATCH, 1), -EEXIST);
	EXPECT_EQ(ioeventfd(vm, other, BELL, 4, 0, 0), -EEXIST);
	EXPECT_EQ(ioeventfd(vm, other, BELL, 0, 0, 0), -EEXIST);
	EXPECT_EQ(ioeventfd(vm, other, BELL, 8, 0, 0), 0);
	EXPECT_EQ(ioeventfd(vm, other, BELL, 4, DATAMATCH, 2), 0);
	EXPECT_EQ(ioeventfd(vm, other, BELL, 8, DATAMATCH, 2), -EEXIST);
	/* Ports are others. */
	EXPECT_EQ(ioeventfd(vm, other, BELL, 0, KVM_IOEVENTFD_FLAG_PIO, 0), 0);

	EXPECT_EQ(ioeventfd(vm, other, BELL, 4, DATAMATCH | DEASSIGN, 1), -ENOENT);
	EXPECT_EQ(ioeventfd(vm, fd, BELL, 4, DATAMATCH | DEASSIGN, 3), -ENOENT);
	EXPECT_EQ(ioeventfd(vm, fd, BELL, 4, DEASSIGN, 1), -ENOENT);
	EXPECT_EQ(ioeventfd(vm, fd, BELL, 8, DATAMATCH | DEASSIGN, 1), -ENOENT);
	EXPECT_EQ(ioeventfd(vm, fd, BELL + 4, 4, DATAMATCH | DEASSIGN, 1), -ENOENT);
	EXPECT_EQ(ioeventfd(vm, other, BELL, 0, DEASSIGN, 0), -ENOENT);
	EXPECT_EQ(ioeventfd(vm, other, BELL, 0, KVM_IOEVENTFD_FLAG_PIO | DEASSIGN, 0), 0);
	EXPECT_EQ(ioeventfd(vm, fd, BELL, 4, DATAMATCH | DEASSIGN, 1), 0);
	EXPECT_EQ(ioeventfd(vm, fd, BELL, 4, DATAMATCH | DEASSIGN, 1), -ENOENT);
	EXPECT_TRUE(exits(&self->vcpu, BELL, 4, 1));
	EXPECT_FALSE(exits(&self->vcpu, BELL, 4, 2));
	EXPECT_FALSE(exits(&self->vcpu, BELL, 8, 1));
	EXPECT_EQ(rung(fd), 0);
	EXPECT_EQ(rung(other), 2);
	close(other);
}

TEST_F(bus, bad_ioeventfds)
{
	static const unsigned int lengths[] = { 3, 5, 6, 7, 9, 16, 256, 260, ~0U };
	struct vm *vm = &self->vm;
	int file = open("/dev/null", O_RDWR), fd = self->fd;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(lengths); i++) {
		EXPECT_EQ(ioeventfd(vm, fd, BELL, lengths[i], 0, 0), -EINVAL);
	}
	for (i = 5; i < 32; i++) {
		EXPECT_EQ(ioeventfd(vm, fd, BELL, 4, 1U << i, 0), -EINVAL);
	}
	EXPECT_EQ(ioeventfd(vm, fd, ~0UL, 4, 0, 0), -EINVAL);
	EXPECT_EQ(ioeventfd(vm, fd, ~0UL - 2, 4, 0, 0), -EINVAL);
	EXPECT_EQ(ioeventfd(vm, fd, BELL, 0, DATAMATCH, 0), -EINVAL);
	EXPECT_EQ(ioeventfd(vm, -1, BELL, 4, 0, 0), -EBADF);
	EXPECT_EQ(ioeventfd(vm, 1000000, BELL, 4, 0, 0), -EBADF);
	EXPECT_EQ(ioeventfd(vm, file, BELL, 4, 0, 0), -EINVAL);
	EXPECT_EQ(ioeventfd(vm, vm->fd, BELL, 4, 0, 0), -EINVAL);
	EXPECT_EQ(ioeventfd(vm, -1, BELL, 4, DEASSIGN, 0), -EBADF);
	EXPECT_EQ(ioeventfd(vm, file, BELL, 4, DEASSIGN, 0), -EINVAL);
	EXPECT_EQ(kvm_ioctl(vm->fd, KVM_IOEVENTFD, 8), -EFAULT);
	EXPECT_TRUE(exits(&self->vcpu, BELL, 4, 1));
	close(file);
}

/* Where the guest has memory it writes to that; where that is read-only, to the bus. */
TEST_F(bus, memory_first)
{
	unsigned char *slot = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(slot, MAP_FAILED);
	ASSERT_EQ(ioeventfd(&self->vm, self->fd, SLOT_IPA, 4, 0, 0), 0);
	ASSERT_EQ(zone(&self->vm, KVM_REGISTER_COALESCED_MMIO, SLOT_IPA, 16, 0), 0);
	EXPECT_FALSE(exits(&self->vcpu, SLOT_IPA, 4, 1));
	EXPECT_EQ(rung(self->fd), 1);

	ASSERT_EQ(vm_memory(&self->vm, 1, SLOT_IPA, PAGE, slot, 0), 0);
	EXPECT_FALSE(exits(&self->vcpu, SLOT_IPA, 4, 7));
	EXPECT_EQ(rung(self->fd), 0);
	EXPECT_EQ(*(uint32_t *)slot, 7);
	ASSERT_EQ(vm_memory(&self->vm, 1, SLOT_IPA, 0, slot, 0), 0);

	ASSERT_EQ(vm_memory(&self->vm, 1, SLOT_IPA, PAGE, slot, KVM_MEM_READONLY), 0);
	/* Before it is mapped, and when it is. */
	EXPECT_FALSE(exits(&self->vcpu, SLOT_IPA, 4, 8));
	EXPECT_FALSE(exits(&self->vcpu, SLOT_IPA, 0, 0));
	EXPECT_EQ((uint32_t)self->vcpu.value, 7);
	EXPECT_FALSE(exits(&self->vcpu, SLOT_IPA, 4, 9));
	EXPECT_EQ(rung(self->fd), 2);
	EXPECT_EQ(*(uint32_t *)slot, 7);
	munmap(slot, PAGE);
}

/* No exit to user space in all of this. */
TEST_F(bus, no_exit)
{
	unsigned int n = scaled(2000);

	ASSERT_EQ(ioeventfd(&self->vm, self->fd, BELL, 4, 0, 0), 0);
	ASSERT_EQ(guest_finish(&self->vcpu, write_often, n, 0), 0);
	EXPECT_EQ(self->vcpu.value, n);
	EXPECT_EQ(rung(self->fd), n);
	if (host_is_module()) {
		EXPECT_EQ(vcpu_counter(&self->vcpu, "mmio_writes_in_kernel"), n);
		/* Nor was the inner loop left: an interrupt of the host does that. */
		EXPECT_GT(vcpu_counter(&self->vcpu, "inner_loop_reentries"), n * 9 / 10);
	}
}

struct racer {
	struct vm *vm;
	struct vcpu *vcpu;
	volatile bool stop;
	volatile unsigned long rounds;
	unsigned long lost;
};

/* Attaches and detaches; after that the eventfd must not be signalled any more. */
static void *come_and_go(void *arg)
{
	struct racer *racer = arg;

	while (!racer->stop) {
		int fd = eventfd(0, EFD_NONBLOCK);

		if (ioeventfd(racer->vm, fd, BELL, 4, 0, 0))
			racer->lost++;
		sched_yield();
		if (ioeventfd(racer->vm, fd, BELL, 4, DEASSIGN, 0))
			racer->lost++;
		rung(fd);
		sched_yield();
		if (rung(fd))
			racer->lost++;
		close(fd);
		racer->rounds++;
	}
	return NULL;
}

TEST_F(bus, come_and_go)
{
	struct racer racer = { .vm = &self->vm };
	unsigned int exits = 0, writes = 0, n = scaled(20000);
	enum guest_event event;
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, come_and_go, &racer), 0);
	/* Until there were writes with an eventfd and without: that is up to the scheduler. */
	do {
		ASSERT_EQ(vcpu_start(&self->vcpu, write_often, n, 0), 0);
		while ((event = guest_run(&self->vcpu)) == GUEST_EXIT)
			exits++;
		ASSERT_EQ(event, GUEST_DONE);
		writes += n;
	} while ((!racer.rounds || !exits || exits == writes) && writes < 100 * n);
	racer.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(racer.lost, 0);
	EXPECT_GT(racer.rounds, 0);
	EXPECT_GT(exits, 0);
	EXPECT_LT(exits, writes);
}

/* All orders of closing the VM, the vCPU, the eventfd and /dev/kvm; the rest goes with them. */
TEST(closing)
{
	unsigned int order;

	for (order = 0; order < 24; order++) {
		struct vm vm;
		struct vcpu vcpu;
		int left[4], n = 4, k, fd = eventfd(0, EFD_NONBLOCK);
		unsigned int rest = order;

		ASSERT_EQ(vm_create(&vm), 0);
		ASSERT_EQ(vcpu_create(&vm, &vcpu, 0), 0);
		ASSERT_EQ(vcpu_start(&vcpu, write_as_told, 0, 0), 0);
		ASSERT_EQ(ioeventfd(&vm, fd, BELL, 4, 0, 0), 0);
		ASSERT_EQ(zone(&vm, KVM_REGISTER_COALESCED_MMIO, BELL + 16, 16, 0), 0);
		ASSERT_FALSE(exits(&vcpu, BELL, 4, 1));
		left[0] = vm.kvm;
		left[1] = vm.fd;
		left[2] = vcpu.fd;
		left[3] = fd;
		while (n) {
			k = rest % n;
			rest /= n;
			EXPECT_EQ(close(left[k]), 0);
			if (left[k] == fd)
				fd = -1;
			left[k] = left[--n];
			/* What is left of it works. */
			if (n > 1 && fcntl(vcpu.fd, F_GETFD) >= 0) {
				EXPECT_FALSE(exits(&vcpu, BELL, 4, 1));
				EXPECT_FALSE(exits(&vcpu, BELL + 16, 4, 1));
			}
		}
		munmap(vcpu.run, 2 * PAGE);
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
			struct racer racer = { .vm = &vm };
			pthread_t thread;

			if (vm_create(&vm) || vcpu_create(&vm, &vcpu, 0) ||
			    vcpu_start(&vcpu, write_often, ~0UL, 0) ||
			    pthread_create(&thread, NULL, come_and_go, &racer))
				_exit(1);
			while (guest_run(&vcpu) == GUEST_EXIT)
				;
			_exit(1);
		}
		msleep(50 + 7 * round);
		kill(pid, SIGKILL);
		EXPECT_EQ(wait_child(pid), 256 + SIGKILL);
	}
}

TEST_HARNESS_MAIN
