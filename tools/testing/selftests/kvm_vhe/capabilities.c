// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that what KVM_CHECK_EXTENSION promises is there, where no other test does;
 * caps.c has the list.
 * Runs on the module and on C KVM, as root.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))
#define PSCI			(1U << KVM_ARM_VCPU_PSCI_0_2)
#define NOT_SUPPORTED		-1L
#define INVALID_PARAMETERS	-2L
#define INTERNAL_FAILURE	-6L

#define FN_PSCI_VERSION		0x84000000UL
#define FN_SYSTEM_SUSPEND	0xc400000eUL
#define FN_PV_TIME_FEATURES	0xc5000020UL
#define FN_PV_TIME_ST		0xc5000021UL
#define FN_PTP			0x86000001UL
/* In the range of a silicon vendor's services, which nobody answers. */
#define FN_VENDOR		0x82001234UL

#define MIDR_EL1	ARM64_SYS_REG(3, 0, 0, 0, 0)
#define REVIDR_EL1	ARM64_SYS_REG(3, 0, 0, 0, 6)
#define AIDR_EL1	ARM64_SYS_REG(3, 1, 0, 0, 7)
#define APIAKEYLO_EL1	ARM64_SYS_REG(3, 0, 2, 1, 0)
#define APGAKEYHI_EL1	ARM64_SYS_REG(3, 0, 2, 3, 1)
#define SCTLR_ENIA	(1UL << 31)
#define PACIA_X0_X1	0xdac10020
#define PACGA_X0_X0_X1	0x9ac13000

/* Further memory of the guest, and where there is none. */
#define MORE		0x50000000UL
#define PAGES		4

FIXTURE(capabilities)
{
	struct vm vm;
	struct vcpu vcpu;
	long page;
	unsigned char *more;
};

FIXTURE_SETUP(capabilities)
{
	long i;

	self->page = getpagesize();
	self->vcpu.fd = -1;
	self->vcpu.run = MAP_FAILED;
	ASSERT_EQ(0, vm_create(&self->vm));
	self->more = mmap(NULL, PAGES * self->page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->more);
	for (i = 0; i < PAGES; i++)
		*(uint64_t *)(self->more + i * self->page) = 0x1000 + i;
}

FIXTURE_TEARDOWN(capabilities)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->more, PAGES * self->page);
}

GUEST uint64_t load(uint64_t address);
GUEST uint64_t load(uint64_t address)
{
	uint64_t value;

	asm volatile("ldr %0, [%1]" : "=r" (value) : "r" (address) : "memory");
	return value;
}

GUEST uint64_t store(uint64_t address);
GUEST uint64_t store(uint64_t address)
{
	asm volatile("str %1, [%0]" : : "r" (address), "r" (~address) : "memory");
	return 0;
}

/* data[0..3]: function and arguments. */
GUEST uint64_t do_call(uint64_t arg);
GUEST uint64_t do_call(uint64_t arg)
{
	struct guest_area *area = guest_area();

	(void)arg;
	return guest_hvc(area->data[0], area->data[1], area->data[2], area->data[3]);
}

static int call_start(struct vcpu *vcpu, uint64_t fn, uint64_t a1, uint64_t a2)
{
	vcpu->area->data[0] = fn;
	vcpu->area->data[1] = a1;
	vcpu->area->data[2] = a2;
	vcpu->area->data[3] = 0;
	return vcpu_start(vcpu, do_call, 0, 0);
}

/* What a call gives back. */
static long call(struct vcpu *vcpu, uint64_t fn, uint64_t a1, uint64_t a2)
{
	if (call_start(vcpu, fn, a1, a2) || guest_run(vcpu) != GUEST_DONE)
		return -999;
	return vcpu->value;
}

