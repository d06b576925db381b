// SPDX-License-Identifier: GPL-2.0
/*
 * An ITS by its attributes, driven from user space: its commands are in guest memory
 * and GITS_CWRITER is written by attribute, so no guest has to run. Messages, tables
 * that are saved, reset, changed and restored, and the attacks that C KVM's ITS had
 * published bugs for, by their CVE.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define GRP_ADDR	KVM_DEV_ARM_VGIC_GRP_ADDR
#define GRP_CTRL	KVM_DEV_ARM_VGIC_GRP_CTRL
#define GRP_REDIST	KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
#define GRP_ITS		KVM_DEV_ARM_VGIC_GRP_ITS_REGS
#define SAVE_PENDING	KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES

#define ITS_BASE	0x08080000UL
#define DOORBELL	(ITS_BASE + 0x10040)

#define GITS_CTLR	0x0000
#define GITS_IIDR	0x0004
#define GITS_TYPER	0x0008
#define GITS_CBASER	0x0080
#define GITS_CWRITER	0x0088
#define GITS_CREADR	0x0090
#define GITS_BASER(n)	(0x0100 + 8 * (n))
#define GITS_PIDR2	0xffe8

#define GICR_CTLR	0x0000
#define GICR_PROPBASER	0x0070
#define GICR_PENDBASER	0x0078

/* Memory of the tables; 64 KiB each, but the ITTs. */
#define MEM		0x50000000UL
#define DEVICES		(MEM + 0x00000)
#define COLLECTIONS	(MEM + 0x10000)
#define QUEUE		(MEM + 0x20000)
#define CONFIG		(MEM + 0x30000)
#define PENDING		(MEM + 0x40000)
#define ITT(n)		(MEM + 0x50000 + 0x100 * (n))
#define MEM_SIZE	0x60000UL

#define VALID		(1UL << 63)
#define PAGES_64K	(2UL << 8)
#define LPI		8192

FIXTURE(vgic_its)
{
	struct vm vm;
	struct vcpu vcpu;
	int gic, its;
	unsigned char *mem;
	pthread_mutex_t queue;
};

static int set_redist(int fd, uint64_t number, uint32_t value)
{
	return device_attr(fd, KVM_SET_DEVICE_ATTR, GRP_REDIST, number, &value);
}

static int ctrl(int fd, uint64_t what)
{
	return device_attr(fd, KVM_SET_DEVICE_ATTR, GRP_CTRL, what, NULL);
}

static int get_its(int its, uint64_t number, uint64_t *value)
{
	return device_attr(its, KVM_GET_DEVICE_ATTR, GRP_ITS, number, value);
}

static uint64_t *word(unsigned char *mem, uint64_t ipa)
{
	return (uint64_t *)(mem + (ipa - MEM));
}

/* The ITS gets tables and a queue, and is enabled. */
static int enable(int its)
{
	int ret = device_set(its, GRP_ITS, GITS_BASER(0), DEVICES | PAGES_64K | VALID);

	if (!ret)
		ret = device_set(its, GRP_ITS, GITS_BASER(1), COLLECTIONS | PAGES_64K | VALID);
	if (!ret)
		ret = device_set(its, GRP_ITS, GITS_CBASER, QUEUE | VALID);
	if (!ret)
		ret = device_set(its, GRP_ITS, GITS_CTLR, 1);
	return ret;
}

FIXTURE_SETUP(vgic_its)
{
	uint64_t gicd = GUEST_GICD, gicr = GUEST_GICR;

	pthread_mutex_init(&self->queue, NULL);
	ASSERT_EQ(0, vm_create(&self->vm));
	self->gic = vm_device(&self->vm, KVM_DEV_TYPE_ARM_VGIC_V3);
	if (self->gic == -ENODEV) {
		vm_destroy(&self->vm);
		SKIP(return, "no GICv3 for VMs");
	}
	ASSERT_GE(self->gic, 0);
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	self->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, vm_memory(&self->vm, 1, MEM, MEM_SIZE, self->mem, 0));
	ASSERT_EQ(0, device_set(self->gic, GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, gicd));
	ASSERT_EQ(0, device_set(self->gic, GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, gicr));
	self->its = vm_device(&self->vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
	ASSERT_GE(self->its, 0);
	ASSERT_EQ(0, device_set(self->its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ITS_BASE));
	ASSERT_EQ(0, ctrl(self->gic, KVM_DEV_ARM_VGIC_CTRL_INIT));
	ASSERT_EQ(0, ctrl(self->its, KVM_DEV_ARM_VGIC_CTRL_INIT));
	/* All LPIs are enabled. */
	memset(self->mem + (CONFIG - MEM), 0xa1, 0x10000);
	ASSERT_EQ(0, set_redist(self->gic, GICR_PROPBASER, CONFIG | 15));
	ASSERT_EQ(0, set_redist(self->gic, GICR_PROPBASER + 4, 0));
	ASSERT_EQ(0, set_redist(self->gic, GICR_PENDBASER, PENDING));
	ASSERT_EQ(0, set_redist(self->gic, GICR_PENDBASER + 4, 0));
	ASSERT_EQ(0, set_redist(self->gic, GICR_CTLR, 1));
	ASSERT_EQ(0, enable(self->its));
}

