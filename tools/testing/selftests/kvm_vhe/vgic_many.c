// SPDX-License-Identifier: GPL-2.0
/*
 * More vCPUs than a target list has bits: SGIs and routed SPIs go to exactly those whose
 * affinity is meant, with all of its fields, and by the range selector. Few of the vCPUs
 * run at once, so that it does not take long.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "vgic_regs.h"
#include "gic.h"

#define VCPUS		40
/* The areas that the guest's memory has no room for. */
#define MORE		(GUEST_RAM + GUEST_RAM_SIZE)
#define MORE_SIZE	(GUEST_AREA(VCPUS) - MORE)
#define SPI(n)		(32 + (n))
/* Of an affinity 2.1.0, the bits of ICC_SGI1R_EL1 but those of the target list. */
#define OTHERS(affinity) \
	(((affinity) >> 8 & 0xffUL) << 16 | ((affinity) >> 16 & 0xffUL) << 32 | \
	 ((affinity) >> 4 & 15UL) << 44)
#define TO(affinity)	(OTHERS(affinity) | 1UL << ((affinity) & 15))
#define SGI(n)		((uint64_t)(n) << 24)
#define ALL_OTHERS	(1UL << 40)

GUEST uint64_t guest_setup(uint64_t n);
GUEST uint64_t guest_setup(uint64_t n)
{
	gic_start(n, true);
	return 0;
}

/* Writes the values that the area has, one for each SGI that is sent. */
GUEST uint64_t guest_sends(uint64_t count);
GUEST uint64_t guest_sends(uint64_t count)
{
	struct guest_area *area = guest_area();

	for (uint64_t i = 0; i < count; i++)
		GUEST_MSR("s3_0_c12_c11_5", area->data[i]);	/* ICC_SGI1R_EL1 */
	GUEST_ISB();
	return 0;
}

/* Takes all that is there: a bit for each, and their number above. Waits for one if told so. */
GUEST uint64_t guest_takes(uint64_t wait);
GUEST uint64_t guest_takes(uint64_t wait)
{
	struct guest_area *area = guest_area();
	uint64_t intid, set = 0, count = 0;

	if (wait)
		area->seen = 1;
	for (;;) {
		intid = gic_acknowledge();
		if (intid != GIC_SPURIOUS) {
			gic_end(intid);
			area->data[count & 15] = intid;
			set |= 1UL << (intid & 31);
			count++;
		} else if (wait && !count) {
			asm volatile("wfi" : : : "memory");
		} else {
			return count << 32 | set;
		}
	}
}

FIXTURE(many)
{
	struct vm vm;
	struct vcpu vcpus[VCPUS];
	uint64_t affinity[VCPUS];
	unsigned char *more;
	int gic;
};

/* All have one of their own. The last ones get some that are not from KVM_CREATE_VCPU. */
static int name_vcpus(FIXTURE_DATA(many) *self)
{
	static const uint64_t special[] = {
		0x0010,			/* the same target bit as the first, the next range */
		0x00f3,			/* the last range */
		0x0225,			/* a range of another group */
		0x010203,		/* all of affinity 0 to 2 */
		0xff0000,		/* the last affinity 2 */
	};
	const unsigned int from = VCPUS - ARRAY_LEN(special);
	int ret = 0;

	for (unsigned int n = 0; n < VCPUS && !ret; n++) {
		uint64_t mpidr = vcpu_reg(&self->vcpus[n], MPIDR_EL1);

		if (n >= from) {
			mpidr = (mpidr & ~0xffffffUL) | special[n - from];
			ret = vcpu_set_reg(&self->vcpus[n], MPIDR_EL1, mpidr);
		}
		self->affinity[n] = mpidr & 0xffffff;
	}
	return ret;
}