/* What the guest reads there; ~0 where that is an MMIO exit. */
static uint64_t seen(struct vcpu *vcpu, uint64_t address)
{
	if (vcpu_start(vcpu, load, address, 0))
		return -2;
	switch (guest_run(vcpu)) {
	case GUEST_DONE:
		return vcpu->value;
	case GUEST_EXIT:
		return vcpu->run->exit_reason == KVM_EXIT_MMIO && !vcpu->run->mmio.is_write &&
		       vcpu->run->mmio.phys_addr == address ? ~0UL : -3;
	default:
		return -4;
	}
}

static long check(struct vm *vm, unsigned int cap)
{
	return IOCTL(vm->fd, KVM_CHECK_EXTENSION, cap);
}

static long enable(struct vm *vm, unsigned int cap)
{
	struct kvm_enable_cap enable = { .cap = cap };

	return IOCTL(vm->fd, KVM_ENABLE_CAP, &enable);
}

TEST_F(capabilities, values)
{
	long recommended = check(&self->vm, KVM_CAP_NR_VCPUS);
	long most = check(&self->vm, KVM_CAP_MAX_VCPUS);
	long numbers = check(&self->vm, KVM_CAP_MAX_VCPU_ID);

	EXPECT_EQ(sysconf(_SC_NPROCESSORS_ONLN), recommended);
	EXPECT_LE(recommended, most);
	EXPECT_LE(most, numbers);
}

TEST_F(capabilities, enable_cap)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_NISV_TO_USER, .flags = 1 };

	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(-EFAULT, IOCTL(self->vm.fd, KVM_ENABLE_CAP, 8));
	/* What is there without being enabled, or not at all. */
	EXPECT_EQ(-EINVAL, enable(&self->vm, KVM_CAP_ONE_REG));
	EXPECT_EQ(-EINVAL, enable(&self->vm, KVM_CAP_USER_MEMORY));
	EXPECT_EQ(-EINVAL, enable(&self->vm, 100000));
	EXPECT_EQ(-EINVAL, enable(&self->vm, ~0U));
	EXPECT_EQ(0, enable(&self->vm, KVM_CAP_ARM_NISV_TO_USER));
	EXPECT_EQ(0, enable(&self->vm, KVM_CAP_ARM_NISV_TO_USER));
	EXPECT_EQ(0, enable(&self->vm, KVM_CAP_ARM_SEA_TO_USER));
	EXPECT_EQ(-EINVAL, enable(&self->vm, KVM_CAP_MEMORY_FAULT_INFO));
}

/* A slot that is deleted is gone; two become one. */
TEST_F(capabilities, memory_comes_and_goes)
{
	struct vcpu *v = &self->vcpu;
	long page = self->page;

	ASSERT_EQ(0, vcpu_create(&self->vm, v, 0));
	EXPECT_EQ(~0UL, seen(v, MORE));
	ASSERT_EQ(0, vm_memory(&self->vm, 1, MORE, page, self->more, 0));
	EXPECT_EQ(0x1000, seen(v, MORE));
	EXPECT_EQ(~0UL, seen(v, MORE + page));
	ASSERT_EQ(0, vm_memory(&self->vm, 2, MORE + page, page, self->more + 3 * page, 0));
	EXPECT_EQ(0x1003, seen(v, MORE + page));
	EXPECT_EQ(0x1000, seen(v, MORE));

	ASSERT_EQ(0, vm_memory(&self->vm, 2, 0, 0, NULL, 0));
	EXPECT_EQ(~0UL, seen(v, MORE + page));
	EXPECT_EQ(0x1000, seen(v, MORE));
	ASSERT_EQ(0, vm_memory(&self->vm, 1, 0, 0, NULL, 0));
	EXPECT_EQ(~0UL, seen(v, MORE));
	ASSERT_EQ(0, vm_memory(&self->vm, 7, MORE, 2 * page, self->more + page, 0));
	EXPECT_EQ(0x1001, seen(v, MORE));
	EXPECT_EQ(0x1002, seen(v, MORE + page));
	/* Moved, it is where it has been moved to. */
	ASSERT_EQ(0, vm_memory(&self->vm, 7, MORE + 4 * page, 2 * page, self->more + page, 0));
	EXPECT_EQ(~0UL, seen(v, MORE));
	EXPECT_EQ(0x1001, seen(v, MORE + 4 * page));
}

