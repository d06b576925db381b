// SPDX-License-Identifier: GPL-2.0
/*
 * A GICv3's state by its attributes: what user space and the guest see of each other,
 * while vCPUs run, fail to be made, and go.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "vgic_attr.h"
#include "gic.h"

GUEST uint64_t guest_spin(uint64_t unused)
{
	(void)unused;
	guest_say(1, 0);
	for (;;)
		guest_read(GUEST_GICD + GICD_TYPER);
	return 0;
}

/* Reads GICR_TYPER of a redistributor for ever. */
GUEST uint64_t guest_read_on(uint64_t gicr)
{
	guest_say(1, 0);
	for (;;)
		guest_read(gicr + GICR_TYPER);
	return 0;
}

TEST_F(attr, guest_and_user_see_the_same)
{
	struct vcpu *vcpu = &self->vcpus[0];
	const uint64_t sgi = GICR_SGI;

	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, GICD_ISENABLER + 4, 0x80000001));
	EXPECT_EQ(0x80000001, guest_reads(vcpu, GUEST_GICD + GICD_ISENABLER + 4));
	EXPECT_EQ(0, guest_writes(vcpu, GUEST_GICD + GICD_IPRIORITYR + 40, 0x98a81828));
	EXPECT_EQ(0x98a81828, get32(self->gic, GRP_DIST, GICD_IPRIORITYR + 40));
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, GICD_IROUTER + 40 * 8, 1));
	EXPECT_EQ(1, guest_reads(vcpu, GUEST_GICD + GICD_IROUTER + 40 * 8));

	/* Each vCPU has its own SGIs and PPIs, and a guest may look at another's. */
	EXPECT_EQ(0, device_set(self->gic, GRP_REDIST, CPU(1) | (sgi + GICD_ISENABLER), 1U << 20));
	EXPECT_EQ(0, guest_reads(vcpu, GUEST_GICR + sgi + GICD_ISENABLER) & 1U << 20);
	EXPECT_EQ(1U << 20, guest_reads(vcpu, GUEST_GICR + 0x20000 + sgi + GICD_ISENABLER) &
				    1U << 20);

	/* A level: pending for the guest, and no latch for user space. */
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, GICD_ICFGR + 8, 0));
	EXPECT_EQ(0, device_set(self->gic, GRP_LEVEL, 32, 1U << 2));
	EXPECT_EQ(1U << 2, get32(self->gic, GRP_LEVEL, 32));
	EXPECT_EQ(0, get32(self->gic, GRP_DIST, GICD_ISPENDR + 4));
	EXPECT_EQ(1U << 2, guest_reads(vcpu, GUEST_GICD + GICD_ISPENDR + 4));
	EXPECT_EQ(0, device_set(self->gic, GRP_LEVEL, 32, 0));
	EXPECT_EQ(0, guest_reads(vcpu, GUEST_GICD + GICD_ISPENDR + 4));
	/* A latch: the guest sets one, and user space both sets and clears it. */
	EXPECT_EQ(0, guest_writes(vcpu, GUEST_GICD + GICD_ISPENDR + 4, 1U << 3));
	EXPECT_EQ(1U << 3, get32(self->gic, GRP_DIST, GICD_ISPENDR + 4));
	EXPECT_EQ(0, get32(self->gic, GRP_DIST, GICD_ICPENDR + 4));
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, GICD_ICPENDR + 4, ~0U));
	EXPECT_EQ(1U << 3, get32(self->gic, GRP_DIST, GICD_ISPENDR + 4));
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, GICD_ISPENDR + 4, 1U << 5));
	EXPECT_EQ(1U << 5, guest_reads(vcpu, GUEST_GICD + GICD_ISPENDR + 4));

	/* What does not exist is zero, and ignored. */
	EXPECT_EQ(-ENXIO, has(self->gic, GRP_DIST, 0x8000));
	EXPECT_EQ(0, get32(self->gic, GRP_DIST, 0x8000));
	EXPECT_EQ(0, device_set(self->gic, GRP_DIST, 0x8000, ~0U));
	EXPECT_EQ(-ENXIO, has(self->gic, GRP_DIST, GICD_CTLR + 2));
	EXPECT_EQ(-ENXIO, has(self->gic, GRP_REDIST, 0x30000));
	EXPECT_EQ(-EINVAL, has(self->gic, GRP_REDIST, CPU(9)));
	EXPECT_EQ(-EINVAL, get32(self->gic, GRP_LEVEL, 33));
	EXPECT_EQ(-EINVAL, get32(self->gic, GRP_LEVEL, 1 << 10));
	EXPECT_EQ(-EFAULT, device_attr(self->gic, KVM_GET_DEVICE_ATTR, GRP_DIST, 0, (void *)8));
	EXPECT_EQ(-EFAULT, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_DIST, 0, (void *)8));
}