FIXTURE_SETUP(many)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	self->more = mmap(NULL, MORE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->more);
	ASSERT_EQ(0, vm_memory(&self->vm, 1, MORE, MORE_SIZE, self->more, 0));
	for (unsigned int n = 0; n < VCPUS; n++) {
		uint64_t area = GUEST_AREA(n);

		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpus[n], n));
		self->vcpus[n].area = (void *)(area < MORE ? self->vm.ram + (area - GUEST_RAM) :
							     self->more + (area - MORE));
	}
	ASSERT_EQ(0, name_vcpus(self));
	self->gic = make(&self->vm, V3, 0);
	if (self->gic == -ENODEV)
		SKIP(return, "there is no GIC for VMs");
	ASSERT_LE(0, self->gic);
	ASSERT_EQ(0, device_set(self->gic, GRP_ADDR, DIST, GUEST_GICD));
	ASSERT_EQ(0, device_set(self->gic, GRP_ADDR, REDIST, GUEST_GICR));
	ASSERT_EQ(0, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_CTRL, INIT, NULL));
	for (unsigned int n = 0; n < VCPUS; n++)
		ASSERT_EQ(0, guest_finish(&self->vcpus[n], guest_setup, n, 0));
}

FIXTURE_TEARDOWN(many)
{
	for (unsigned int n = 0; n < VCPUS; n++)
		vcpu_destroy(&self->vcpus[n]);
	close(self->gic);
	vm_destroy(&self->vm);
	munmap(self->more, MORE_SIZE);
}

/* Whether the range selector has an effect: C KVM has none, and the last vCPUs need it. */
static bool reaches(uint64_t affinity)
{
	return host_is_module() || !(affinity >> 4 & 15);
}

/* Each vCPU has got just these SGIs: a bit for each. */
static void expect(struct __test_metadata *_metadata, FIXTURE_DATA(many) *self,
		   const uint32_t *sgis)
{
	for (unsigned int n = 0; n < VCPUS; n++) {
		uint64_t set = sgis[n];

		ASSERT_EQ(0, guest_finish(&self->vcpus[n], guest_takes, 0, 0));
		EXPECT_EQ((uint64_t)__builtin_popcount(set) << 32 | set, self->vcpus[n].value) {
			TH_LOG("vCPU %u with affinity %#lx", n, self->affinity[n]);
		}
	}
}

TEST_F_TIMEOUT(many, sgi_to_each, 120)
{
	struct vcpu *sender = &self->vcpus[5];
	uint32_t sgis[VCPUS] = { 0 };
	unsigned int count = 0;

	EXPECT_EQ(0x100, self->affinity[16]);
	EXPECT_EQ(0x202, self->affinity[34]);
	for (unsigned int n = 0; n < VCPUS; n++) {
		if (!reaches(self->affinity[n]))
			continue;
		sender->area->data[count++] = SGI(n % 16) | TO(self->affinity[n]);
		sgis[n] = 1U << n % 16;
	}
	ASSERT_EQ(0, guest_finish(sender, guest_sends, count, 0));
	expect(_metadata, self, sgis);
}

/* Of a list those that there are, and of one whose affinity no vCPU has none. */
TEST_F_TIMEOUT(many, sgi_to_lists, 120)
{
	struct vcpu *sender = &self->vcpus[17];
	uint32_t sgis[VCPUS] = { 0 };

	sender->area->data[0] = SGI(1) | 0xffff;
	sender->area->data[1] = SGI(2) | OTHERS(0x100) | 0x8003;
	sender->area->data[2] = SGI(3) | OTHERS(0x200) | 0xffff;
	sender->area->data[3] = SGI(4) | OTHERS(0x300) | 0xffff;
	sender->area->data[4] = SGI(5) | OTHERS(0x10000) | 0xffff;
	sender->area->data[5] = SGI(6) | 1UL << 48 | 0xffff;	/* affinity 3 */
	sender->area->data[6] = SGI(7) | OTHERS(0x010200) | 0xffff;
	for (unsigned int n = 0; n < 35; n++)
		sgis[n] = n < 16 ? 1 << 1 : n < 32 ? 0 : 1 << 3;
	sgis[16] = sgis[17] = sgis[31] = 1 << 2;
	sgis[38] = 1 << 7;
	ASSERT_EQ(0, guest_finish(sender, guest_sends, 7, 0));
	expect(_metadata, self, sgis);
}

