/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small library for tests that run a guest. It does not depend on the harness.
 *
 * Guest code is in the test program itself: functions marked GUEST stand in a
 * section of their own, which vm_create() copies to the start of the guest's
 * memory. They may call each other and guest_call() with a function's address,
 * but there is nothing else of the program in the guest: no strings, no globals,
 * no libc. What they share with the test is their vCPU's struct guest_area.
 *
 * The guest's memory, one memory slot:
 *	GUEST_RAM		the section, exception vectors first
 *	GUEST_TABLES		page tables
 *	GUEST_AREA(i)		the area of vCPU i, its stack at the end
 *	GUEST_FREE		for the test, to the end
 * Addresses below GUEST_RAM have no memory: an access is an MMIO exit. Stores of
 * 8 bytes to GUEST_MMIO tell the test something (guest_say()).
 *
 * With GUEST_MMU the guest runs with caches and an identity map, whose 1 GiB from
 * GUEST_RAM on is there a second time at + GUEST_EL0, for EL0.
 */
#ifndef KVM_VHE_GUEST_H
#define KVM_VHE_GUEST_H

#include <linux/const.h>

#define GUEST_RAM	_UL(0x40000000)
#define GUEST_TABLES	_UL(0x40040000)
#define GUEST_AREAS	_UL(0x40080000)
#define GUEST_AREA_SIZE	_UL(0x10000)
#define GUEST_AREA(i)	(GUEST_AREAS + (i) * GUEST_AREA_SIZE)
#define GUEST_VCPUS	8
#define GUEST_FREE	GUEST_AREA(GUEST_VCPUS)
#define GUEST_RAM_SIZE	_UL(0x200000)
#define GUEST_EL0	_UL(0x40000000)
#define GUEST_MMIO	_UL(0x10000000)

/* What guest_say() says from here on is the library's. */
#define GUEST_SAY_MAX	0x1f0
#define GUEST_SAY_DONE	0x1f0
#define GUEST_SAY_ESR	0x1f1
#define GUEST_SAY_ELR	0x1f2
#define GUEST_SAY_FAR	0x1f3
#define GUEST_SAY_SPSR	0x1f4
#define GUEST_SAY_VECTOR 0x1f5

/* In struct guest_area, for guest_entry.S. */
#define GUEST_AREA_ENTRY	0
#define GUEST_AREA_ARG		8
#define GUEST_AREA_EL0_RETURN	80
#define GUEST_AREA_CODE		(104 + 512 * 8)

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>
#include <linux/kvm.h>

#define GUEST_ATTR	target("general-regs-only,strict-align")
#define GUEST		__attribute__((section("guest_text"), noinline, used, GUEST_ATTR))
#define GUEST_INLINE	static inline __attribute__((always_inline, unused, GUEST_ATTR))

/* What a vCPU's guest code and the test share. The guest finds it by its stack pointer. */
struct guest_area {
	uint64_t entry, arg;	/* of a vCPU that the guest starts by CPU_ON */
	uint64_t catch;		/* exceptions to EL1 are counted and skipped */
	uint64_t caught;	/* how many were */
	uint64_t esr, elr, far, spsr, vector;	/* of the last one */
	uint64_t resume;	/* where to go on after one; 0: behind the instruction */
	uint64_t el0_return;	/* guest_el0() goes on here; 0: not in it */
	uint64_t go, seen;	/* for the test's own handshakes */
	uint64_t data[512];
	uint32_t code[256];	/* for guest_execute() */
};

/* The registers of what was interrupted, as the vectors leave them on the stack. */
struct guest_frame {
	uint64_t x[31];
	uint64_t elr, spsr, vector;
};

struct vm {
	int kvm, fd;
	unsigned char *ram;
};

struct vcpu {
	struct vm *vm;
	int fd;
	unsigned int id;
	struct kvm_run *run;
	struct guest_area *area;
	/* What guest_run() found. */
	int error;
	unsigned int what;
	uint64_t value;
	uint64_t esr, elr, far, spsr, vector;
};

enum guest_event {
	GUEST_SAID,		/* guest_say(): what and value */
	GUEST_DONE,		/* the guest function returned: value */
	GUEST_EXCEPTION,	/* esr, elr, far, spsr, vector */
	GUEST_EXIT,		/* another exit: run->exit_reason */
	GUEST_ERROR,		/* KVM_RUN failed: error is -errno */
	GUEST_AGAIN,		/* nothing yet: guest_run() goes on by itself */
};

/* guest.c: all that return int return 0 or -errno. */

/* A VM with its memory and the guest section in it. */
int vm_create(struct vm *vm);
/* The same with addresses of so many bits; 0: what is usual. */
int vm_create_ipa(struct vm *vm, unsigned int bits);
void vm_destroy(struct vm *vm);
/* Another memory slot. */
int vm_memory(struct vm *vm, unsigned int slot, uint64_t ipa, uint64_t size, void *host,
	      unsigned int flags);
