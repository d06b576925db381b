// SPDX-License-Identifier: GPL-2.0
/*
 * Shows when KVM_RUN runs a vCPU, when it does not and what ends it: its argument,
 * immediate_exit, signals and their mask, MP_STATE, pending SErrors, other threads.
 * Runs on the module and on C KVM, as root.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))

FIXTURE(vcpu_run)
{
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(vcpu_run)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(vcpu_run)
{
	kick_every(0);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

GUEST uint64_t add_one(uint64_t arg);
GUEST uint64_t add_one(uint64_t arg)
{
	return arg + 1;
}

GUEST uint64_t spin(uint64_t arg);
GUEST uint64_t spin(uint64_t arg)
{
	for (;;)
		asm volatile("" : "+r" (arg));
}

GUEST uint64_t read_mmio(uint64_t address);
GUEST uint64_t read_mmio(uint64_t address)
{
	uint64_t value;

	asm volatile("ldr %0, [%1]" : "=r" (value) : "r" (address) : "memory");
	return value;
}

TEST_F(vcpu_run, run_argument_and_immediate_exit)
{
	ASSERT_EQ(0, vcpu_start(&self->vcpu, add_one, 10, 0));
	EXPECT_EQ(-EINVAL, IOCTL(self->vcpu.fd, KVM_RUN, 1));
	EXPECT_EQ(-EINVAL, IOCTL(self->vcpu.fd, KVM_RUN, ~0UL));
	self->vcpu.run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	EXPECT_EQ(-EINTR, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	EXPECT_EQ(guest_address(guest_entry), vcpu_reg(&self->vcpu, REG_PC));
	self->vcpu.run->immediate_exit = 0;
	EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	EXPECT_EQ(11, self->vcpu.value);
}

/* An MMIO read is completed by a KVM_RUN that does not enter the guest. */
TEST_F(vcpu_run, immediate_exit_completes_mmio)
{
	uint64_t answer = 0x1122334455667788, pc;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, read_mmio, 0x2000, 0));
	ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_MMIO, self->vcpu.run->exit_reason);
	pc = vcpu_reg(&self->vcpu, REG_PC);
	memcpy(self->vcpu.run->mmio.data, &answer, 8);
	self->vcpu.run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	EXPECT_EQ(pc + 4, vcpu_reg(&self->vcpu, REG_PC));
	self->vcpu.run->immediate_exit = 0;
	EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	EXPECT_EQ(answer, self->vcpu.value);
}

/* Reads all of the guest's free memory. */
GUEST uint64_t read_all(uint64_t unused);
GUEST uint64_t read_all(uint64_t unused)
{
	uint64_t at;

	for (at = GUEST_FREE; at < GUEST_RAM + GUEST_RAM_SIZE; at += 4096)
		(void)*(volatile uint64_t *)at;
	return unused;
}

/* Faults that mapped memory, and the few that are guest_say(). */
static long mapped(struct vcpu *vcpu)
{
	return vcpu_counter(vcpu, "stage2_fault_exits") +
	       vcpu_counter(vcpu, "instruction_abort_exits");
}

/*
 * What a VMM writes to memory before it starts a vCPU anew is to be seen by a guest
 * whose caches are off, and by its instruction fetches: the memory is mapped anew,
 * which is when it is cleaned, unless the hardware needs neither. A vCPU that has
 * not run has nothing to lose. The counters are the module's.
 */
TEST_F(vcpu_run, init_again_cleans_memory)
{
	long pages = (GUEST_RAM + GUEST_RAM_SIZE - GUEST_FREE) / 4096, before;
	int fwb = host_is_module() ? module_found("FWB") : -1;
	struct vcpu fresh;
	uint64_t ctr;

	if (fwb < 0)
		SKIP(return, "the counters are the module's");
	ASSERT_EQ(0, vcpu_open(&self->vm, &fresh, 1));
	ASSERT_EQ(0, guest_finish(&self->vcpu, read_all, 0, 0));
	before = mapped(&self->vcpu);
	EXPECT_LE(pages, before);
	/* Nothing is taken away without need. */
	ASSERT_EQ(0, vcpu_init(&fresh, 1 << KVM_ARM_VCPU_PSCI_0_2));
	ASSERT_EQ(0, guest_finish(&self->vcpu, read_all, 0, 0));
	EXPECT_GT(before + 8, mapped(&self->vcpu));

	ASSERT_EQ(0, vcpu_init(&self->vcpu, 1 << KVM_ARM_VCPU_PSCI_0_2));
	ASSERT_EQ(0, guest_finish(&self->vcpu, read_all, 0, 0));
	asm volatile("mrs %0, ctr_el0" : "=r" (ctr));
	/* CTR_EL0.IDC: instruction fetches see what data caches have. */
	if (fwb && ctr & 1 << 28) {
		EXPECT_GT(before + 8, mapped(&self->vcpu));
	} else {
		EXPECT_LE(before + pages, mapped(&self->vcpu));
	}
	vcpu_destroy(&fresh);
}

