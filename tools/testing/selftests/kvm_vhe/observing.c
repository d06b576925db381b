// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that what can be watched is true: the counters of a vCPU and of its VM are
 * what the guest has done, the trace events of entries and exits have its PC, and the
 * first access to a register that the table lacks is said in the log, no other.
 * Runs on the module, as root; on C KVM, which has others, it is skipped.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))
#define SMCCC_VERSION	0x80000000UL
#define HVCS	5
#define SMCS	7
#define READS	9
#define SAYS	11
#define VCPUS	2
#define READ_ONLY_IPA	0x80000000UL
#define NO_ROW	"the register table has no row for it"

/* All counters, in no order. */
static const char * const names[] = {
	"irq_exits", "serror_exits", "wfi_exit_stat", "wfe_exit_stat", "hvc_exit_stat",
	"smc_exits", "sysreg_exits", "coprocessor_exits", "stage2_fault_exits",
	"permission_fault_exits", "mmio_exits", "instruction_abort_exits",
	"external_abort_exits", "debug_exits", "fpsimd_exits", "sve_exits", "sme_exits",
	"pauth_exits", "eret_exits", "illegal_state_exits", "other_exits",
	"inner_loop_reentries", "loads", "puts", "fp_restores", "fp_saves", "fp_traps",
	"debug_restores", "debug_saves", "debug_traps", "lazy_saves", "lazy_saves_skipped",
	"lazy_save_traps", "set_way_flushes", "set_way_flushed_bytes",
	"tvm_traps", "halt_successful_poll", "halt_attempted_poll", "halt_poll_invalid",
	"halt_wakeup", "halt_poll_success_ns", "halt_poll_fail_ns", "halt_wait_ns",
};

FIXTURE(observing)
{
	struct vm vm;
	struct vcpu vcpu[VCPUS];
};

FIXTURE_SETUP(observing)
{
	unsigned int i;

	if (!host_is_module())
		SKIP(return, "the module's counters and events");
	ASSERT_EQ(0, vm_create(&self->vm));
	for (i = 0; i < VCPUS; i++) {
		ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu[i], i));
	}
}

FIXTURE_TEARDOWN(observing)
{
	unsigned int i;

	kick_every(0);
	for (i = 0; i < VCPUS; i++)
		vcpu_destroy(&self->vcpu[i]);
	vm_destroy(&self->vm);
}

GUEST uint64_t some_of_each(uint64_t times);
GUEST uint64_t some_of_each(uint64_t times)
{
	register uint64_t x0 asm("x0");
	uint64_t i, n;

	for (n = 0; n < times; n++) {
		for (i = 0; i < HVCS; i++)
			guest_hvc(SMCCC_VERSION, 0, 0, 0);
		for (i = 0; i < SMCS; i++) {
			x0 = SMCCC_VERSION;
			asm volatile("smc #0" : "+r" (x0) : : "x1", "x2", "x3", "memory");
		}
		for (i = 0; i < READS; i++)
			GUEST_MRS("id_aa64pfr0_el1");
		for (i = 0; i < SAYS; i++)
			guest_say(1, i);
	}
	return times;
}

static long vm_counter(struct vm *vm, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", vm->fd);
	return read_field(path, name);
}

TEST_F(observing, exits_are_counted)
{
	const unsigned int finished = HVCS + SMCS + READS;
	enum guest_event event;
	unsigned int i, v;
	long sum, value;

	for (v = 0; v < VCPUS; v++) {
		struct vcpu *vcpu = &self->vcpu[v];
		unsigned int times = v + 1, said = 0;

		for (i = 0; i < ARRAY_LEN(names); i++) {
			EXPECT_EQ(0, vcpu_counter(vcpu, names[i])) TH_LOG("%s", names[i]);
		}
		ASSERT_EQ(0, vcpu_start(vcpu, some_of_each, times, 0));
		while ((event = guest_run(vcpu)) == GUEST_SAID)
			said++;
		ASSERT_EQ(GUEST_DONE, event) TH_LOG("%s", guest_told(vcpu, event));
		EXPECT_EQ(times * SAYS, said);
		EXPECT_EQ(times * HVCS, vcpu_counter(vcpu, "hvc_exit_stat"));
		EXPECT_EQ(times * SMCS, vcpu_counter(vcpu, "smc_exits"));
		EXPECT_EQ(times * READS, vcpu_counter(vcpu, "sysreg_exits"));
		/* None of these left the inner loop, and nothing else stayed in it. */
		EXPECT_EQ(times * finished, vcpu_counter(vcpu, "inner_loop_reentries"));
		/* That the guest is done is said as well. */
		EXPECT_EQ(said + 1, vcpu_counter(vcpu, "mmio_exits"));
		EXPECT_LE(said + 1, vcpu_counter(vcpu, "stage2_fault_exits"));
		EXPECT_LE(said + 1, vcpu_counter(vcpu, "loads"));
		EXPECT_EQ(vcpu_counter(vcpu, "loads"), vcpu_counter(vcpu, "puts"));
		EXPECT_EQ(0, vcpu_counter(vcpu, "other_exits"));
		EXPECT_EQ(0, vcpu_counter(vcpu, "debug_exits"));
	}
	EXPECT_LT(0, vcpu_counter(&self->vcpu[0], "instruction_abort_exits"));
	for (i = 0; i < ARRAY_LEN(names); i++) {
		for (v = sum = 0; v < VCPUS; v++) {
			value = vcpu_counter(&self->vcpu[v], names[i]);
			EXPECT_LE(0, value);
			sum += value;
		}
		EXPECT_EQ(sum, vm_counter(&self->vm, names[i])) TH_LOG("%s", names[i]);
	}
}

