// SPDX-License-Identifier: GPL-2.0
/*
 * Shows with what a guest's accesses come back to user space: MMIO of every size, loads
 * and stores that have no syndrome, code where there is no memory.
 * Runs on the module and on C KVM, as root.
 */
#include "exits.h"

/* No memory there, with all bytes of the address different. */
#define NOWHERE		0x8899aabbc8UL
#define SCTLR_EE	(1UL << 25)

GUEST uint64_t nothing(uint64_t arg);
GUEST uint64_t nothing(uint64_t arg)
{
	return arg;
}

/* Puts one instruction where the vCPU goes on, with x1 the address NOWHERE. */
static int prepare(struct vcpu *vcpu, uint32_t insn, uint64_t x0, uint64_t sctlr)
{
	uint32_t *code = (void *)(vcpu->vm->ram + GUEST_FREE - GUEST_RAM);
	int ret = vcpu_start(vcpu, nothing, x0, 0);

	code[0] = insn;
	code[1] = 0xd503207f;	/* wfi */
	__builtin___clear_cache((char *)code, (char *)(code + 2));
	ret |= vcpu_set_reg(vcpu, REG_X(1), NOWHERE);
	ret |= vcpu_set_reg(vcpu, REG_PC, GUEST_FREE);
	ret |= vcpu_set_reg(vcpu, SCTLR_EL1, vcpu_reg(vcpu, SCTLR_EL1) | sctlr);
	return ret;
}

/* What an exit left to be done, without going on in the guest. */
static int complete(struct vcpu *vcpu)
{
	int ret;

	vcpu->run->immediate_exit = 1;
	ret = kvm_ioctl(vcpu->fd, KVM_RUN, 0);
	vcpu->run->immediate_exit = 0;
	return ret;
}

/* A number as the bytes that stand in the guest's memory. */
static void to_bytes(unsigned char *bytes, uint64_t value, unsigned int len, bool big)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		bytes[i] = value >> 8 * (big ? len - 1 - i : i);
}

static const struct access {
	const char *name;
	uint32_t insn;
	unsigned int len;
	bool sign, wide;	/* extended with the sign; to 64 bits */
} loads[] = {
	{ "ldrb w0", 0x39400020, 1, false, false },
	{ "ldrsb w0", 0x39c00020, 1, true, false },
	{ "ldrsb x0", 0x39800020, 1, true, true },
	{ "ldrh w0", 0x79400020, 2, false, false },
	{ "ldrsh w0", 0x79c00020, 2, true, false },
	{ "ldrsh x0", 0x79800020, 2, true, true },
	{ "ldr w0", 0xb9400020, 4, false, false },
	{ "ldrsw x0", 0xb9800020, 4, true, true },
	{ "ldr x0", 0xf9400020, 8, false, true },
	{ "ldar w0", 0x88dffc20, 4, false, false },
	{ "ldar x0", 0xc8dffc20, 8, false, true },
}, stores[] = {
	{ "strb w0", 0x39000020, 1, false, false },
	{ "strh w0", 0x79000020, 2, false, false },
	{ "str w0", 0xb9000020, 4, false, false },
	{ "str x0", 0xf9000020, 8, false, true },
	{ "stlr x0", 0xc89ffc20, 8, false, true },
};

static uint64_t extended(uint64_t value, const struct access *a)
{
	unsigned int bits = 64 - 8 * a->len;

	value = a->sign ? (uint64_t)((int64_t)(value << bits) >> bits) : value << bits >> bits;
	return a->wide ? value : (uint32_t)value;
}

static bool has_big_endian(struct vcpu *vcpu)
{
	return vcpu_reg(vcpu, ARM64_SYS_REG(3, 0, 0, 7, 0)) >> 8 & 15;
}

