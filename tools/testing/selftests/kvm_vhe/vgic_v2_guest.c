// SPDX-License-Identifier: GPL-2.0
/*
 * A GICv2 in software as a guest finds it: its registers are in memory, what it signals
 * is in ISR_EL1, and there are no system registers. A guest function returns the line of
 * the step that failed, or 0.
 * Runs on the module and on C KVM, which has none on a host without v2 compatibility.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "gicv2.h"

#define SPI		40
#define OTHER		41
#define TIMER		27

/* What is not so ends the guest function. */
#define CHECK(what)		\
	do {			\
		if (!(what))	\
			return __LINE__; \
	} while (0)

/* Takes the SPI, whose line user space has up. */
GUEST uint64_t guest_level(uint64_t unused)
{
	(void)unused;
	CHECK(!signalled());
	start_gic(0);
	start_spi(SPI, 0x80);
	CHECK(signalled() == ISR_I);
	CHECK(read32(GICC + GICC_HPPIR) == SPI);
	CHECK(acknowledge() == SPI);
	/* It is active: not again, though the line is up. */
	CHECK(!signalled() && acknowledge() == SPURIOUS);
	CHECK(get_bit(GICD_ISACTIVER, SPI) && get_bit(GICD_ISPENDR, SPI));
	end(SPI);
	CHECK(signalled() == ISR_I && acknowledge() == SPI);
	guest_say(1, 0);
	/* The line is down now. */
	CHECK(!get_bit(GICD_ISPENDR, SPI));
	end(SPI);
	CHECK(!signalled() && read32(GICC + GICC_RPR) == IDLE);
	/* Edge-triggered, what is pending stays. */
	write32(GICD + GICD_ICFGR + SPI / 16 * 4, 2U << SPI % 16 * 2);
	set_bit(GICD_ISPENDR, SPI);
	CHECK(signalled() == ISR_I);
	set_bit(GICD_ICENABLER, SPI);
	CHECK(!signalled() && acknowledge() == SPURIOUS);
	set_bit(GICD_ISENABLER, SPI);
	CHECK(acknowledge() == SPI && !get_bit(GICD_ISPENDR, SPI));
	end(SPI);
	return 0;
}

/* Group 0 is signalled by FIQ, group 1 by IRQ; each has its registers. */
GUEST uint64_t guest_groups(uint64_t unused)
{
	(void)unused;
	start_gic(CTLR_FIQ);
	start_spi(SPI, 0x80);
	start_spi(OTHER, 0x80);
	write32(GICD + GICD_IGROUPR + 4, 1U << OTHER % 32);
	CHECK(read32(GICD + GICD_IGROUPR + 4) == 1U << OTHER % 32);
	set_bit(GICD_ISPENDR, OTHER);
	CHECK(signalled() == ISR_I);
	CHECK(read32(GICC + GICC_HPPIR) == OTHER_GROUP && acknowledge() == OTHER_GROUP);
	CHECK(read32(GICC + GICC_AHPPIR) == OTHER);
	set_bit(GICD_ISPENDR, SPI);
	CHECK(signalled() == ISR_F);
	CHECK(read32(GICC + GICC_AHPPIR) == SPURIOUS && read32(GICC + GICC_AIAR) == SPURIOUS);
	CHECK(acknowledge() == SPI && !signalled());
	/* GICC_AEOIR is not for it. */
	write32(GICC + GICC_AEOIR, SPI);
	CHECK(read32(GICC + GICC_RPR) == 0x80);
	end(SPI);
	CHECK(signalled() == ISR_I && read32(GICC + GICC_AIAR) == OTHER);
	write32(GICC + GICC_AEOIR, OTHER);
	CHECK(read32(GICC + GICC_RPR) == IDLE && !get_bit(GICD_ISACTIVER, OTHER));
	/* GICC_IAR is for both, then. */
	write32(GICC + GICC_CTLR, CTLR_ENABLE | CTLR_ACK);
	set_bit(GICD_ISPENDR, OTHER);
	CHECK(acknowledge() == OTHER);
	end(OTHER);
	/* Neither is signalled that is not forwarded, or not enabled in the CPU interface. */
	set_bit(GICD_ISPENDR, OTHER);
	write32(GICC + GICC_CTLR, 1);
	CHECK(!signalled() && acknowledge() == SPURIOUS);
	write32(GICC + GICC_CTLR, CTLR_ENABLE);
	CHECK(signalled() == ISR_I);
	write32(GICD + GICD_CTLR, 1);
	CHECK(!signalled() && read32(GICC + GICC_AHPPIR) == SPURIOUS);
	write32(GICD + GICD_CTLR, CTLR_ENABLE);
	CHECK(signalled() == ISR_I);
	return 0;
}