/*
 * With GUEST_MMU, the 4 GiB from an address on, a multiple of 1 GiB beyond GUEST_RAM, are memory
 * for the guest as well, in place of what is there for EL0.
 */
void vm_map_high(struct vm *vm, uint64_t ipa);
/* A GICv3 below GUEST_RAM, for the vCPUs that there are; -ENODEV where KVM has none. */
#define GUEST_GICD	0x08000000UL
#define GUEST_GICR	0x080a0000UL
int vm_gic(struct vm *vm);
/* KVM_CREATE_DEVICE: the device's descriptor. */
int vm_device(struct vm *vm, unsigned int type);
/* KVM_SET_DEVICE_ATTR, KVM_GET_DEVICE_ATTR or KVM_HAS_DEVICE_ATTR on a device. */
int device_attr(int fd, unsigned long cmd, unsigned int group, uint64_t number, void *value);
/* KVM_SET_DEVICE_ATTR with a value of 64 bits; of one of 32 bits the lower half counts. */
int device_set(int fd, unsigned int group, uint64_t number, uint64_t value);
/* A vCPU, not initialised. */
int vcpu_open(struct vm *vm, struct vcpu *vcpu, unsigned int id);
/* KVM_ARM_VCPU_INIT for the preferred target. */
int vcpu_init(struct vcpu *vcpu, unsigned int features);
/* A vCPU with PSCI_0_2. */
int vcpu_create(struct vm *vm, struct vcpu *vcpu, unsigned int id);
void vcpu_destroy(struct vcpu *vcpu);
/* Prepares the vCPU's registers so that it runs fn(arg) at EL1. */
#define GUEST_MMU	1
int vcpu_start(struct vcpu *vcpu, void *fn, uint64_t arg, unsigned int flags);
/* Runs until the guest has something to tell. EINTR is an error, -EINTR. */
enum guest_event guest_run(struct vcpu *vcpu);
/* The same for a KVM_RUN that the test did itself, and what it returned. */
enum guest_event guest_news(struct vcpu *vcpu, int ret);
/* Runs a guest function to its end: 0, or -EPROTO if that did not come; value is in vcpu. */
int guest_finish(struct vcpu *vcpu, void *fn, uint64_t arg, unsigned int flags);
/* guest_run() as a thread's function, which returns the event. */
void *guest_thread(void *vcpu);
/* Waits up to some seconds until a word of the vCPU's data is n, and no more. */
bool guest_counts(struct vcpu *vcpu, unsigned int word, uint64_t n);
/* How guest_run() ended, in words. */
const char *guest_told(struct vcpu *vcpu, enum guest_event event);
/* Where a function of the section, or a place in the VM's memory, is for the guest. */
uint64_t guest_address(const void *fn);
uint64_t guest_pa(struct vm *vm, const void *host);

int reg_get(int vcpu, uint64_t id, void *value);
int reg_set(int vcpu, uint64_t id, const void *value);
/* Of 64 bits; a register that cannot be read is ~0. */
uint64_t vcpu_reg(struct vcpu *vcpu, uint64_t id);
int vcpu_set_reg(struct vcpu *vcpu, uint64_t id, uint64_t value);
/* One of the counters of the vCPU's fdinfo, which the module has; -1 if it is not there. */
long vcpu_counter(struct vcpu *vcpu, const char *name);
/* What KVM_GET_STATS_FD has for a name. */
#define STAT_NAME_SIZE	48
/*
 * A statistic in the file of a VM or a vCPU, the sum of its values if it is a histogram;
 * -1 if it has no such.
 */
long statistic(int fd, const char *name);
/* KVM_GET_REG_LIST in malloc'd memory, or NULL. */
struct kvm_reg_list *vcpu_reg_list(struct vcpu *vcpu);

/* A signal that interrupts the calling thread's KVM_RUN each us microseconds; 0: stop. */
int kick_every(unsigned int us);
/* How many it were. */
extern volatile unsigned long kicks;

#define CORE_REG(name)	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
			 KVM_REG_ARM_CORE_REG(name))
#define REG_X(n)	(CORE_REG(regs.regs[0]) + 2 * (n))
#define REG_SP		CORE_REG(regs.sp)
#define REG_PC		CORE_REG(regs.pc)
#define REG_PSTATE	CORE_REG(regs.pstate)
#define REG_SP_EL1	CORE_REG(sp_el1)
#define REG_ELR_EL1	CORE_REG(elr_el1)
#define REG_SPSR_EL1	CORE_REG(spsr[0])
#define REG_V(n)	(KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE | \
			 (KVM_REG_ARM_CORE_REG(fp_regs.vregs[0]) + 4 * (n)))
#define REG_FPSR	(KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_CORE | \
			 KVM_REG_ARM_CORE_REG(fp_regs.fpsr))
#define REG_FPCR	(KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_CORE | \
			 KVM_REG_ARM_CORE_REG(fp_regs.fpcr))