FIXTURE_TEARDOWN(vgic_its)
{
	close(self->its);
	close(self->gic);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->mem, MEM_SIZE);
}

/* One command, carried out when this returns 0; -EBUSY if others are at it. */
static int command(FIXTURE_DATA(vgic_its) *self, uint64_t w0, uint64_t w1, uint64_t w2)
{
	uint64_t at = 0;
	int ret;

	pthread_mutex_lock(&self->queue);
	ret = get_its(self->its, GITS_CWRITER, &at);
	if (!ret) {
		uint64_t *queue = word(self->mem, QUEUE + at);

		queue[0] = w0;
		queue[1] = w1;
		queue[2] = w2;
		queue[3] = 0;
		ret = device_set(self->its, GRP_ITS, GITS_CWRITER, (at + 32) % 4096);
	}
	pthread_mutex_unlock(&self->queue);
	return ret;
}

#define MAPC(icid, rd)		0x9, 0, (icid) | (uint64_t)(rd) << 16 | VALID
#define MAPD(dev)		0x8 | (uint64_t)(dev) << 32, 4, ITT(dev) | VALID
#define UNMAPD(dev)		0x8 | (uint64_t)(dev) << 32, 0, 0
#define MAPTI(dev, ev, lpi)	0xa | (uint64_t)(dev) << 32, (ev) | (uint64_t)(lpi) << 32, 0
#define DISCARD(dev, ev)	0xf | (uint64_t)(dev) << 32, (ev), 0
#define INVALL(icid)		0xd, 0, (icid)

static int message(struct vm *vm, uint32_t device, uint32_t event, uint32_t flags)
{
	struct kvm_msi msi = {
		.address_lo = DOORBELL, .devid = device, .data = event, .flags = flags,
	};

	return kvm_ioctl(vm->fd, KVM_SIGNAL_MSI, (unsigned long)&msi);
}

#define DEVID	KVM_MSI_VALID_DEVID

TEST_F(vgic_its, attributes)
{
	struct vm *vm = &self->vm;
	uint64_t value = 0;
	int its = vm_device(vm, KVM_DEV_TYPE_ARM_VGIC_ITS);

	ASSERT_GE(its, 0) TH_LOG("a second ITS");
	EXPECT_EQ(-EINVAL, device_set(its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ITS_BASE + 0x1000));
	EXPECT_EQ(-E2BIG, device_set(its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, 1UL << 60));
	EXPECT_EQ(-E2BIG, device_set(its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, (1UL << 40) - 0x10000));
	EXPECT_EQ(-ENODEV, device_set(its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE + 1, ITS_BASE));
	EXPECT_EQ(-EFAULT, device_attr(its, KVM_SET_DEVICE_ATTR, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, NULL));
	EXPECT_EQ(-ENXIO, get_its(its, GITS_CTLR, &value)) TH_LOG("without an address");
	EXPECT_EQ(-EEXIST, device_set(self->its, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ITS_BASE + 0x40000));
	EXPECT_EQ(0, device_attr(self->its, KVM_GET_DEVICE_ATTR, GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, &value));
	EXPECT_EQ(ITS_BASE, value);
	close(its);

	EXPECT_EQ(-EINVAL, get_its(self->its, GITS_CTLR + 2, &value));
	EXPECT_EQ(-EINVAL, get_its(self->its, GITS_CBASER + 4, &value));
	EXPECT_EQ(-ENXIO, get_its(self->its, 0x40, &value));
	EXPECT_EQ(-EFAULT, device_attr(self->its, KVM_SET_DEVICE_ATTR, GRP_ITS, GITS_CBASER, NULL));
	EXPECT_EQ(-EBUSY, device_set(self->its, GRP_ITS, GITS_CREADR, 0)) TH_LOG("it is enabled");
	EXPECT_EQ(-EINVAL, device_set(self->its, GRP_ITS, GITS_IIDR, 1 << 12));
	EXPECT_EQ(0, get_its(self->its, GITS_PIDR2, &value));
	EXPECT_EQ(0x3b, value);
	EXPECT_EQ(0, get_its(self->its, GITS_TYPER, &value));
	EXPECT_EQ(0x1ef71, value);
	EXPECT_EQ(0, get_its(self->its, GITS_CTLR, &value));
	EXPECT_EQ(0x80000001, value);
	EXPECT_EQ(-ENXIO, ctrl(self->its, 99));
	EXPECT_EQ(1, kvm_ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_MSI_DEVID));
}