TEST_F(exits, mmio_loads)
{
	static const uint64_t values[] = { 0x7f7e7d7c7b7a7978, 0x8182838485868788, 0, ~0UL };
	struct kvm_run *run = self->vcpu.run;
	unsigned int i, j, big;

	for (big = 0; big < 1U + has_big_endian(&self->vcpu); big++) {
		for (i = 0; i < ARRAY_LEN(loads) * ARRAY_LEN(values); i++) {
			const struct access *a = &loads[i / ARRAY_LEN(values)];

			j = i % ARRAY_LEN(values);
			ASSERT_EQ(0, prepare(&self->vcpu, a->insn, 0x1111, big * SCTLR_EE));
			ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu)) TH_LOG("%s", a->name);
			ASSERT_EQ(KVM_EXIT_MMIO, run->exit_reason) TH_LOG("%s", a->name);
			EXPECT_EQ(0, run->mmio.is_write) TH_LOG("%s", a->name);
			EXPECT_EQ(NOWHERE, run->mmio.phys_addr) TH_LOG("%s", a->name);
			EXPECT_EQ(a->len, run->mmio.len) TH_LOG("%s", a->name);
			memset(run->mmio.data, 0x55, 8);
			to_bytes(run->mmio.data, values[j], a->len, big);
			EXPECT_EQ(-EINTR, complete(&self->vcpu));
			EXPECT_EQ(extended(values[j], a), vcpu_reg(&self->vcpu, REG_X(0))) {
				TH_LOG("%s, big endian %u, %#lx", a->name, big, values[j]);
			}
			EXPECT_EQ(GUEST_FREE + 4, vcpu_reg(&self->vcpu, REG_PC));
			EXPECT_EQ(NOWHERE, vcpu_reg(&self->vcpu, REG_X(1)));
		}
	}
}

TEST_F(exits, mmio_stores)
{
	struct kvm_run *run = self->vcpu.run;
	uint64_t value = 0x8182838485868788;
	unsigned char bytes[8];
	unsigned int i, big;

	for (big = 0; big < 1U + has_big_endian(&self->vcpu); big++) {
		for (i = 0; i < ARRAY_LEN(stores); i++) {
			const struct access *a = &stores[i];

			ASSERT_EQ(0, prepare(&self->vcpu, a->insn, value, big * SCTLR_EE));
			ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu)) TH_LOG("%s", a->name);
			ASSERT_EQ(KVM_EXIT_MMIO, run->exit_reason) TH_LOG("%s", a->name);
			EXPECT_EQ(1, run->mmio.is_write) TH_LOG("%s", a->name);
			EXPECT_EQ(NOWHERE, run->mmio.phys_addr) TH_LOG("%s", a->name);
			EXPECT_EQ(a->len, run->mmio.len) TH_LOG("%s", a->name);
			to_bytes(bytes, value, a->len, big);
			EXPECT_EQ(0, memcmp(bytes, run->mmio.data, a->len)) {
				TH_LOG("%s, big endian %u", a->name, big);
			}
			EXPECT_EQ(-EINTR, complete(&self->vcpu));
			EXPECT_EQ(GUEST_FREE + 4, vcpu_reg(&self->vcpu, REG_PC));
			EXPECT_EQ(value, vcpu_reg(&self->vcpu, REG_X(0)));
		}
	}
}

/* Register 31 is the zero register, not one of the guest's. */
TEST_F(exits, mmio_zero_register)
{
	struct kvm_run *run = self->vcpu.run;
	uint64_t zero = 0, sp;

	ASSERT_EQ(0, prepare(&self->vcpu, 0xf900003f, 7, 0));	/* str xzr, [x1] */
	memset(run->mmio.data, 0xff, 8);
	ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
	EXPECT_EQ(1, run->mmio.is_write);
	EXPECT_EQ(0, memcmp(&zero, run->mmio.data, 8));
	ASSERT_EQ(0, prepare(&self->vcpu, 0xf940003f, 7, 0));	/* ldr xzr, [x1] */
	sp = vcpu_reg(&self->vcpu, REG_SP_EL1);
	ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
	memset(run->mmio.data, 0xff, 8);
	EXPECT_EQ(-EINTR, complete(&self->vcpu));
	EXPECT_EQ(7, vcpu_reg(&self->vcpu, REG_X(0)));
	EXPECT_EQ(sp, vcpu_reg(&self->vcpu, REG_SP_EL1));
	EXPECT_EQ(GUEST_FREE + 4, vcpu_reg(&self->vcpu, REG_PC));
}

static const uint32_t no_syndrome[] = {
	0xa9401020,	/* ldp x0, x4, [x1] */
	0xa9001020,	/* stp x0, x4, [x1] */
	0xf8408420,	/* ldr x0, [x1], #8 */
	0xf8008c20,	/* str x0, [x1, #8]! */
	0x3dc00020,	/* ldr q0, [x1] */
};