#define MPIDR_EL1	ARM64_SYS_REG(3, 0, 0, 0, 5)
#define SCTLR_EL1	ARM64_SYS_REG(3, 0, 1, 0, 0)
#define CPACR_EL1	ARM64_SYS_REG(3, 0, 1, 0, 2)
#define TTBR0_EL1	ARM64_SYS_REG(3, 0, 2, 0, 0)
#define TTBR1_EL1	ARM64_SYS_REG(3, 0, 2, 0, 1)
#define TCR_EL1		ARM64_SYS_REG(3, 0, 2, 0, 2)
#define AFSR0_EL1	ARM64_SYS_REG(3, 0, 5, 1, 0)
#define AFSR1_EL1	ARM64_SYS_REG(3, 0, 5, 1, 1)
#define ESR_EL1		ARM64_SYS_REG(3, 0, 5, 2, 0)
#define FAR_EL1		ARM64_SYS_REG(3, 0, 6, 0, 0)
#define PAR_EL1		ARM64_SYS_REG(3, 0, 7, 4, 0)
#define MAIR_EL1	ARM64_SYS_REG(3, 0, 10, 2, 0)
#define AMAIR_EL1	ARM64_SYS_REG(3, 0, 10, 3, 0)
#define VBAR_EL1	ARM64_SYS_REG(3, 0, 12, 0, 0)
#define CONTEXTIDR_EL1	ARM64_SYS_REG(3, 0, 13, 0, 1)
#define TPIDR_EL1	ARM64_SYS_REG(3, 0, 13, 0, 4)
#define CNTKCTL_EL1	ARM64_SYS_REG(3, 0, 14, 1, 0)
#define CSSELR_EL1	ARM64_SYS_REG(3, 2, 0, 0, 0)
#define TPIDR_EL0	ARM64_SYS_REG(3, 3, 13, 0, 2)
#define TPIDRRO_EL0	ARM64_SYS_REG(3, 3, 13, 0, 3)
#define MDSCR_EL1	ARM64_SYS_REG(2, 0, 0, 2, 2)

#define SCTLR_M		(1UL << 0)
#define SCTLR_C		(1UL << 2)
#define SCTLR_I		(1UL << 12)

#define ESR_EC(esr)	((unsigned int)((esr) >> 26 & 0x3f))
#define EC_UNKNOWN	0x00
#define EC_WFX		0x01
#define EC_FP		0x07
#define EC_PAC		0x09
#define EC_SVC64	0x15
#define EC_SYS64	0x18
#define EC_SVE		0x19
#define EC_IABT_LOW	0x20
#define EC_IABT_CUR	0x21
#define EC_DABT_LOW	0x24
#define EC_DABT_CUR	0x25
#define EC_BRKPT_LOW	0x30
#define EC_SOFTSTP_LOW	0x32
#define EC_WATCHPT_LOW	0x34
#define EC_BRK64	0x3c

/* For the guest. */

extern char guest_vectors[], guest_entry[], guest_secondary[];

#define GUEST_MRS(reg)						\
({								\
	uint64_t v_;						\
	asm volatile("mrs %0, " reg : "=r" (v_) : : "memory");	\
	v_;							\
})
#define GUEST_MSR(reg, value) \
	asm volatile("msr " reg ", %x0" : : "rZ" ((uint64_t)(value)) : "memory")
#define GUEST_ISB()	asm volatile("isb" : : : "memory")

GUEST_INLINE void guest_say(unsigned int what, uint64_t value)
{
	asm volatile("str %x0, [%1]"
		     : : "rZ" (value), "r" (GUEST_MMIO + 8UL * what) : "memory");
}

GUEST_INLINE struct guest_area *guest_area(void)
{
	uint64_t sp;

	asm volatile("mov %0, sp" : "=r" (sp));
	return (struct guest_area *)((sp - 1) & ~(GUEST_AREA_SIZE - 1));
}

GUEST_INLINE uint64_t guest_hvc(uint64_t fn, uint64_t a1, uint64_t a2, uint64_t a3)
{
	register uint64_t x0 asm("x0") = fn;
	register uint64_t x1 asm("x1") = a1;
	register uint64_t x2 asm("x2") = a2;
	register uint64_t x3 asm("x3") = a3;

	asm volatile("hvc #0" : "+r" (x0), "+r" (x1), "+r" (x2), "+r" (x3) : :
		     "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
		     "x15", "x16", "x17", "memory");
	return x0;
}

/* Runs one instruction with x0 = x1 = arg; x0 afterwards. Others than x0-x17 must stay. */
uint64_t guest_execute(uint32_t insn, uint64_t arg);
/* Calls fn(arg) at EL0 on the other half of the stack; needs GUEST_MMU. */
uint64_t guest_el0(void *fn, uint64_t arg);

#endif /* __ASSEMBLER__ */
#endif