static void nothing(int sig)
{
	(void)sig;
}

struct mask {
	struct kvm_signal_mask head;
	unsigned long bits;
} __attribute__((packed));

/* A signal blocked in the thread ends KVM_RUN if KVM_SET_SIGNAL_MASK lets it through. */
TEST_F(vcpu_run, signal_mask)
{
	struct sigaction action = { .sa_handler = nothing };
	struct mask mask = { .head.len = 8 };
	sigset_t set, now;

	EXPECT_EQ(-EFAULT, IOCTL(self->vcpu.fd, KVM_SET_SIGNAL_MASK, 8));
	for (mask.head.len = 0; mask.head.len < 20; mask.head.len++) {
		EXPECT_EQ(mask.head.len == 8 ? 0 : -EINVAL,
			  IOCTL(self->vcpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	}
	ASSERT_EQ(0, vcpu_start(&self->vcpu, add_one, 1, 0));
	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	raise(SIGUSR1);
	/* Nothing blocked while it runs: the pending one shows at once, and stays pending. */
	mask.head.len = 8;
	mask.bits = 0;
	ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	EXPECT_EQ(-EINTR, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	EXPECT_EQ(KVM_EXIT_INTR, self->vcpu.run->exit_reason);
	sigpending(&now);
	EXPECT_EQ(1, sigismember(&now, SIGUSR1));
	sigprocmask(SIG_BLOCK, NULL, &now);
	EXPECT_EQ(1, sigismember(&now, SIGUSR1)) TH_LOG("the thread's own mask is back");
	/* Blocked there too, the guest runs. */
	mask.bits = 1UL << (SIGUSR1 - 1);
	ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	/* No mask: the thread's own counts. */
	ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_SIGNAL_MASK, NULL));
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

TEST_F(vcpu_run, signal_interrupts)
{
	unsigned int i;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, spin, 0, 0));
	ASSERT_EQ(0, kick_every(20000));
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(-EINTR, IOCTL(self->vcpu.fd, KVM_RUN, 0));
		EXPECT_EQ(KVM_EXIT_INTR, self->vcpu.run->exit_reason);
	}
}

TEST_F(vcpu_run, mp_state)
{
	struct kvm_mp_state state = { ~0U };
	unsigned int i;

	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_MP_STATE, &state));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, state.mp_state);
	EXPECT_EQ(-EFAULT, IOCTL(self->vcpu.fd, KVM_GET_MP_STATE, 8));
	EXPECT_EQ(-EFAULT, IOCTL(self->vcpu.fd, KVM_SET_MP_STATE, 8));
	for (i = 0; i < 32; i++) {
		state.mp_state = i;
		if (i == KVM_MP_STATE_RUNNABLE || i == KVM_MP_STATE_STOPPED ||
		    i == KVM_MP_STATE_SUSPENDED)
			continue;
		EXPECT_EQ(-EINVAL, IOCTL(self->vcpu.fd, KVM_SET_MP_STATE, &state)) {
			TH_LOG("state %u", i);
		}
	}
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_MP_STATE, &state));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, state.mp_state);

	/* Stopped, it does not run, but a signal gets through. */
	state.mp_state = KVM_MP_STATE_STOPPED;
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_MP_STATE, &state));
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_MP_STATE, &state));
	EXPECT_EQ(KVM_MP_STATE_STOPPED, state.mp_state);
	ASSERT_EQ(0, vcpu_start(&self->vcpu, add_one, 1, 0));
	ASSERT_EQ(0, kick_every(50000));
	EXPECT_EQ(-EINTR, IOCTL(self->vcpu.fd, KVM_RUN, 0));
	EXPECT_EQ(guest_address(guest_entry), vcpu_reg(&self->vcpu, REG_PC));
	kick_every(0);
	state.mp_state = KVM_MP_STATE_RUNNABLE;
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_MP_STATE, &state));
	EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu));
}

