// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts as a guest takes them from its CPU interface: more than there are list
 * registers, by priority, with both EOI modes; levels that stay; masks and groups; SGIs
 * between vCPUs that run and that wait. The guest makes them pending by the distributor.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define SPURIOUS	1023
#define FIRST		32	/* the SPIs that the guest uses */
#define COUNT		24	/* more than any CPU has list registers */
#define VCPUS		4

#define GICD_CTLR	0x0000
#define GICD_IGROUPR	0x0080
#define GICD_ISENABLER	0x0100
#define GICD_ISPENDR	0x0200
#define GICD_ICPENDR	0x0280
#define GICD_ISACTIVER	0x0300
#define GICD_IPRIORITYR	0x0400
#define GICD_ICFGR	0x0c00
#define GICD_IROUTER	0x6000
#define GICR_SIZE	0x20000UL
#define GICR_WAKER	0x0014
#define GICR_SGI	0x10000

#define ICC_PMR		"s3_0_c4_c6_0"
#define ICC_IAR0	"s3_0_c12_c8_0"
#define ICC_EOIR0	"s3_0_c12_c8_1"
#define ICC_DIR		"s3_0_c12_c11_1"
#define ICC_RPR		"s3_0_c12_c11_3"
#define ICC_SGI1R	"s3_0_c12_c11_5"
#define ICC_IAR1	"s3_0_c12_c12_0"
#define ICC_EOIR1	"s3_0_c12_c12_1"
#define ICC_HPPIR1	"s3_0_c12_c12_2"
#define ICC_CTLR	"s3_0_c12_c12_4"
#define ICC_SRE		"s3_0_c12_c12_5"
#define ICC_IGRPEN0	"s3_0_c12_c12_6"
#define ICC_IGRPEN1	"s3_0_c12_c12_7"

#define CTLR_EOIMODE	2

GUEST_INLINE void write32(uint64_t address, uint32_t value)
{
	asm volatile("str %w0, [%1]" : : "rZ" (value), "r" (address) : "memory");
}

GUEST_INLINE uint32_t read32(uint64_t address)
{
	uint32_t value;

	asm volatile("ldr %w0, [%1]" : "=r" (value) : "r" (address) : "memory");
	return value;
}

GUEST_INLINE void write8(uint64_t address, uint8_t value)
{
	asm volatile("strb %w0, [%1]" : : "rZ" (value), "r" (address) : "memory");
}

GUEST_INLINE void barrier(void)
{
	asm volatile("dsb sy\n\tisb" : : : "memory");
}

/* Bit n of a register that has one for each interrupt. */
GUEST_INLINE void set_bit(uint64_t bank, unsigned int n)
{
	write32(GUEST_GICD + bank + n / 32 * 4, 1U << n % 32);
}

GUEST_INLINE uint64_t acknowledge(void)
{
	uint64_t intid = GUEST_MRS(ICC_IAR1);

	barrier();
	return intid;
}

GUEST_INLINE void end(uint64_t intid)
{
	GUEST_MSR(ICC_EOIR1, intid);
	GUEST_ISB();
}

/* The CPU interface of vCPU n and its SGIs; everything in group 1. */
GUEST_INLINE void setup_cpu(unsigned int n)
{
	uint64_t gicr = GUEST_GICR + n * GICR_SIZE;

	write32(gicr + GICR_WAKER, 0);
	write32(gicr + GICR_SGI + GICD_IGROUPR, ~0U);
	write32(gicr + GICR_SGI + GICD_ISENABLER, 0xffff);
	GUEST_MSR(ICC_SRE, 7);
	GUEST_ISB();
	GUEST_MSR(ICC_PMR, 0xf8);
	GUEST_MSR(ICC_CTLR, 0);
	GUEST_MSR(ICC_IGRPEN1, 1);
	GUEST_ISB();
}

GUEST_INLINE void setup_spis(bool edge)
{
	write32(GUEST_GICD + GICD_CTLR, 0x12);
	for (unsigned int n = FIRST; n < FIRST + COUNT; n++) {
		write8(GUEST_GICD + GICD_IPRIORITYR + n, 0xa0);
		set_bit(GICD_ISENABLER, n);
	}
	for (unsigned int n = FIRST; n < FIRST + COUNT; n += 16)
		write32(GUEST_GICD + GICD_ICFGR + n / 4, edge ? 0xaaaaaaaa : 0);
	barrier();
}

/* Waits, but not for ever, until there is an interrupt. */
GUEST_INLINE uint64_t await(void)
{
	for (unsigned int n = 0; n < 1000000; n++) {
		uint64_t intid = acknowledge();

		if (intid != SPURIOUS)
			return intid;
	}
	return SPURIOUS;
}