TEST_F(vgic_its, messages)
{
	struct vm *vm = &self->vm;

	EXPECT_EQ(0, message(vm, 1, 0, DEVID)) TH_LOG("nothing is mapped");
	ASSERT_EQ(0, command(self, MAPC(0, 0)));
	ASSERT_EQ(0, command(self, MAPD(1)));
	ASSERT_EQ(0, command(self, MAPTI(1, 3, LPI + 5)));
	EXPECT_EQ(1, message(vm, 1, 3, DEVID));
	EXPECT_EQ(1, message(vm, 1, 3, DEVID)) TH_LOG("again, from the cache");
	EXPECT_EQ(0, message(vm, 1, 4, DEVID));
	EXPECT_EQ(0, message(vm, 2, 3, DEVID));
	EXPECT_EQ(-EINVAL, message(vm, 1, 4, 0)) TH_LOG("no DeviceID");
	EXPECT_EQ(-EINVAL, message(vm, 1, 3, DEVID | 2));
	ASSERT_EQ(0, ctrl(self->gic, SAVE_PENDING));
	EXPECT_EQ(1 << 5, self->mem[PENDING - MEM + LPI / 8]);
	ASSERT_EQ(0, command(self, DISCARD(1, 3)));
	EXPECT_EQ(0, message(vm, 1, 3, DEVID));
	ASSERT_EQ(0, device_set(self->its, GRP_ITS, GITS_CTLR, 0));
	EXPECT_EQ(-EBUSY, message(vm, 1, 3, DEVID));
}

/*
 * What a field of memory attributes reads as: no inner non-cacheable memory but
 * read-allocate write-back instead, and outer memory is as the inner one unless it is
 * to be non-cacheable.
 */
static uint64_t attributes_of(uint64_t inner, unsigned int inner_shift, uint64_t outer,
			      unsigned int outer_shift)
{
	return (inner < 2 ? 3 : inner) << inner_shift | (outer == 1 ? 1UL : 0) << outer_shift;
}

TEST_F(vgic_its, cacheability)
{
	static const uint64_t tables[] = { GITS_CBASER, GITS_BASER(0), GITS_BASER(1) };
	static const uint64_t redist[] = { GICR_PROPBASER, GICR_PENDBASER };
	const uint64_t inner_its = 7UL << 59, outer_its = 7UL << 53;
	const uint64_t inner_gicr = 7UL << 7, outer_gicr = 7UL << 56;
	unsigned int n, i;

	ASSERT_EQ(0, device_set(self->its, GRP_ITS, GITS_CTLR, 0));
	ASSERT_EQ(0, set_redist(self->gic, GICR_CTLR, 0));
	for (n = 0; n < 64; n++) {
		uint64_t inner = n % 8, outer = n / 8, value;

		for (i = 0; i < ARRAY_LEN(tables); i++) {
			ASSERT_EQ(0, device_set(self->its, GRP_ITS, tables[i],
						inner << 59 | outer << 53));
			ASSERT_EQ(0, get_its(self->its, tables[i], &value));
			EXPECT_EQ(attributes_of(inner, 59, outer, 53),
				  value & (inner_its | outer_its))
				TH_LOG("GITS 0x%lx, inner %lu, outer %lu", tables[i], inner, outer);
		}
		for (i = 0; i < ARRAY_LEN(redist); i++) {
			uint32_t low = 0, high = 0;

			ASSERT_EQ(0, set_redist(self->gic, redist[i], inner << 7));
			ASSERT_EQ(0, set_redist(self->gic, redist[i] + 4, outer << 24));
			ASSERT_EQ(0, device_attr(self->gic, KVM_GET_DEVICE_ATTR, GRP_REDIST,
						 redist[i], &low));
			ASSERT_EQ(0, device_attr(self->gic, KVM_GET_DEVICE_ATTR, GRP_REDIST,
						 redist[i] + 4, &high));
			value = (uint64_t)high << 32 | low;
			EXPECT_EQ(attributes_of(inner, 7, outer, 56),
				  value & (inner_gicr | outer_gicr))
				TH_LOG("GICR 0x%lx, inner %lu, outer %lu", redist[i], inner, outer);
		}
	}
}

