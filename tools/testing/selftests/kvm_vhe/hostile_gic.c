// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a guest can do what it likes with its GICv3 and its ITS: accesses of all
 * sizes to all offsets of their frames, every register of the CPU interface, commands
 * and tables at random, on two vCPUs at once while messages and lines come. The host
 * survives (the lab looks for splats), and a VM that is made afterwards works.
 * Runs on the module and on C KVM: hostile_gic [SECONDS]. HOSTILE_SEED in the
 * environment repeats a run, as far as the vCPUs' timing allows.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "gic.h"
#include "its.h"

#define VCPUS		2
#define KICK_US		5000
/* Of the ITS's memory: where its tables and all else that a guest gives it are. */
#define TABLES_SIZE	0x100000UL

static unsigned int seconds = 10;

/* Of xorshift's kind, for the guest and for the test. */
#define STEP(seed)	((seed) ^= (seed) << 13, (seed) ^= (seed) >> 7, (seed) ^= (seed) << 17)

GUEST_INLINE uint64_t next(uint64_t *seed)
{
	return STEP(*seed);
}

static uint64_t rnd(uint64_t *seed)
{
	return STEP(*seed);
}

/* Any number, a small one, a bit, or something that could be a table. */
GUEST_INLINE uint64_t value_of(uint64_t *seed)
{
	uint64_t r = next(seed), how = next(seed) >> 20 & 7;

	if (how < 2)
		return r;
	if (how < 4)
		return r & 0xff;
	if (how == 4)
		return 1UL << (r & 63);
	if (how == 5)
		return r & 1 ? ~0UL : 0;
	return (r & 0x9f00000000000fffUL) | ITS_MEM | (r & (TABLES_SIZE - 1) & ~0xfffUL);
}

/* An offset in one of the frames, most often of a register that there is. */
GUEST_INLINE uint64_t address_of(uint64_t *seed)
{
	uint64_t r = next(seed), offset = r >> 8 & 0xffff, frame = GUEST_GICD;

	if (r >> 40 & 3)
		offset = r >> 42 & 1 ? offset & 0xfff : offset & 0x1ff;
	if (r >> 44 & 7)
		offset &= r >> 47 & 1 ? ~3UL : ~7UL;
	switch (r & 7) {
	case 0:
	case 1:
		break;
	case 2:
	case 3:
		frame = GUEST_GICR + (r >> 3 & 1) * 0x20000;
		break;
	case 4:
		frame = GUEST_GICR + (r >> 3 & 1) * 0x20000 + 0x10000;
		break;
	case 5:
	case 6:
		frame = ITS;
		break;
	default:
		frame = ITS + 0x10000;
	}
	return frame + offset;
}

GUEST_INLINE void touch(uint64_t *seed)
{
	uint64_t address = address_of(seed), value = value_of(seed), how = next(seed) >> 13;

	switch (how & 7) {
	case 0:
		asm volatile("strb %w0, [%1]" : : "r" (value), "r" (address) : "memory");
		break;
	case 1:
		asm volatile("strh %w0, [%1]" : : "r" (value), "r" (address) : "memory");
		break;
	case 2:
	case 3:
		asm volatile("str %w0, [%1]" : : "r" (value), "r" (address) : "memory");
		break;
	case 4:
		asm volatile("str %0, [%1]" : : "r" (value), "r" (address) : "memory");
		break;
	case 5:
		asm volatile("ldrb %w0, [%1]" : "=r" (value) : "r" (address) : "memory");
		break;
	case 6:
		asm volatile("ldr %w0, [%1]" : "=r" (value) : "r" (address) : "memory");
		break;
	default:
		/* Seldom two registers, whose abort has no syndrome. */
		if (how & 0x1ff8)
			asm volatile("ldr %0, [%1]" : "=r" (value) : "r" (address) : "memory");
		else
			asm volatile("ldp %0, x9, [%1]" : "=r" (value) : "r" (address)
				     : "x9", "memory");
	}
}