/* All at once, with priorities from low to high and back: returns how many were in order. */
GUEST uint64_t guest_priorities(uint64_t arg);
GUEST uint64_t guest_priorities(uint64_t arg)
{
	uint64_t last = 0, good = 0;

	(void)arg;
	setup_cpu(0);
	setup_spis(true);
	for (unsigned int n = 0; n < COUNT; n++)
		write8(GUEST_GICD + GICD_IPRIORITYR + FIRST + n, n * 7 % 15 << 3 | 0x80);
	for (unsigned int n = 0; n < COUNT; n++)
		set_bit(GICD_ISPENDR, FIRST + n);
	barrier();
	for (unsigned int n = 0; n < COUNT; n++) {
		uint64_t intid = acknowledge();
		uint64_t priority;

		if (intid == SPURIOUS)
			return good;
		priority = read32(GUEST_GICD + GICD_IPRIORITYR + (intid & ~3)) >>
			   (intid & 3) * 8 & 0xff;
		if (priority >= last && GUEST_MRS(ICC_RPR) == priority)
			good++;
		last = priority;
		end(intid);
	}
	return acknowledge() == SPURIOUS ? good : 0;
}

/* Each preempts the one before, more deeply than there are list registers. */
GUEST uint64_t guest_nested(uint64_t arg);
GUEST uint64_t guest_nested(uint64_t arg)
{
	uint64_t taken = 0;

	(void)arg;
	setup_cpu(0);
	setup_spis(true);
	for (unsigned int n = 0; n < 16; n++) {
		write8(GUEST_GICD + GICD_IPRIORITYR + FIRST + n, 0xe0 - n * 8);
		set_bit(GICD_ISPENDR, FIRST + n);
		barrier();
		if (await() != FIRST + n)
			return taken;
		taken++;
	}
	for (unsigned int n = 16; n-- > 0;) {
		/* Again, while it is active: after it has ended. */
		set_bit(GICD_ISPENDR, FIRST + n);
		barrier();
		end(FIRST + n);
		if (await() != FIRST + n)
			return taken;
		end(FIRST + n);
		taken++;
	}
	return read32(GUEST_GICD + GICD_ISACTIVER + 4) ? 0 : taken;
}

/* With EOImode 1 all are active at once, and are deactivated in another order. */
GUEST uint64_t guest_eoi_mode(uint64_t arg);
GUEST uint64_t guest_eoi_mode(uint64_t arg)
{
	uint32_t all = (1U << COUNT) - 1;

	(void)arg;
	setup_cpu(0);
	GUEST_MSR(ICC_CTLR, CTLR_EOIMODE);
	setup_spis(true);
	for (unsigned int n = 0; n < COUNT; n++)
		set_bit(GICD_ISPENDR, FIRST + n);
	barrier();
	for (unsigned int n = 0; n < COUNT; n++) {
		uint64_t intid = await();

		if (intid == SPURIOUS)
			return n;
		end(intid);
	}
	if (read32(GUEST_GICD + GICD_ISACTIVER + 4) != all)
		return 100;
	for (unsigned int n = 0; n < COUNT; n++) {
		unsigned int which = n * 5 % COUNT;

		all &= ~(1U << which);
		GUEST_MSR(ICC_DIR, FIRST + which);
		GUEST_ISB();
		if (read32(GUEST_GICD + GICD_ISACTIVER + 4) != all)
			return 200 + n;
		/* It can come again. */
		if (n % 4 == 0) {
			set_bit(GICD_ISPENDR, FIRST + which);
			barrier();
			if (await() != FIRST + which)
				return 300 + n;
			end(FIRST + which);
			GUEST_MSR(ICC_DIR, FIRST + which);
		}
	}
	return 1000;
}

/* A level-sensitive interrupt that software has made pending comes once. */
GUEST uint64_t guest_level(uint64_t arg);
GUEST uint64_t guest_level(uint64_t arg)
{
	(void)arg;
	setup_cpu(0);
	setup_spis(false);
	for (unsigned int n = 0; n < 100; n++) {
		unsigned int intid = FIRST + n % COUNT;

		set_bit(GICD_ISPENDR, intid);
		barrier();
		if (!(read32(GUEST_GICD + GICD_ISPENDR + 4) >> n % COUNT & 1))
			return 1;
		if (await() != intid)
			return 2;
		if (read32(GUEST_GICD + GICD_ISPENDR + 4) >> n % COUNT & 1)
			return 3;
		if (!(read32(GUEST_GICD + GICD_ISACTIVER + 4) >> n % COUNT & 1))
			return 4;
		end(intid);
		if (acknowledge() != SPURIOUS)
			return 5;
		/* Taken back before it is taken. */
		set_bit(GICD_ISPENDR, intid);
		set_bit(GICD_ICPENDR, intid);
		barrier();
		if (acknowledge() != SPURIOUS)
			return 6;
	}
	return 1000;
}