/* One of a higher priority preempts, unless it is the same group priority. */
GUEST uint64_t guest_priorities(uint64_t unused)
{
	(void)unused;
	start_gic(0);
	start_spi(SPI, 0xa7);
	start_spi(OTHER, 0x90);
	/* There are 5 bits. */
	CHECK(read8(GICD + GICD_IPRIORITYR + SPI) == 0xa0);
	set_bit(GICD_ISPENDR, SPI);
	write32(GICC + GICC_PMR, 0xa0);
	CHECK(!signalled());
	write32(GICC + GICC_PMR, 0xa8);
	/* The upper 2 bits are the group priority: 0x80 of both. */
	write32(GICC + GICC_BPR, 5);
	CHECK(acknowledge() == SPI && read32(GICC + GICC_RPR) == 0x80);
	set_bit(GICD_ISPENDR, OTHER);
	CHECK(!signalled() && acknowledge() == SPURIOUS);
	end(SPI);
	set_bit(GICD_ICPENDR, OTHER);
	CHECK(!signalled() && read32(GICC + GICC_RPR) == IDLE);
	write32(GICC + GICC_BPR, 0);
	CHECK(read32(GICC + GICC_BPR) == 2 && read32(GICC + GICC_ABPR) == 3);
	set_bit(GICD_ISPENDR, SPI);
	CHECK(acknowledge() == SPI && read32(GICC + GICC_RPR) == 0xa0);
	set_bit(GICD_ISPENDR, OTHER);
	CHECK(signalled() == ISR_I);
	CHECK(acknowledge() == OTHER && read32(GICC + GICC_RPR) == 0x90);
	CHECK(read32(GICC + GICC_APR) == (1U << (0xa0 >> 3) | 1U << (0x90 >> 3)));
	end(OTHER);
	CHECK(read32(GICC + GICC_RPR) == 0xa0);
	end(SPI);
	CHECK(read32(GICC + GICC_RPR) == IDLE && !read32(GICC + GICC_APR));
	/* What it is not. */
	end(SPURIOUS);
	CHECK(!read32(GICC + 0xe0) && read32(GICC + GICC_IIDR) == 0x04b2043b);
	return 0;
}

/* The priority is dropped first, and the interrupt deactivated later. */
GUEST uint64_t guest_eoi_mode(uint64_t unused)
{
	(void)unused;
	start_gic(CTLR_EOI_MODE);
	start_spi(SPI, 0x80);
	set_bit(GICD_ISPENDR, SPI);
	CHECK(acknowledge() == SPI);
	end(SPI);
	CHECK(read32(GICC + GICC_RPR) == IDLE && get_bit(GICD_ISACTIVER, SPI));
	set_bit(GICD_ISPENDR, SPI);
	CHECK(!signalled());
	write32(GICC + GICC_DIR, SPI);
	CHECK(signalled() == ISR_I && !get_bit(GICD_ISACTIVER, SPI));
	CHECK(acknowledge() == SPI);
	write32(GICC + GICC_CTLR, CTLR_ENABLE);
	write32(GICC + GICC_DIR, SPI);
	CHECK(get_bit(GICD_ISACTIVER, SPI));
	end(SPI);
	CHECK(!get_bit(GICD_ISACTIVER, SPI));
	return 0;
}

/* The other vCPU sends by the list, to others, and to itself. */
GUEST uint64_t guest_send(uint64_t unused)
{
	(void)unused;
	start_gic(0);
	write32(GICD + GICD_SGIR, 1 << 16 | 5);
	write32(GICD + GICD_SGIR, 1 << 24 | 6);
	write32(GICD + GICD_SGIR, 2 << 24 | 7);
	write32(GICD + GICD_SGIR, 3 << 24 | 8);
	CHECK(acknowledge() == (1 << 10 | 7));
	end(1 << 10 | 7);
	CHECK(acknowledge() == SPURIOUS);
	return 0;
}

