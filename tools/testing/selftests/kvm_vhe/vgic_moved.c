// SPDX-License-Identifier: GPL-2.0
/*
 * A VM with a GICv3 and an ITS that is stopped in the middle of its interrupts, and goes
 * on in another VM: all its state goes there by attributes, in the order in which QEMU
 * does it. Each interrupt arrives as it does where the VM stays.
 * Runs on the module and on C KVM, as root.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "vgic_regs.h"
#include "gic.h"
#include "its.h"

#define VCPUS		2
#define IRQS		256
#define GICR(n)		(GUEST_GICR + (n) * 0x20000UL)
#define ITS_VALID	(1UL << 63)

/* The interrupts, and their priorities. */
#define EDGE_RUNNING	32	/* 0x20: acknowledged last, and not ended */
#define EDGE_TWICE	33	/* 0x60: acknowledged before it, and pending again */
#define EDGE_PENDING	34	/* 0x40 */
#define EDGE_DISABLED	35	/* 0xc0: pending, but not enabled */
#define LEVEL_UP	48	/* 0x70 */
#define LEVEL_ACTIVE	49	/* 0xb0: acknowledged first; its line is up */
#define LEVEL_LATCH	50	/* 0x80: made pending by software */
#define LEVEL_OTHER	51	/* 0x70, to vCPU 1; its line is up */
#define SGI		3	/* 0x90, of vCPU 0 */
#define SGI_OTHER	5	/* 0x50, of vCPU 1 */
#define PPI_OTHER	20	/* 0x60, of vCPU 1, made pending by vCPU 0 */
/* Events of the ITS: pending, pending but not enabled, not pending, over, to vCPU 1. */
enum { LPI_PENDING, LPI_DISABLED, LPI_LATER, LPI_OVER, LPI_OTHER };

/* What the guest asks for. */
enum { STOP, RAISE, LOWER, SEND, ENABLE_LPI };

/* In what the guest notes: a number that is no interrupt's. */
#define NOTE(n)		(0x10000UL + (n))

GUEST_INLINE void note(uint64_t value)
{
	struct guest_area *area = guest_area();

	area->data[area->seen++ & 511] = value;
}

/* Waits, but not for ever, for the next interrupt. */
GUEST_INLINE uint64_t take(void)
{
	uint64_t n, intid = GIC_SPURIOUS;

	for (n = 0; n < 200000 && intid == GIC_SPURIOUS; n++)
		intid = gic_acknowledge();
	note(intid);
	return intid;
}

GUEST_INLINE void take_all_of(void)
{
	gic_end(take());
}

/* Nothing comes, though there is time for it: reading the distributor is an exit. */
GUEST_INLINE void nothing(void)
{
	gic_read32(GUEST_GICD + GICD_TYPER);
	note(gic_acknowledge());
}

GUEST_INLINE void set_priority(uint64_t bank, unsigned int intid, unsigned int priority)
{
	asm volatile("strb %w0, [%1]" : : "r" (priority), "r" (bank + GICD_IPRIORITYR + intid)
		     : "memory");
}

GUEST_INLINE void bit(uint64_t bank, unsigned int intid)
{
	gic_write32(bank + intid / 32 * 4, 1U << intid % 32);
}

GUEST uint64_t guest_second(uint64_t unused);
GUEST uint64_t guest_second(uint64_t unused)
{
	(void)unused;
	gic_start(1, true);
	set_priority(GICR(1) + GICR_SGI, SGI_OTHER, 0x50);
	set_priority(GICR(1) + GICR_SGI, PPI_OTHER, 0x60);
	guest_say(STOP, 0);
	take_all_of();
	take_all_of();
	take();
	guest_say(LOWER, LEVEL_OTHER);
	gic_end(LEVEL_OTHER);
	take_all_of();
	nothing();
	note(NOTE(gic_read32(GICR(1) + GICR_SGI + GICD_ISPENDR)));
	return 0;
}

