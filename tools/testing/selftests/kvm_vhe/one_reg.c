// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what KVM_GET_REG_LIST, KVM_GET_ONE_REG and KVM_SET_ONE_REG do: every listed
 * register, every encoding that is not listed, what a guest sees of what was set
 * and user space of what the guest has.
 * Runs on the module and on C KVM, as root.
 */
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

FIXTURE(one_reg)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_reg_list *list;
};

/* A vCPU's features decide which registers it has. */
FIXTURE_VARIANT(one_reg)
{
	unsigned int features;
	int caps[2];
};

FIXTURE_VARIANT_ADD(one_reg, base)
{
	.features = 0,
};

FIXTURE_VARIANT_ADD(one_reg, pauth)
{
	.features = 1 << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1 << KVM_ARM_VCPU_PTRAUTH_GENERIC,
	.caps = { KVM_CAP_ARM_PTRAUTH_ADDRESS, KVM_CAP_ARM_PTRAUTH_GENERIC },
};

FIXTURE_VARIANT_ADD(one_reg, sve)
{
	.features = 1 << KVM_ARM_VCPU_SVE,
	.caps = { KVM_CAP_ARM_SVE },
};

FIXTURE_VARIANT_ADD(one_reg, pmu)
{
	.features = 1 << KVM_ARM_VCPU_PMU_V3,
	.caps = { KVM_CAP_ARM_PMU_V3 },
};

#define IOCTL(fd, cmd, arg)	kvm_ioctl(fd, cmd, (unsigned long)(arg))
/* The widest register is a Z register of 2048 bits. */
#define WIDEST			256

FIXTURE_SETUP(one_reg)
{
	struct kvm_reg_list none = { .n = 0 };
	int sve = KVM_ARM_VCPU_SVE;
	unsigned int i;

	ASSERT_EQ(0, vm_create(&self->vm));
	for (i = 0; i < 2; i++) {
		if (variant->caps[i] &&
		    IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, variant->caps[i]) <= 0)
			SKIP(return, "no such capability here");
	}
	ASSERT_EQ(0, vcpu_open(&self->vm, &self->vcpu, 0));
	ASSERT_EQ(0, vcpu_init(&self->vcpu, 1 << KVM_ARM_VCPU_PSCI_0_2 | variant->features));
	if (variant->features & 1 << sve) {
		EXPECT_EQ(-EPERM, IOCTL(self->vcpu.fd, KVM_GET_REG_LIST, &none));
		EXPECT_EQ(-EPERM, IOCTL(self->vcpu.fd, KVM_RUN, 0));
		ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_ARM_VCPU_FINALIZE, &sve));
		EXPECT_EQ(-EPERM, IOCTL(self->vcpu.fd, KVM_ARM_VCPU_FINALIZE, &sve));
	}
	if (variant->features & 1 << KVM_ARM_VCPU_PMU_V3) {
		struct kvm_device_attr init = {
			.group = KVM_ARM_VCPU_PMU_V3_CTRL, .attr = KVM_ARM_VCPU_PMU_V3_INIT,
		};

		ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_DEVICE_ATTR, &init));
	}
	self->list = vcpu_reg_list(&self->vcpu);
	ASSERT_NE(NULL, self->list);
}