TEST_F(capabilities, memory_by_region2)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = 1, .guest_phys_addr = MORE, .memory_size = PAGES * self->page,
		.userspace_addr = (unsigned long)self->more,
	};

	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_SET_USER_MEMORY_REGION2, &region));
	EXPECT_EQ(0x1002, seen(&self->vcpu, MORE + 2 * self->page));
	region.memory_size = 0;
	ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_SET_USER_MEMORY_REGION2, &region));
	EXPECT_EQ(~0UL, seen(&self->vcpu, MORE + 2 * self->page));
	/* There is no guest_memfd of that number. */
	region.memory_size = PAGES * self->page;
	region.flags = KVM_MEM_GUEST_MEMFD;
	region.guest_memfd = -1;
	EXPECT_GT(0, IOCTL(self->vm.fd, KVM_SET_USER_MEMORY_REGION2, &region));
}

TEST_F(capabilities, memory_follows_user_space)
{
	volatile uint64_t *word = (void *)self->more;
	struct vcpu *v = &self->vcpu;
	void *again;

	ASSERT_EQ(0, vcpu_create(&self->vm, v, 0));
	ASSERT_EQ(0, vm_memory(&self->vm, 1, MORE, self->page, self->more, 0));
	EXPECT_EQ(0x1000, seen(v, MORE));
	*word = 0x2000;
	EXPECT_EQ(0x2000, seen(v, MORE));
	ASSERT_EQ(0, guest_finish(v, store, MORE, 0));
	EXPECT_EQ(~MORE, *word);
	/* Another page. */
	ASSERT_EQ(0, madvise(self->more, self->page, MADV_DONTNEED));
	EXPECT_EQ(0, seen(v, MORE));
	*word = 0x3000;
	EXPECT_EQ(0x3000, seen(v, MORE));
	again = mmap(self->more, self->page, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(self->more, again);
	EXPECT_EQ(0, seen(v, MORE));
	ASSERT_EQ(0, guest_finish(v, store, MORE, 0));
	EXPECT_EQ(~MORE, *word);
	/* No page: KVM_RUN fails, and goes on when there is one again. */
	ASSERT_EQ(0, mprotect(self->more, self->page, PROT_NONE));
	ASSERT_EQ(0, vcpu_start(v, load, MORE, 0));
	EXPECT_EQ(GUEST_ERROR, guest_run(v));
	EXPECT_EQ(-EFAULT, v->error);
	ASSERT_EQ(0, mprotect(self->more, self->page, PROT_READ));
	EXPECT_EQ(GUEST_DONE, guest_run(v));
	EXPECT_EQ(~MORE, v->value);
}

TEST_F(capabilities, read_only_memory)
{
	struct kvm_run *run;

	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	run = self->vcpu.run;
	ASSERT_EQ(0, vm_memory(&self->vm, 1, MORE, self->page, self->more, KVM_MEM_READONLY));
	EXPECT_EQ(0x1000, seen(&self->vcpu, MORE));
	ASSERT_EQ(0, vcpu_start(&self->vcpu, store, MORE, 0));
	ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
	EXPECT_EQ(KVM_EXIT_MMIO, run->exit_reason);
	EXPECT_EQ(1, run->mmio.is_write);
	EXPECT_EQ(8, run->mmio.len);
	EXPECT_EQ(MORE, run->mmio.phys_addr);
	EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	EXPECT_EQ(0x1000, *(uint64_t *)self->more);
	EXPECT_EQ(0x1000, seen(&self->vcpu, MORE));
}

TEST_F(capabilities, last_memory_slot)
{
	long n = check(&self->vm, KVM_CAP_NR_MEMSLOTS);

	ASSERT_LT(0, n);
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	EXPECT_EQ(-EINVAL, vm_memory(&self->vm, n, MORE, self->page, self->more, 0));
	ASSERT_EQ(0, vm_memory(&self->vm, n - 1, MORE, self->page, self->more, 0));
	EXPECT_EQ(0x1000, seen(&self->vcpu, MORE));
}

/* What is not in the mask does not change, be the value refused or another one taken. */
TEST_F(capabilities, writable_masks)
{
	uint64_t masks[KVM_ARM_FEATURE_ID_RANGE_SIZE], before, bit;
	struct reg_mask_range range = { .addr = (unsigned long)masks };
	unsigned int crm, op2, n, tried = 0, refused = 0, writable = 0;
	int ret;

	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	memset(masks, 0xa5, sizeof(masks));
	ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &range));
	for (crm = 1; crm < 8; crm++) {
		for (op2 = 0; op2 < 8; op2++) {
			uint64_t id = ARM64_SYS_REG(3, 0, 0, crm, op2);

			if (reg_get(self->vcpu.fd, id, &before))
				continue;
			n = KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, crm, op2);
			writable += masks[n] != 0;
			for (bit = 1; bit; bit <<= 1) {
				if (masks[n] & bit)
					continue;
				ret = vcpu_set_reg(&self->vcpu, id, before ^ bit);
				/* Without AArch32 its registers take anything and stay 0. */
				if (crm >= 4) {
					tried++;
					refused += ret != 0;
				}
				EXPECT_EQ(before, vcpu_reg(&self->vcpu, id)) {
					TH_LOG("0,%u,%u bit %#lx", crm, op2, bit);
				}
			}
		}
	}
	EXPECT_LT(500, tried);
	/* ID_AA64MMFR2_EL1.NV is the field that may have a value that is not kept. */
	EXPECT_LE(tried - 4, refused);
	EXPECT_LT(5, writable);
	range.range = 1;
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &range));
	range.range = 0;
	range.reserved[12] = 1;
	EXPECT_EQ(-EINVAL, IOCTL(self->vm.fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &range));
	range.reserved[12] = 0;
	range.addr = 8;
	EXPECT_EQ(-EFAULT, IOCTL(self->vm.fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &range));
}