/* A register of the CPU interface: op0 3, op1 0, CRn 4 or 12. */
GUEST_INLINE void interface(uint64_t *seed)
{
	uint64_t r = next(seed);
	uint32_t insn = 0xd5180000 | (r & 1) << 21 | (r >> 8 & 7) << 5;

	if (r >> 16 & 7)
		insn |= 12 << 12 | (8 + (r >> 24 & 3) + (r >> 26 & 1)) << 8;
	else
		insn |= 4 << 12 | 6 << 8;
	guest_execute(insn, value_of(seed));
}

/* Some commands at the queue's start, and GITS_CWRITER behind them; often all as it should be. */
GUEST_INLINE void commands(uint64_t *seed)
{
	uint64_t i, r = next(seed), count = 1 + (r & 15);
	uint64_t *queue = (uint64_t *)ITS_MEM;

	for (i = 0; i < count; i++) {
		r = next(seed);
		queue[4 * i] = (r & 15) | (r >> 8 & 3) << 32 | (r >> 13 & 1 ? r & 0x1f00 : 0);
		queue[4 * i + 1] = (r >> 16 & 31) | (8192 + (r >> 24 & 31)) << 32;
		queue[4 * i + 2] = (r >> 32 & 1) << 63 | (r >> 33 & 3) << 16 | (r >> 36 & 3);
		if (r >> 40 & 1)
			queue[4 * i + 2] |= ITS_MEM + 0x30000 + (r >> 41 & 3) * 0x100;
		if (!(r >> 44 & 31))
			queue[4 * i + (r >> 50 & 3)] = value_of(seed);
	}
	r = next(seed);
	if (r & 1) {
		gic_write32(ITS, 0);
		asm volatile("str %0, [%1]" : : "r" (ITS_MEM | 1UL << 63), "r" (ITS + 0x80) : "memory");
		gic_write32(ITS, 1);
	}
	gic_write32(ITS + 0x88, count * 32);
}

/* For ever, on every vCPU. */
GUEST uint64_t guest_raves(uint64_t seed);
GUEST uint64_t guest_raves(uint64_t seed)
{
	struct guest_area *area = guest_area();

	gic_start(area->data[0], true);
	for (;;) {
		uint64_t what = next(&seed) >> 30 & 15;

		if (what < 9) {
			touch(&seed);
		} else if (what < 13) {
			interface(&seed);
		} else if (what == 13) {
			commands(&seed);
		} else if (what == 14) {
			uint64_t intid = gic_acknowledge();

			if (next(&seed) & 1 << 9)
				gic_end(intid);
		} else {
			/* SGIs to both. */
			GUEST_MSR("s3_0_c12_c11_5", (next(&seed) & 15UL << 24) | 3);
		}
		area->seen++;
	}
}

GUEST uint64_t guest_takes_sgi(uint64_t unused);
GUEST uint64_t guest_takes_sgi(uint64_t unused)
{
	uint64_t intid = GIC_SPURIOUS, n;

	(void)unused;
	gic_start(0, true);
	GUEST_MSR("s3_0_c12_c11_5", 7UL << 24 | 1);
	GUEST_ISB();
	for (n = 0; n < 200000 && intid == GIC_SPURIOUS; n++)
		intid = gic_acknowledge();
	return intid;
}

struct raving {
	struct vcpu vcpu;
	pthread_t thread;
	uint64_t seed;
	unsigned long runs, exits;
	atomic_bool *stop;
	int error;
};

FIXTURE(hostile_gic)
{
	struct vm vm;
	struct raving vcpus[VCPUS];
	unsigned char *mem;
	uint64_t seed;
	int its;
	atomic_bool stop;
};

FIXTURE_SETUP(hostile_gic)
{
	const char *seed = getenv("HOSTILE_SEED");

	if (seed)
		self->seed = strtoul(seed, NULL, 0);
	else if (getrandom(&self->seed, sizeof(self->seed), 0) != sizeof(self->seed))
		self->seed = 1;
	TH_LOG("HOSTILE_SEED=%#lx", self->seed);
	if (!self->seed)
		self->seed = 1;
	ASSERT_EQ(0, vm_create(&self->vm));
	for (unsigned int n = 0; n < VCPUS; n++)
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpus[n].vcpu, n));
	self->mem = mmap(NULL, ITS_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, vm_memory(&self->vm, 1, ITS_MEM, ITS_MEM_SIZE, self->mem, 0));
	self->its = vm_gic_and_its(&self->vm, self->mem);
	if (self->its == -ENODEV)
		SKIP(return, "no GICv3 with an ITS for VMs");
	ASSERT_LE(0, self->its);
}