GUEST uint64_t guest_receive(uint64_t unused)
{
	(void)unused;
	start_gic(0);
	/* From itself, too. */
	write32(GICD + GICD_SGIR, 1 << 16 | 5);
	CHECK(read8(GICD + GICD_SPENDSGIR + 5) == 3 && read8(GICD + GICD_CPENDSGIR + 6) == 2);
	CHECK(!read8(GICD + GICD_SPENDSGIR + 7) && !read8(GICD + GICD_SPENDSGIR + 8));
	CHECK(acknowledge() == 5);
	end(5);
	CHECK(acknowledge() == (1 << 10 | 5));
	end(1 << 10 | 5);
	/* GICD_ICPENDR does not change it. */
	set_bit(GICD_ICPENDR, 6);
	CHECK(get_bit(GICD_ISPENDR, 6));
	write8(GICD + GICD_CPENDSGIR + 6, 2);
	CHECK(!get_bit(GICD_ISPENDR, 6) && acknowledge() == SPURIOUS);
	/* From one that there is not. */
	write8(GICD + GICD_SPENDSGIR + 6, 4);
	CHECK(!read8(GICD + GICD_SPENDSGIR + 6));
	write8(GICD + GICD_SPENDSGIR + 6, 2);
	CHECK(acknowledge() == (1 << 10 | 6));
	end(1 << 10 | 6);
	/* One's own are in the same place for each. */
	CHECK(read32(GICD + GICD_ITARGETSR) == 0x01010101);
	write32(GICD + GICD_ITARGETSR + SPI, 0xff020100);
	CHECK(read32(GICD + GICD_ITARGETSR + SPI) == 0x03020100);
	write8(GICD + GICD_ITARGETSR + SPI + 3, 2);
	CHECK(read32(GICD + GICD_ITARGETSR + SPI) == 0x02020100);
	CHECK(read8(GICD + GICD_ITARGETSR + SPI + 1) == 1);
	return 0;
}

/* One vCPU: all goes to it, and that cannot be changed. */
GUEST uint64_t guest_alone(uint64_t unused)
{
	(void)unused;
	start_gic(0);
	CHECK(!read32(GICD + GICD_ITARGETSR) && !(read32(GICD + GICD_TYPER) & 7 << 5));
	set_bit(GICD_ISENABLER, SPI);
	set_bit(GICD_ISPENDR, SPI);
	CHECK(acknowledge() == SPI);
	end(SPI);
	write8(GICD + GICD_ITARGETSR + SPI, 1);
	CHECK(!read8(GICD + GICD_ITARGETSR + SPI));
	set_bit(GICD_ISPENDR, SPI);
	CHECK(acknowledge() == SPI);
	end(SPI);
	return 0;
}

/* A timer's interrupt is there while the timer is over, and not any longer. */
GUEST uint64_t guest_timer(uint64_t unused)
{
	uint64_t ticks = GUEST_MRS("cntfrq_el0") / 200;
	unsigned int round;

	(void)unused;
	start_gic(0);
	set_bit(GICD_ISENABLER, TIMER);
	for (round = 0; round < 4; round++) {
		GUEST_ISB();
		GUEST_MSR("cntv_cval_el0", GUEST_MRS("cntvct_el0") + ticks);
		GUEST_MSR("cntv_ctl_el0", 1);
		CHECK(await() == TIMER);
		CHECK(GUEST_MRS("cntv_ctl_el0") == 5);
		end(TIMER);
		CHECK(signalled() == ISR_I && get_bit(GICD_ISPENDR, TIMER));
		/* It is not taken any more from when the guest has stopped it. */
		GUEST_MSR("cntv_ctl_el0", 0);
		GUEST_ISB();
		CHECK(acknowledge() == SPURIOUS && !get_bit(GICD_ISPENDR, TIMER));
		CHECK(!signalled());
	}
	/* It comes again though it was never ended by a handler. */
	GUEST_MSR("cntv_cval_el0", 0);
	GUEST_MSR("cntv_ctl_el0", 1);
	CHECK(await() == TIMER);
	GUEST_MSR("cntv_cval_el0", GUEST_MRS("cntvct_el0") + ticks);
	end(TIMER);
	CHECK(await() == TIMER && GUEST_MRS("cntv_ctl_el0") == 5);
	GUEST_MSR("cntv_ctl_el0", 0);
	end(TIMER);
	CHECK(!signalled());
	return 0;
}

/*
 * Which of the accesses were exceptions (QEMU's CPU traps no access to ICC_SRE_EL1),
 * a bit for each, and ID_AA64PFR0_EL1.GIC above.
 */
GUEST uint64_t guest_icc(uint64_t unused)
{
	struct guest_area *area = guest_area();
	uint64_t undefined = 0;

	(void)unused;
	area->catch = 1;
	area->caught = 0;
	GUEST_MRS("s3_0_c4_c6_0");	/* ICC_PMR_EL1 */
	undefined |= area->caught << 0;
	area->caught = 0;
	GUEST_MSR("s3_0_c12_c11_5", 0);	/* ICC_SGI1R_EL1 */
	undefined |= area->caught << 1;
	area->caught = 0;
	GUEST_MRS("s3_0_c12_c12_0");	/* ICC_IAR1_EL1 */
	undefined |= area->caught << 2;
	return undefined | (GUEST_MRS("id_aa64pfr0_el1") >> 24 & 0xf) << 8;
}