GUEST uint64_t read_midr(uint64_t arg);
GUEST uint64_t read_midr(uint64_t arg)
{
	(void)arg;
	guest_say(1, GUEST_MRS("revidr_el1"));
	guest_say(2, GUEST_MRS("aidr_el1"));
	return GUEST_MRS("midr_el1");
}

TEST_F(capabilities, implementation_registers)
{
	struct vcpu *v = &self->vcpu;
	struct vm other;
	uint64_t midr;

	/* Too late for a VM that has a vCPU, and then they do not change. */
	ASSERT_EQ(0, vm_create(&other));
	ASSERT_EQ(0, vcpu_create(&other, v, 0));
	EXPECT_EQ(-EINVAL, enable(&other, KVM_CAP_ARM_WRITABLE_IMP_ID_REGS));
	midr = vcpu_reg(v, MIDR_EL1);
	EXPECT_NE(0, vcpu_set_reg(v, MIDR_EL1, midr ^ 1));
	vcpu_destroy(v);
	vm_destroy(&other);

	ASSERT_EQ(0, enable(&self->vm, KVM_CAP_ARM_WRITABLE_IMP_ID_REGS));
	ASSERT_EQ(0, vcpu_create(&self->vm, v, 0));
	ASSERT_EQ(0, vcpu_set_reg(v, MIDR_EL1, 0x410fd4f1));
	ASSERT_EQ(0, vcpu_set_reg(v, REVIDR_EL1, 0x1234));
	ASSERT_EQ(0, vcpu_set_reg(v, AIDR_EL1, 0x5678));
	ASSERT_EQ(0, vcpu_start(v, read_midr, 0, 0));
	ASSERT_EQ(GUEST_SAID, guest_run(v));
	EXPECT_EQ(0x1234, v->value);
	ASSERT_EQ(GUEST_SAID, guest_run(v));
	EXPECT_EQ(0x5678, v->value);
	ASSERT_EQ(GUEST_DONE, guest_run(v));
	EXPECT_EQ(0x410fd4f1, v->value);
	EXPECT_EQ(0x410fd4f1, vcpu_reg(v, MIDR_EL1));
	EXPECT_NE(0, vcpu_set_reg(v, MIDR_EL1, 0x410fd4f2)) TH_LOG("it has run");
}