/* The registers before a reset are written back, then the tables restored. */
static int move_house(int its)
{
	static const uint64_t regs[] = { GITS_CBASER, GITS_BASER(0), GITS_BASER(1) };
	uint64_t value[3];
	int i, ret;

	for (i = 0; i < 3; i++) {
		ret = get_its(its, regs[i], &value[i]);
		if (ret)
			return ret;
	}
	ret = ctrl(its, KVM_DEV_ARM_ITS_CTRL_RESET);
	for (i = 0; i < 3 && !ret; i++)
		ret = device_set(its, GRP_ITS, regs[i], value[i]);
	return ret ? ret : ctrl(its, KVM_DEV_ARM_ITS_RESTORE_TABLES);
}

TEST_F(vgic_its, save_and_restore)
{
	ASSERT_EQ(0, command(self, MAPC(0, 0)));
	ASSERT_EQ(0, command(self, MAPD(1)));
	ASSERT_EQ(0, command(self, MAPTI(1, 3, LPI + 5)));
	EXPECT_EQ(1, message(&self->vm, 1, 3, DEVID));
	ASSERT_EQ(0, ctrl(self->gic, SAVE_PENDING));
	ASSERT_EQ(0, ctrl(self->its, KVM_DEV_ARM_ITS_SAVE_TABLES));
	EXPECT_EQ(VALID | (ITT(1) >> 8) << 5 | 4, *word(self->mem, DEVICES + 8));
	EXPECT_EQ((LPI + 5UL) << 16, *word(self->mem, ITT(1) + 24));
	EXPECT_EQ(VALID, *word(self->mem, COLLECTIONS));
	ASSERT_EQ(0, move_house(self->its));
	EXPECT_EQ(-EBUSY, message(&self->vm, 1, 3, DEVID)) TH_LOG("not enabled yet");
	ASSERT_EQ(0, device_set(self->its, GRP_ITS, GITS_CTLR, 1));
	EXPECT_EQ(0, self->mem[PENDING - MEM + LPI / 8]) TH_LOG("the LPI is pending again");
	ASSERT_EQ(0, ctrl(self->gic, SAVE_PENDING));
	EXPECT_EQ(1 << 5, self->mem[PENDING - MEM + LPI / 8]);
	EXPECT_EQ(1, message(&self->vm, 1, 3, DEVID));
}

/*
 * CVE-2026-64106: the size of a restored device was not checked, and the scan of its
 * ITT went out of bounds. Every size and every ITT address.
 */
TEST_F(vgic_its, cve_2026_64106_restored_device)
{
	unsigned int size;

	for (size = 0; size < 32; size++) {
		*word(self->mem, DEVICES + 8) = VALID | (ITT(1) >> 8) << 5 | size;
		EXPECT_EQ(size < 12 ? 0 : size < 16 ? -EFAULT : -EINVAL, move_house(self->its))
			TH_LOG("size %u", size);
		*word(self->mem, DEVICES + 8) = VALID | ((1UL << 44) - 1) << 5 | size;
		EXPECT_EQ(size < 16 ? -EFAULT : -EINVAL, move_house(self->its));
	}
}

#define LPIS	32

struct attack {
	FIXTURE_DATA(vgic_its) *self;
	atomic_int stop;
	atomic_int unexpected;
	atomic_ulong delivered;
};

static void note(struct attack *attack, int ret)
{
	/* Others were at it, or it has just been disabled, or tables were half written. */
	if (ret < 0 && ret != -EBUSY && ret != -EINVAL && ret != -EEXIST)
		attack->unexpected = ret;
}

static void *maps(void *arg)
{
	struct attack *attack = arg;
	unsigned int n = 0;

	while (!attack->stop) {
		note(attack, command(attack->self, MAPC(0, 0)));
		note(attack, command(attack->self, MAPD(n % 2)));
		for (n++; n % LPIS; n++)
			note(attack, command(attack->self, MAPTI(n % 2, n % 32, LPI + n % LPIS)));
		note(attack, command(attack->self, INVALL(0)));
	}
	return NULL;
}

static void *unmaps(void *arg)
{
	struct attack *attack = arg;
	unsigned int n;

	for (n = 0; !attack->stop; n += 7) {
		note(attack, command(attack->self, DISCARD(n % 2, n % 32)));
		if (!(n % 5))
			note(attack, command(attack->self, UNMAPD(n % 2)));
	}
	return NULL;
}

static void *messages(void *arg)
{
	struct attack *attack = arg;
	unsigned int n;
	int ret;

	for (n = 0; !attack->stop; n++) {
		ret = message(&attack->self->vm, n % 2, n % 32, DEVID);
		note(attack, ret);
		attack->delivered += ret == 1;
	}
	return NULL;
}