GUEST uint64_t read_and_write(uint64_t address);
GUEST uint64_t read_and_write(uint64_t address)
{
	volatile uint64_t *place = (uint64_t *)address;
	uint64_t value = *place;

	*place = value + 1;
	return value;
}

GUEST uint64_t wait_once(uint64_t arg);
GUEST uint64_t wait_once(uint64_t arg)
{
	asm volatile("wfi" : : : "memory");
	return arg;
}

GUEST uint64_t break_once(uint64_t arg);
GUEST uint64_t break_once(uint64_t arg)
{
	asm volatile("brk #0" : : : "memory");
	return arg;
}

TEST_F(observing, rarer_exits_are_counted)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };
	size_t size = getpagesize();
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vcpu *vcpu = &self->vcpu[0];

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, vm_memory(&self->vm, 1, READ_ONLY_IPA, size, page, KVM_MEM_READONLY));
	ASSERT_EQ(0, vcpu_start(vcpu, read_and_write, READ_ONLY_IPA, 0));
	ASSERT_EQ(GUEST_EXIT, guest_run(vcpu));
	EXPECT_EQ(KVM_EXIT_MMIO, vcpu->run->exit_reason);
	EXPECT_EQ(1, vcpu_counter(vcpu, "permission_fault_exits"));
	EXPECT_EQ(1, vcpu_counter(vcpu, "mmio_exits"));
	ASSERT_EQ(GUEST_DONE, guest_run(vcpu));

	EXPECT_EQ(0, vcpu_counter(vcpu, "wfi_exit_stat"));
	ASSERT_EQ(0, vcpu_start(vcpu, wait_once, 0, 0));
	ASSERT_EQ(0, kick_every(50000));
	/* Also if the first signal comes before the guest has got there. */
	while (IOCTL(vcpu->fd, KVM_RUN, 0) == -EINTR)
		;
	kick_every(0);
	EXPECT_EQ(KVM_EXIT_MMIO, vcpu->run->exit_reason);
	EXPECT_EQ(1, vcpu_counter(vcpu, "wfi_exit_stat"));

	EXPECT_EQ(0, vcpu_counter(vcpu, "debug_exits"));
	ASSERT_EQ(0, IOCTL(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug));
	ASSERT_EQ(0, vcpu_start(vcpu, break_once, 0, 0));
	ASSERT_EQ(GUEST_EXIT, guest_run(vcpu));
	EXPECT_EQ(KVM_EXIT_DEBUG, vcpu->run->exit_reason);
	EXPECT_EQ(1, vcpu_counter(vcpu, "debug_exits"));
	munmap(page, size);
}

TEST_F(observing, statistics)
{
	struct vcpu *vcpu = &self->vcpu[0];
	int vm = IOCTL(self->vm.fd, KVM_GET_STATS_FD, 0);
	int fd = IOCTL(vcpu->fd, KVM_GET_STATS_FD, 0);
	struct kvm_stats_header header;
	char id[STAT_NAME_SIZE], want[STAT_NAME_SIZE];
	unsigned int i;

	ASSERT_LE(0, vm);
	ASSERT_LE(0, fd);
	EXPECT_EQ(VCPUS, statistic(vm, "vcpus"));
	EXPECT_EQ(0, statistic(fd, "hvc_exit_stat"));
	ASSERT_EQ(0, vcpu_start(vcpu, some_of_each, 1, 0));
	while (guest_run(vcpu) == GUEST_SAID)
		;
	EXPECT_EQ(HVCS, statistic(fd, "hvc_exit_stat"));
	for (i = 0; i < ARRAY_LEN(names); i++) {
		EXPECT_EQ(vcpu_counter(vcpu, names[i]), statistic(fd, names[i])) TH_LOG("%s",
											names[i]);
	}
	ASSERT_EQ(sizeof(header), pread(fd, &header, sizeof(header), 0));
	ASSERT_EQ(sizeof(id), pread(fd, id, sizeof(id), header.id_offset));
	snprintf(want, sizeof(want), "kvm-%d/vcpu-0", getpid());
	EXPECT_STREQ(want, id);
	/* It is for reading. */
	EXPECT_EQ(-1, write(fd, id, 1));
	close(fd);
	close(vm);
}

GUEST uint64_t read_cache_type(uint64_t times);
GUEST uint64_t read_cache_type(uint64_t times)
{
	while (times--)
		GUEST_MRS("ctr_el0");
	return 0;
}