/* A vCPU without the feature PSCI_0_2. */
TEST_F(capabilities, psci_0_1)
{
	struct kvm_mp_state state = { ~0U };
	struct vcpu *v = &self->vcpu, other;

	ASSERT_EQ(0, vcpu_open(&self->vm, v, 0));
	ASSERT_EQ(0, vcpu_init(v, 0));
	ASSERT_EQ(0, vcpu_open(&self->vm, &other, 1));
	ASSERT_EQ(0, vcpu_init(&other, 1 << KVM_ARM_VCPU_POWER_OFF));
	EXPECT_EQ(NOT_SUPPORTED, call(v, FN_PSCI_VERSION, 0, 0));
	EXPECT_EQ(NOT_SUPPORTED, call(v, KVM_PSCI_FN_MIGRATE, 0, 0));
	EXPECT_EQ(INVALID_PARAMETERS, call(v, KVM_PSCI_FN_CPU_ON, 0x7654, GUEST_RAM));
	EXPECT_EQ(0, call(v, KVM_PSCI_FN_CPU_ON, vcpu_reg(&other, MPIDR_EL1) & 0xff00ffffff,
			  GUEST_RAM));
	EXPECT_EQ(0, IOCTL(other.fd, KVM_GET_MP_STATE, &state));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, state.mp_state);
	EXPECT_EQ(GUEST_RAM, vcpu_reg(&other, REG_PC));
	vcpu_destroy(&other);
}

TEST_F(capabilities, system_suspend)
{
	struct vcpu *v = &self->vcpu;

	ASSERT_EQ(0, vcpu_create(&self->vm, v, 0));
	EXPECT_EQ(NOT_SUPPORTED, call(v, FN_SYSTEM_SUSPEND, GUEST_RAM, 0));
	ASSERT_EQ(0, enable(&self->vm, KVM_CAP_ARM_SYSTEM_SUSPEND));
	ASSERT_EQ(0, call_start(v, FN_SYSTEM_SUSPEND, GUEST_RAM, 0));
	ASSERT_EQ(GUEST_EXIT, guest_run(v));
	ASSERT_EQ(KVM_EXIT_SYSTEM_EVENT, v->run->exit_reason);
	EXPECT_EQ(KVM_SYSTEM_EVENT_SUSPEND, v->run->system_event.type);
	/* User space does not want to. */
	ASSERT_EQ(0, vcpu_set_reg(v, REG_X(0), INTERNAL_FAILURE));
	ASSERT_EQ(GUEST_DONE, guest_run(v));
	EXPECT_EQ(INTERNAL_FAILURE, (long)v->value);
}

/* The call's first word is the upper half of the host's wall clock in ns, 4.3 s each. */
TEST_F(capabilities, precise_time)
{
	struct timespec before, after;
	long got;

	if (check(&self->vm, KVM_CAP_PTP_KVM) <= 0)
		SKIP(return, "no KVM_CAP_PTP_KVM");
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
	clock_gettime(CLOCK_REALTIME, &before);
	got = call(&self->vcpu, FN_PTP, 0, 0);
	clock_gettime(CLOCK_REALTIME, &after);
	EXPECT_LE((before.tv_sec * 1000000000L + before.tv_nsec) >> 32, got);
	EXPECT_GE((after.tv_sec * 1000000000L + after.tv_nsec) >> 32, got);
	EXPECT_EQ(NOT_SUPPORTED, call(&self->vcpu, FN_PTP, 2, 0)) TH_LOG("no such counter");
}

