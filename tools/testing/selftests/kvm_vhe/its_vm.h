/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM whose vCPUs take LPIs in threads, and whose ITS its guest drives: what the tests of
 * both share.
 */
#ifndef KVM_VHE_ITS_VM_H
#define KVM_VHE_ITS_VM_H

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "irqfd.h"
#include "its_guest.h"

/* The events of each sender. */
enum {
	MSI = 0,		/* KVM_SIGNAL_MSI */
	IRQFD = 6,		/* irqfds */
	INTS = 12,		/* INT of the guest */
	CLEARED = 15,		/* INT and CLEAR */
};
#define PER_SENDER	6

/* Words of the areas: LPIs taken by their event, and what else was; INTs by theirs. */
enum { TAKEN = 0, STRAY = ITS_EVENTS, SENT = 32, STEPS = 64 };

#define TAKERS		2
#define COMMANDER	2
#define VCPUS		3
#define STOP_PPI	20
#define SLEEPS		8

/* Takes LPIs, by itself or in WFI meanwhile, and some of them slowly, until there is STOP_PPI. */
GUEST uint64_t takes(uint64_t how);
GUEST uint64_t takes(uint64_t how)
{
	volatile uint64_t *data = guest_area()->data;
	uint64_t intid, n = 0, i;

	gic_start(how & 7, true);
	its_redistributor(how & 7);
	guest_say(1, 0);
	for (;;) {
		intid = gic_acknowledge();
		if (intid == GIC_SPURIOUS) {
			if (how & SLEEPS)
				asm volatile("wfi");
			continue;
		}
		if (intid == STOP_PPI) {
			gic_end(intid);
			return n;
		}
		data[intid - LPI(0) < ITS_EVENTS ? intid - LPI(0) : STRAY]++;
		/* The next ones come while this one is active. */
		for (i = 0; i < (n % 8) * 40; i++)
			asm volatile("nop");
		gic_end(intid);
		/* These wait in list registers. */
		for (i = 0; i < (n % 5) * 40; i++)
			asm volatile("nop");
		n++;
	}
}

/* A vCPU's thread, which can be told to leave KVM_RUN for a while. */
struct runner {
	struct vcpu *vcpu;
	pthread_t thread;
	atomic_int pause, paused, ended;
	bool started;
};

static inline void *run(void *arg)
{
	struct runner *runner = arg;
	enum guest_event event;

	for (;;) {
		event = guest_run(runner->vcpu);
		if (event != GUEST_ERROR || runner->vcpu->error != -EINTR)
			break;
		while (runner->pause) {
			runner->paused = 1;
			usleep(50);
		}
		runner->paused = 0;
	}
	runner->ended = 1;
	return (void *)(uintptr_t)event;
}

FIXTURE(its_running)
{
	struct vm vm;
	struct vcpu vcpus[VCPUS];
	struct runner runners[VCPUS];
	int gic, its;
	int fds[PER_SENDER];
	unsigned char *mem;
	/* Held while a message is sent, and while there is no ITS that takes it. */
	pthread_mutex_t house;
};

static inline void kick(int sig)
{
	(void)sig;
}

static inline struct kvm_irq_routing_entry msi_route(unsigned int gsi, uint32_t doorbell,
						    uint32_t event)
{
	struct kvm_irq_routing_entry entry = {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI, .flags = KVM_MSI_VALID_DEVID,
		.u.msi = { .address_lo = doorbell, .devid = ITS_DEVICE, .data = event },
	};

	return entry;
}