/* Counts interrupts in its data, for each answers the other vCPU if that is asked. */
GUEST uint64_t guest_count(uint64_t answer)
{
	struct guest_area *area = guest_area();
	uint32_t id;

	start_gic(0);
	start_spi(SPI, 0x80);
	write32(GICD + GICD_ICFGR + SPI / 16 * 4, 2U << SPI % 16 * 2);
	for (;;) {
		area->seen++;
		id = await();
		end(id);
		if ((id & 0x3ff) == 15)
			return 0;
		area->data[0]++;
		if (answer)
			write32(GICD + GICD_SGIR, 1 << 24 | 5);
	}
}

/* Interrupts the other vCPU n times, which sleeps, and waits for the answers. */
GUEST uint64_t guest_ask(uint64_t n)
{
	start_gic(0);
	for (; n; n--) {
		write32(GICD + GICD_SGIR, 1 << 24 | 4);
		CHECK(await() == 5);
		end(5);
	}
	write32(GICD + GICD_SGIR, 1 << 24 | 15);
	return 0;
}

/* Does all that can be done to the interrupts, over and over. */
GUEST uint64_t guest_hostile(uint64_t seed)
{
	struct guest_area *area = guest_area();
	uint64_t x = seed * 0x9e3779b97f4a7c15 + 1;
	uint32_t id;

	start_gic(0);
	while (!((volatile struct guest_area *)area)->go) {
		unsigned int intid, what, n;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		intid = x >> 8 & 127;
		what = x & 15;
		if (what < 7)
			write32(GICD + GICD_IGROUPR + 0x80 * what + intid / 32 * 4, x >> 32);
		else if (what < 9)
			write8(GICD + (what == 7 ? GICD_IPRIORITYR : GICD_ITARGETSR) + intid,
			       x >> 32);
		else if (what == 9)
			write32(GICD + GICD_SGIR, x >> 32);
		else if (what == 10)
			write32(GICC + (x >> 16 & 0x2c), x >> 32);
		else if (what == 11)
			start_gic(x >> 16 & CTLR_EOI_MODE);
		else
			for (n = 0; n < 32 && (id = acknowledge()) < OTHER_GROUP; n++)
				end(id);
		area->seen++;
	}
	return 0;
}

FIXTURE(v2)
{
	struct vm vm;
	struct vcpu vcpus[2];
	int gic;
};

FIXTURE_SETUP(v2)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	if (!v2_exists(&self->vm))
		SKIP(return, "there is no GICv2 for VMs");
	for (unsigned int n = 0; n < 2; n++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpus[n], n));
	self->gic = v2_make(&self->vm);
	ASSERT_LE(0, self->gic);
}

FIXTURE_TEARDOWN(v2)
{
	for (unsigned int n = 0; n < 2; n++)
		vcpu_destroy(&self->vcpus[n]);
	close(self->gic);
	vm_destroy(&self->vm);
}

/* Runs a guest function to its end: the line of the step that failed, or 0. */
static int64_t step(struct vcpu *vcpu, void *fn)
{
	int ret = guest_finish(vcpu, fn, 0, 0);

	return ret ? ret : (int64_t)vcpu->value;
}

TEST_F(v2, level_line)
{
	struct vcpu *vcpu = &self->vcpus[0];
	enum guest_event event;

	ASSERT_EQ(0, v2_level(self->gic, SPI));
	ASSERT_EQ(0, v2_line(&self->vm, SPI, 1));
	ASSERT_EQ(0, vcpu_start(vcpu, guest_level, 0, 0));
	event = guest_run(vcpu);
	ASSERT_EQ(GUEST_SAID, event) TH_LOG("%s", guest_told(vcpu, event));
	ASSERT_EQ(0, v2_line(&self->vm, SPI, 0));
	event = guest_run(vcpu);
	ASSERT_EQ(GUEST_DONE, event) TH_LOG("%s", guest_told(vcpu, event));
	EXPECT_EQ(0, vcpu->value);
}

TEST_F(v2, groups)
{
	EXPECT_EQ(0, step(&self->vcpus[0], guest_groups));
}

TEST_F(v2, priorities)
{
	EXPECT_EQ(0, step(&self->vcpus[0], guest_priorities));
}

TEST_F(v2, eoi_mode)
{
	EXPECT_EQ(0, step(&self->vcpus[0], guest_eoi_mode));
}