FIXTURE_TEARDOWN(one_reg)
{
	free(self->list);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

GUEST uint64_t nothing(uint64_t arg);
GUEST uint64_t nothing(uint64_t arg)
{
	return arg;
}

static bool listed(const struct kvm_reg_list *list, uint64_t id)
{
	unsigned long i;

	for (i = 0; i < list->n; i++)
		if (list->reg[i] == id)
			return true;
	return false;
}

static unsigned int size_of(uint64_t id)
{
	return 1U << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

/* What moves by itself. */
static bool counts(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

TEST_F(one_reg, list)
{
	unsigned long n = self->list->n, i, j;
	struct kvm_reg_list *again = calloc(1, sizeof(*again) + (n + 2) * 8);

	ASSERT_NE(NULL, again);
	ASSERT_LT(200, n);
	for (again->n = 0; again->n < n; ) {
		unsigned long had = again->n;

		EXPECT_EQ(-E2BIG, IOCTL(self->vcpu.fd, KVM_GET_REG_LIST, again));
		EXPECT_EQ(n, again->n);
		EXPECT_EQ(0, again->reg[0]);
		again->n = had + 1 + n / 8;
		if (had < n - 1 && again->n >= n)
			again->n = n - 1;
	}
	again->n = n + 1;
	EXPECT_EQ(0, IOCTL(self->vcpu.fd, KVM_GET_REG_LIST, again));
	EXPECT_EQ(n, again->n);
	EXPECT_EQ(0, memcmp(again->reg, self->list->reg, n * 8));
	EXPECT_EQ(0, again->reg[n]);
	free(again);
	EXPECT_EQ(-EFAULT, IOCTL(self->vcpu.fd, KVM_GET_REG_LIST, 8));
	for (i = 0; i < n; i++) {
		EXPECT_EQ(KVM_REG_ARM64, self->list->reg[i] & KVM_REG_ARCH_MASK);
		for (j = 0; j < i; j++) {
			EXPECT_NE(self->list->reg[i], self->list->reg[j]);
		}
	}
	for (i = 0; i < 31; i++) {
		EXPECT_TRUE(listed(self->list, REG_X(i)));
	}
	EXPECT_TRUE(listed(self->list, REG_PC));
	EXPECT_TRUE(listed(self->list, MPIDR_EL1));
	EXPECT_TRUE(listed(self->list, KVM_REG_ARM_TIMER_CNT));
	EXPECT_TRUE(listed(self->list, KVM_REG_ARM_PSCI_VERSION));
}

TEST_F(one_reg, every_one_takes_its_own_value)
{
	unsigned char value[WIDEST], again[WIDEST];
	unsigned long i;
	uint64_t id;

	for (i = 0; i < self->list->n; i++) {
		id = self->list->reg[i];
		EXPECT_EQ(0, reg_get(self->vcpu.fd, id, value)) TH_LOG("%#lx", id);
		if (id == KVM_REG_ARM64_SVE_VLS) {
			EXPECT_EQ(-EPERM, reg_set(self->vcpu.fd, id, value));
			continue;
		}
		EXPECT_EQ(0, reg_set(self->vcpu.fd, id, value)) TH_LOG("%#lx", id);
		EXPECT_EQ(0, reg_get(self->vcpu.fd, id, again)) TH_LOG("%#lx", id);
		if (!counts(id)) {
			EXPECT_EQ(0, memcmp(value, again, size_of(id))) TH_LOG("%#lx", id);
		}
		EXPECT_EQ(-EFAULT, reg_get(self->vcpu.fd, id, (void *)8)) TH_LOG("%#lx", id);
	}
	EXPECT_EQ(-EFAULT, reg_set(self->vcpu.fd, REG_PC, (void *)8));
	EXPECT_EQ(-EFAULT, reg_set(self->vcpu.fd, TTBR0_EL1, (void *)8));
}

TEST_F(one_reg, every_one_takes_its_own_value_after_a_run)
{
	unsigned char value[WIDEST];
	unsigned long i;
	uint64_t id;

	ASSERT_EQ(0, guest_finish(&self->vcpu, nothing, 0, 0));
	for (i = 0; i < self->list->n; i++) {
		id = self->list->reg[i];
		EXPECT_EQ(0, reg_get(self->vcpu.fd, id, value)) TH_LOG("%#lx", id);
		if (id != KVM_REG_ARM64_SVE_VLS) {
			EXPECT_EQ(0, reg_set(self->vcpu.fd, id, value)) TH_LOG("%#lx", id);
		}
	}
}

/* Of all encodings of a system register those work that are listed. */
TEST_F_TIMEOUT(one_reg, unlisted_sysregs, 120)
{
	unsigned int i, wrong = 0, size;
	uint64_t value = 0, id;
	int ret;

	for (i = 0; i < 1 << 16; i++) {
		id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | i;
		if (listed(self->list, id))
			continue;
		ret = reg_get(self->vcpu.fd, id, &value);
		if (ret == -ENOENT)
			ret = reg_set(self->vcpu.fd, id, &value);
		if (ret != -ENOENT && wrong++ < 10) {
			TH_LOG("%u %u %u %u %u: %d", i >> 14, i >> 11 & 7, i >> 7 & 15, i >> 3 & 15,
			       i & 7, ret);
		}
	}
	EXPECT_EQ(0, wrong);
	/* Another size is another register, which there is not. */
	for (size = 0; size < 10; size++) {
		id = KVM_REG_ARM64 | (uint64_t)size << KVM_REG_SIZE_SHIFT;
		if (size != 3) {
			EXPECT_EQ(-ENOENT, reg_get(self->vcpu.fd, id | (TTBR0_EL1 & 0xfffffff),
						   &value));
		}
		if (size != 2) {
			EXPECT_EQ(-ENOENT, reg_get(self->vcpu.fd, id | KVM_REG_ARM_DEMUX, &value));
		}
	}
}

TEST_F(one_reg, unlisted_others)
{
	static const uint64_t groups[] = {
		KVM_REG_ARM_CORE, KVM_REG_ARM_DEMUX, KVM_REG_ARM_FW, KVM_REG_ARM64_SVE,
		KVM_REG_ARM_FW_FEAT_BMAP, 0x17UL << 16, 0x0fUL << 16, 0xfffUL << 16, 0,
	};
	unsigned char value[WIDEST];
	unsigned int i, j, size;
	uint64_t id;
	int ret;

	for (i = 0; i < ARRAY_LEN(groups); i++) {
		for (size = 0; size < 9; size++) {
			for (j = 0; j < 0x420; j++) {
				id = KVM_REG_ARM64 | (uint64_t)size << KVM_REG_SIZE_SHIFT |
				     groups[i] | j;
				if (listed(self->list, id))
					continue;
				ret = reg_get(self->vcpu.fd, id, value);
				EXPECT_TRUE(ret == -ENOENT || ret == -EINVAL) {
					TH_LOG("get %#lx: %d", id, ret);
				}
			}
		}
	}
	for (i = 0; i < ARRAY_LEN(groups); i++) {
		id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | groups[i] | 0x8000;
		EXPECT_GT(0, reg_get(self->vcpu.fd, id, value));
		EXPECT_GT(0, reg_set(self->vcpu.fd, id, value));
	}
	/* Another architecture's. */
	EXPECT_GT(0, reg_get(self->vcpu.fd, (REG_PC & ~KVM_REG_ARCH_MASK) | KVM_REG_X86, value));
	EXPECT_GT(0, reg_get(self->vcpu.fd, (TTBR0_EL1 & ~KVM_REG_ARCH_MASK) | KVM_REG_ARM, value));
}

TEST_F_TIMEOUT(one_reg, random_ids, 120)
{
	unsigned char value[WIDEST];
	unsigned int i;
	uint64_t id;

	srandom(1);
	memset(value, 0xa5, sizeof(value));
	for (i = 0; i < scaled(50000); i++) {
		id = (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ random();
		if (i % 2)
			id = (id & 0x01ff00000fffffff) | KVM_REG_ARM64;
		if (listed(self->list, id) || size_of(id) > WIDEST)
			continue;
		EXPECT_GT(0, reg_get(self->vcpu.fd, id, value)) TH_LOG("%#lx", id);
		EXPECT_GT(0, reg_set(self->vcpu.fd, id, value)) TH_LOG("%#lx", id);
	}
}

/* PSTATE takes the modes that the vCPU can be in. */
TEST_F(one_reg, pstate_modes)
{
	uint64_t pfr0 = vcpu_reg(&self->vcpu, ARM64_SYS_REG(3, 0, 0, 4, 0));
	bool el0_32 = (pfr0 & 15) == 2;
	uint64_t before;
	unsigned int mode;
	bool good;

	for (mode = 0; mode < 32; mode++) {
		good = mode == 0 || mode == 4 || mode == 5 || (mode == 16 && el0_32);
		ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PSTATE, 0x3c5));
		before = vcpu_reg(&self->vcpu, REG_PSTATE);
		EXPECT_EQ(good ? 0 : -EINVAL,
			  vcpu_set_reg(&self->vcpu, REG_PSTATE, 0xf00001c0 | mode)) {
			TH_LOG("mode %#x", mode);
		}
		EXPECT_EQ(good ? 0xf00001c0 | mode : before,
			  vcpu_reg(&self->vcpu, REG_PSTATE)) TH_LOG("mode %#x", mode);
	}
}

/* Registers that keep any value while the MMU is off, and what of it. */
static const struct plain {
	uint64_t id, mask;
} plain[] = {
	{ REG_SP, ~0UL }, { REG_ELR_EL1, ~0UL },
	{ TTBR0_EL1, 0x00ff00fffffff000 }, { TTBR1_EL1, 0x00ff00fffffff000 },
	{ MAIR_EL1, ~0UL }, { FAR_EL1, ~0UL }, { ESR_EL1, 0xfeffffff },
	{ CONTEXTIDR_EL1, 0xffffffff }, { TPIDR_EL1, ~0UL },
	{ TPIDR_EL0, ~0UL }, { TPIDRRO_EL0, ~0UL },
	{ REG_X(19), ~0UL }, { REG_X(28), ~0UL }, { REG_X(29), ~0UL },
	{ CNTKCTL_EL1, 0x3 }, { CSSELR_EL1, 0x1 },
};

static uint64_t pattern(uint64_t id, unsigned int round)
{
	static const uint64_t fixed[] = { 0, ~0UL, 0xaaaaaaaaaaaaaaaa, 0x5555555555555555 };
	uint64_t v = (id + round) * 0x9e3779b97f4a7c15;

	return round < ARRAY_LEN(fixed) ? fixed[round] : v ^ v >> 29;
}

TEST_F(one_reg, patterns_before_and_after_a_run)
{
	unsigned int round, i;
	uint64_t v;

	for (round = 0; round < 12; round++) {
		ASSERT_EQ(0, vcpu_start(&self->vcpu, nothing, round, 0));
		for (i = 0; i < ARRAY_LEN(plain); i++) {
			v = pattern(plain[i].id, round) & plain[i].mask;
			EXPECT_EQ(0, vcpu_set_reg(&self->vcpu, plain[i].id, v));
		}
		for (i = 0; i < ARRAY_LEN(plain); i++) {
			v = pattern(plain[i].id, round) & plain[i].mask;
			EXPECT_EQ(v, vcpu_reg(&self->vcpu, plain[i].id)) {
				TH_LOG("%#lx before the run", plain[i].id);
			}
		}
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(round, self->vcpu.value);
		for (i = 0; i < ARRAY_LEN(plain); i++) {
			v = pattern(plain[i].id, round) & plain[i].mask;
			EXPECT_EQ(v, vcpu_reg(&self->vcpu, plain[i].id)) {
				TH_LOG("%#lx after the run", plain[i].id);
			}
		}
	}
}

TEST_F(one_reg, vector_registers)
{
	uint64_t v[2], w[2];
	unsigned int i, round;
	uint32_t fpsr, fpcr;

	if (!listed(self->list, REG_V(0)))
		SKIP(return, "an SVE vCPU has Z registers instead");
	for (round = 0; round < 4; round++) {
		ASSERT_EQ(0, vcpu_start(&self->vcpu, nothing, round, 0));
		for (i = 0; i < 32; i++) {
			v[0] = pattern(REG_V(i), round + 4);
			v[1] = ~v[0];
			EXPECT_EQ(0, reg_set(self->vcpu.fd, REG_V(i), v));
		}
		fpsr = round & 1 ? 0x0800009f : 0;
		fpcr = round & 1 ? 0x03c00000 : 0;
		EXPECT_EQ(0, reg_set(self->vcpu.fd, REG_FPSR, &fpsr));
		EXPECT_EQ(0, reg_set(self->vcpu.fd, REG_FPCR, &fpcr));
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		for (i = 0; i < 32; i++) {
			v[0] = pattern(REG_V(i), round + 4);
			v[1] = ~v[0];
			EXPECT_EQ(0, reg_get(self->vcpu.fd, REG_V(i), w));
			EXPECT_EQ(0, memcmp(v, w, 16)) TH_LOG("V%u", i);
		}
		EXPECT_EQ(0, reg_get(self->vcpu.fd, REG_FPSR, w));
		EXPECT_EQ(fpsr, (uint32_t)w[0]);
		EXPECT_EQ(0, reg_get(self->vcpu.fd, REG_FPCR, w));
		EXPECT_EQ(fpcr, (uint32_t)w[0]);
	}
}

static bool is_id(uint64_t id)
{
	return id >= ARM64_SYS_REG(3, 0, 0, 0, 0) && id <= ARM64_SYS_REG(3, 0, 0, 15, 7);
}

/* Sets a register to patterns; returns how many were refused. */
static unsigned int settles(struct __test_metadata *_metadata, int fd, uint64_t id)
{
	unsigned char before[WIDEST], wanted[WIDEST], got[WIDEST], again[WIDEST];
	unsigned int round, j, refused = 0;
	int ret;

	EXPECT_EQ(0, reg_get(fd, id, before)) TH_LOG("%#lx", id);
	for (round = 0; round < 8; round++) {
		for (j = 0; j < WIDEST; j += 8) {
			uint64_t v = pattern(id + j, round);

			memcpy(wanted + j, &v, 8);
		}
		ret = reg_set(fd, id, wanted);
		EXPECT_EQ(0, reg_get(fd, id, got)) TH_LOG("%#lx", id);
		if (ret) {
			refused++;
			EXPECT_EQ(0, memcmp(got, before, size_of(id))) TH_LOG("%#lx", id);
		}
		EXPECT_EQ(0, reg_set(fd, id, got)) TH_LOG("%#lx", id);
		EXPECT_EQ(0, reg_get(fd, id, again)) TH_LOG("%#lx", id);
		EXPECT_EQ(0, memcmp(got, again, size_of(id))) TH_LOG("%#lx", id);
		memcpy(before, again, sizeof(before));
	}
	return refused;
}

/*
 * What may be set is what is read afterwards, and what is refused changes nothing.
 * The ID registers come last: they decide which of the others there are.
 */
TEST_F(one_reg, patterns_settle)
{
	unsigned int ids, refused = 0;
	unsigned long i;
	uint64_t id;

	for (ids = 0; ids < 2; ids++) {
		for (i = 0; i < self->list->n; i++) {
			id = self->list->reg[i];
			if (is_id(id) == ids && !counts(id) && id != KVM_REG_ARM64_SVE_VLS)
				refused += settles(_metadata, self->vcpu.fd, id);
		}
	}
	EXPECT_LT(0, refused);
}

/* ID registers and firmware features are fixed once the VM ran. */
TEST_F(one_reg, fixed_by_the_first_run)
{
	static const uint64_t ids[] = {
		ARM64_SYS_REG(3, 0, 0, 4, 0), ARM64_SYS_REG(3, 0, 0, 5, 0),
		ARM64_SYS_REG(3, 0, 0, 6, 0), ARM64_SYS_REG(3, 0, 0, 7, 0),
		ARM64_SYS_REG(3, 0, 0, 7, 2), KVM_REG_ARM_STD_BMAP,
	};
	uint64_t value, psci;
	unsigned int i;

	psci = vcpu_reg(&self->vcpu, KVM_REG_ARM_PSCI_VERSION);
	EXPECT_LE(0x10000, psci);
	EXPECT_EQ(0, vcpu_set_reg(&self->vcpu, KVM_REG_ARM_PSCI_VERSION, 0x10000));
	EXPECT_EQ(0x10000, vcpu_reg(&self->vcpu, KVM_REG_ARM_PSCI_VERSION));
	EXPECT_EQ(-EINVAL, vcpu_set_reg(&self->vcpu, KVM_REG_ARM_PSCI_VERSION, 0x7777));
	EXPECT_EQ(0, vcpu_set_reg(&self->vcpu, KVM_REG_ARM_PSCI_VERSION, psci));
	EXPECT_EQ(-EINVAL, vcpu_set_reg(&self->vcpu, KVM_REG_ARM_STD_BMAP, 1UL << 63));
	ASSERT_EQ(0, guest_finish(&self->vcpu, nothing, 0, 0));
	for (i = 0; i < ARRAY_LEN(ids); i++) {
		value = vcpu_reg(&self->vcpu, ids[i]);
		EXPECT_EQ(0, vcpu_set_reg(&self->vcpu, ids[i], value)) TH_LOG("%#lx", ids[i]);
		EXPECT_EQ(-EBUSY, vcpu_set_reg(&self->vcpu, ids[i], value ^ 1)) {
			TH_LOG("%#lx", ids[i]);
		}
		EXPECT_EQ(value, vcpu_reg(&self->vcpu, ids[i]));
	}
}

/* Tells all of x2-x30 and sp as it found them. */
extern char guest_tell_regs[];

asm(".pushsection guest_text, \"ax\"\n"
    ".globl guest_tell_regs\n"
    "guest_tell_regs:\n"
    "	stp	x30, x1, [x0]\n"
    "	mov	x1, sp\n"
    "	str	x1, [x0, #16]\n"
    "	add	x0, x0, #24\n"
    ".irp r, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"
    "	str	x\\r, [x0], #8\n"
    ".endr\n"
    "	b	guest_entry + 4\n"
    ".popsection\n");

TEST_F(one_reg, guest_sees_what_was_set)
{
	uint64_t buffer = GUEST_FREE, *seen = (void *)(self->vm.ram + GUEST_FREE - GUEST_RAM);
	unsigned int i, spsel;

	for (spsel = 0; spsel < 2; spsel++) {
		ASSERT_EQ(0, vcpu_start(&self->vcpu, nothing, buffer, 0));
		for (i = 1; i < 31; i++) {
			ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_X(i), pattern(i, 9 + spsel)));
		}
		ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PC, guest_address(guest_tell_regs)));
		ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_SP, 0x123456789abcde0));
		ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PSTATE, 0x3c4 | spsel));
		ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		EXPECT_EQ(pattern(30, 9 + spsel), seen[0]);
		EXPECT_EQ(pattern(1, 9 + spsel), seen[1]);
		EXPECT_EQ(spsel ? GUEST_AREA(0) + GUEST_AREA_SIZE : 0x123456789abcde0, seen[2]);
		for (i = 2; i < 30; i++) {
			EXPECT_EQ(pattern(i, 9 + spsel), seen[1 + i]) TH_LOG("x%u", i);
		}
	}
}

TEST_HARNESS_MAIN
