// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what KVM_SET_GUEST_DEBUG does: steps, breakpoints, watchpoints and BRK as
 * exits, while the guest's own debug registers keep what it wrote.
 * Runs on the module and on C KVM, as root.
 */
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))
#define STEP		(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP)
#define HW		(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW)
/* Enabled at EL1 and EL0, all bytes. */
#define BCR		0x1e7
#define WCR		0x1fff

FIXTURE(guest_debug)
{
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(guest_debug)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	if (IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG) <= 0)
		SKIP(return, "no KVM_CAP_SET_GUEST_DEBUG");
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(guest_debug)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* Straight code with a label on each step. */
extern char straight[], straight_store[], straight_brk[], straight_end[];

asm(".pushsection guest_text, \"ax\"\n"
    ".globl straight, straight_store, straight_end, straight_brk\n"
    "straight:\n"			/* x0: an address in memory */
    "	mov	x2, #1\n"
    "	add	x2, x2, #1\n"
    "	nop\n"
    "straight_store:\n"
    "	str	x2, [x0]\n"
    "	ldr	x3, [x0]\n"
    "	add	x0, x3, #40\n"
    "straight_end:\n"
    "	ret\n"
    "straight_brk:\n"
    "	brk	#0x123\n"
    "	ret\n"
    ".popsection\n");

static int debug(struct vcpu *vcpu, unsigned int control)
{
	struct kvm_guest_debug dbg = { .control = control };

	return IOCTL(vcpu->fd, KVM_SET_GUEST_DEBUG, &dbg);
}

TEST_F(guest_debug, control_bits)
{
	unsigned int i, good = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
			       KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW;

	for (i = 0; i < 32; i++) {
		EXPECT_EQ(good >> i & 1 ? 0 : -EINVAL, debug(&self->vcpu, 1U << i)) {
			TH_LOG("bit %u", i);
		}
	}
	EXPECT_EQ(0, debug(&self->vcpu, good));
	EXPECT_EQ(0, debug(&self->vcpu, 0));
	EXPECT_EQ(-EFAULT, IOCTL(self->vcpu.fd, KVM_SET_GUEST_DEBUG, 8));
	ASSERT_EQ(0, guest_finish(&self->vcpu, straight, GUEST_FREE, 0));
	EXPECT_EQ(42, self->vcpu.value);
}

TEST_F(guest_debug, how_many)
{
	uint64_t dfr0 = vcpu_reg(&self->vcpu, ARM64_SYS_REG(3, 0, 0, 5, 0));

	EXPECT_EQ((dfr0 >> 12 & 15) + 1,
		  IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_DEBUG_HW_BPS));
	EXPECT_EQ((dfr0 >> 20 & 15) + 1,
		  IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_DEBUG_HW_WPS));
}

TEST_F(guest_debug, steps)
{
	uint64_t pc = guest_address(straight), pstate;
	struct kvm_run *run = self->vcpu.run;
	unsigned int round;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, vcpu_start(&self->vcpu, straight, GUEST_FREE, 0));
		ASSERT_EQ(0, debug(&self->vcpu, STEP));
		for (pc = guest_address(straight); pc <= guest_address(straight_end); pc += 4) {
			ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
			ASSERT_EQ(KVM_EXIT_DEBUG, run->exit_reason);
			EXPECT_EQ(EC_SOFTSTP_LOW, run->debug.arch.hsr >> 26);
			EXPECT_EQ(pc, vcpu_reg(&self->vcpu, REG_PC));
		}
		ASSERT_EQ(0, debug(&self->vcpu, 0));
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(42, self->vcpu.value);
		pstate = vcpu_reg(&self->vcpu, REG_PSTATE);
		EXPECT_EQ(0, pstate & 1UL << 21) TH_LOG("PSTATE.SS is left: %#lx", pstate);
	}
}