/* What was to be found where the guest was stopped. */
GUEST_INLINE void guest_goes_on(void)
{
	/* Only what has a higher priority than what is running. */
	nothing();
	note(NOTE(GUEST_MRS("s3_0_c12_c11_3")));	/* ICC_RPR_EL1 */
	note(NOTE(GUEST_MRS("s3_0_c12_c12_3")));	/* ICC_BPR1_EL1 */
	note(NOTE(GUEST_MRS("s3_0_c4_c6_0")));		/* ICC_PMR_EL1 */
	note(NOTE(gic_read32(GUEST_GICD + GICD_ISACTIVER + 4)));
	gic_end(EDGE_RUNNING);
	take_all_of();					/* EDGE_PENDING */
	nothing();
	note(NOTE(GUEST_MRS("s3_0_c12_c11_3")));
	gic_end(EDGE_TWICE);
	take_all_of();					/* EDGE_TWICE */
	take_all_of();					/* LEVEL_UP, and again */
	take();
	guest_say(LOWER, LEVEL_UP);
	gic_end(LEVEL_UP);
	take_all_of();					/* LEVEL_LATCH, once */
	take_all_of();					/* SGI */
	take_all_of();					/* LPI_PENDING */
	nothing();
	note(NOTE(GUEST_MRS("s3_0_c12_c11_3")));
	gic_end(LEVEL_ACTIVE);
	take();						/* LEVEL_ACTIVE */
	guest_say(LOWER, LEVEL_ACTIVE);
	gic_end(LEVEL_ACTIVE);
	nothing();
	bit(GUEST_GICD + GICD_ISENABLER, EDGE_DISABLED);
	take_all_of();					/* EDGE_DISABLED */
	guest_say(ENABLE_LPI, LPI_DISABLED);
	take_all_of();					/* LPI_DISABLED */
	guest_say(SEND, LPI_LATER);
	take_all_of();					/* LPI_LATER */
	nothing();
	note(NOTE(gic_read32(GUEST_GICD + GICD_ISACTIVER + 4)));
	note(NOTE(GUEST_MRS("s3_0_c12_c11_3")));
}

GUEST uint64_t guest_first(uint64_t unused);
GUEST uint64_t guest_first(uint64_t unused)
{
	(void)unused;
	gic_start(0, true);
	gic_write32(GUEST_GICD + GICD_ICFGR + LEVEL_UP / 4, 0);
	bit(GUEST_GICD + GICD_ICENABLER, EDGE_DISABLED);
	set_priority(GUEST_GICD, EDGE_RUNNING, 0x20);
	set_priority(GUEST_GICD, EDGE_PENDING, 0x40);
	set_priority(GUEST_GICD, EDGE_TWICE, 0x60);
	set_priority(GUEST_GICD, LEVEL_UP, 0x70);
	set_priority(GUEST_GICD, LEVEL_OTHER, 0x70);
	set_priority(GUEST_GICD, LEVEL_LATCH, 0x80);
	set_priority(GICR(0) + GICR_SGI, SGI, 0x90);
	set_priority(GUEST_GICD, LEVEL_ACTIVE, 0xb0);
	set_priority(GUEST_GICD, EDGE_DISABLED, 0xc0);
	gic_write32(GUEST_GICD + GICD_IROUTER + LEVEL_OTHER * 8, 1);
	GUEST_MSR("s3_0_c12_c12_3", 4);
	GUEST_ISB();
	guest_say(SEND, LPI_OVER);
	take_all_of();
	guest_say(RAISE, LEVEL_ACTIVE);
	take();
	bit(GUEST_GICD + GICD_ISPENDR, EDGE_TWICE);
	take();
	bit(GUEST_GICD + GICD_ISPENDR, EDGE_TWICE);
	bit(GUEST_GICD + GICD_ISPENDR, EDGE_RUNNING);
	take();
	bit(GUEST_GICD + GICD_ISPENDR, EDGE_PENDING);
	bit(GUEST_GICD + GICD_ISPENDR, EDGE_DISABLED);
	bit(GUEST_GICD + GICD_ISPENDR, LEVEL_LATCH);
	bit(GICR(1) + GICR_SGI + GICD_ISPENDR, PPI_OTHER);
	/* ICC_SGI1R_EL1 */
	GUEST_MSR("s3_0_c12_c11_5", (uint64_t)SGI << 24 | 1 << 0);
	GUEST_MSR("s3_0_c12_c11_5", (uint64_t)SGI_OTHER << 24 | 1 << 1);
	GUEST_ISB();
	guest_say(STOP, 0);
	guest_goes_on();
	return 0;
}

