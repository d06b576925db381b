// SPDX-License-Identifier: GPL-2.0
/*
 * Measures what interrupts cost: accesses to a GICv3's registers, an SGI to the vCPU
 * itself and to another one and back, how late a timer is, and a device's message by
 * KVM_SIGNAL_MSI and by an irqfd until the guest has taken it. See bench.h for how.
 * Runs on the module and on C KVM: bench_irq [ITERATIONS [BATCHES]].
 */
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_vhe_test.h"
#include "guest.h"
#include "bench.h"

#define ICC_PMR_EL1	"S3_0_C4_C6_0"
#define ICC_SGI1R_EL1	"S3_0_C12_C11_5"
#define ICC_IAR1_EL1	"S3_0_C12_C12_0"
#define ICC_EOIR1_EL1	"S3_0_C12_C12_1"
#define ICC_IGRPEN1_EL1	"S3_0_C12_C12_7"
#define SPURIOUS	1023

#define GICD_TYPER	(GUEST_GICD + 0x4)
#define GICD_IIDR	(GUEST_GICD + 0x8)
#define GICD_ISENABLER1	(GUEST_GICD + 0x104)
#define GICR(cpu)	(GUEST_GICR + 0x20000UL * (cpu))
#define GICR_WAKER	0x14UL
#define GICR_IGROUPR0	0x10080UL
#define GICR_ISENABLER0	0x10100UL
#define GICR_IPRIORITYR	0x10400UL

/* What the guest asks of the test: a write of one of these. */
#define ASK		0x2000UL
enum { ASK_NOTHING, ASK_MSI, ASK_IRQFD };
/* An eventfd of the test. */
#define BELL		0x3000UL

#define ITS_BASE	0x08080000UL
#define DOORBELL	(ITS_BASE + 0x10040)
#define MEM		0x50000000UL
#define DEVICES		(MEM + 0x00000)
#define COLLECTIONS	(MEM + 0x10000)
#define QUEUE		(MEM + 0x20000)
#define CONFIG		(MEM + 0x30000)
#define PENDING(cpu)	(MEM + 0x40000 + 0x10000 * (cpu))
#define ITT		(MEM + 0x60000)
#define MEM_SIZE	0x70000UL
#define VALID		(1UL << 63)
#define PAGES_64K	(2UL << 8)

/* The LPIs, in the order of their events. */
#define LPI		8192
enum { LPI_SAME_THREAD, LPI_ECHO, LPI_STOP };
#define SGI_THERE	1
#define SGI_BACK	2
#define SGI_STOP	3

GUEST_INLINE void write32(uint64_t address, uint32_t value)
{
	asm volatile("str %w0, [%1]" : : "r" (value), "r" (address) : "memory");
}

GUEST_INLINE void read32(uint64_t address)
{
	uint32_t value;

	asm volatile("ldr %w0, [%1]" : "=r" (value) : "r" (address) : "memory");
}

GUEST uint64_t guest_gic_init(uint64_t cpu);
GUEST uint64_t guest_gic_init(uint64_t cpu)
{
	unsigned int n;

	write32(GUEST_GICD, 1 << 4 | 1 << 1);	/* GICD_CTLR.ARE_NS, EnableGrp1 */
	write32(GICR(cpu) + GICR_WAKER, 0);
	write32(GICR(cpu) + GICR_IGROUPR0, ~0);
	for (n = 0; n < 32; n += 4)
		write32(GICR(cpu) + GICR_IPRIORITYR + n, 0x80808080);
	write32(GICR(cpu) + GICR_ISENABLER0, ~0);
	GUEST_MSR(ICC_PMR_EL1, 0xff);
	GUEST_MSR(ICC_IGRPEN1_EL1, 1);
	GUEST_ISB();
	return cpu;
}

/* The next interrupt. PSTATE masks them: they are looked for, in WFI meanwhile if wait. */
GUEST_INLINE uint64_t take(bool wait)
{
	uint64_t intid;

	for (;;) {
		intid = GUEST_MRS(ICC_IAR1_EL1) & 0xffffff;
		asm volatile("dsb sy" : : : "memory");
		if (intid != SPURIOUS)
			return intid;
		if (wait)
			asm volatile("wfi" : : : "memory");
	}
}

GUEST_INLINE void finish(uint64_t intid)
{
	GUEST_MSR(ICC_EOIR1_EL1, intid);
	GUEST_ISB();
}

GUEST_INLINE void send(uint64_t sgi, unsigned int cpu)
{
	GUEST_MSR(ICC_SGI1R_EL1, sgi << 24 | 1 << cpu);
	GUEST_ISB();
}