/* The cache of translations goes by way of all locks that there are. */
static void *disables(void *arg)
{
	struct attack *attack = arg;

	while (!attack->stop) {
		note(attack, device_set(attack->self->its, GRP_ITS, GITS_CTLR, 0));
		note(attack, set_redist(attack->self->gic, GICR_CTLR, 0));
		note(attack, set_redist(attack->self->gic, GICR_CTLR, 1));
		note(attack, device_set(attack->self->its, GRP_ITS, GITS_CTLR, 1));
		usleep(100);
	}
	return NULL;
}

static void *saves_pending(void *arg)
{
	struct attack *attack = arg;

	while (!attack->stop)
		note(attack, ctrl(attack->self->gic, SAVE_PENDING));
	return NULL;
}

static void *restores(void *arg)
{
	struct attack *attack = arg;

	while (!attack->stop) {
		note(attack, ctrl(attack->self->its, KVM_DEV_ARM_ITS_SAVE_TABLES));
		pthread_mutex_lock(&attack->self->queue);
		note(attack, move_house(attack->self->its));
		note(attack, enable(attack->self->its));
		pthread_mutex_unlock(&attack->self->queue);
	}
	return NULL;
}

/* Runs the threads for a while. A splat in the host's log fails the run. */
static void attack(struct __test_metadata *_metadata, FIXTURE_DATA(vgic_its) *self,
		   void *(*const *threads)(void *))
{
	struct attack attack = { .self = self };
	pthread_t thread[8];
	int n, i;

	for (n = 0; threads[n]; n++)
		ASSERT_EQ(0, pthread_create(&thread[n], NULL, threads[n], &attack));
	usleep(scaled(2000) * 1000);
	attack.stop = 1;
	for (i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, attack.unexpected) TH_LOG("%s", strerror(-attack.unexpected));
	TH_LOG("%lu messages", (unsigned long)attack.delivered);
	/* It works still. */
	ASSERT_EQ(0, ctrl(self->its, KVM_DEV_ARM_ITS_CTRL_RESET));
	ASSERT_EQ(0, set_redist(self->gic, GICR_CTLR, 1));
	ASSERT_EQ(0, enable(self->its));
	ASSERT_EQ(0, command(self, MAPC(0, 0)));
	ASSERT_EQ(0, command(self, MAPD(1)));
	ASSERT_EQ(0, command(self, MAPTI(1, 3, LPI + 5)));
	EXPECT_EQ(1, message(&self->vm, 1, 3, DEVID));
}

/* A message had an LPI without a reference while its event was discarded. */
TEST_F_TIMEOUT(vgic_its, cve_2024_26598_message_and_discard, 60)
{
	static void *(*const threads[])(void *) = { maps, unmaps, messages, messages, NULL };

	attack(_metadata, self, threads);
}

/* Paths that invalidate the cache under different locks dropped one reference twice. */
TEST_F_TIMEOUT(vgic_its, cve_2026_46316_invalidations, 60)
{
	static void *(*const threads[])(void *) = { maps, unmaps, messages, disables, disables,
						    NULL };

	attack(_metadata, self, threads);
}

/* LPIs were released while pending tables were saved. */
TEST_F_TIMEOUT(vgic_its, cve_2026_89913_save_pending_and_release, 60)
{
	static void *(*const threads[])(void *) = { maps, unmaps, messages, saves_pending, NULL };

	attack(_metadata, self, threads);
}

/* An LPI was released while its number was mapped again, here also by a restore. */
TEST_F_TIMEOUT(vgic_its, cve_2026_74568_release_and_map_again, 60)
{
	static void *(*const threads[])(void *) = { maps, unmaps, messages, restores, NULL };

	attack(_metadata, self, threads);
}

/* A VM that goes with a GIC and an ITS that are not initialised. */
static int one_vm(void)
{
	struct vm vm;
	struct vcpu vcpu;
	int gic, its;

	if (vm_create(&vm) || vcpu_create(&vm, &vcpu, 0))
		return -EIO;
	gic = vm_device(&vm, KVM_DEV_TYPE_ARM_VGIC_V3);
	its = vm_device(&vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
	if (gic < 0 || its < 0)
		return -EIO;
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	close(gic);
	close(its);
	return 0;
}

TEST_F(vgic_its, made_and_closed_in_any_order)
{
	int i;

	for (i = 0; i < 50; i++)
		ASSERT_EQ(0, one_vm());
}

TEST_HARNESS_MAIN
