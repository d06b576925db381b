// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that what a VM's ID registers do not offer is not there: its registers and
 * instructions are undefined (an exception of class 0 to EL1), at EL1 and at EL0,
 * whether the VM never had it or user space took it away.
 * Runs on the module and on C KVM.
 */
#include "kselftest_harness.h"
#include "kvm_vhe_test.h"
#include "guest.h"

#define UNDEFINED	0x02000000	/* ESR_EL1: class 0, a 32-bit instruction */

#define PFR0	ARM64_SYS_REG(3, 0, 0, 4, 0)
#define PFR1	ARM64_SYS_REG(3, 0, 0, 4, 1)
#define PFR2	ARM64_SYS_REG(3, 0, 0, 4, 2)
#define DFR0	ARM64_SYS_REG(3, 0, 0, 5, 0)
#define DFR1	ARM64_SYS_REG(3, 0, 0, 5, 1)
#define ISAR0	ARM64_SYS_REG(3, 0, 0, 6, 0)
#define ISAR1	ARM64_SYS_REG(3, 0, 0, 6, 1)
#define ISAR2	ARM64_SYS_REG(3, 0, 0, 6, 2)
#define MMFR1	ARM64_SYS_REG(3, 0, 0, 7, 1)
#define MMFR3	ARM64_SYS_REG(3, 0, 0, 7, 3)
/* FP, SVE and SME not trapped; PAuth keys used, EL0's cache maintenance, TPIDR2_EL0 and FPMR. */
#define CPACR_ALL	(3UL << 16 | 3UL << 20 | 3UL << 24)
#define SCTLR_ALLOW	(1UL << 13 | 1UL << 15 | 1UL << 26 | 1UL << 27 | 1UL << 30 | \
			 1UL << 31 | 1UL << 34 | 1UL << 60)
#define SCTLR_TSCXT	(1UL << 20)

#define NEVER	0	/* no field: a VM does not have it */

#define MRS(op0, op1, crn, crm, op2) \
	(0xd5200000u | (op0) << 19 | (op1) << 16 | (crn) << 12 | (crm) << 8 | (op2) << 5)

/* A register is read and written (R, or W: there is only one of the two). */
#define R	1
#define W	2
#define RW	3
#define OP	4	/* an instruction by its word */
/*
 * Not asked about at EL0: QEMU, without FEAT_FGT, looks at PMUSERENR_EL0.ER and .CR
 * before MDCR_EL2.TPM and lets EL0 through, which no hypervisor can help.
 */
#define NO_EL0	8