/* What masks, priorities and groups keep away, and what does not. */
GUEST uint64_t guest_masks(uint64_t arg);
GUEST uint64_t guest_masks(uint64_t arg)
{
	(void)arg;
	setup_cpu(0);
	setup_spis(true);
	write32(GUEST_GICD + GICD_IGROUPR + 4, ~0U);
	GUEST_MSR(ICC_PMR, 0xa0);
	GUEST_ISB();
	set_bit(GICD_ISPENDR, FIRST);
	barrier();
	if (acknowledge() != SPURIOUS)
		return 1;
	GUEST_MSR(ICC_PMR, 0xa8);
	GUEST_ISB();
	if (GUEST_MRS(ICC_PMR) != 0xa8)
		return 2;
	if (GUEST_MRS(ICC_HPPIR1) != FIRST || await() != FIRST)
		return 3;
	end(FIRST);
	/* In group 0, which is taken by registers of its own. */
	GUEST_MSR(ICC_PMR, 0xf8);
	write32(GUEST_GICD + GICD_IGROUPR + 4, ~1U);
	write32(GUEST_GICD + GICD_CTLR, 0x13);
	set_bit(GICD_ISPENDR, FIRST);
	barrier();
	if (acknowledge() != SPURIOUS)
		return 4;
	if (GUEST_MRS(ICC_IAR0) != SPURIOUS)
		return 5;
	GUEST_MSR(ICC_IGRPEN0, 1);
	GUEST_ISB();
	if (GUEST_MRS(ICC_IAR0) != FIRST)
		return 6;
	GUEST_MSR(ICC_EOIR0, FIRST);
	GUEST_ISB();
	/* Groups that the distributor does not forward. */
	write32(GUEST_GICD + GICD_CTLR, 0x10);
	set_bit(GICD_ISPENDR, FIRST + 1);
	barrier();
	if (acknowledge() != SPURIOUS)
		return 7;
	write32(GUEST_GICD + GICD_CTLR, 0x12);
	barrier();
	if (await() != FIRST + 1)
		return 8;
	end(FIRST + 1);
	if ((GUEST_MRS(ICC_SRE) & 1) != 1)
		return 9;
	return 1000;
}

/* Sends SGI 1 to vCPU 1 and takes SGI 2 in return, arg times; waits by WFI or by looking. */
GUEST uint64_t guest_ping(uint64_t arg);
GUEST uint64_t guest_ping(uint64_t arg)
{
	volatile struct guest_area *area = guest_area();

	setup_cpu(0);
	write32(GUEST_GICD + GICD_CTLR, 0x12);
	barrier();
	for (uint64_t n = 0; n < arg; n++) {
		uint64_t intid;

		GUEST_MSR(ICC_SGI1R, 1UL << 24 | 1UL << 1);
		GUEST_ISB();
		while ((intid = acknowledge()) == SPURIOUS)
			if (area->data[0])
				asm volatile("wfi" : : : "memory");
		end(intid);
		if (intid != 2)
			return intid;
		area->seen = n;
	}
	return 1000;
}

GUEST uint64_t guest_pong(uint64_t arg);
GUEST uint64_t guest_pong(uint64_t arg)
{
	volatile struct guest_area *area = guest_area();

	setup_cpu(1);
	for (uint64_t n = 0; n < arg; n++) {
		uint64_t intid;

		while ((intid = acknowledge()) == SPURIOUS)
			if (area->data[0])
				asm volatile("wfi" : : : "memory");
		end(intid);
		if (intid != 1)
			return intid;
		GUEST_MSR(ICC_SGI1R, 2UL << 24 | 1UL << 0);
		GUEST_ISB();
	}
	return 1000;
}

/* vCPU 0 sends to all others, and each of them back; arg says how often. */
GUEST uint64_t guest_broadcast(uint64_t arg);
GUEST uint64_t guest_broadcast(uint64_t arg)
{
	volatile struct guest_area *area = guest_area();

	setup_cpu(0);
	write32(GUEST_GICD + GICD_CTLR, 0x12);
	/* The others have set up their interfaces. */
	while (area->go != VCPUS - 1)
		;
	for (uint64_t n = 0; n < arg; n++) {
		uint32_t from = 0;

		GUEST_MSR(ICC_SGI1R, 1UL << 40);
		GUEST_ISB();
		while (from != 0xe) {
			uint64_t intid = acknowledge();

			if (intid == SPURIOUS)
				continue;
			end(intid);
			if (intid == 0 || intid >= VCPUS)
				return intid;
			from |= 1 << intid;
		}
	}
	return 1000;
}