static const uint64_t first_notes[] = {
	LPI(LPI_OVER), LEVEL_ACTIVE, EDGE_TWICE, EDGE_RUNNING,
	/* Stopped and moved here. */
	GIC_SPURIOUS, NOTE(0x20), NOTE(4), NOTE(0xf8),
	NOTE(1 << (EDGE_RUNNING - 32) | 1 << (EDGE_TWICE - 32) | 1 << (LEVEL_ACTIVE - 32)),
	EDGE_PENDING, GIC_SPURIOUS, NOTE(0x60), EDGE_TWICE, LEVEL_UP, LEVEL_UP, LEVEL_LATCH, SGI,
	LPI(LPI_PENDING), GIC_SPURIOUS, NOTE(0xb0), LEVEL_ACTIVE, GIC_SPURIOUS, EDGE_DISABLED,
	LPI(LPI_DISABLED), LPI(LPI_LATER), GIC_SPURIOUS, NOTE(0), NOTE(0xff),
};

static const uint64_t second_notes[] = {
	SGI_OTHER, PPI_OTHER, LEVEL_OTHER, LPI(LPI_OTHER), GIC_SPURIOUS, NOTE(0),
};

/* A VM with all that it consists of. */
struct machine {
	struct vm vm;
	struct vcpu vcpus[VCPUS];
	unsigned char *mem;
	int gic, its;
};

static void destroy(struct machine *m)
{
	for (unsigned int n = 0; n < VCPUS; n++)
		vcpu_destroy(&m->vcpus[n]);
	close(m->its);
	close(m->gic);
	vm_destroy(&m->vm);
	munmap(m->mem, ITS_MEM_SIZE);
}

static int set_ctrl(int fd, uint64_t what)
{
	return device_attr(fd, KVM_SET_DEVICE_ATTR, GRP_CTRL, what, NULL);
}