static const struct probe {
	const char *name;
	unsigned int kind;
	uint32_t insn;		/* the read one of a register */
	uint64_t id;		/* the field that says it is there, and from which value on */
	unsigned int shift, from;
} probes[] = {
	{ "TCR2_EL1", RW, MRS(3, 0, 2, 0, 3), MMFR3, 0, 1 },
	{ "SCTLR2_EL1", RW, MRS(3, 0, 1, 0, 3), MMFR3, 4, 1 },
	{ "PIRE0_EL1", RW, MRS(3, 0, 10, 2, 2), MMFR3, 8, 1 },
	{ "PIR_EL1", RW, MRS(3, 0, 10, 2, 3), MMFR3, 8, 1 },
	{ "POR_EL1", RW, MRS(3, 0, 10, 2, 4), MMFR3, 16, 1 },
	{ "POR_EL0", RW, MRS(3, 3, 10, 2, 4), MMFR3, 16, 1 },
	{ "S2POR_EL1", RW, MRS(3, 0, 10, 2, 5), MMFR3, 20, 1 },
	{ "MAIR2_EL1", RW, MRS(3, 0, 10, 2, 1), MMFR3, 24, 1 },
	{ "AMAIR2_EL1", RW, MRS(3, 0, 10, 3, 1), MMFR3, 24, 1 },
	{ "ZCR_EL1", RW, MRS(3, 0, 1, 2, 0), PFR0, 32, 1 },
	{ "rdvl", OP, 0x04bf5020, PFR0, 32, 1 },
	{ "ptrue", OP, 0x2518e3e0, PFR0, 32, 1 },
	{ "SMCR_EL1", RW, MRS(3, 0, 1, 2, 6), PFR1, 24, 1 },
	{ "SMPRI_EL1", RW, MRS(3, 0, 1, 2, 4), PFR1, 24, 1 },
	{ "SVCR", RW, MRS(3, 3, 4, 2, 2), PFR1, 24, 1 },
	{ "TPIDR2_EL0", RW, MRS(3, 3, 13, 0, 5), PFR1, 24, 1 },
	{ "smstart", OP, 0xd503477f, PFR1, 24, 1 },
	{ "RGSR_EL1", RW, MRS(3, 0, 1, 0, 5), PFR1, 8, 2 },
	{ "GCR_EL1", RW, MRS(3, 0, 1, 0, 6), PFR1, 8, 2 },
	{ "TFSR_EL1", RW, MRS(3, 0, 5, 6, 0), PFR1, 8, 2 },
	{ "TFSRE0_EL1", RW, MRS(3, 0, 5, 6, 1), PFR1, 8, 2 },
	{ "GCSCR_EL1", RW, MRS(3, 0, 2, 5, 0), PFR1, 44, 1 },
	{ "GCSPR_EL1", RW, MRS(3, 0, 2, 5, 1), PFR1, 44, 1 },
	{ "GCSCRE0_EL1", RW, MRS(3, 0, 2, 5, 2), PFR1, 44, 1 },
	{ "RCWMASK_EL1", RW, MRS(3, 0, 13, 0, 6), PFR1, 48, 1 },
	{ "FPMR", RW, MRS(3, 3, 4, 4, 2), PFR2, 32, 1 },
	{ "APIAKEYLO_EL1", RW, MRS(3, 0, 2, 1, 0), ISAR1, 4, 1 },
	{ "APGAKEYHI_EL1", RW, MRS(3, 0, 2, 3, 1), ISAR1, 24, 1 },
	{ "pacia", OP, 0xdac10020, ISAR1, 4, 1 },
	{ "pacga", OP, 0x9ac13000, ISAR1, 24, 1 },
	{ "ACCDATA_EL1", RW, MRS(3, 0, 13, 0, 5), ISAR1, 60, 3 },
	{ "ld64b", OP, 0xf83fd020, ISAR1, 60, 1 },
	{ "PMCR_EL0", RW, MRS(3, 3, 9, 12, 0), DFR0, 8, 1 },
	{ "PMSELR_EL0", RW | NO_EL0, MRS(3, 3, 9, 12, 5), DFR0, 8, 1 },
	{ "PMCCNTR_EL0", RW | NO_EL0, MRS(3, 3, 9, 13, 0), DFR0, 8, 1 },
	{ "PMCNTENSET_EL0", RW, MRS(3, 3, 9, 12, 1), DFR0, 8, 1 },
	{ "PMUSERENR_EL0", RW, MRS(3, 3, 9, 14, 0), DFR0, 8, 1 },
	{ "PMEVCNTR0_EL0", RW | NO_EL0, MRS(3, 3, 14, 8, 0), DFR0, 8, 1 },
	{ "PMCCFILTR_EL0", RW, MRS(3, 3, 14, 15, 7), DFR0, 8, 1 },
	{ "PMINTENSET_EL1", RW, MRS(3, 0, 9, 14, 1), DFR0, 8, 1 },
	{ "PMSCR_EL1", RW, MRS(3, 0, 9, 9, 0), DFR0, 32, 1 },
	{ "PMSIDR_EL1", R, MRS(3, 0, 9, 9, 7), DFR0, 32, 1 },
	{ "PMBLIMITR_EL1", RW, MRS(3, 0, 9, 10, 0), DFR0, 32, 1 },
	{ "PMBIDR_EL1", R, MRS(3, 0, 9, 10, 7), DFR0, 32, 1 },
	{ "TRBLIMITR_EL1", RW, MRS(3, 0, 9, 11, 0), DFR0, 44, 1 },
	{ "TRBPTR_EL1", RW, MRS(3, 0, 9, 11, 1), DFR0, 44, 1 },
	{ "TRBIDR_EL1", R, MRS(3, 0, 9, 11, 7), DFR0, 44, 1 },
	{ "TRFCR_EL1", RW, MRS(3, 0, 1, 2, 1), DFR0, 40, 1 },
	{ "TRCPRGCTLR", RW, MRS(2, 1, 0, 1, 0), DFR0, 4, 1 },
	{ "TRCIDR0", R, MRS(2, 1, 0, 8, 7), DFR0, 4, 1 },
	{ "BRBCR_EL1", RW, MRS(2, 1, 9, 0, 0), DFR0, 52, 1 },
	{ "BRBIDR0_EL1", R, MRS(2, 1, 9, 2, 0), DFR0, 52, 1 },
	{ "SPMCR_EL0", RW, MRS(2, 3, 9, 12, 0), DFR1, 32, 1 },
	{ "AMCR_EL0", RW, MRS(3, 3, 13, 2, 0), PFR0, 44, 1 },
	{ "AMCNTENSET0_EL0", RW, MRS(3, 3, 13, 2, 5), PFR0, 44, 1 },
	{ "AMEVCNTR00_EL0", RW, MRS(3, 3, 13, 4, 0), PFR0, 44, 1 },
	{ "MPAM1_EL1", RW, MRS(3, 0, 10, 5, 0), PFR0, 40, 1 },
	{ "MPAM0_EL1", RW, MRS(3, 0, 10, 5, 1), PFR0, 40, 1 },
	{ "MPAMIDR_EL1", R, MRS(3, 0, 10, 4, 4), PFR0, 40, 1 },
	{ "SCXTNUM_EL1", RW, MRS(3, 0, 13, 0, 7), PFR0, 56, 2 },
	{ "SCXTNUM_EL0", RW, MRS(3, 3, 13, 0, 7), PFR0, 56, 2 },
	{ "ERRIDR_EL1", R, MRS(3, 0, 5, 3, 0), PFR0, 28, 1 },
	{ "ERRSELR_EL1", RW, MRS(3, 0, 5, 3, 1), PFR0, 28, 1 },
	{ "LORSA_EL1", RW, MRS(3, 0, 10, 4, 0), MMFR1, 16, 1 },
	{ "LORC_EL1", RW, MRS(3, 0, 10, 4, 3), MMFR1, 16, 1 },
	{ "LORID_EL1", R, MRS(3, 0, 10, 4, 7), MMFR1, 16, 1 },
	{ "TLBI VMALLE1OS", OP, 0xd508811f, ISAR0, 56, 1 },
	{ "TLBI VAE1OS", OP, 0xd5088120, ISAR0, 56, 1 },
	{ "TLBI ASIDE1OS", OP, 0xd5088140, ISAR0, 56, 1 },
	{ "TLBI RVAE1", OP, 0xd5088620, ISAR0, 56, 2 },
	{ "TLBI RVAE1IS", OP, 0xd5088220, ISAR0, 56, 2 },
	{ "TLBI RVAE1OS", OP, 0xd5088520, ISAR0, 56, 2 },
	{ "setp", OP, 0x19c20420, ISAR2, 16, 1 },
	{ "cpyfp", OP, 0x19010440, ISAR2, 16, 1 },
	/* No GIC in this VM: nothing of its CPU interface. */
	{ "ICC_PMR_EL1", RW, MRS(3, 0, 4, 6, 0), NEVER, 0, 0 },
	{ "ICC_IAR1_EL1", R, MRS(3, 0, 12, 12, 0), NEVER, 0, 0 },
	{ "ICC_EOIR1_EL1", W, MRS(3, 0, 12, 12, 1), NEVER, 0, 0 },
	{ "ICC_BPR1_EL1", RW, MRS(3, 0, 12, 12, 3), NEVER, 0, 0 },
	{ "ICC_CTLR_EL1", RW, MRS(3, 0, 12, 12, 4), NEVER, 0, 0 },
	{ "ICC_IGRPEN1_EL1", RW, MRS(3, 0, 12, 12, 7), NEVER, 0, 0 },
	{ "ICC_SGI1R_EL1", W, MRS(3, 0, 12, 11, 5), NEVER, 0, 0 },
	{ "ICC_ASGI1R_EL1", W, MRS(3, 0, 12, 11, 6), NEVER, 0, 0 },
	{ "ICC_SGI0R_EL1", W, MRS(3, 0, 12, 11, 7), NEVER, 0, 0 },
	{ "ICC_DIR_EL1", W, MRS(3, 0, 12, 11, 1), NEVER, 0, 0 },
	/* Of the exception levels above. */
	{ "HCR_EL2", RW, MRS(3, 4, 1, 1, 0), NEVER, 0, 0 },
	{ "SCTLR_EL2", RW, MRS(3, 4, 1, 0, 0), NEVER, 0, 0 },
	{ "VBAR_EL2", RW, MRS(3, 4, 12, 0, 0), NEVER, 0, 0 },
	{ "TPIDR_EL2", RW, MRS(3, 4, 13, 0, 2), NEVER, 0, 0 },
	{ "ELR_EL2", RW, MRS(3, 4, 4, 0, 1), NEVER, 0, 0 },
	{ "SP_EL1", RW, MRS(3, 4, 4, 1, 0), NEVER, 0, 0 },
	{ "DACR32_EL2", RW, MRS(3, 4, 3, 0, 0), NEVER, 0, 0 },
	{ "ICH_HCR_EL2", RW, MRS(3, 4, 12, 11, 0), NEVER, 0, 0 },
	{ "SCTLR_EL12", RW, MRS(3, 5, 1, 0, 0), NEVER, 0, 0 },
	{ "CNTKCTL_EL12", RW, MRS(3, 5, 14, 1, 0), NEVER, 0, 0 },
	{ "SCR_EL3", RW, MRS(3, 6, 1, 1, 0), NEVER, 0, 0 },
	{ "TLBI ALLE1", OP, 0xd50c879f, NEVER, 0, 0 },
	{ "TLBI IPAS2E1", OP, 0xd50c8420, NEVER, 0, 0 },
	{ "TLBI VMALLS12E1IS", OP, 0xd50c83df, NEVER, 0, 0 },
	{ "AT S12E1R", OP, 0xd50c7880, NEVER, 0, 0 },
	{ "udf", OP, 0x00000000, NEVER, 0, 0 },
};