static int set_events(int fd, int serror, int has_esr, uint64_t esr)
{
	struct kvm_vcpu_events events = { 0 };

	events.exception.serror_pending = serror;
	events.exception.serror_has_esr = has_esr;
	events.exception.serror_esr = esr;
	return IOCTL(fd, KVM_SET_VCPU_EVENTS, &events);
}

TEST_F(vcpu_run, vcpu_events)
{
	struct kvm_vcpu_events events, zero = { 0 };
	bool ras = IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_INJECT_SERROR_ESR) > 0;

	memset(&events, 0xff, sizeof(events));
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(0, events.exception.serror_pending);
	EXPECT_EQ(ras, events.exception.serror_has_esr);
	EXPECT_EQ(0, events.exception.ext_dabt_pending);
	EXPECT_EQ(0, events.exception.serror_esr);
	EXPECT_EQ(0, memcmp(events.reserved, zero.reserved, sizeof(zero.reserved)));
	EXPECT_EQ(0, memcmp(events.exception.pad, zero.exception.pad,
			    sizeof(zero.exception.pad)));
	EXPECT_EQ(-EFAULT, IOCTL(self->vcpu.fd, KVM_GET_VCPU_EVENTS, 8));
	EXPECT_EQ(-EFAULT, IOCTL(self->vcpu.fd, KVM_SET_VCPU_EVENTS, 8));
	/* What is reserved is 0, the syndrome has 25 bits. */
	events = zero;
	events.reserved[11] = 1;
	EXPECT_EQ(-EINVAL, IOCTL(self->vcpu.fd, KVM_SET_VCPU_EVENTS, &events));
	events = zero;
	events.exception.pad[4] = 1;
	EXPECT_EQ(-EINVAL, IOCTL(self->vcpu.fd, KVM_SET_VCPU_EVENTS, &events));
	EXPECT_EQ(-EINVAL, set_events(self->vcpu.fd, 1, 1, ras ? 1UL << 25 : 0));
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(0, events.exception.serror_pending);

	EXPECT_EQ(0, set_events(self->vcpu.fd, 0, 0, 0));
	/* PSTATE.A is set after reset: an SError stays pending. */
	EXPECT_EQ(0, set_events(self->vcpu.fd, 1, ras, ras ? 0x1234 : 0));
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(1, events.exception.serror_pending);
	EXPECT_EQ(ras ? 0x1234 : 0, events.exception.serror_esr);
	EXPECT_EQ(0, guest_finish(&self->vcpu, add_one, 1, 0));
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(1, events.exception.serror_pending);
	/* Unmasked, it is taken. */
	ASSERT_EQ(0, vcpu_start(&self->vcpu, add_one, 1, 0));
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PSTATE, 0x2c5));
	EXPECT_EQ(GUEST_EXCEPTION, guest_run(&self->vcpu));
	EXPECT_EQ(7, self->vcpu.vector);
	EXPECT_EQ(0x2f, ESR_EC(self->vcpu.esr));
	if (ras) {
		EXPECT_EQ(0x1234, self->vcpu.esr & 0x1ffffff);
	}
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(0, events.exception.serror_pending);
}

struct runner {
	struct vcpu *vcpu;
	enum guest_event event;
};

static void *run_thread(void *arg)
{
	struct runner *runner = arg;

	kick_every(200000);
	runner->event = guest_run(runner->vcpu);
	kick_every(0);
	return NULL;
}

/* Another thread may take a vCPU over. */
TEST_F(vcpu_run, changes_threads)
{
	struct runner runner = { &self->vcpu, GUEST_SAID };
	pthread_t thread;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, vcpu_start(&self->vcpu, add_one, i, 0));
		if (i % 2) {
			ASSERT_EQ(0, pthread_create(&thread, NULL, run_thread, &runner));
			pthread_join(thread, NULL);
		} else {
			runner.event = guest_run(&self->vcpu);
		}
		EXPECT_EQ(GUEST_DONE, runner.event);
		EXPECT_EQ(i + 1, self->vcpu.value);
	}
}

TEST_HARNESS_MAIN