FIXTURE_TEARDOWN(hostile_gic)
{
	close(self->its);
	for (unsigned int n = 0; n < VCPUS; n++)
		vcpu_destroy(&self->vcpus[n].vcpu);
	vm_destroy(&self->vm);
	munmap(self->mem, ITS_MEM_SIZE);
}

/* Where the guest got lost, or raves no more, it starts again, with another seed. */
static void *raves(void *arg)
{
	struct raving *raving = arg;
	struct vcpu *vcpu = &raving->vcpu;
	uint64_t seen = 0;

	raving->error = kick_every(KICK_US);
	for (unsigned int kicked = 0; !*raving->stop && !raving->error; raving->runs++) {
		int ret;

		if (!(kicked++ % 16)) {
			vcpu->area->catch = 1;
			vcpu->area->data[0] = vcpu->id;
			raving->error = vcpu_start(vcpu, guest_raves, rnd(&raving->seed), 0);
		}
		do {
			ret = kvm_ioctl(vcpu->fd, KVM_RUN, 0);
			raving->exits += !ret;
			/* What a load that no frame has reads. */
			if (!ret && vcpu->run->exit_reason == KVM_EXIT_MMIO)
				memcpy(vcpu->run->mmio.data, &raving->seed, 8);
		} while (!ret && vcpu->run->exit_reason == KVM_EXIT_MMIO);
		/* By the signal; an access without a syndrome, which has no frame; memory that is none. */
		if (ret != -EINTR && ret != -ENOSYS && ret != -EFAULT)
			raving->error = ret ? ret : -EPROTO;
		if (ret != -EINTR)
			kicked = 0;
		seen = vcpu->area->seen;
	}
	kick_every(0);
	raving->error = seen ? raving->error : -ENODATA;
	return NULL;
}

/* Messages and lines from outside. Whether they are wanted is the guest's affair. */
static void from_outside(FIXTURE_DATA(hostile_gic) *self, uint64_t *seed)
{
	uint64_t r = rnd(seed);
	struct kvm_irq_level line = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | (32 + (r & 63)),
		.level = r >> 8 & 1,
	};

	vm_message(&self->vm, r >> 16 & 3, r >> 20 & 31);
	kvm_ioctl(self->vm.fd, KVM_IRQ_LINE, (unsigned long)&line);
}

TEST_F_TIMEOUT(hostile_gic, anything, 3600)
{
	uint64_t seed = self->seed;
	struct timespec start, now;
	struct vcpu vcpu;
	struct vm vm;

	for (unsigned int n = 0; n < VCPUS; n++) {
		struct raving *raving = &self->vcpus[n];

		raving->seed = rnd(&seed);
		raving->stop = &self->stop;
		ASSERT_EQ(0, pthread_create(&raving->thread, NULL, raves, raving));
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		from_outside(self, &seed);
		usleep(200);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < seconds);
	self->stop = true;
	for (unsigned int n = 0; n < VCPUS; n++) {
		struct raving *raving = &self->vcpus[n];

		pthread_join(raving->thread, NULL);
		EXPECT_EQ(0, raving->error) {
			TH_LOG("%s", guest_told(&raving->vcpu, guest_news(&raving->vcpu, 0)));
		}
		TH_LOG("vCPU %u: %lu runs, %lu exits, %lu accesses, %lu exceptions", n, raving->runs,
		       raving->exits, raving->vcpu.area->seen, raving->vcpu.area->caught);
		EXPECT_LT(0, raving->vcpu.area->seen);
	}

	ASSERT_EQ(0, vm_create(&vm));
	ASSERT_EQ(0, vcpu_create(&vm, &vcpu, 0));
	ASSERT_EQ(0, vm_gic(&vm));
	ASSERT_EQ(0, guest_finish(&vcpu, guest_takes_sgi, 0, 0));
	EXPECT_EQ(7, vcpu.value);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	if (argc > 1 && argv[1][0] != '-') {
		seconds = strtoul(argv[1], NULL, 10);
		argc = 1;
	}
	return test_harness_run(argc, argv);
}