SERIES(no_operation, asm volatile("nop"))
SERIES(dist_read_typer, read32(GICD_TYPER))
SERIES(dist_read_iidr, read32(GICD_IIDR))
SERIES(dist_enable, write32(GICD_ISENABLER1, 1))
SERIES(redist_enable, write32(GICR(0) + GICR_ISENABLER0, 1 << 31))
SERIES(read_iar, GUEST_MRS(ICC_IAR1_EL1))
SERIES(sgi_itself, send(SGI_BACK, 0); finish(take(false)))
SERIES(ipi, send(SGI_THERE, 1); finish(take(true)))
SERIES(ask_nothing, write32(ASK, ASK_NOTHING))
SERIES(ask_msi, write32(ASK, ASK_MSI); finish(take(false)))
SERIES(ask_irqfd, write32(ASK, ASK_IRQFD); finish(take(false)))
SERIES(ring_bell, write32(BELL, 0))

/* The sum of how late a timer of 10 ms is. */
#define LATENESS(name, wait)						\
GUEST uint64_t name(uint64_t n);					\
GUEST uint64_t name(uint64_t n)						\
{									\
	uint64_t ticks = GUEST_MRS("cntfrq_el0") / 100, sum = 0, until;	\
									\
	do {								\
		GUEST_ISB();						\
		until = GUEST_MRS("cntvct_el0") + ticks;		\
		GUEST_MSR("cntv_cval_el0", until);			\
		GUEST_MSR("cntv_ctl_el0", 1);				\
		uint64_t intid = take(wait);				\
		GUEST_ISB();						\
		sum += GUEST_MRS("cntvct_el0") - until;			\
		GUEST_MSR("cntv_ctl_el0", 0);				\
		GUEST_ISB();						\
		finish(intid);						\
	} while (--n);							\
	return sum;							\
}

LATENESS(timer_asleep, true)
LATENESS(timer_awake, false)

/* The other vCPU: answers each SGI, or each LPI by the bell. */
GUEST uint64_t answer(uint64_t unused);
GUEST uint64_t answer(uint64_t unused)
{
	for (;;) {
		uint64_t intid = take(true);

		finish(intid);
		if (intid == SGI_THERE)
			send(SGI_BACK, 0);
		else if (intid == LPI + LPI_ECHO)
			write32(BELL, 0);
		else
			return unused;
	}
}

GUEST uint64_t stop_other(uint64_t unused);
GUEST uint64_t stop_other(uint64_t unused)
{
	send(SGI_STOP, 1);
	return unused;
}

static struct vm vm;
static struct vcpu vcpus[2];
static int gic, its, irqfd, bell;
static unsigned char *mem;

/* A 64-bit register of a redistributor, or the 32-bit GICR_CTLR. */
static int redist(unsigned int cpu, uint64_t offset, uint64_t value)
{
	uint64_t number = (uint64_t)cpu << 32 | offset;
	int ret = device_set(gic, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, number, value & 0xffffffff);

	return ret || !offset ? ret :
	       device_set(gic, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, number + 4, value >> 32);
}

static void command(unsigned int n, uint64_t w0, uint64_t w1, uint64_t w2)
{
	uint64_t *queue = (uint64_t *)(mem + (QUEUE - MEM)) + 4 * n;

	queue[0] = w0;
	queue[1] = w1;
	queue[2] = w2;
}