FIXTURE(undef)
{
	struct vm vm;
	struct vcpu vcpu;
};

/* As the VM comes, or with all that user space can take away taken away. */
FIXTURE_VARIANT(undef)
{
	bool masked;
};

FIXTURE_VARIANT_ADD(undef, as_it_comes)
{
	.masked = false,
};

FIXTURE_VARIANT_ADD(undef, taken_away)
{
	.masked = true,
};

FIXTURE_SETUP(undef)
{
	ASSERT_EQ(0, vm_create(&self->vm));
	ASSERT_EQ(0, vcpu_create(&self->vm, &self->vcpu, 0));
}

FIXTURE_TEARDOWN(undef)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* The instructions stand at GUEST_FREE, n of them; what each came to 64 KiB further. */
#define WORDS	(GUEST_FREE)
#define RESULTS	(GUEST_FREE + 0x10000)

GUEST uint64_t run_all(uint64_t n);
GUEST uint64_t run_all(uint64_t n)
{
	struct guest_area *area = guest_area();
	uint64_t i, before, elr;

	area->catch = 1;
	for (i = 0; i < n; i++) {
		before = area->caught;
		elr = (uint64_t)area->code;
		guest_execute(((uint32_t *)WORDS)[i], 0);
		((uint64_t *)RESULTS)[i] = area->caught == before ? ~0UL :
					   area->elr != elr ? ~1UL : area->esr;
	}
	area->catch = 0;
	return 0;
}