GUEST uint64_t guest_answer(uint64_t arg);
GUEST uint64_t guest_answer(uint64_t arg)
{
	uint64_t me = GUEST_MRS("mpidr_el1") & 0xff;
	volatile struct guest_area *area = guest_area();

	setup_cpu(me);
	area->go = 1;
	for (uint64_t n = 0; n < arg; n++) {
		uint64_t intid;

		while ((intid = acknowledge()) == SPURIOUS)
			asm volatile("wfi" : : : "memory");
		end(intid);
		if (intid != 0)
			return intid;
		GUEST_MSR(ICC_SGI1R, me << 24 | 1UL << 0);
		GUEST_ISB();
	}
	return 1000;
}

FIXTURE(gic)
{
	struct vm vm;
	struct vcpu vcpus[VCPUS];
};

FIXTURE_SETUP(gic)
{
	int ret;

	ASSERT_EQ(0, vm_create(&self->vm));
	for (unsigned int n = 0; n < VCPUS; n++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpus[n], n));
	ret = vm_gic(&self->vm);
	if (ret == -ENODEV)
		SKIP(return, "there is no GIC for VMs");
	ASSERT_EQ(0, ret);
}

FIXTURE_TEARDOWN(gic)
{
	kick_every(0);
	for (unsigned int n = 0; n < VCPUS; n++)
		vcpu_destroy(&self->vcpus[n]);
	vm_destroy(&self->vm);
}

TEST_F(gic, by_priority)
{
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_priorities, 0, 0));
	EXPECT_EQ(COUNT, self->vcpus[0].value);
}

TEST_F(gic, nested)
{
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_nested, 0, 0));
	EXPECT_EQ(32, self->vcpus[0].value);
}

TEST_F(gic, eoi_mode)
{
	if (!host_is_module())
		SKIP(return, "C KVM believes QEMU's EOIcount, which counts too much");
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_eoi_mode, 0, 0));
	EXPECT_EQ(1000, self->vcpus[0].value);
}

TEST_F(gic, level)
{
	if (!host_is_module())
		SKIP(return, "to C KVM it is pending until it is not active any more");
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_level, 0, 0));
	EXPECT_EQ(1000, self->vcpus[0].value);
}

TEST_F(gic, masks_and_groups)
{
	if (!host_is_module())
		SKIP(return, "C KVM forgets what became pending while the distributor was off");
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_masks, 0, 0));
	EXPECT_EQ(1000, self->vcpus[0].value);
}

struct thread {
	pthread_t thread;
	struct vcpu *vcpu;
	void *fn;
	uint64_t arg;
	int ret;
};

static void *run(void *arg)
{
	struct thread *t = arg;

	t->ret = guest_finish(t->vcpu, t->fn, t->arg, 0);
	return NULL;
}

static int start(struct thread *t, struct vcpu *vcpu, void *fn, uint64_t arg)
{
	*t = (struct thread){ .vcpu = vcpu, .fn = fn, .arg = arg };
	return pthread_create(&t->thread, NULL, run, t);
}

static void ping_pong(struct __test_metadata *_metadata, struct vcpu *vcpus, unsigned int times,
		      bool ping_waits, bool pong_waits)
{
	struct thread t[2];

	vcpus[0].area->data[0] = ping_waits;
	vcpus[1].area->data[0] = pong_waits;
	ASSERT_EQ(0, start(&t[1], &vcpus[1], guest_pong, times));
	ASSERT_EQ(0, start(&t[0], &vcpus[0], guest_ping, times));
	for (unsigned int n = 0; n < 2; n++) {
		pthread_join(t[n].thread, NULL);
		EXPECT_EQ(0, t[n].ret);
		EXPECT_EQ(1000, vcpus[n].value);
	}
}

TEST_F(gic, sgis_to_one_that_runs)
{
	ping_pong(_metadata, self->vcpus, 300, false, false);
}

TEST_F(gic, sgis_to_one_that_waits)
{
	ping_pong(_metadata, self->vcpus, 300, false, true);
}

TEST_F(gic, sgis_both_wait)
{
	ping_pong(_metadata, self->vcpus, 300, true, true);
}

TEST_F(gic, broadcast)
{
	struct thread t[VCPUS];
	unsigned int ready;

	for (unsigned int n = 1; n < VCPUS; n++)
		ASSERT_EQ(0, start(&t[n], &self->vcpus[n], guest_answer, 50));
	ASSERT_EQ(0, start(&t[0], &self->vcpus[0], guest_broadcast, 50));
	do {
		ready = 0;
		for (unsigned int n = 1; n < VCPUS; n++)
			ready += *(volatile uint64_t *)&self->vcpus[n].area->go;
		usleep(1000);
	} while (ready != VCPUS - 1);
	*(volatile uint64_t *)&self->vcpus[0].area->go = ready;
	for (unsigned int n = 0; n < VCPUS; n++) {
		pthread_join(t[n].thread, NULL);
		EXPECT_EQ(0, t[n].ret);
		EXPECT_EQ(1000, self->vcpus[n].value);
	}
}

TEST_HARNESS_MAIN
