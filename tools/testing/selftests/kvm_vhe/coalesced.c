// SPDX-License-Identifier: GPL-2.0
/*
 * Shows coalesced MMIO: which writes go to the ring, when it is full or has nonsense in it,
 * and what is refused. Runs on the module and on C KVM.
 */
#include "bus.h"

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

TEST_HARNESS_MAIN