/* Spins for that many ticks of the counter. */
GUEST uint64_t spin(uint64_t ticks);
GUEST uint64_t spin(uint64_t ticks)
{
	uint64_t begin = GUEST_MRS("cntvct_el0");

	while (GUEST_MRS("cntvct_el0") - begin < ticks)
		;
	return 0;
}

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

TEST_F(capabilities, stolen_time)
{
	const uint64_t where = GUEST_FREE + 0x1000;
	uint64_t ipa = where, got = 0, frequency;
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VCPU_PVTIME_CTRL, .attr = KVM_ARM_VCPU_PVTIME_IPA,
		.addr = (unsigned long)&ipa,
	};
	struct vcpu *v = &self->vcpu;
	volatile uint64_t *stolen;
	int rival;

	ASSERT_EQ(0, vcpu_create(&self->vm, v, 0));
	stolen = (void *)(self->vm.ram + (where - GUEST_RAM) + 8);
	ASSERT_EQ(0, IOCTL(v->fd, KVM_HAS_DEVICE_ATTR, &attr));
	/* There is none yet; it is aligned to 64 bytes. */
	EXPECT_EQ(NOT_SUPPORTED, call(v, FN_PV_TIME_FEATURES, FN_PV_TIME_ST, 0));
	EXPECT_EQ(NOT_SUPPORTED, call(v, FN_PV_TIME_ST, 0, 0));
	ipa++;
	EXPECT_EQ(-EINVAL, IOCTL(v->fd, KVM_SET_DEVICE_ATTR, &attr));
	ipa--;
	ASSERT_EQ(0, IOCTL(v->fd, KVM_SET_DEVICE_ATTR, &attr));
	EXPECT_EQ(-EEXIST, IOCTL(v->fd, KVM_SET_DEVICE_ATTR, &attr));
	attr.addr = (unsigned long)&got;
	ASSERT_EQ(0, IOCTL(v->fd, KVM_GET_DEVICE_ATTR, &attr));
	EXPECT_EQ(where, got);
	attr.attr++;
	EXPECT_EQ(-ENXIO, IOCTL(v->fd, KVM_HAS_DEVICE_ATTR, &attr));

	EXPECT_EQ(0, call(v, FN_PV_TIME_FEATURES, FN_PV_TIME_ST, 0));
	EXPECT_EQ(where, call(v, FN_PV_TIME_ST, 0, 0));
	/* Another process on the CPU takes about half of it. */
	ASSERT_EQ(0, pin(0));
	rival = fork();
	ASSERT_LE(0, rival);
	while (!rival)
		;
	asm volatile("mrs %0, cntfrq_el0" : "=r" (frequency));
	EXPECT_EQ(0, guest_finish(v, spin, frequency / 2, 0));
	kill(rival, SIGKILL);
	wait_child(rival);
	TH_LOG("%lu ms stolen of 500", *stolen / 1000000);
	EXPECT_LT(50000000, *stolen);
	EXPECT_GT(60000000000, *stolen);
}