/*
 * Every clean of a range of memory begins with a read of CTR_EL0. With FEAT_EVT it
 * comes from the CPU, and the registers that have to trap do so without it.
 */
TEST_F(observing, cache_type_is_the_cpus)
{
	const char *cpu = getenv("LAB_CPU");
	long reads;

	if (!cpu || (strcmp(cpu, "max") && strcmp(cpu, "neoverse-n1")))
		SKIP(return, "LAB_CPU names no CPU that is known to have FEAT_EVT or not");
	ASSERT_EQ(0, guest_finish(&self->vcpu[0], read_cache_type, READS, 0));
	reads = vcpu_counter(&self->vcpu[0], "sysreg_exits");
	EXPECT_EQ(strcmp(cpu, "max") ? READS : 0, reads);
}

/* Where the guest goes on after its HVC. */
extern char behind_hvc[];

GUEST uint64_t three_calls(uint64_t arg);
asm(".pushsection guest_text, \"ax\"\n"
    ".globl three_calls, behind_hvc\n"
    "three_calls:\n"
    "	mov	x9, #3\n"
    "1:	mov	x0, #0x80000000\n"
    "	hvc	#0\n"
    "behind_hvc:\n"
    "	subs	x9, x9, #1\n"
    "	b.ne	1b\n"
    "	ret\n"
    ".popsection\n");

/* The number behind "pc " of an event. */
static uint64_t pc_of(const char *event)
{
	const char *pc = strstr(event, " pc ");

	return pc ? strtoull(pc + 4, NULL, 0) : 0;
}

TEST_F(observing, entries_and_exits_are_traced)
{
	uint64_t start = guest_address(three_calls), behind = guest_address(behind_hvc), left = 0;
	unsigned int entries = 0, exits = 0, calls = 0, aborts = 0;
	char line[512], *event;
	FILE *file;

	/* So that the page is there. */
	ASSERT_EQ(0, guest_finish(&self->vcpu[1], three_calls, 0, 0));
	ASSERT_EQ(0, vcpu_start(&self->vcpu[1], three_calls, 0, 0));
	if (trace_enable("kvm_vhe/vcpu_entry", true) || trace_enable("kvm_vhe/vcpu_exit", true))
		SKIP(return, "no trace events");
	trace_clear();
	EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu[1]));
	trace_enable("kvm_vhe/vcpu_entry", false);
	trace_enable("kvm_vhe/vcpu_exit", false);
	file = fopen(TRACING "/trace", "re");
	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file)) {
		if ((event = strstr(line, " vcpu_entry: "))) {
			EXPECT_EQ(entries, exits) TH_LOG("%s", line);
			/* It goes on where it has stopped. */
			if (exits) {
				EXPECT_EQ(left, pc_of(event)) TH_LOG("%s", line);
			}
			entries++;
		} else if ((event = strstr(line, " vcpu_exit: "))) {
			exits++;
			left = pc_of(event);
			if (strstr(event, " trap ") && strstr(event, "(hvc)")) {
				calls++;
				EXPECT_EQ(behind, left) TH_LOG("%s", line);
			}
			aborts += strstr(event, "(data-abort)") != NULL;
		} else {
			continue;
		}
		EXPECT_NE(NULL, strstr(event, ": vcpu 1 ")) TH_LOG("%s", line);
	}
	fclose(file);
	EXPECT_LT(start, behind);
	EXPECT_EQ(3, calls);
	EXPECT_LE(1, aborts);
	EXPECT_EQ(entries, exits);
}

/* Registers that an implementation may have (HCR_EL2.TIDCP): nobody has rows for them. */
GUEST uint64_t access_nothing(uint64_t times);
GUEST uint64_t access_nothing(uint64_t times)
{
	struct guest_area *area = guest_area();
	uint64_t i;

	area->catch = 1;
	for (i = 0; i < times; i++) {
		GUEST_MRS("s3_0_c15_c7_7");
		GUEST_MSR("s3_0_c15_c7_7", i);
	}
	area->catch = 0;
	return area->caught;
}

/* How often the log has said it since the module was loaded, or -1. */
static int said_so(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC), said = -1;
	char line[1024];

	while (fd >= 0 && kmsg_find(fd, MODULE_NAME ": ", line, sizeof(line)) >= 0) {
		if (strstr(line, ": VHE, "))
			said = 0;
		else if (said >= 0)
			said += strstr(line, NO_ROW) != NULL;
	}
	close(fd);
	return said;
}

TEST_F(observing, unknown_registers_are_said_once)
{
	struct vcpu *vcpu = &self->vcpu[0];
	int before = said_so();

	if (before < 0)
		SKIP(return, "the log has lost what the module said at first");
	ASSERT_EQ(0, guest_finish(vcpu, access_nothing, 10, 0));
	EXPECT_EQ(20, vcpu->value);
	EXPECT_EQ(0, ESR_EC(vcpu->area->esr));
	EXPECT_EQ(20, vcpu_counter(vcpu, "sysreg_exits"));
	EXPECT_EQ(1, said_so()) TH_LOG("%d before", before);
}

TEST_HARNESS_MAIN