/* The same from EL0: each goes there and comes back. */
GUEST uint64_t el0_one(uint64_t insn);
GUEST uint64_t el0_one(uint64_t insn)
{
	return guest_execute(insn, 0);
}

GUEST uint64_t run_all_el0(uint64_t n);
GUEST uint64_t run_all_el0(uint64_t n)
{
	struct guest_area *area = guest_area();
	uint64_t i, before, elr;

	area->catch = 1;
	for (i = 0; i < n; i++) {
		before = area->caught;
		elr = (uint64_t)area->code + GUEST_EL0;
		guest_el0(el0_one, ((uint32_t *)WORDS)[i]);
		((uint64_t *)RESULTS)[i] = area->caught == before ? ~0UL :
					   area->elr != elr ? ~1UL : area->esr;
	}
	area->catch = 0;
	return 0;
}

static bool has(struct vcpu *vcpu, const struct probe *p)
{
	unsigned int value;

	if (p->id == NEVER)
		return false;
	value = vcpu_reg(vcpu, p->id) >> p->shift & 15;
	if (p->id == DFR0 && p->shift == 8 && value == 15)
		return false;	/* a PMU that is not the architecture's */
	if (p->id == ISAR1 && (p->shift == 4 || p->shift == 24)) {
		/* Pointer authentication has three algorithms, in as many fields. */
		value |= vcpu_reg(vcpu, ISAR1) >> (p->shift + 4) & 15;
		value |= vcpu_reg(vcpu, ISAR2) >> (p->shift == 4 ? 12 : 8) & 15;
	}
	if (p->id == PFR0 && p->shift == 56)
		value |= vcpu_reg(vcpu, PFR1) >> 32 & 2;	/* CSV2_frac */
	return value >= p->from;
}