/* Calls that go to user space, or to nobody. */
TEST_F(capabilities, filtered_calls)
{
	struct kvm_smccc_filter filter = {
		.base = FN_VENDOR, .nr_functions = 1, .action = KVM_SMCCC_FILTER_FWD_TO_USER,
	};
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VM_SMCCC_CTRL, .attr = KVM_ARM_VM_SMCCC_FILTER,
		.addr = (unsigned long)&filter,
	};
	struct vcpu *v = &self->vcpu;

	ASSERT_EQ(0, vcpu_create(&self->vm, v, 0));
	ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_HAS_DEVICE_ATTR, &attr));
	ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_SET_DEVICE_ATTR, &attr));
	EXPECT_EQ(-EEXIST, IOCTL(self->vm.fd, KVM_SET_DEVICE_ATTR, &attr));
	/* C KVM has no such ioctl for a VM, the module no such attribute. */
	EXPECT_EQ(host_is_module() ? -ENXIO : -EINVAL,
		  IOCTL(self->vm.fd, KVM_GET_DEVICE_ATTR, &attr));
	ASSERT_EQ(0, call_start(v, FN_VENDOR, 0x77, 0));
	ASSERT_EQ(GUEST_EXIT, guest_run(v));
	ASSERT_EQ(KVM_EXIT_HYPERCALL, v->run->exit_reason);
	EXPECT_EQ(FN_VENDOR, v->run->hypercall.nr);
	EXPECT_EQ(0x77, vcpu_reg(v, REG_X(1)));
	ASSERT_EQ(0, vcpu_set_reg(v, REG_X(0), 0x99));
	ASSERT_EQ(GUEST_DONE, guest_run(v));
	EXPECT_EQ(0x99, v->value);
	EXPECT_EQ(NOT_SUPPORTED, call(v, FN_VENDOR + 1, 0, 0));
	filter.base = FN_VENDOR + 1;
	EXPECT_EQ(-EBUSY, IOCTL(self->vm.fd, KVM_SET_DEVICE_ATTR, &attr));
}

/* data[0]: the instruction. */
GUEST uint64_t execute(uint64_t arg);
GUEST uint64_t execute(uint64_t arg)
{
	return guest_execute(guest_area()->data[0], arg);
}

static uint64_t sign(struct vcpu *v, uint32_t insn, uint64_t arg)
{
	v->area->data[0] = insn;
	if (vcpu_start(v, execute, arg, GUEST_MMU) ||
	    vcpu_set_reg(v, SCTLR_EL1, vcpu_reg(v, SCTLR_EL1) | SCTLR_ENIA))
		return 0;
	return guest_run(v) == GUEST_DONE ? v->value : 0;
}

/* A pointer gets a code, of the key that user space set; PACGA a code of 32 bits. */
TEST_F(capabilities, pointer_authentication)
{
	const uint64_t pointer = 0x12345678;
	struct vcpu *v = &self->vcpu;
	uint64_t one, two;

	if (check(&self->vm, KVM_CAP_ARM_PTRAUTH_ADDRESS) <= 0 ||
	    check(&self->vm, KVM_CAP_ARM_PTRAUTH_GENERIC) <= 0)
		SKIP(return, "no pointer authentication");
	ASSERT_EQ(0, vcpu_open(&self->vm, v, 0));
	ASSERT_EQ(0, vcpu_init(v, PSCI | 1 << KVM_ARM_VCPU_PTRAUTH_ADDRESS |
				       1 << KVM_ARM_VCPU_PTRAUTH_GENERIC));
	ASSERT_EQ(0, vcpu_set_reg(v, APIAKEYLO_EL1, 0x1111222233334444));
	one = sign(v, PACIA_X0_X1, pointer);
	EXPECT_EQ(pointer, one & 0x7fffffffffUL);
	EXPECT_NE(pointer, one);
	EXPECT_EQ(one, sign(v, PACIA_X0_X1, pointer));
	ASSERT_EQ(0, vcpu_set_reg(v, APIAKEYLO_EL1, 0x5555666677778888));
	two = sign(v, PACIA_X0_X1, pointer);
	EXPECT_NE(one, two) TH_LOG("another key, another code");

	ASSERT_EQ(0, vcpu_set_reg(v, APGAKEYHI_EL1, 0x9999aaaabbbbcccc));
	one = sign(v, PACGA_X0_X0_X1, pointer);
	EXPECT_NE(0, one >> 32);
	EXPECT_EQ(0, one & 0xffffffff);
	ASSERT_EQ(0, vcpu_set_reg(v, APGAKEYHI_EL1, 0xddddeeeeffff0000));
	EXPECT_NE(one, sign(v, PACGA_X0_X0_X1, pointer));
}

TEST_HARNESS_MAIN