GUEST uint64_t calls_and_mmio(uint64_t arg);
GUEST uint64_t calls_and_mmio(uint64_t arg)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		guest_hvc(0x80000000, 0, 0, 0);
		guest_say(5, i);
		arg += GUEST_MRS("id_aa64pfr0_el1") != 0;
	}
	return arg;
}

/* What the host emulates is one step each as well, and MMIO comes in between. */
TEST_F(guest_debug, steps_over_exits)
{
	unsigned int said = 0, steps = 0;
	enum guest_event event;
	uint64_t pc = 0, last;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, calls_and_mmio, 0, 0));
	ASSERT_EQ(0, debug(&self->vcpu, STEP));
	do {
		last = pc;
		event = guest_run(&self->vcpu);
		pc = vcpu_reg(&self->vcpu, REG_PC);
		if (event == GUEST_SAID) {
			EXPECT_EQ(said, self->vcpu.value);
			said++;
		} else if (event == GUEST_EXIT) {
			EXPECT_NE(last, pc);
			steps++;
		}
	} while ((event == GUEST_SAID || event == GUEST_EXIT) && steps < 1000);
	EXPECT_EQ(GUEST_DONE, event) TH_LOG("%s", guest_told(&self->vcpu, event));
	EXPECT_EQ(3, self->vcpu.value);
	EXPECT_EQ(3, said);
	EXPECT_LT(15, steps);
}

TEST_F(guest_debug, breakpoints)
{
	struct kvm_guest_debug dbg = { .control = HW };
	struct kvm_run *run = self->vcpu.run;
	int n = IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_DEBUG_HW_BPS), i;

	ASSERT_LE(2, n);
	for (i = 0; i < n; i++) {
		memset(&dbg.arch, 0, sizeof(dbg.arch));
		dbg.arch.dbg_bvr[i] = guest_address(straight_store);
		dbg.arch.dbg_bcr[i] = BCR;
		ASSERT_EQ(0, vcpu_start(&self->vcpu, straight, GUEST_FREE, 0));
		ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_GUEST_DEBUG, &dbg));
		ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu)) TH_LOG("breakpoint %d", i);
		ASSERT_EQ(KVM_EXIT_DEBUG, run->exit_reason);
		EXPECT_EQ(EC_BRKPT_LOW, run->debug.arch.hsr >> 26);
		EXPECT_EQ(guest_address(straight_store), vcpu_reg(&self->vcpu, REG_PC));
		EXPECT_EQ(2, vcpu_reg(&self->vcpu, REG_X(2)));
		/* It is hit again until it is taken away. */
		ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
		EXPECT_EQ(guest_address(straight_store), vcpu_reg(&self->vcpu, REG_PC));
		ASSERT_EQ(0, debug(&self->vcpu, 0));
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(42, self->vcpu.value);
	}
}

TEST_F(guest_debug, watchpoints)
{
	struct kvm_guest_debug dbg = { .control = HW };
	struct kvm_run *run = self->vcpu.run;
	int n = IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_DEBUG_HW_WPS), i;

	ASSERT_LE(2, n);
	for (i = 0; i < n; i++) {
		memset(&dbg.arch, 0, sizeof(dbg.arch));
		dbg.arch.dbg_wvr[i] = GUEST_FREE;
		dbg.arch.dbg_wcr[i] = WCR;
		ASSERT_EQ(0, vcpu_start(&self->vcpu, straight, GUEST_FREE, 0));
		ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_GUEST_DEBUG, &dbg));
		ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu)) TH_LOG("watchpoint %d", i);
		ASSERT_EQ(KVM_EXIT_DEBUG, run->exit_reason);
		EXPECT_EQ(EC_WATCHPT_LOW, run->debug.arch.hsr >> 26);
		EXPECT_EQ(GUEST_FREE, run->debug.arch.far);
		EXPECT_EQ(guest_address(straight_store), vcpu_reg(&self->vcpu, REG_PC));
		ASSERT_EQ(0, debug(&self->vcpu, 0));
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(42, self->vcpu.value);
	}
}