/* Clears each field that may be cleared; returns how many were. */
static unsigned int take_away(struct vcpu *vcpu)
{
	unsigned int i, done = 0;
	uint64_t value;

	for (i = 0; i < ARRAY_LEN(probes); i++) {
		if (!has(vcpu, &probes[i]))
			continue;
		value = vcpu_reg(vcpu, probes[i].id) & ~(15UL << probes[i].shift);
		done += !vcpu_set_reg(vcpu, probes[i].id, value);
	}
	return done;
}

static void check(struct __test_metadata *_metadata, FIXTURE_DATA(undef) *self, void *fn, bool el0)
{
	uint32_t *words = (void *)(self->vm.ram + WORDS - GUEST_RAM);
	uint64_t *results = (void *)(self->vm.ram + RESULTS - GUEST_RAM);
	unsigned int which[2 * ARRAY_LEN(probes)], n = 0, i, absent = 0;

	for (i = 0; i < ARRAY_LEN(probes); i++) {
		const struct probe *p = &probes[i];
		bool el0_reg = p->kind != OP && (p->insn >> 16 & 7) == 3;

		if (has(&self->vcpu, p) ||
		    (el0 && ((!el0_reg && p->kind != OP) || p->kind & NO_EL0)))
			continue;
		absent++;
		if (p->kind & (R | OP)) {
			which[n] = i;
			words[n++] = p->insn;
		}
		if (p->kind & W) {
			which[n] = i;
			words[n++] = p->insn & ~0x00200000u;
		}
	}
	ASSERT_LT(0, n);
	/* What the guest itself could forbid is allowed, so that it is not what traps. */
	ASSERT_EQ(0, vcpu_start(&self->vcpu, fn, n, GUEST_MMU));
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, CPACR_EL1, CPACR_ALL));
	ASSERT_EQ(0, vcpu_set_reg(&self->vcpu, SCTLR_EL1,
				  (vcpu_reg(&self->vcpu, SCTLR_EL1) | SCTLR_ALLOW) & ~SCTLR_TSCXT));
	ASSERT_EQ(GUEST_DONE, guest_run(&self->vcpu));
	for (i = 0; i < n; i++) {
		EXPECT_EQ(UNDEFINED, results[i]) {
			TH_LOG("%s (%#x)", probes[which[i]].name, words[i]);
		}
	}
	TH_LOG("%u absent, %u instructions", absent, n);
}

TEST_F(undef, el1)
{
	unsigned int gone;

	if (variant->masked) {
		gone = take_away(&self->vcpu);
		TH_LOG("%u taken away", gone);
	}
	check(_metadata, self, run_all, false);
}

TEST_F(undef, el0)
{
	if (variant->masked)
		take_away(&self->vcpu);
	check(_metadata, self, run_all_el0, true);
}

/* The nth word of the area's data as an instruction, and what it came to in its place. */
GUEST uint64_t sends(uint64_t value);
GUEST uint64_t sends(uint64_t value)
{
	struct guest_area *area = guest_area();
	uint64_t i, before;

	area->catch = 1;
	for (i = 0; i < 3; i++) {
		before = area->caught;
		guest_execute(area->data[i], value);
		area->data[i] = area->caught == before ? ~0UL : area->esr;
	}
	area->catch = 0;
	return 0;
}

/*
 * CVE-2024-46707: SGIs that a guest sends where its VM has no GICv3 were emulated with the one that is
 * not there. To itself, to others and to all; also while the VM's ID registers say that it has a GIC.
 */
TEST_F(undef, cve_2024_46707_sgis_without_a_gic)
{
	static const uint64_t values[] = {
		0, 1, 3UL << 24 | 0xffff, 1UL << 40, 1UL << 16 | 1, ~0UL,
	};
	unsigned int v, op2;

	/* Where it may be said; it is refused elsewhere, and all is as it was. */
	if (!variant->masked)
		vcpu_set_reg(&self->vcpu, PFR0, vcpu_reg(&self->vcpu, PFR0) | 1UL << 24);
	for (v = 0; v < ARRAY_LEN(values); v++) {
		for (op2 = 5; op2 < 8; op2++)
			self->vcpu.area->data[op2 - 5] = MRS(3, 0, 12, 11, op2) & ~0x00200000u;
		ASSERT_EQ(0, guest_finish(&self->vcpu, sends, values[v], GUEST_MMU));
		for (op2 = 5; op2 < 8; op2++) {
			EXPECT_EQ(UNDEFINED, self->vcpu.area->data[op2 - 5]) {
				TH_LOG("op2 %u with %#lx", op2, values[v]);
			}
		}
	}
}

TEST_HARNESS_MAIN