/* A VM with its vCPUs, a GIC and an ITS of which the guest knows nothing yet, and irqfds. */
static inline int set_up(FIXTURE_DATA(its_running) *self)
{
	const uint64_t addr = KVM_DEV_ARM_VGIC_GRP_ADDR, ctrl = KVM_DEV_ARM_VGIC_GRP_CTRL;
	struct kvm_irq_routing_entry entries[PER_SENDER];
	struct sigaction action = { .sa_handler = kick };
	unsigned int i;
	int ret;

	memset(self, 0, sizeof(*self));
	pthread_mutex_init(&self->house, NULL);
	sigaction(SIGUSR1, &action, NULL);
	ret = vm_create(&self->vm);
	if (ret)
		return ret;
	self->mem = mmap(NULL, ITS_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	if (self->mem == MAP_FAILED)
		return -errno;
	ret = vm_memory(&self->vm, 1, ITS_MEM, ITS_MEM_SIZE, self->mem, 0);
	for (i = 0; i < VCPUS; i++) {
		ret |= vcpu_create(&self->vm, &self->vcpus[i], i);
		self->runners[i].vcpu = &self->vcpus[i];
	}
	if (ret)
		return ret;
	self->gic = vm_device(&self->vm, KVM_DEV_TYPE_ARM_VGIC_V3);
	if (self->gic < 0)
		return self->gic;
	self->its = vm_device(&self->vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
	if (self->its < 0)
		return self->its;
	ret |= device_set(self->gic, addr, KVM_VGIC_V3_ADDR_TYPE_DIST, GUEST_GICD);
	ret |= device_set(self->gic, addr, KVM_VGIC_V3_ADDR_TYPE_REDIST, GUEST_GICR);
	ret |= device_set(self->its, addr, KVM_VGIC_ITS_ADDR_TYPE, ITS);
	ret |= device_set(self->gic, ctrl, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
	ret |= device_set(self->its, ctrl, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
	for (i = 0; i < PER_SENDER; i++)
		entries[i] = msi_route(i, ITS_DOORBELL, IRQFD + i);
	ret |= set_routes(&self->vm, entries, PER_SENDER, 0);
	for (i = 0; i < PER_SENDER; i++) {
		self->fds[i] = eventfd(0, EFD_NONBLOCK);
		ret |= irqfd(&self->vm, self->fds[i], i, 0, -1);
	}
	return ret;
}

FIXTURE_SETUP(its_running)
{
	int ret = set_up(self);

	if (ret == -ENODEV)
		SKIP(return, "no GICv3 with an ITS for VMs");
	ASSERT_EQ(0, ret);
}

FIXTURE_TEARDOWN(its_running)
{
	unsigned int i;

	for (i = 0; i < PER_SENDER; i++)
		close(self->fds[i]);
	close(self->its);
	close(self->gic);
	for (i = 0; i < VCPUS; i++)
		vcpu_destroy(&self->vcpus[i]);
	vm_destroy(&self->vm);
	munmap(self->mem, ITS_MEM_SIZE);
}

/* Runs a vCPU until it says that it is ready, and then on in a thread. */
static inline int begin(FIXTURE_DATA(its_running) *self, unsigned int n, void *fn, uint64_t arg)
{
	struct runner *runner = &self->runners[n];
	int ret = vcpu_start(runner->vcpu, fn, arg, 0);

	if (!ret && guest_run(runner->vcpu) != GUEST_SAID)
		ret = -EPROTO;
	if (!ret)
		ret = -pthread_create(&runner->thread, NULL, run, runner);
	runner->started = !ret;
	return ret;
}

/* Waits for a vCPU's guest to end. */
static inline bool joined(FIXTURE_DATA(its_running) *self, unsigned int n)
{
	struct runner *runner = &self->runners[n];
	void *event;

	if (!runner->started)
		return false;
	pthread_join(runner->thread, &event);
	runner->started = false;
	if ((uintptr_t)event == GUEST_DONE)
		return true;
	ksft_print_msg("vCPU %u: %s\n", n, guest_told(runner->vcpu, (uintptr_t)event));
	return false;
}

/* Ends those that take LPIs. */
static inline bool end_takers(FIXTURE_DATA(its_running) *self)
{
	bool good = true;
	unsigned int n;

	for (n = 0; n < TAKERS; n++) {
		struct kvm_irq_level line = {
			.irq = KVM_ARM_IRQ_TYPE_PPI << KVM_ARM_IRQ_TYPE_SHIFT |
			       n << KVM_ARM_IRQ_VCPU_SHIFT | STOP_PPI,
			.level = 1,
		};

		if (!self->runners[n].started)
			continue;
		kvm_ioctl(self->vm.fd, KVM_IRQ_LINE, (unsigned long)&line);
		good &= joined(self, n);
	}
	return good;
}

/* All vCPUs leave KVM_RUN, as they are. */
static inline void pause_all(FIXTURE_DATA(its_running) *self)
{
	unsigned int n;

	for (n = 0; n < VCPUS; n++) {
		struct runner *runner = &self->runners[n];

		runner->pause = 1;
		runner->vcpu->run->immediate_exit = 1;
		pthread_kill(runner->thread, SIGUSR1);
	}
	for (n = 0; n < VCPUS; n++) {
		while (!self->runners[n].paused && !self->runners[n].ended)
			usleep(50);
	}
}

static inline void resume_all(FIXTURE_DATA(its_running) *self)
{
	unsigned int n;

	for (n = 0; n < VCPUS; n++) {
		self->runners[n].vcpu->run->immediate_exit = 0;
		self->runners[n].pause = 0;
	}
	for (n = 0; n < VCPUS; n++) {
		while (self->runners[n].paused && !self->runners[n].ended)
			usleep(50);
	}
}

static inline uint64_t word(FIXTURE_DATA(its_running) *self, unsigned int vcpu, unsigned int n)
{
	return *(volatile uint64_t *)&self->vcpus[vcpu].area->data[n];
}

static inline uint64_t taken(FIXTURE_DATA(its_running) *self, unsigned int event)
{
	return word(self, 0, TAKEN + event) + word(self, 1, TAKEN + event);
}

/* Waits until an event was taken n times, or for so many milliseconds. */
static inline bool wait_taken(FIXTURE_DATA(its_running) *self, unsigned int event, uint64_t n,
			      unsigned int ms)
{
	unsigned int i;

	for (i = 0; i < 20 * ms && taken(self, event) < n; i++)
		usleep(50);
	return taken(self, event) >= n;
}

/*
 * The ITS is saved, reset, given its registers and, unless its tables' memory is cleared, its
 * tables. No vCPU runs.
 */
static inline int move_house(FIXTURE_DATA(its_running) *self, bool restore)
{
	static const uint64_t registers[] = {
		GITS_CBASER - ITS, GITS_BASER(0) - ITS, GITS_BASER(1) - ITS, GITS_CREADR - ITS,
		GITS_CWRITER - ITS,
	};
	const uint64_t ctrl = KVM_DEV_ARM_VGIC_GRP_CTRL, regs = KVM_DEV_ARM_VGIC_GRP_ITS_REGS;
	uint64_t values[ARRAY_LEN(registers)];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < ARRAY_LEN(registers) && !ret; i++)
		ret = device_attr(self->its, KVM_GET_DEVICE_ATTR, regs, registers[i], &values[i]);
	if (!ret && restore)
		ret = device_set(self->gic, ctrl, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0);
	if (!ret)
		ret = device_set(self->its, ctrl, KVM_DEV_ARM_ITS_SAVE_TABLES, 0);
	if (!ret)
		ret = device_set(self->its, ctrl, KVM_DEV_ARM_ITS_CTRL_RESET, 0);
	if (!restore)
		memset(self->mem + 0x10000, 0, 0x30000);
	for (i = 0; i < ARRAY_LEN(registers) && !ret; i++)
		ret = device_set(self->its, regs, registers[i], values[i]);
	if (!ret && restore)
		ret = device_set(self->its, ctrl, KVM_DEV_ARM_ITS_RESTORE_TABLES, 0);
	return ret ? ret : device_set(self->its, regs, GITS_CTLR - ITS, 1);
}

#endif