/* GICD_ICFGR after a reset is UNKNOWN; it is as C KVM has it. */
TEST_F(attr, triggers_after_reset)
{
	const uint64_t sgi = GICR_SGI;

	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	EXPECT_EQ(0xaaaaaaaa, get32(self->gic, GRP_REDIST, sgi + GICD_ICFGR));
	EXPECT_EQ(0, get32(self->gic, GRP_REDIST, sgi + GICD_ICFGR + 4));
	for (unsigned int spi = 32; spi < 256; spi += 16) {
		EXPECT_EQ(0xaaaaaaaa, get32(self->gic, GRP_DIST, GICD_ICFGR + spi / 4));
		EXPECT_EQ(0xaaaaaaaa,
			  guest_reads(&self->vcpus[0], GUEST_GICD + GICD_ICFGR + spi / 4));
	}
}

TEST_F(attr, cpu_interface)
{
	uint64_t value = 0, ctlr = 0;
	unsigned int found = 0;

	EXPECT_EQ(-EBUSY, get64(self->gic, GRP_CPU, ICC_PMR, &value));
	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	/* All that there are can be read, and written with what was read. */
	for (unsigned int reg = 0; reg < 1 << 16; reg++) {
		if (has(self->gic, GRP_CPU, CPU(1) | reg))
			continue;
		found++;
		if (get64(self->gic, GRP_CPU, CPU(1) | reg, &value) == 0) {
			EXPECT_EQ(0, device_set(self->gic, GRP_CPU, CPU(1) | reg, value)) {
				TH_LOG("register %#x", reg);
			}
		}
	}
	EXPECT_LE(15, found);
	EXPECT_EQ(0, device_set(self->gic, GRP_CPU, ICC_PMR, 0xf8));
	EXPECT_EQ(0, get64(self->gic, GRP_CPU, ICC_PMR, &value));
	EXPECT_EQ(0xf8, value);
	EXPECT_EQ(0, get64(self->gic, GRP_CPU, CPU(1) | ICC_PMR, &value));
	EXPECT_EQ(0, value);
	EXPECT_EQ(0, device_set(self->gic, GRP_CPU, ICC_IGRPEN1, 1));
	EXPECT_EQ(0, get64(self->gic, GRP_CPU, ICC_IGRPEN1, &value));
	EXPECT_EQ(1, value);
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_CPU, ICC_SRE, 0));
	EXPECT_EQ(0, get64(self->gic, GRP_CPU, ICC_CTLR, &ctlr));
	EXPECT_EQ(-EINVAL, device_set(self->gic, GRP_CPU, ICC_CTLR, ctlr | 7 << 8));
	EXPECT_EQ(0, device_set(self->gic, GRP_CPU, ICC_CTLR, ctlr));
	EXPECT_EQ(-EINVAL, get64(self->gic, GRP_CPU, CPU(5) | ICC_PMR, &value));
	EXPECT_EQ(-EFAULT, device_attr(self->gic, KVM_GET_DEVICE_ATTR, GRP_CPU, ICC_PMR, (void *)8));
}

/*
 * CVE-2025-37849: a vCPU whose creation fails leaves nothing of itself in the GIC, neither a
 * redistributor in a region nor a place in front of the next one.
 */
