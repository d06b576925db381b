// SPDX-License-Identifier: GPL-2.0
/*
 * Shows KVM_IOEVENTFD and coalesced MMIO: which writes they take, that others are exits,
 * what they refuse, and that they come and go while a guest writes and in every order of
 * closing. Runs on the module and on C KVM.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define BELL		0x18000000UL
#define PAGE		4096UL
#define SLOT_IPA	0x80000000UL
#define DATAMATCH	KVM_IOEVENTFD_FLAG_DATAMATCH
#define DEASSIGN	KVM_IOEVENTFD_FLAG_DEASSIGN

/* Takes orders: an address, a size and a value. Says when it is done. */
GUEST uint64_t write_as_told(uint64_t unused);
GUEST uint64_t write_as_told(uint64_t unused)
{
	struct guest_area *area = guest_area();

	for (;;) {
		uint64_t at = area->data[0], value = area->data[2];

		switch (area->data[1]) {
		case 1:
			asm volatile("strb %w0, [%1]" : : "r" (value), "r" (at) : "memory");
			break;
		case 2:
			asm volatile("strh %w0, [%1]" : : "r" (value), "r" (at) : "memory");
			break;
		case 4:
			asm volatile("str %w0, [%1]" : : "r" (value), "r" (at) : "memory");
			break;
		case 8:
			asm volatile("str %0, [%1]" : : "r" (value), "r" (at) : "memory");
			break;
		default:
			asm volatile("ldr %0, [%1]" : "=r" (value) : "r" (at) : "memory");
			break;
		}
		guest_say(1, value);
	}
	return unused;
}

/* Writes n times; the values go up. */
GUEST uint64_t write_often(uint64_t n);
GUEST uint64_t write_often(uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		asm volatile("str %w0, [%1]" : : "r" (i), "r" (BELL) : "memory");
	return i;
}

FIXTURE(bus) {
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_coalesced_mmio_ring *ring;
	unsigned int entries;
	int fd;
};