/* As QEMU makes one: the vCPUs, the devices, which are initialised, and then their places. */
static int create(struct machine *m)
{
	int ret = vm_create(&m->vm);

	m->mem = mmap(NULL, ITS_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ret || m->mem == MAP_FAILED)
		return ret ? ret : -ENOMEM;
	ret = vm_memory(&m->vm, 1, ITS_MEM, ITS_MEM_SIZE, m->mem, 0);
	for (unsigned int n = 0; n < VCPUS && !ret; n++)
		ret = vcpu_create(&m->vm, &m->vcpus[n], n);
	if (ret)
		return ret;
	m->gic = vm_device(&m->vm, V3);
	if (m->gic < 0)
		return m->gic;
	m->its = vm_device(&m->vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
	if (m->its < 0)
		return m->its;
	ret |= device_set(m->gic, GRP_IRQS, 0, IRQS);
	ret |= set_ctrl(m->gic, INIT);
	ret |= set_ctrl(m->its, INIT);
	ret |= device_set(m->gic, GRP_ADDR, DIST, GUEST_GICD);
	ret |= device_set(m->gic, GRP_ADDR, REGION, region(VCPUS, GUEST_GICR, 0, 0));
	ret |= device_set(m->its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ITS);
	return ret;
}

/* A register of a device, and the one that has to be written before to clear its bits. */
struct saved {
	unsigned int group;
	uint64_t number, clear, value;
};

struct state {
	struct saved saved[1024];
	unsigned int count;
	int error;
};

/* All values have room; of registers of 32 bits the lower half is what is read and written. */
static void keep(struct state *state, int fd, unsigned int group, uint64_t number, uint64_t clear)
{
	struct saved *saved = &state->saved[state->count++ % ARRAY_LEN(state->saved)];

	*saved = (struct saved){ .group = group, .number = number, .clear = clear };
	state->error |= device_attr(fd, KVM_GET_DEVICE_ATTR, group, number, &saved->value);
}

/* A register of the distributor with so many bits for each SPI. */
static void keep_spis(struct state *state, int fd, uint64_t number, uint64_t clear,
		      unsigned int bits)
{
	for (unsigned int at = 32 * bits / 8; at < IRQS * bits / 8; at += 4)
		keep(state, fd, GRP_DIST, number + at, clear ? clear + at : 0);
}

/* The GIC's registers as they are written later; it does not matter in which order they are read. */
static void save_gic(struct state *state, int gic)
{
	static const unsigned int icc[] = {
		ICC_SRE, ICC_CTLR, ICC_IGRPEN0, ICC_IGRPEN1, ICC_PMR, ICC_BPR0, ICC_BPR1, ICC_AP0R0,
		ICC_AP1R0,
	};

	state->error |= set_ctrl(gic, SAVE);
	keep(state, gic, GRP_DIST, GICD_CTLR, 0);
	for (unsigned int n = 0; n < VCPUS; n++) {
		for (unsigned int at = GICR_PROPBASER; at < GICR_PENDBASER + 8; at += 4)
			keep(state, gic, GRP_REDIST, CPU(n) | at, 0);
	}
	for (unsigned int n = 0; n < VCPUS; n++) {
		const uint64_t sgi = CPU(n) | GICR_SGI;

		keep(state, gic, GRP_REDIST, CPU(n) | GICR_CTLR, 0);
		keep(state, gic, GRP_REDIST, CPU(n) | GICR_WAKER, 0);
		keep(state, gic, GRP_REDIST, sgi | GICD_IGROUPR, 0);
		keep(state, gic, GRP_REDIST, sgi | GICD_ISENABLER, sgi | GICD_ICENABLER);
		keep(state, gic, GRP_REDIST, sgi | (GICD_ICFGR + 4), 0);
		keep(state, gic, GRP_LEVEL, CPU(n), 0);
		keep(state, gic, GRP_REDIST, sgi | GICD_ISPENDR, sgi | GICD_ICPENDR);
		keep(state, gic, GRP_REDIST, sgi | GICD_ISACTIVER, sgi | GICD_ICACTIVER);
		for (unsigned int i = 0; i < 32; i += 4)
			keep(state, gic, GRP_REDIST, sgi | (GICD_IPRIORITYR + i), 0);
	}
	keep_spis(state, gic, GICD_ISENABLER, GICD_ICENABLER, 1);
	keep_spis(state, gic, GICD_IGROUPR, 0, 1);
	keep_spis(state, gic, GICD_IROUTER, 0, 64);
	keep_spis(state, gic, GICD_ICFGR, 0, 2);
	for (unsigned int intid = 32; intid < IRQS; intid += 32)
		keep(state, gic, GRP_LEVEL, intid, 0);
	keep_spis(state, gic, GICD_ISPENDR, GICD_ICPENDR, 1);
	keep_spis(state, gic, GICD_ISACTIVER, GICD_ICACTIVER, 1);
	keep_spis(state, gic, GICD_IPRIORITYR, 0, 8);
	for (unsigned int n = 0; n < VCPUS; n++) {
		for (unsigned int i = 0; i < ARRAY_LEN(icc); i++)
			keep(state, gic, GRP_CPU, CPU(n) | icc[i], 0);
	}
}

static int put(const struct saved *saved, int fd)
{
	int ret = saved->clear ? device_set(fd, saved->group, saved->clear, ~0U) : 0;

	return ret ? ret : device_set(fd, saved->group, saved->number, saved->value);
}

/* The ITS: its tables to memory; GITS_CTLR is written when they have been restored. */
static void save_its(struct state *state, int its)
{
	static const unsigned int regs[] = {
		0x04, 0x80, 0x90, 0x88,		/* GITS_IIDR, GITS_CBASER, GITS_CREADR, GITS_CWRITER */
		0x100, 0x108, 0x110, 0x118, 0x120, 0x128, 0x130, 0x138,		/* GITS_BASERn */
		0x00,				/* GITS_CTLR */
	};

	state->error |= set_ctrl(its, KVM_DEV_ARM_ITS_SAVE_TABLES);
	for (unsigned int i = 0; i < ARRAY_LEN(regs); i++)
		keep(state, its, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, regs[i], 0);
}

static int put_its(const struct state *state, int its)
{
	const unsigned int last = state->count - 1;
	int ret = 0;

	for (unsigned int i = 0; i < last && !ret; i++)
		ret = put(&state->saved[i], its);
	if (!ret)
		ret = set_ctrl(its, KVM_DEV_ARM_ITS_RESTORE_TABLES);
	return ret ? ret : put(&state->saved[last], its);
}

/* All registers that are listed, and whether it runs. */
static int copy_vcpu(struct vcpu *from, struct vcpu *to)
{
	struct kvm_reg_list *list = vcpu_reg_list(from);
	struct kvm_mp_state state;
	unsigned char value[256];
	int ret = list ? 0 : -ENOMEM;

	for (unsigned int i = 0; !ret && i < list->n; i++) {
		ret = reg_get(from->fd, list->reg[i], value);
		if (!ret)
			ret = reg_set(to->fd, list->reg[i], value);
		if (ret)
			ksft_print_msg("register %#llx: %d\n", list->reg[i], ret);
	}
	free(list);
	if (!ret)
		ret = kvm_ioctl(from->fd, KVM_GET_MP_STATE, (unsigned long)&state);
	return ret ? ret : kvm_ioctl(to->fd, KVM_SET_MP_STATE, (unsigned long)&state);
}

/* The exit that a vCPU was stopped at is completed. */
static int complete(struct vcpu *vcpu)
{
	int ret;

	vcpu->run->immediate_exit = 1;
	ret = kvm_ioctl(vcpu->fd, KVM_RUN, 0);
	vcpu->run->immediate_exit = 0;
	return ret == -EINTR ? 0 : -EPROTO;
}

/* Puts the VM, which is stopped, into another one, and forgets it. */
static void move(struct __test_metadata *_metadata, struct machine *m)
{
	static struct state gic, its;
	struct machine to;

	gic = its = (struct state){ .count = 0 };
	for (unsigned int n = 0; n < VCPUS; n++)
		ASSERT_EQ(0, complete(&m->vcpus[n]));
	save_gic(&gic, m->gic);
	save_its(&its, m->its);
	ASSERT_EQ(0, gic.error);
	ASSERT_EQ(0, its.error);
	ASSERT_GE(ARRAY_LEN(gic.saved), gic.count);

	ASSERT_EQ(0, create(&to));
	memcpy(to.vm.ram, m->vm.ram, GUEST_RAM_SIZE);
	memcpy(to.mem, m->mem, ITS_MEM_SIZE);
	for (unsigned int i = 0; i < gic.count; i++) {
		EXPECT_EQ(0, put(&gic.saved[i], to.gic)) {
			TH_LOG("group %u, %#lx", gic.saved[i].group, gic.saved[i].number);
		}
	}
	EXPECT_EQ(0, put_its(&its, to.its));
	for (unsigned int n = 0; n < VCPUS; n++)
		EXPECT_EQ(0, copy_vcpu(&m->vcpus[n], &to.vcpus[n]));
	destroy(m);
	*m = to;
	/* The vCPUs' pointers to what they belong to are to where that is now. */
	for (unsigned int n = 0; n < VCPUS; n++)
		m->vcpus[n].vm = &m->vm;
}

static int set_line(struct vm *vm, unsigned int intid, unsigned int level)
{
	struct kvm_irq_level line = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | intid, .level = level,
	};

	return kvm_ioctl(vm->fd, KVM_IRQ_LINE, (unsigned long)&line);
}