TEST_F(guest_debug, software_breakpoints)
{
	struct kvm_run *run = self->vcpu.run;

	ASSERT_EQ(0, vcpu_start(&self->vcpu, straight_brk, 9, 0));
	ASSERT_EQ(0, debug(&self->vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP));
	ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_DEBUG, run->exit_reason);
	EXPECT_EQ(EC_BRK64, run->debug.arch.hsr >> 26);
	EXPECT_EQ(0x123, run->debug.arch.hsr & 0xffff);
	EXPECT_EQ(guest_address(straight_brk), vcpu_reg(&self->vcpu, REG_PC));
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PC, guest_address(straight_brk) + 4));
	ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	EXPECT_EQ(9, self->vcpu.value);

	/* The guest's own is its own. */
	ASSERT_EQ(0, vcpu_start(&self->vcpu, straight_brk, 9, 0));
	ASSERT_EQ(0, debug(&self->vcpu, 0));
	ASSERT_EQ(GUEST_EXCEPTION, guest_run(&self->vcpu));
	EXPECT_EQ(EC_BRK64, ESR_EC(self->vcpu.esr));
	EXPECT_EQ(0x123, self->vcpu.esr & 0xffff);
	EXPECT_EQ(guest_address(straight_brk), self->vcpu.elr);
}

GUEST uint64_t own_debug_registers(uint64_t round);
GUEST uint64_t own_debug_registers(uint64_t round)
{
	GUEST_MSR("dbgbvr0_el1", 0x1000 + 16 * round);
	GUEST_MSR("dbgbcr0_el1", 0x1e4);
	GUEST_MSR("dbgwvr1_el1", 0x2000 + 16 * round);
	GUEST_MSR("dbgwcr1_el1", 0x1ffe);
	GUEST_MSR("mdscr_el1", 1UL << 12);
	GUEST_ISB();
	guest_say(1, 0);
	return GUEST_MRS("dbgbvr0_el1") == 0x1000 + 16 * round &&
	       GUEST_MRS("dbgbcr0_el1") == 0x1e4 &&
	       GUEST_MRS("dbgwvr1_el1") == 0x2000 + 16 * round &&
	       GUEST_MRS("dbgwcr1_el1") == 0x1ffe &&
	       (GUEST_MRS("mdscr_el1") & (1UL << 12 | 1UL << 15 | 1)) == 1UL << 12;
}

/* The guest's debug registers are there for it, whoever debugs it. */
TEST_F(guest_debug, registers_of_the_guest)
{
	struct kvm_guest_debug dbg = { .control = HW };
	unsigned int round;

	dbg.arch.dbg_bvr[0] = guest_address(guest_vectors);
	dbg.arch.dbg_bcr[0] = BCR;
	dbg.arch.dbg_wvr[1] = GUEST_FREE + 0x100;
	dbg.arch.dbg_wcr[1] = WCR;
	for (round = 0; round < 6; round++) {
		dbg.control = round % 3 ? HW : 0;
		ASSERT_EQ(0, vcpu_start(&self->vcpu, own_debug_registers, round, 0));
		ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_GUEST_DEBUG, &dbg));
		ASSERT_EQ(GUEST_SAID, guest_run(&self->vcpu));
		EXPECT_EQ(0x1000 + 16 * round,
			  vcpu_reg(&self->vcpu, ARM64_SYS_REG(2, 0, 0, 0, 4)));
		EXPECT_EQ(0x1e4, vcpu_reg(&self->vcpu, ARM64_SYS_REG(2, 0, 0, 0, 5)));
		EXPECT_EQ(0x2000 + 16 * round,
			  vcpu_reg(&self->vcpu, ARM64_SYS_REG(2, 0, 0, 1, 6)));
		EXPECT_EQ(1UL << 12, vcpu_reg(&self->vcpu, MDSCR_EL1));
		/* On and off in the middle. */
		dbg.control = round % 2 ? HW : 0;
		ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_GUEST_DEBUG, &dbg));
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(1, self->vcpu.value) TH_LOG("round %u", round);
	}
}

TEST_HARNESS_MAIN