TEST_F(exits, no_syndrome)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_NISV_TO_USER };
	struct kvm_vcpu_events events = { .exception.ext_dabt_pending = 1 };
	struct kvm_run *run = self->vcpu.run;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(no_syndrome); i++) {
		ASSERT_EQ(0, prepare(&self->vcpu, no_syndrome[i], 1, 0));
		EXPECT_EQ(GUEST_ERROR, guest_run(&self->vcpu)) TH_LOG("%#x", no_syndrome[i]);
		EXPECT_EQ(-ENOSYS, self->vcpu.error) TH_LOG("%#x", no_syndrome[i]);
		EXPECT_EQ(GUEST_FREE, vcpu_reg(&self->vcpu, REG_PC));
	}
	if (IOCTL(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_NISV_TO_USER) <= 0)
		SKIP(return, "KVM_CAP_ARM_NISV_TO_USER is not here");
	ASSERT_EQ(0, IOCTL(self->vm.fd, KVM_ENABLE_CAP, &cap));
	for (i = 0; i < ARRAY_LEN(no_syndrome); i++) {
		ASSERT_EQ(0, prepare(&self->vcpu, no_syndrome[i], 1, 0));
		ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu)) TH_LOG("%#x", no_syndrome[i]);
		ASSERT_EQ(KVM_EXIT_ARM_NISV, run->exit_reason) TH_LOG("%#x", no_syndrome[i]);
		EXPECT_EQ(NOWHERE >> 12, run->arm_nisv.fault_ipa >> 12);
		EXPECT_EQ(0, run->arm_nisv.esr_iss & 1UL << 24);
		EXPECT_EQ(GUEST_FREE, vcpu_reg(&self->vcpu, REG_PC));
		/* User space may skip it, or let the guest have an abort. */
		if (i % 2) {
			ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PC,
						  guest_address(guest_entry) + 4));
			EXPECT_EQ(GUEST_DONE, guest_run(&self->vcpu));
		} else {
			ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_VCPU_EVENTS, &events));
			EXPECT_EQ(GUEST_EXCEPTION, guest_run(&self->vcpu));
			EXPECT_EQ(EC_DABT_CUR, ESR_EC(self->vcpu.esr));
			EXPECT_EQ(GUEST_FREE, self->vcpu.elr);
			EXPECT_EQ(4, self->vcpu.vector);
		}
	}
}

/* An abort in place of an MMIO load's value: the load is not completed. */
TEST_F(exits, abort_instead_of_mmio)
{
	struct kvm_vcpu_events events = { .exception.ext_dabt_pending = 1 };

	ASSERT_EQ(0, prepare(&self->vcpu, 0xf9400020, 0x77, 0));
	ASSERT_EQ(GUEST_EXIT, guest_run(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_MMIO, self->vcpu.run->exit_reason);
	ASSERT_EQ(0, IOCTL(self->vcpu.fd, KVM_SET_VCPU_EVENTS, &events));
	EXPECT_EQ(GUEST_EXCEPTION, guest_run(&self->vcpu));
	EXPECT_EQ(EC_DABT_CUR, ESR_EC(self->vcpu.esr));
	EXPECT_EQ(0x10, self->vcpu.esr & 0x3f);
	EXPECT_EQ(GUEST_FREE, self->vcpu.elr);
	EXPECT_EQ(NOWHERE, self->vcpu.far);
}

/* No memory, no code: an external abort, as behind the end of the IPA space. */
TEST_F(exits, fetch_from_nowhere)
{
	ASSERT_EQ(0, vcpu_start(&self->vcpu, nothing, 1, 0));
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_PC, 0x20000000));
	EXPECT_EQ(GUEST_EXCEPTION, guest_run(&self->vcpu));
	EXPECT_EQ(EC_IABT_CUR, ESR_EC(self->vcpu.esr));
	EXPECT_EQ(0x10, self->vcpu.esr & 0x3f);
	EXPECT_EQ(0x20000000, self->vcpu.elr);
	EXPECT_EQ(0x20000000, self->vcpu.far);

	/* An address that the CPU does not have is a fault of the guest's own, and no exit. */
	if (IOCTL(self->vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE) < 42)
		return;
	ASSERT_EQ(0, prepare(&self->vcpu, 0xf9400020, 0, 0));
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, REG_X(1), 1UL << 41));
	EXPECT_EQ(GUEST_EXCEPTION, guest_run(&self->vcpu));
	EXPECT_EQ(EC_DABT_CUR, ESR_EC(self->vcpu.esr));
	EXPECT_EQ(0x10, self->vcpu.esr & 0x3f);
	EXPECT_EQ(1UL << 41, self->vcpu.far);
}

TEST_HARNESS_MAIN