/* Runs a vCPU and does what its guest asks for, until it is to be stopped or is done. */
static enum guest_event serve(struct __test_metadata *_metadata, struct machine *m,
			      struct vcpu *vcpu)
{
	enum guest_event event;

	while ((event = guest_run(vcpu)) == GUEST_SAID && vcpu->what != STOP) {
		switch (vcpu->what) {
		case RAISE:
		case LOWER:
			EXPECT_EQ(0, set_line(&m->vm, vcpu->value, vcpu->what == RAISE));
			break;
		case ENABLE_LPI:
			m->mem[ITS_CONFIG - ITS_MEM + vcpu->value] = 0xa1;
			/* INV */
			EXPECT_EQ(0, its_command(m->its, m->mem, 0xc | (uint64_t)ITS_DEVICE << 32,
						 vcpu->value, 0));
			break;
		default:
			EXPECT_EQ(1, vm_message(&m->vm, ITS_DEVICE, vcpu->value));
		}
	}
	return event;
}

/* What comes from outside while the guest is stopped, before it is moved. */
static void while_stopped(struct __test_metadata *_metadata, struct machine *m)
{
	EXPECT_EQ(0, set_line(&m->vm, LEVEL_UP, 1));
	EXPECT_EQ(0, set_line(&m->vm, LEVEL_OTHER, 1));
	EXPECT_EQ(1, vm_message(&m->vm, ITS_DEVICE, LPI_PENDING));
	EXPECT_EQ(1, vm_message(&m->vm, ITS_DEVICE, LPI_DISABLED));
	EXPECT_EQ(1, vm_message(&m->vm, ITS_DEVICE, LPI_OTHER));
}