TEST_F(attr, cve_2025_37849_vcpu_that_fails)
{
	struct rlimit old, none;
	struct vcpu third, other;

	if (!host_is_module())
		SKIP(return, "C KVM gives away the places of such vCPUs");
	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	for (unsigned int i = 0; i < 20; i++) {
		EXPECT_EQ(-EEXIST, vcpu_open(&self->vm, &other, i % 2));
		none = (struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max };
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
		EXPECT_EQ(-EMFILE, vcpu_open(&self->vm, &other, 2));
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	}
	ASSERT_EQ(0, vcpu_create(&self->vm, &third, 2));
	ASSERT_EQ(0, init(self->gic));
	EXPECT_EQ(0x000, guest_reads(&third, GUEST_GICR + GICR_TYPER));
	EXPECT_EQ(0x100, guest_reads(&third, GUEST_GICR + 0x20000 + GICR_TYPER));
	EXPECT_EQ(0x210, guest_reads(&third, GUEST_GICR + 0x40000 + GICR_TYPER));
	vcpu_destroy(&third);
}

static void *spin(void *arg)
{
	struct vcpu *vcpu = arg;

	while (guest_run(vcpu) == GUEST_AGAIN)
		;
	return NULL;
}

/* State is not saved, nor changed, while a vCPU runs. */
TEST_F(attr, busy_while_a_vcpu_runs)
{
	pthread_t thread;
	uint64_t value;

	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	ASSERT_EQ(0, vcpu_start(&self->vcpus[1], guest_spin, 0, 0));
	ASSERT_EQ(GUEST_SAID, guest_run(&self->vcpus[1]));
	ASSERT_EQ(0, pthread_create(&thread, NULL, spin, &self->vcpus[1]));
	while (get32(self->gic, GRP_DIST, GICD_CTLR) != -EBUSY)
		msleep(1);
	for (unsigned int i = 0; i < 50; i++) {
		EXPECT_EQ(-EBUSY, get32(self->gic, GRP_DIST, GICD_CTLR));
		EXPECT_EQ(-EBUSY, device_set(self->gic, GRP_DIST, GICD_CTLR, 0));
		EXPECT_EQ(-EBUSY, get32(self->gic, GRP_REDIST, GICR_CTLR));
		EXPECT_EQ(-EBUSY, get32(self->gic, GRP_LEVEL, 32));
		EXPECT_EQ(-EBUSY, get64(self->gic, GRP_CPU, ICC_PMR, &value));
		EXPECT_EQ(-EBUSY, device_attr(self->gic, KVM_SET_DEVICE_ATTR, GRP_CTRL, SAVE, NULL));
		EXPECT_EQ(0, get64(self->gic, GRP_ADDR, DIST, &value));
	}
	self->vcpus[1].run->immediate_exit = 1;
	/* By a signal that does nothing. */
	pthread_kill(thread, SIGUSR1);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-EINTR, self->vcpus[1].error);
	EXPECT_LE(0, get32(self->gic, GRP_DIST, GICD_CTLR));
}

/* One of several that access a GIC's attributes and the VM's counters at once. */
struct accessor {
	FIXTURE_DATA(attr) *self;
	unsigned int number;
	int error;
};

static void *accesses(void *arg)
{
	struct kvm_arm_counter_offset offset = { 0 };
	struct accessor *accessor = arg;
	FIXTURE_DATA(attr) *self = accessor->self;
	int64_t ret = 0;

	for (unsigned int i = 0; i < scaled(2000) && ret >= 0; i++) {
		switch (accessor->number) {
		case 0:
			ret = kvm_ioctl(self->vm.fd, KVM_ARM_SET_COUNTER_OFFSET,
					(unsigned long)&offset);
			break;
		case 1:
			ret = device_set(self->gic, GRP_REDIST, CPU(1) | (GICR_SGI + GICD_ICPENDR), 0);
			break;
		default:
			ret = get32(self->gic, GRP_DIST, GICD_CTLR);
		}
	}
	accessor->error = ret < 0 ? ret : 0;
	return NULL;
}