TEST_F_TIMEOUT(many, sgi_by_range, 120)
{
	struct vcpu *sender = &self->vcpus[0];
	uint32_t sgis[VCPUS] = { 0 };

	if (!host_is_module())
		SKIP(return, "C KVM has no range selector");
	/* The ranges 1 to 15 of affinity 1 0, then those of 2. */
	for (unsigned int rs = 1; rs < 16; rs++) {
		sender->area->data[rs - 1] = SGI(rs) | OTHERS(rs << 4) | 0xffff;
		sender->area->data[rs + 14] = SGI(rs) | OTHERS(0x200 | rs << 4) | 0xffff;
	}
	sgis[35] = 1 << 1;
	sgis[36] = 1 << 15;
	sgis[37] = 1 << 2;
	ASSERT_EQ(0, guest_finish(sender, guest_sends, 30, 0));
	expect(_metadata, self, sgis);
}

TEST_F_TIMEOUT(many, sgi_to_all_others, 120)
{
	struct vcpu *sender = &self->vcpus[33];
	uint32_t sgis[VCPUS];

	/* The affinity does not matter then. */
	sender->area->data[0] = SGI(9) | ALL_OTHERS | OTHERS(0x300) | 1;
	for (unsigned int n = 0; n < VCPUS; n++)
		sgis[n] = n == 33 ? 0 : 1 << 9;
	ASSERT_EQ(0, guest_finish(sender, guest_sends, 1, 0));
	expect(_metadata, self, sgis);
}

/* An SPI for each, which all are pending before one of them is taken. */
TEST_F_TIMEOUT(many, spi_to_each, 120)
{
	for (unsigned int n = 0; n < VCPUS; n++) {
		const uint64_t irouter = GICD_IROUTER + SPI(n) * 8;

		ASSERT_EQ(0, device_set(self->gic, GRP_DIST, irouter, self->affinity[n]));
	}
	for (unsigned int n = 0; n < VCPUS; n++) {
		struct kvm_irq_level line = {
			.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | SPI(n), .level = 1,
		};

		ASSERT_EQ(0, kvm_ioctl(self->vm.fd, KVM_IRQ_LINE, (unsigned long)&line));
	}
	for (unsigned int n = 0; n < VCPUS; n++) {
		ASSERT_EQ(0, guest_finish(&self->vcpus[n], guest_takes, 0, 0));
		EXPECT_EQ(1UL << 32 | 1UL << SPI(n) % 32, self->vcpus[n].value) {
			TH_LOG("vCPU %u with affinity %#lx", n, self->affinity[n]);
		}
		EXPECT_EQ(SPI(n), self->vcpus[n].area->data[0]);
	}
}

/* Some wait, each with another affinity 1, and only the one that is meant wakes up. */
TEST_F_TIMEOUT(many, sgi_to_one_that_waits, 120)
{
	static const unsigned int waiting[] = { 1, 18, 34, 38 };
	pthread_t threads[ARRAY_LEN(waiting)];
	struct vcpu *sender = &self->vcpus[0];
	void *event;

	for (unsigned int i = 0; i < ARRAY_LEN(waiting); i++) {
		struct vcpu *vcpu = &self->vcpus[waiting[i]];

		vcpu->area->seen = 0;
		ASSERT_EQ(0, vcpu_start(vcpu, guest_takes, 1, 0));
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, guest_thread, vcpu));
		while (!*(volatile uint64_t *)&vcpu->area->seen)
			msleep(1);
	}
	for (unsigned int i = 0; i < ARRAY_LEN(waiting); i++) {
		struct vcpu *vcpu = &self->vcpus[waiting[i]];

		sender->area->data[0] = SGI(10 + i) | TO(self->affinity[waiting[i]]);
		ASSERT_EQ(0, guest_finish(sender, guest_sends, 1, 0));
		ASSERT_EQ(0, pthread_join(threads[i], &event));
		EXPECT_EQ(GUEST_DONE, (uintptr_t)event);
		EXPECT_EQ(1UL << 32 | 1UL << (10 + i), vcpu->value);
	}
}

TEST_HARNESS_MAIN