static void compare(struct __test_metadata *_metadata, struct vcpu *vcpu, const uint64_t *notes,
		    unsigned int count)
{
	EXPECT_EQ(count, vcpu->area->seen);
	for (unsigned int i = 0; i < count; i++) {
		EXPECT_EQ(notes[i], vcpu->area->data[i]) {
			TH_LOG("vCPU %u, note %u", vcpu->id, i);
		}
	}
}

FIXTURE(moved)
{
	struct machine m;
};

FIXTURE_VARIANT(moved)
{
	unsigned int times;
};

/* Not at all, which shows what is right; once; and what was restored is saved again. */
FIXTURE_VARIANT_ADD(moved, stays)
{
	.times = 0,
};

FIXTURE_VARIANT_ADD(moved, once)
{
	.times = 1,
};

FIXTURE_VARIANT_ADD(moved, again_and_again)
{
	.times = 5,
};

FIXTURE_SETUP(moved)
{
	int ret = create(&self->m);

	if (ret == -ENODEV)
		SKIP(return, "no GICv3 with an ITS for VMs");
	ASSERT_EQ(0, ret);
	/* LPIs of both vCPUs; one event goes to the second, another's LPI is not enabled. */
	ASSERT_EQ(0, its_prepare(self->m.gic, self->m.its, self->m.mem));
	ASSERT_EQ(0, device_set(self->m.gic, GRP_REDIST, CPU(1) | GICR_PROPBASER, ITS_CONFIG | 15));
	ASSERT_EQ(0, device_set(self->m.gic, GRP_REDIST, CPU(1) | GICR_PENDBASER,
				ITS_MEM + 0x80000));
	ASSERT_EQ(0, device_set(self->m.gic, GRP_REDIST, CPU(1) | GICR_CTLR, 1));
	/* MAPC of collection 1 to vCPU 1, MOVI of the event to it, INV of the other. */
	self->m.mem[ITS_CONFIG - ITS_MEM + LPI_DISABLED] = 0xa0;
	ASSERT_EQ(0, its_command(self->m.its, self->m.mem, 0x9, 0, ITS_VALID | 1 << 16 | 1));
	ASSERT_EQ(0, its_command(self->m.its, self->m.mem, 0x1 | (uint64_t)ITS_DEVICE << 32,
				 LPI_OTHER, 1));
	ASSERT_EQ(0, its_command(self->m.its, self->m.mem, 0xc | (uint64_t)ITS_DEVICE << 32,
				 LPI_DISABLED, 0));
}

FIXTURE_TEARDOWN(moved)
{
	destroy(&self->m);
}

TEST_F(moved, interrupts_arrive_as_they_would_have)
{
	struct machine *m = &self->m;

	/* The second one first: the other would have its configuration undone. */
	ASSERT_EQ(0, vcpu_start(&m->vcpus[1], guest_second, 0, 0));
	ASSERT_EQ(GUEST_SAID, serve(_metadata, m, &m->vcpus[1]));
	ASSERT_EQ(0, vcpu_start(&m->vcpus[0], guest_first, 0, 0));
	ASSERT_EQ(GUEST_SAID, serve(_metadata, m, &m->vcpus[0]));
	while_stopped(_metadata, m);
	for (unsigned int n = 0; n < variant->times; n++)
		move(_metadata, m);
	EXPECT_EQ(GUEST_DONE, serve(_metadata, m, &m->vcpus[1]));
	EXPECT_EQ(GUEST_DONE, serve(_metadata, m, &m->vcpus[0]));
	compare(_metadata, &m->vcpus[0], first_notes, ARRAY_LEN(first_notes));
	compare(_metadata, &m->vcpus[1], second_notes, ARRAY_LEN(second_notes));
}

TEST_HARNESS_MAIN