/* No vCPU runs, so none of them is busy: they wait for each other. */
TEST_F_TIMEOUT(attr, several_at_once, 60)
{
	struct accessor accessors[4];
	pthread_t threads[4];

	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	for (unsigned int n = 0; n < 4; n++) {
		accessors[n] = (struct accessor){ self, n, 0 };
		ASSERT_EQ(0, pthread_create(&threads[n], NULL, accesses, &accessors[n]));
	}
	for (unsigned int n = 0; n < 4; n++) {
		ASSERT_EQ(0, pthread_join(threads[n], NULL));
		EXPECT_EQ(0, accessors[n].error) {
			TH_LOG("thread %u: %s", n, strerror(-accessors[n].error));
		}
	}
}

static int rename_vcpu(struct vcpu *vcpu, uint64_t affinity)
{
	return vcpu_set_reg(vcpu, MPIDR_EL1, 1UL << 31 | affinity);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000UL + now.tv_nsec;
}

/* A vCPU that gets a new affinity at a moment of a GIC's being initialised. */
struct renaming {
	struct vcpu *vcpu;
	atomic_bool go;
	uint64_t delay;
	int ret;
};

static void *renames(void *arg)
{
	struct renaming *renaming = arg;
	uint64_t start;

	while (!renaming->go)
		;
	start = now_ns();
	while (now_ns() - start < renaming->delay)
		;
	renaming->ret = rename_vcpu(renaming->vcpu, 0x42);
	return NULL;
}

/* The redistributor has the new affinity, whichever came first. */
TEST(renamed_while_initialised)
{
	uint64_t took = 0;

	for (unsigned int i = 0; i < scaled(150); i++) {
		struct renaming renaming = { .delay = took * (i % 32) / 24 };
		struct vcpu vcpus[2];
		pthread_t thread;
		uint64_t start;
		struct vm vm;
		int gic;

		ASSERT_EQ(0, vm_create(&vm));
		for (unsigned int n = 0; n < 2; n++)
			ASSERT_EQ(0, vcpu_create(&vm, &vcpus[n], n));
		gic = vm_device(&vm, V3);
		if (gic == -ENODEV)
			SKIP(return, "there is no GIC for VMs");
		ASSERT_LE(0, gic);
		ASSERT_EQ(0, device_set(gic, GRP_IRQS, 0, 992));
		renaming.vcpu = &vcpus[1];
		ASSERT_EQ(0, pthread_create(&thread, NULL, renames, &renaming));
		start = now_ns();
		renaming.go = true;
		ASSERT_EQ(0, init(gic));
		took = now_ns() - start;
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(0, renaming.ret);
		EXPECT_EQ(0x42, get32(gic, GRP_REDIST, CPU(0x42) | (GICR_TYPER + 4))) {
			TH_LOG("VM %u, after %lu of %lu ns", i, renaming.delay, took);
		}
		close(gic);
		for (unsigned int n = 0; n < 2; n++)
			vcpu_destroy(&vcpus[n]);
		vm_destroy(&vm);
	}
}

/* The pending interrupt of vCPU n, edge-triggered. */
GUEST uint64_t guest_acknowledge(uint64_t n)
{
	gic_start(n, true);
	return gic_acknowledge();
}

/* An SPI goes to the vCPU that has the affinity in GICD_IROUTER, and to none if none has. */
TEST_F(attr, renamed_vcpu_gets_its_spis)
{
	if (!host_is_module())
		SKIP(return, "C KVM sends an SPI where it went when GICD_IROUTER was written");
	ASSERT_EQ(0, place(self->gic));
	ASSERT_EQ(0, init(self->gic));
	ASSERT_EQ(0, device_set(self->gic, GRP_DIST, GICD_IROUTER + 40 * 8, 0x42));
	ASSERT_EQ(0, guest_writes(&self->vcpus[0], GUEST_GICD + GICD_ISPENDR + 4, 1U << 8));
	ASSERT_EQ(0, guest_finish(&self->vcpus[1], guest_acknowledge, 1, 0));
	EXPECT_EQ(GIC_SPURIOUS, self->vcpus[1].value);
	ASSERT_EQ(0, rename_vcpu(&self->vcpus[1], 0x42));
	ASSERT_EQ(0, guest_finish(&self->vcpus[1], guest_acknowledge, 1, 0));
	EXPECT_EQ(40, self->vcpus[1].value);
	ASSERT_EQ(0, guest_finish(&self->vcpus[0], guest_acknowledge, 0, 0));
	EXPECT_EQ(GIC_SPURIOUS, self->vcpus[0].value);
}