TEST_F(v2, sgis_and_targets)
{
	EXPECT_EQ(0, step(&self->vcpus[1], guest_send));
	EXPECT_EQ(0, step(&self->vcpus[0], guest_receive));
}

TEST_F(v2, timer)
{
	EXPECT_EQ(0, step(&self->vcpus[0], guest_timer));
	/* Its line is not user space's. */
	EXPECT_EQ(0, v2_line(&self->vm, TIMER, 1));
	EXPECT_EQ(0, step(&self->vcpus[0], guest_timer));
}

TEST_F(v2, no_system_registers)
{
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_icc, 0, 0));
	EXPECT_EQ(7, self->vcpus[0].value);
}

/* Waits until the guest has said that it waits n times. */
static bool waits(struct vcpu *vcpu, uint64_t n)
{
	volatile uint64_t *seen = &vcpu->area->seen;

	for (unsigned int i = 0; i < 5000 && *seen < n; i++)
		usleep(1000);
	return *seen >= n;
}

/* An SPI ends a WFI, each time. */
TEST_F(v2, wakes_up)
{
	struct vcpu *vcpu = &self->vcpus[0];
	pthread_t thread;
	void *event;

	ASSERT_EQ(0, vcpu_start(vcpu, guest_count, 0, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, guest_thread, vcpu));
	for (unsigned int n = 1; n <= 20; n++) {
		ASSERT_TRUE(waits(vcpu, n));
		usleep(2000);
		ASSERT_EQ(0, v2_line(&self->vm, SPI, 1));
		ASSERT_TRUE(guest_counts(vcpu, 0, n));
	}
	ASSERT_EQ(0, step(&self->vcpus[1], guest_ask));
	ASSERT_EQ(0, pthread_join(thread, &event));
	EXPECT_EQ(GUEST_DONE, (long)event);
}

TEST_F(v2, ipis)
{
	struct vcpu *vcpu = &self->vcpus[0];
	pthread_t thread;
	void *event;

	ASSERT_EQ(0, vcpu_start(vcpu, guest_count, 1, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, guest_thread, vcpu));
	ASSERT_EQ(0, guest_finish(&self->vcpus[1], guest_ask, 500, 0));
	EXPECT_EQ(0, self->vcpus[1].value);
	ASSERT_EQ(0, pthread_join(thread, &event));
	EXPECT_EQ(GUEST_DONE, (long)event);
	EXPECT_EQ(500, vcpu->area->data[0]);
}

TEST(alone)
{
	struct vm vm;
	struct vcpu vcpu;
	int gic;

	ASSERT_EQ(0, vm_create(&vm));
	if (!v2_exists(&vm))
		SKIP(return, "there is no GICv2 for VMs");
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
	gic = v2_make(&vm);
	ASSERT_LE(0, gic);
	EXPECT_EQ(0, step(&vcpu, guest_alone));
	close(gic);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

/* Two vCPUs do what they can, and so do lines and attributes, at the same time. */
TEST_F(v2, all_at_once)
{
	pthread_t threads[2];
	uint64_t accesses = 0, busy = 0;
	struct timespec now;
	time_t until;
	void *event;

	for (unsigned int n = 0; n < 2; n++) {
		ASSERT_EQ(0, vcpu_start(&self->vcpus[n], guest_hostile, n + 1, 0));
		ASSERT_EQ(0, pthread_create(&threads[n], NULL, guest_thread, &self->vcpus[n]));
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	until = now.tv_sec + 3;
	for (unsigned int i = 0; now.tv_sec < until; i++) {
		unsigned int group = i & 1 ? KVM_DEV_ARM_VGIC_GRP_DIST_REGS :
				     KVM_DEV_ARM_VGIC_GRP_CPU_REGS;
		int ret = device_set(self->gic, group, (i & 2UL) << 31 | (i * 4 & 0xfff), i);

		ASSERT_TRUE(!ret || ret == -EBUSY || ret == -ENXIO || ret == -EINVAL)
			TH_LOG("%d", ret);
		busy += ret == -EBUSY;
		ASSERT_EQ(0, v2_line(&self->vm, 16 + i % 80, i / 80 & 1));
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
	for (unsigned int n = 0; n < 2; n++)
		((volatile struct guest_area *)self->vcpus[n].area)->go = 1;
	for (unsigned int n = 0; n < 2; n++) {
		ASSERT_EQ(0, pthread_join(threads[n], &event));
		EXPECT_EQ(GUEST_DONE, (long)event);
		accesses += self->vcpus[n].area->seen;
	}
	EXPECT_LT(100, accesses);
	EXPECT_LT(10, busy);
}

TEST_HARNESS_MAIN