/* A GIC with an ITS, whose device 1 has the events 0 to 2. */
static int gic_and_its(void)
{
	struct { uint64_t group, number, value; } on_its[] = {
		{ KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ITS_BASE },
		{ KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0 },
		{ KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0x100, DEVICES | PAGES_64K | VALID },
		{ KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0x108, COLLECTIONS | PAGES_64K | VALID },
		{ KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0x080, QUEUE | VALID },
		{ KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0x000, 1 },
		{ KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0x088, 6 * 32 },
	};
	unsigned int i;
	int ret;

	gic = vm_device(&vm, KVM_DEV_TYPE_ARM_VGIC_V3);
	if (gic < 0)
		return gic;
	ret = device_set(gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, GUEST_GICD);
	if (!ret)
		ret = device_set(gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST,
			   GUEST_GICR);
	if (!ret)
		ret = device_set(gic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
	if (ret)
		return ret;
	its = vm_device(&vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
	if (its < 0)
		return its;
	/* All LPIs are enabled. */
	memset(mem + (CONFIG - MEM), 0xa1, 0x10000);
	for (i = 0; i < 2 && !ret; i++) {
		ret = redist(i, 0x70, CONFIG | 15);
		if (!ret)
			ret = redist(i, 0x78, PENDING(i));
		if (!ret)
			ret = redist(i, 0, 1);
	}
	command(0, 0x9, 0, 0UL << 16 | VALID | 0);		/* MAPC 0 -> vCPU 0 */
	command(1, 0x9, 0, 1UL << 16 | VALID | 1);		/* MAPC 1 -> vCPU 1 */
	command(2, 0x8 | 1UL << 32, 4, ITT | VALID);		/* MAPD 1 */
	for (i = LPI_SAME_THREAD; i <= LPI_STOP; i++)		/* MAPTI 1, event */
		command(3 + i, 0xa | 1UL << 32, i | (uint64_t)(LPI + i) << 32,
			i == LPI_SAME_THREAD ? 0 : 1);
	for (i = 0; i < ARRAY_LEN(on_its) && !ret; i++)
		ret = device_set(its, on_its[i].group, on_its[i].number, on_its[i].value);
	return ret;
}

static int message(uint32_t event)
{
	struct kvm_msi msi = {
		.address_lo = DOORBELL, .devid = 1, .data = event,
		.flags = KVM_MSI_VALID_DEVID,
	};

	return kvm_ioctl(vm.fd, KVM_SIGNAL_MSI, (unsigned long)&msi);
}

/* An irqfd whose message is event 0, and the bell. */
static int event_fds(void)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routing = {
		.head = { .nr = 1 },
		.entry = {
			.gsi = 40, .type = KVM_IRQ_ROUTING_MSI, .flags = KVM_MSI_VALID_DEVID,
			.u.msi = { .address_lo = DOORBELL, .data = LPI_SAME_THREAD, .devid = 1 },
		},
	};
	struct kvm_irqfd irq = { .gsi = 40 };
	struct kvm_ioeventfd io = { .addr = BELL, .len = 4 };
	int ret;

	irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bell = eventfd(0, EFD_CLOEXEC);
	irq.fd = irqfd;
	io.fd = bell;
	ret = kvm_ioctl(vm.fd, KVM_SET_GSI_ROUTING, (unsigned long)&routing);
	if (!ret)
		ret = kvm_ioctl(vm.fd, KVM_IRQFD, (unsigned long)&irq);
	if (!ret)
		ret = kvm_ioctl(vm.fd, KVM_IOEVENTFD, (unsigned long)&io);
	return ret;
}

static int signal_irqfd(void)
{
	uint64_t one = 1;

	return write(irqfd, &one, sizeof(one)) == sizeof(one) ? 1 : -1;
}

/* Runs a guest function, doing what it asks for. -1: it did not end well. */
static double run(struct vcpu *vcpu, void *fn, uint64_t arg)
{
	struct kvm_run *run = vcpu->run;
	enum guest_event event;

	if (vcpu_start(vcpu, fn, arg, 0))
		return -1;
	for (;;) {
		event = guest_run(vcpu);
		if (event != GUEST_EXIT || run->exit_reason != KVM_EXIT_MMIO ||
		    run->mmio.phys_addr != ASK)
			break;
		if (run->mmio.data[0] == ASK_MSI && message(LPI_SAME_THREAD) != 1)
			return -1;
		if (run->mmio.data[0] == ASK_IRQFD && signal_irqfd() != 1)
			return -1;
	}
	if (event != GUEST_DONE) {
		printf("# vCPU %u: %s\n", vcpu->id, guest_told(vcpu, event));
		return -1;
	}
	return vcpu->value;
}

static double in_guest(void *fn, uint64_t n)
{
	double ticks = run(&vcpus[0], fn, n);

	return ticks < 0 ? ticks : ticks / n;
}

static void *answerer(void *result)
{
	*(double *)result = run(&vcpus[1], answer, 0);
	return NULL;
}

/* Runs a batch while the other vCPU answers. */
static double with_other(double (*batch)(void *fn, uint64_t n), void *fn, uint64_t n)
{
	double ticks = -1, result = -1;
	pthread_t other;

	if (pthread_create(&other, NULL, answerer, &result))
		return -1;
	ticks = batch(fn, n);
	if (run(&vcpus[0], stop_other, 0) < 0)
		ticks = -1;
	pthread_join(other, NULL);
	return result < 0 ? -1 : ticks;
}

static double ipi_batch(void *fn, uint64_t n)
{
	return with_other(in_guest, fn, n);
}

static inline uint64_t host_count(void)
{
	uint64_t count;

	asm volatile("isb\n mrs %0, cntvct_el0" : "=r" (count) : : "memory");
	return count;
}

/* Messages that a sleeping vCPU answers by the bell, in the host's ticks. */
static double messages(void *unused, uint64_t n)
{
	uint64_t start = host_count(), i, rung;

	(void)unused;
	for (i = 0; i < n; i++) {
		if (message(LPI_ECHO) != 1 || read(bell, &rung, sizeof(rung)) != sizeof(rung))
			return -1;
	}
	return (double)(host_count() - start) / n;
}

static double echo_batch(void *fn, uint64_t n)
{
	return with_other(messages, fn, n);
}

/* The calls alone, of an LPI that is pending already. */
static double call_msi(void *unused, uint64_t n)
{
	uint64_t start = host_count(), i;

	(void)unused;
	for (i = 0; i < n; i++)
		if (message(LPI_SAME_THREAD) != 1)
			return -1;
	return (double)(host_count() - start) / n;
}

static double call_irqfd(void *unused, uint64_t n)
{
	uint64_t start = host_count(), i;

	(void)unused;
	for (i = 0; i < n; i++)
		if (signal_irqfd() != 1)
			return -1;
	return (double)(host_count() - start) / n;
}

static const struct {
	const char *name;
	double (*batch)(void *fn, uint64_t n);
	void *fn;
	bool in_loop;	/* the empty loop's cost is in it */
	unsigned int less;	/* it is done fewer times by this */
} series[] = {
	{ "GICD_TYPER, read", in_guest, dist_read_typer, true, 1 },
	{ "GICD_IIDR, read", in_guest, dist_read_iidr, true, 1 },
	{ "GICD_ISENABLER1, write", in_guest, dist_enable, true, 1 },
	{ "GICR_ISENABLER0, write", in_guest, redist_enable, true, 1 },
	{ "ICC_IAR1_EL1, nothing pending", in_guest, read_iar, true, 1 },
	{ "SGI to itself, taken and ended", in_guest, sgi_itself, true, 1 },
	{ "write to user space", in_guest, ask_nothing, true, 1 },
	{ "write to an ioeventfd", in_guest, ring_bell, true, 1 },
	{ "... and KVM_SIGNAL_MSI, LPI taken", in_guest, ask_msi, true, 1 },
	{ "... and irqfd, LPI taken", in_guest, ask_irqfd, true, 1 },
	{ "SGI to a vCPU in WFI, and back", ipi_batch, ipi, true, 1 },
	{ "LPI to a vCPU in WFI, and eventfd", echo_batch, NULL, false, 1 },
	{ "10 ms timer's lateness, in WFI", in_guest, timer_asleep, false, 20 },
	{ "10 ms timer's lateness, running", in_guest, timer_awake, false, 20 },
	{ "KVM_SIGNAL_MSI alone", call_msi, NULL, false, 1 },
	{ "irqfd alone", call_irqfd, NULL, false, 1 },
};

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
	unsigned int batches = argc > 2 ? strtoul(argv[2], NULL, 0) : 20, i, bad = 0;
	double empty;

	setlinebuf(stdout);
	puts("TAP version 13");
	mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!n || !batches || batches > BATCHES_MAX || mem == MAP_FAILED || vm_create(&vm) ||
	    vcpu_create(&vm, &vcpus[0], 0) || vcpu_create(&vm, &vcpus[1], 1) ||
	    vm_memory(&vm, 1, MEM, MEM_SIZE, mem, 0)) {
		puts("Bail out! no VM, or a senseless number");
		return 1;
	}
	if (gic_and_its() || event_fds()) {
		puts("1..0 # SKIP no GICv3 with an ITS for VMs");
		return 4;
	}
	printf("1..%zu\n", ARRAY_LEN(series));
	if (run(&vcpus[0], guest_gic_init, 0) < 0 || run(&vcpus[1], guest_gic_init, 1) < 0) {
		puts("Bail out! the GIC cannot be initialised");
		return 1;
	}
	print_head(n, batches, "2 vCPUs");
	empty = report("the loop alone", in_guest, no_operation, n, batches, 0);
	for (i = 0; i < ARRAY_LEN(series); i++) {
		uint64_t times = (n + series[i].less - 1) / series[i].less;
		/* Once before, for all that happens the first time. */
		bool good = series[i].batch(series[i].fn, times) >= 0 &&
			    report(series[i].name, series[i].batch, series[i].fn, times, batches,
				   series[i].in_loop ? empty : 0) >= 0;

		printf("%sok %u %s\n", good ? "" : "not ", i + 1, series[i].name);
		bad += !good;
	}
	close(its);
	close(gic);
	vcpu_destroy(&vcpus[0]);
	vcpu_destroy(&vcpus[1]);
	vm_destroy(&vm);
	return bad ? 1 : 0;
}