/*
 * CVE-2024-40989: redistributors and their regions go while they are in use. The descriptors of the
 * GIC and of the VM are closed while a vCPU reads a redistributor of another, whose descriptor is
 * closed, too; the last one that goes is that of the vCPU which runs.
 */
TEST_F(attr, cve_2024_40989_redistributors_that_go)
{
	for (unsigned int i = 0; i < 10; i++) {
		struct vcpu vcpus[2];
		pthread_t thread;
		struct vm vm;
		int gic;

		ASSERT_EQ(0, vm_create(&vm));
		for (unsigned int n = 0; n < 2; n++)
			ASSERT_EQ(0, vcpu_create(&vm, &vcpus[n], n));
		gic = make(&vm, V3, 0);
		ASSERT_LE(0, gic);
		ASSERT_EQ(0, device_set(gic, GRP_ADDR, DIST, GUEST_GICD));
		ASSERT_EQ(0, device_set(gic, GRP_ADDR, REGION, region(1, GUEST_GICR, 0, 0)));
		ASSERT_EQ(0, device_set(gic, GRP_ADDR, REGION, region(1, GUEST_GICR + 0x40000, 0, 1)));
		ASSERT_EQ(0, init(gic));
		ASSERT_EQ(0, vcpu_start(&vcpus[0], guest_read_on, GUEST_GICR + 0x40000, 0));
		ASSERT_EQ(GUEST_SAID, guest_run(&vcpus[0]));
		ASSERT_EQ(0, pthread_create(&thread, NULL, spin, &vcpus[0]));
		close(gic);
		vcpu_destroy(&vcpus[1]);
		close(vm.fd);
		vm.fd = -1;
		msleep(5);
		vcpus[0].run->immediate_exit = 1;
		pthread_kill(thread, SIGUSR1);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(-EINTR, vcpus[0].error);
		vcpu_destroy(&vcpus[0]);
		vm_destroy(&vm);
	}
}

static void ignore(int signal)
{
	(void)signal;
}

/* Whatever is asked for: an answer, and a GIC that still works. */
TEST_F(attr, anything)
{
	unsigned int seed = 1;
	uint64_t value;

	for (unsigned int i = 0; i < scaled(20000); i++) {
		static const unsigned long commands[] = {
			KVM_SET_DEVICE_ATTR, KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR,
		};
		unsigned int group = rand_r(&seed) % 12;
		uint64_t number = rand_r(&seed);

		number = number % 3 ? number % 0x20000 : number << 33 ^ rand_r(&seed);
		/* Most addresses and counts would only be set once. */
		value = rand_r(&seed) % 2 ? ~0UL : (uint64_t)rand_r(&seed) << 32 | rand_r(&seed);
		if (i == scaled(20000) / 2)
			EXPECT_EQ(0, init(self->gic));
		device_attr(self->gic, commands[rand_r(&seed) % 3], group, number,
		     rand_r(&seed) % 16 ? (void *)&value : (void *)(unsigned long)rand_r(&seed));
	}
	device_set(self->gic, GRP_ADDR, DIST, GUEST_GICD);
	device_set(self->gic, GRP_ADDR, REDIST, GUEST_GICR);
	EXPECT_EQ(0x3b, get32(self->gic, GRP_DIST, 0xffe8));
}

int main(int argc, char **argv)
{
	signal(SIGUSR1, ignore);
	return test_harness_run(argc, argv);
}