FIXTURE_SETUP(bus)
{
	size_t size;

	ASSERT_EQ(vm_create(&self->vm), 0);
	ASSERT_EQ(vcpu_create(&self->vm, &self->vcpu, 0), 0);
	ASSERT_EQ(vcpu_start(&self->vcpu, write_as_told, 0, 0), 0);
	size = kvm_ioctl(self->vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	ASSERT_EQ(size, 2 * PAGE);
	self->ring = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->vcpu.fd, PAGE);
	ASSERT_NE(self->ring, MAP_FAILED);
	self->entries = (PAGE - sizeof(*self->ring)) / sizeof(struct kvm_coalesced_mmio);
	self->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(bus)
{
	close(self->fd);
	munmap(self->ring, PAGE);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static long ioeventfd(struct vm *vm, int fd, uint64_t addr, unsigned int len, unsigned int flags,
		      uint64_t datamatch)
{
	struct kvm_ioeventfd args = {
		.fd = fd, .addr = addr, .len = len, .flags = flags, .datamatch = datamatch,
	};

	return kvm_ioctl(vm->fd, KVM_IOEVENTFD, (unsigned long)&args);
}

static long zone(struct vm *vm, unsigned long cmd, uint64_t addr, unsigned int size,
		 unsigned int pio)
{
	struct kvm_coalesced_mmio_zone args = { .addr = addr, .size = size, .pio = pio };

	return kvm_ioctl(vm->fd, cmd, (unsigned long)&args);
}

/* How often an eventfd was signalled since the last look. */
static uint64_t rung(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* Has the guest write: whether that was an exit. */
static bool exits(struct vcpu *vcpu, uint64_t addr, unsigned int size, uint64_t value)
{
	struct kvm_run *run = vcpu->run;
	enum guest_event event;
	bool exit = false;

	vcpu->area->data[0] = addr;
	vcpu->area->data[1] = size;
	vcpu->area->data[2] = value;
	event = guest_run(vcpu);
	if (event == GUEST_EXIT && run->exit_reason == KVM_EXIT_MMIO &&
	    run->mmio.phys_addr == addr) {
		exit = true;
		event = guest_run(vcpu);
	}
	if (event != GUEST_SAID || vcpu->what != 1)
		ksft_print_msg("after %#lx: %s\n", addr, guest_told(vcpu, event));
	return exit;
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

/* Writes into the ring, until it is full. */
TEST_F(bus, ring)
{
	struct kvm_coalesced_mmio_ring *ring = self->ring;
	unsigned int i, start;

	ASSERT_EQ(kvm_ioctl(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO), 1);
	ASSERT_EQ(zone(&self->vm, KVM_REGISTER_COALESCED_MMIO, BELL, 16, 0), 0);
	for (start = 0; start < self->entries; start += self->entries - 1) {
		ring->first = ring->last = start;
		for (i = 0; i < self->entries - 1; i++) {
			static const unsigned int sizes[] = { 1, 2, 4, 8 };
			unsigned int size = sizes[i % 4], at = (start + i) % self->entries;
			uint64_t value = 0x1122334455667788 + i, seen = 0;

			ASSERT_FALSE(exits(&self->vcpu, BELL + 16 - size, size, value));
			ASSERT_EQ(ring->last, (at + 1) % self->entries);
			EXPECT_EQ(ring->coalesced_mmio[at].phys_addr, BELL + 16 - size);
			EXPECT_EQ(ring->coalesced_mmio[at].len, size);
			EXPECT_EQ(ring->coalesced_mmio[at].pio, 0);
			memcpy(&seen, ring->coalesced_mmio[at].data, size);
			EXPECT_EQ(seen, size == 8 ? value : value & ((1UL << 8 * size) - 1));
		}
		EXPECT_TRUE(exits(&self->vcpu, BELL, 4, 1));
		ring->first = (ring->first + 1) % self->entries;
		EXPECT_FALSE(exits(&self->vcpu, BELL, 4, 1));
		EXPECT_TRUE(exits(&self->vcpu, BELL, 4, 1));
	}
	/* What is not all inside is not in the zone. */
	ring->first = ring->last;
	EXPECT_TRUE(exits(&self->vcpu, BELL + 12, 8, 1));
	EXPECT_TRUE(exits(&self->vcpu, BELL - 1, 2, 1));
	EXPECT_TRUE(exits(&self->vcpu, BELL, 0, 1));
	EXPECT_EQ(ring->first, ring->last);
}

/* A VMM that leaves nonsense in the ring gets exits. */
TEST_F(bus, ring_nonsense)
{
	static const uint32_t nonsense[] = { 0x7fffffff, 0x80000000, 0xffffffff, 4096, 1 << 16 };
	unsigned int i;

	ASSERT_EQ(zone(&self->vm, KVM_REGISTER_COALESCED_MMIO, BELL, 16, 0), 0);
	for (i = 0; i < ARRAY_LEN(nonsense); i++) {
		self->ring->first = 0;
		self->ring->last = nonsense[i];
		EXPECT_TRUE(exits(&self->vcpu, BELL, 4, 1));
		EXPECT_EQ(self->ring->last, nonsense[i]);
	}
	self->ring->first = 0;
	self->ring->last = self->entries;
	EXPECT_TRUE(exits(&self->vcpu, BELL, 4, 1));
	/* Entries are only ever left out. */
	self->ring->first = 0xffffffff;
	self->ring->last = self->entries - 1;
	EXPECT_FALSE(exits(&self->vcpu, BELL, 4, 1));
	EXPECT_EQ(self->ring->last, 0);
}

/* One ring for all vCPUs. */
TEST_F(bus, ring_of_the_vm)
{
	struct kvm_coalesced_mmio_ring *ring;
	struct vcpu other;

	ASSERT_EQ(vcpu_create(&self->vm, &other, 1), 0);
	ASSERT_EQ(vcpu_start(&other, write_as_told, 0, 0), 0);
	ring = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, other.fd, PAGE);
	ASSERT_NE(ring, MAP_FAILED);
	ASSERT_EQ(zone(&self->vm, KVM_REGISTER_COALESCED_MMIO, BELL, 16, 0), 0);
	EXPECT_FALSE(exits(&self->vcpu, BELL, 4, 1));
	EXPECT_FALSE(exits(&other, BELL, 4, 2));
	EXPECT_EQ(ring->last, 2);
	EXPECT_EQ(self->ring->last, 2);
	EXPECT_EQ(ring->coalesced_mmio[0].data[0], 1);
	EXPECT_EQ(self->ring->coalesced_mmio[1].data[0], 2);
	/* It is the VM's, not a vCPU's. */
	munmap(ring, PAGE);
	vcpu_destroy(&other);
	EXPECT_FALSE(exits(&self->vcpu, BELL, 4, 3));
	EXPECT_EQ(self->ring->coalesced_mmio[2].data[0], 3);
}

TEST_F(bus, zones)
{
	struct vm *vm = &self->vm;
	unsigned int i;

	EXPECT_EQ(zone(vm, KVM_REGISTER_COALESCED_MMIO, BELL, 16, 2), -EINVAL);
	EXPECT_EQ(zone(vm, KVM_UNREGISTER_COALESCED_MMIO, BELL, 16, 2), -EINVAL);
	EXPECT_EQ(kvm_ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, 8), -EFAULT);
	/* There is none: no error. */
	EXPECT_EQ(zone(vm, KVM_UNREGISTER_COALESCED_MMIO, BELL, 16, 0), 0);
	/* Ports are not memory. */
	EXPECT_EQ(zone(vm, KVM_REGISTER_COALESCED_MMIO, BELL, 16, 1), 0);
	EXPECT_TRUE(exits(&self->vcpu, BELL, 4, 1));
	EXPECT_EQ(zone(vm, KVM_UNREGISTER_COALESCED_MMIO, BELL, 16, 1), 0);

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(zone(vm, KVM_REGISTER_COALESCED_MMIO, BELL + 0x100 * i, 16, 0), 0);
	}
	EXPECT_EQ(zone(vm, KVM_UNREGISTER_COALESCED_MMIO, BELL + 0x100, 16, 0), 0);
	EXPECT_FALSE(exits(&self->vcpu, BELL, 4, 1));
	EXPECT_TRUE(exits(&self->vcpu, BELL + 0x100, 4, 1));
	EXPECT_FALSE(exits(&self->vcpu, BELL + 0x200, 4, 1));
	/* One that is larger than what is registered stays without effect. */
	EXPECT_EQ(zone(vm, KVM_UNREGISTER_COALESCED_MMIO, BELL, 0x1000, 0), 0);
	EXPECT_FALSE(exits(&self->vcpu, BELL, 4, 1));
	/* A doorbell in a zone rings, and the rest of the zone is as it was. C KVM misses some. */
	if (host_is_module()) {
		ASSERT_EQ(ioeventfd(vm, self->fd, BELL + 4, 4, 0, 0), 0);
		self->ring->last = self->ring->first;
		EXPECT_FALSE(exits(&self->vcpu, BELL + 4, 4, 1));
		EXPECT_EQ(rung(self->fd), 1);
		EXPECT_EQ(self->ring->last, self->ring->first);
		EXPECT_FALSE(exits(&self->vcpu, BELL + 8, 4, 1));
		EXPECT_NE(self->ring->last, self->ring->first);
	}
}

TEST_F(bus, as_many_zones_as_there_may_be)
{
	unsigned int i;
	long ret = 0;

	for (i = 0; !ret && i < 5000; i++)
		ret = zone(&self->vm, KVM_REGISTER_COALESCED_MMIO, BELL + 16 * i, 16, 0);
	EXPECT_EQ(ret, -ENOSPC);
	EXPECT_EQ(i, 1001);
	self->ring->first = self->ring->last = 0;
	EXPECT_FALSE(exits(&self->vcpu, BELL, 8, 1));
	EXPECT_FALSE(exits(&self->vcpu, BELL + 16 * 500, 8, 1));
	EXPECT_FALSE(exits(&self->vcpu, BELL + 16 * 999, 8, 1));
	EXPECT_TRUE(exits(&self->vcpu, BELL + 16 * 1000, 8, 1));
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
