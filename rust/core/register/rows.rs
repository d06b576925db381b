// SPDX-License-Identifier: GPL-2.0

//! The register table.
//!
//! One row for each system register, or range of them, that a vCPU has. A row reads:
//!
//! ```text
//! /// The architecture's full name.
//! NAME = (Op0, Op1, CRn, CRm, Op2)
//!     class(..) gate(..) reset(..) trap(..) user(..) fgt(..);
//! NAME_of_range[number of registers, how they are numbered] = (the first one's encoding) ..
//! ```
//!
//! `class`
//!   - `deferred el12`: in the CPU between load and put; a VHE host reaches it by its `_EL12` or
//!     `_EL02` name (Op1 is 5).
//!   - `deferred own`: as above, by its own name, which means the guest's register at EL2, too.
//!   - `deferred shared`: as above, and the host uses the register, too, for its user space: put
//!     gives it the host's value back.
//!   - `deferred at (encoding)`: as `own`, by the name of another register.
//!   - each may end in `when FEATURE`: it is in the CPU only if the VM has that feature; otherwise,
//!     while the VM still shows the register, it stays in memory.
//!   - `immediate "reason"`: memory is the truth, the world switch moves it on every entry and exit.
//!   - `emulated`: never in a CPU register.
//!
//! `gate`: the VM's feature that the register comes with. Without it the register is UNDEFINED for
//! the guest, and neither switched nor listed.
//!
//! `reset`: its value after KVM_ARM_VCPU_INIT: a number, `unknown` where the architecture says so,
//! `id` for what the VM's ID registers say, `mpidr`.
//!
//! `trap`: what an access of the guest that traps does, see [`Trap`](super::Trap).
//!
//! `user`: how KVM_GET_ONE_REG and KVM_SET_ONE_REG reach it, see [`User`](super::User).
//!
//! `fgt`: its bit in the fine-grained trap registers, HFGRTR_EL2 and HFGWTR_EL2 (`HFG`), HDFGRTR_EL2
//! and HDFGWTR_EL2 (`HDFG`); `n` before the number for those where 0 traps. `tracked`: the guest writes
//! it rarely, so the trap of its writes may tell whether it is to be saved; for one that is deferred,
//! not shared, and has a bit of its own in HFGWTR_EL2.
//!
//! Source: Arm ARM DDI 0487, the page of each register, and "HFGRTR_EL2", "HDFGRTR_EL2".

/// Calls the macro `$callback` with all rows.
#[macro_export]
macro_rules! with_registers {
    ($callback:ident) => {
        $callback! {
            // Debug. The registers belong to the host while it runs, so a guest's are moved with
            // MDSCR_EL1, and only if they are in use.

            /// OS Lock Data Transfer Register, Receive.
            OSDTRRX_EL1 = (2, 0, 0, 0, 2)
                class(emulated) gate(ALWAYS) reset(0) trap(raz_wi) user(none) fgt(none);
            /// Breakpoint Value Registers.
            DBGBVR_EL1[16, crm] = (2, 0, 0, 0, 4)
                class(immediate "the breakpoint registers are the host's while it runs")
                gate(ALWAYS) reset(0) trap(debug) user(rw) fgt(HDFG 1);
            /// Breakpoint Control Registers.
            DBGBCR_EL1[16, crm] = (2, 0, 0, 0, 5)
                class(immediate "the breakpoint registers are the host's while it runs")
                gate(ALWAYS) reset(0) trap(debug) user(rw) fgt(HDFG 0);
            /// Watchpoint Value Registers.
            DBGWVR_EL1[16, crm] = (2, 0, 0, 0, 6)
                class(immediate "the watchpoint registers are the host's while it runs")
                gate(ALWAYS) reset(0) trap(debug) user(rw) fgt(HDFG 3);
            /// Watchpoint Control Registers.
            DBGWCR_EL1[16, crm] = (2, 0, 0, 0, 7)
                class(immediate "the watchpoint registers are the host's while it runs")
                gate(ALWAYS) reset(0) trap(debug) user(rw) fgt(HDFG 2);
            /// Monitor DCC Interrupt Enable Register.
            MDCCINT_EL1 = (2, 0, 0, 2, 0)
                class(emulated) gate(ALWAYS) reset(0) trap(storage) user(rw) fgt(none);
            /// Monitor Debug System Control Register.
            MDSCR_EL1 = (2, 0, 0, 2, 2)
                class(immediate "a guest's KDE and MDE would take debug exceptions in the host")
                gate(ALWAYS) reset(0) trap(debug) user(rw) fgt(HDFG 4);
            /// OS Lock Data Transfer Register, Transmit.
            OSDTRTX_EL1 = (2, 0, 0, 3, 2)
                class(emulated) gate(ALWAYS) reset(0) trap(raz_wi) user(none) fgt(none);
            /// OS Lock Exception Catch Control Register.
            OSECCR_EL1 = (2, 0, 0, 6, 2)
                class(emulated) gate(ALWAYS) reset(0) trap(raz_wi) user(none) fgt(HDFG 10);
            /// Monitor Debug ROM Address Register.
            MDRAR_EL1 = (2, 0, 1, 0, 0)
                class(emulated) gate(ALWAYS) reset(0) trap(raz) user(none) fgt(none);
            /// OS Lock Access Register.
            OSLAR_EL1 = (2, 0, 1, 0, 4)
                class(emulated) gate(ALWAYS) reset(0) trap(os_lock) user(none) fgt(HDFG 8);
            /// OS Lock Status Register: OSLM says that there is a lock.
            OSLSR_EL1 = (2, 0, 1, 1, 4)
                class(emulated) gate(ALWAYS) reset(0x8) trap(read_only) user(os_lock) fgt(HDFG 9);
            /// OS Double Lock Register.
            OSDLR_EL1 = (2, 0, 1, 3, 4)
                class(emulated) gate(ALWAYS) reset(0) trap(raz_wi) user(none) fgt(HDFG 11);
            /// Debug Power Control Register.
            DBGPRCR_EL1 = (2, 0, 1, 4, 4)
                class(emulated) gate(ALWAYS) reset(0) trap(raz_wi) user(none) fgt(HDFG 7);
            /// Debug CLAIM Tag Set register.
            DBGCLAIMSET_EL1 = (2, 0, 7, 8, 6)
                class(emulated) gate(ALWAYS) reset(0) trap(raz_wi) user(none) fgt(HDFG 5);
            /// Debug CLAIM Tag Clear register.
            DBGCLAIMCLR_EL1 = (2, 0, 7, 9, 6)
                class(emulated) gate(ALWAYS) reset(0) trap(raz_wi) user(none) fgt(HDFG 5);
            /// Debug Authentication Status register.
            DBGAUTHSTATUS_EL1 = (2, 0, 7, 14, 6)
                class(emulated) gate(ALWAYS) reset(0) trap(raz) user(none) fgt(HDFG 6);
            /// Monitor DCC Status Register.
            MDCCSR_EL0 = (2, 3, 0, 1, 0)
                class(emulated) gate(ALWAYS) reset(0) trap(raz) user(none) fgt(none);
            /// Debug Data Transfer Register, half-duplex.
            DBGDTR_EL0 = (2, 3, 0, 4, 0)
                class(emulated) gate(ALWAYS) reset(0) trap(raz_wi) user(none) fgt(none);
            /// Debug Data Transfer Register: Receive for reads, Transmit for writes.
            DBGDTRX_EL0 = (2, 3, 0, 5, 0)
                class(emulated) gate(ALWAYS) reset(0) trap(raz_wi) user(none) fgt(none);
            /// Debug Vector Catch Register, AArch32.
            DBGVCR32_EL2 = (2, 4, 0, 7, 0)
                class(deferred own when AARCH32_EL1) gate(ALWAYS) reset(0) trap(undef) user(rw)
                fgt(none);

            // Identification.

            /// Main ID Register.
            MIDR_EL1 = (3, 0, 0, 0, 0)
                class(emulated) gate(ALWAYS) reset(id) trap(id) user(id) fgt(HFG 25);
            /// Multiprocessor Affinity Register.
            MPIDR_EL1 = (3, 0, 0, 0, 5)
                class(emulated) gate(ALWAYS) reset(mpidr) trap(read_only) user(rw) fgt(HFG 26);
            /// Revision ID Register.
            REVIDR_EL1 = (3, 0, 0, 0, 6)
                class(emulated) gate(ALWAYS) reset(id) trap(id) user(id) fgt(HFG 28);
            /// The feature ID registers, CRm 1 to 7, those without a name included.
            ID_EL1[56, op2] = (3, 0, 0, 1, 0)
                class(emulated) gate(ALWAYS) reset(id) trap(id) user(id) fgt(none);
            /// Current Cache Size ID Register.
            CCSIDR_EL1 = (3, 1, 0, 0, 0)
                class(emulated) gate(ALWAYS) reset(0) trap(ccsidr) user(none) fgt(HFG 9);
            /// Cache Level ID Register.
            CLIDR_EL1 = (3, 1, 0, 0, 1)
                class(emulated) gate(ALWAYS) reset(0) trap(clidr) user(clidr) fgt(HFG 10);
            /// Current Cache Size ID Register 2.
            CCSIDR2_EL1 = (3, 1, 0, 0, 2)
                class(emulated) gate(ALWAYS) reset(0) trap(id_undef) user(none) fgt(none);
            /// Multiple tag transfer ID register.
            GMID_EL1 = (3, 1, 0, 0, 4)
                class(emulated) gate(ALWAYS) reset(0) trap(id_undef) user(none) fgt(none);
            /// Streaming Mode Identification Register.
            SMIDR_EL1 = (3, 1, 0, 0, 6)
                class(emulated) gate(ALWAYS) reset(0) trap(id_undef) user(none) fgt(none);
            /// Auxiliary ID Register.
            AIDR_EL1 = (3, 1, 0, 0, 7)
                class(emulated) gate(ALWAYS) reset(id) trap(id) user(id) fgt(HFG 2);
            /// Cache Size Selection Register.
            CSSELR_EL1 = (3, 2, 0, 0, 0)
                class(emulated) gate(ALWAYS) reset(unknown) trap(storage) user(rw) fgt(HFG 13);
            /// Cache Type Register.
            CTR_EL0 = (3, 3, 0, 0, 1)
                class(emulated) gate(ALWAYS) reset(id) trap(id) user(id) fgt(HFG 14);

            // Control, and the stage 1 translation.

            /// System Control Register.
            SCTLR_EL1 = (3, 0, 1, 0, 0)
                class(deferred el12) gate(ALWAYS) reset(0x00c5_0078) trap(vm_control) user(rw)
                fgt(HFG 29);
            /// Auxiliary Control Register: its bits are the implementation's, so it shows the host's
            /// and takes no writes.
            ACTLR_EL1 = (3, 0, 1, 0, 1)
                class(emulated) gate(ALWAYS) reset(actlr) trap(write_ignored) user(rw) fgt(none);
            /// Architectural Feature Access Control Register.
            CPACR_EL1 = (3, 0, 1, 0, 2)
                class(deferred el12) gate(ALWAYS) reset(0) trap(storage) user(rw) fgt(HFG 12);
            /// Extended System Control Register.
            SCTLR2_EL1 = (3, 0, 1, 0, 3)
                class(deferred el12) gate(SCTLR2) reset(0) trap(vm_control) user(rw) fgt(none);
            /// Random Allocation Tag Seed Register.
            RGSR_EL1 = (3, 0, 1, 0, 5)
                class(deferred shared) gate(MTE) reset(unknown) trap(undef) user(rw) fgt(none);
            /// Tag Control Register.
            GCR_EL1 = (3, 0, 1, 0, 6)
                class(deferred shared) gate(MTE) reset(unknown) trap(undef) user(rw) fgt(none);
            /// SVE Control Register.
            ZCR_EL1 = (3, 0, 1, 2, 0)
                class(deferred el12) gate(SVE) reset(0) trap(undef) user(rw) fgt(none);
            /// Translation Table Base Register 0.
            TTBR0_EL1 = (3, 0, 2, 0, 0)
                class(deferred el12) gate(ALWAYS) reset(unknown) trap(vm_control) user(rw)
                fgt(HFG 36);
            /// Translation Table Base Register 1.
            TTBR1_EL1 = (3, 0, 2, 0, 1)
                class(deferred el12) gate(ALWAYS) reset(unknown) trap(vm_control) user(rw)
                fgt(HFG 37);
            /// Translation Control Register.
            TCR_EL1 = (3, 0, 2, 0, 2)
                class(deferred el12) gate(ALWAYS) reset(0) trap(vm_control) user(rw) fgt(HFG 32);
            /// Extended Translation Control Register.
            TCR2_EL1 = (3, 0, 2, 0, 3)
                class(deferred el12) gate(TCR2) reset(0) trap(vm_control) user(rw) fgt(none);
            /// Pointer Authentication Key A for Instructions, bits 63 to 0.
            APIAKeyLo_EL1 = (3, 0, 2, 1, 0)
                class(immediate "the host kernel signs its return addresses with this key")
                gate(PAUTH_ADDRESS) reset(unknown) trap(undef) user(rw) fgt(HFG 7);
            /// Pointer Authentication Key A for Instructions, bits 127 to 64.
            APIAKeyHi_EL1 = (3, 0, 2, 1, 1)
                class(immediate "the host kernel signs its return addresses with this key")
                gate(PAUTH_ADDRESS) reset(unknown) trap(undef) user(rw) fgt(HFG 7);
            /// Pointer Authentication Key B for Instructions, bits 63 to 0.
            APIBKeyLo_EL1 = (3, 0, 2, 1, 2)
                class(deferred shared) gate(PAUTH_ADDRESS) reset(unknown) trap(undef) user(rw)
                fgt(HFG 8);
            /// Pointer Authentication Key B for Instructions, bits 127 to 64.
            APIBKeyHi_EL1 = (3, 0, 2, 1, 3)
                class(deferred shared) gate(PAUTH_ADDRESS) reset(unknown) trap(undef) user(rw)
                fgt(HFG 8);
            /// Pointer Authentication Key A for Data, bits 63 to 0.
            APDAKeyLo_EL1 = (3, 0, 2, 2, 0)
                class(deferred shared) gate(PAUTH_ADDRESS) reset(unknown) trap(undef) user(rw)
                fgt(HFG 4);
            /// Pointer Authentication Key A for Data, bits 127 to 64.
            APDAKeyHi_EL1 = (3, 0, 2, 2, 1)
                class(deferred shared) gate(PAUTH_ADDRESS) reset(unknown) trap(undef) user(rw)
                fgt(HFG 4);
            /// Pointer Authentication Key B for Data, bits 63 to 0.
            APDBKeyLo_EL1 = (3, 0, 2, 2, 2)
                class(deferred shared) gate(PAUTH_ADDRESS) reset(unknown) trap(undef) user(rw)
                fgt(HFG 5);
            /// Pointer Authentication Key B for Data, bits 127 to 64.
            APDBKeyHi_EL1 = (3, 0, 2, 2, 3)
                class(deferred shared) gate(PAUTH_ADDRESS) reset(unknown) trap(undef) user(rw)
                fgt(HFG 5);
            /// Pointer Authentication Generic Key, bits 63 to 0.
            APGAKeyLo_EL1 = (3, 0, 2, 3, 0)
                class(deferred shared) gate(PAUTH_GENERIC) reset(unknown) trap(undef) user(rw)
                fgt(HFG 6);
            /// Pointer Authentication Generic Key, bits 127 to 64.
            APGAKeyHi_EL1 = (3, 0, 2, 3, 1)
                class(deferred shared) gate(PAUTH_GENERIC) reset(unknown) trap(undef) user(rw)
                fgt(HFG 6);
            /// Saved Program Status Register.
            SPSR_EL1 = (3, 0, 4, 0, 0)
                class(deferred el12) gate(ALWAYS) reset(0) trap(undef) user(core) fgt(none);
            /// Exception Link Register.
            ELR_EL1 = (3, 0, 4, 0, 1)
                class(deferred el12) gate(ALWAYS) reset(0) trap(undef) user(core) fgt(none);
            /// Stack Pointer of EL0.
            SP_EL0 = (3, 0, 4, 1, 0)
                class(immediate "the host keeps its current task in it")
                gate(ALWAYS) reset(0) trap(undef) user(core) fgt(none);
            /// Auxiliary Fault Status Register 0.
            AFSR0_EL1 = (3, 0, 5, 1, 0)
                class(deferred el12) gate(ALWAYS) reset(unknown) trap(vm_control) user(rw)
                fgt(HFG 0);
            /// Auxiliary Fault Status Register 1.
            AFSR1_EL1 = (3, 0, 5, 1, 1)
                class(deferred el12) gate(ALWAYS) reset(unknown) trap(vm_control) user(rw)
                fgt(HFG 1);
            /// Exception Syndrome Register.
            ESR_EL1 = (3, 0, 5, 2, 0)
                class(deferred el12) gate(ALWAYS) reset(unknown) trap(vm_control) user(rw)
                fgt(HFG 16);
            /// Error Record ID Register, and the others of error records: there are none.
            ERRIDR_EL1 = (3, 0, 5, 3, 0)
                class(emulated) gate(RAS) reset(0) trap(raz) user(none) fgt(HFG 40);
            /// Error Record Select Register.
            ERRSELR_EL1 = (3, 0, 5, 3, 1)
                class(emulated) gate(RAS) reset(0) trap(raz_wi) user(none) fgt(HFG 41);
            /// Selected Error Record Feature Register.
            ERXFR_EL1 = (3, 0, 5, 4, 0)
                class(emulated) gate(RAS) reset(0) trap(raz) user(none) fgt(HFG 42);
            /// Selected Error Record Control Register.
            ERXCTLR_EL1 = (3, 0, 5, 4, 1)
                class(emulated) gate(RAS) reset(0) trap(raz_wi) user(none) fgt(HFG 43);
            /// Selected Error Record Primary Status Register.
            ERXSTATUS_EL1 = (3, 0, 5, 4, 2)
                class(emulated) gate(RAS) reset(0) trap(raz_wi) user(none) fgt(HFG 44);
            /// Selected Error Record Address Register.
            ERXADDR_EL1 = (3, 0, 5, 4, 3)
                class(emulated) gate(RAS) reset(0) trap(raz_wi) user(none) fgt(HFG 49);
            /// Selected Pseudo-fault Generation Feature register.
            ERXPFGF_EL1 = (3, 0, 5, 4, 4)
                class(emulated) gate(RAS1P1) reset(0) trap(raz) user(none) fgt(HFG 46);
            /// Selected Pseudo-fault Generation Control register.
            ERXPFGCTL_EL1 = (3, 0, 5, 4, 5)
                class(emulated) gate(RAS1P1) reset(0) trap(raz_wi) user(none) fgt(HFG 47);
            /// Selected Pseudo-fault Generation Countdown register.
            ERXPFGCDN_EL1 = (3, 0, 5, 4, 6)
                class(emulated) gate(RAS1P1) reset(0) trap(raz_wi) user(none) fgt(HFG 48);
            /// Selected Error Record Miscellaneous Registers 0 and 1.
            ERXMISC0_EL1[2, op2] = (3, 0, 5, 5, 0)
                class(emulated) gate(RAS) reset(0) trap(raz_wi) user(none) fgt(HFG 45);
            /// Selected Error Record Miscellaneous Registers 2 and 3.
            ERXMISC2_EL1[2, op2] = (3, 0, 5, 5, 2)
                class(emulated) gate(RAS1P1) reset(0) trap(raz_wi) user(none) fgt(HFG 45);
            /// Tag Fault Status Register.
            TFSR_EL1 = (3, 0, 5, 6, 0)
                class(deferred el12) gate(MTE) reset(unknown) trap(undef) user(rw) fgt(none);
            /// Tag Fault Status Register, EL0.
            TFSRE0_EL1 = (3, 0, 5, 6, 1)
                class(deferred shared) gate(MTE) reset(unknown) trap(undef) user(rw) fgt(none);
            /// Fault Address Register.
            FAR_EL1 = (3, 0, 6, 0, 0)
                class(deferred el12) gate(ALWAYS) reset(unknown) trap(vm_control) user(rw)
                fgt(HFG 17);
            /// Physical Address Register.
            PAR_EL1 = (3, 0, 7, 4, 0)
                class(deferred own) gate(ALWAYS) reset(unknown) trap(storage) user(rw) fgt(HFG 27);
            /// Memory Attribute Indirection Register.
            MAIR_EL1 = (3, 0, 10, 2, 0)
                class(deferred el12) gate(ALWAYS) reset(unknown) trap(vm_control) user(rw)
                fgt(HFG 24);
            /// Permission Indirection Register 0.
            PIRE0_EL1 = (3, 0, 10, 2, 2)
                class(deferred el12) gate(S1PIE) reset(unknown) trap(vm_control) user(rw)
                fgt(HFG n 57 tracked);
            /// Permission Indirection Register 1.
            PIR_EL1 = (3, 0, 10, 2, 3)
                class(deferred el12) gate(S1PIE) reset(unknown) trap(vm_control) user(rw)
                fgt(HFG n 58 tracked);
            /// Permission Overlay Register 1.
            POR_EL1 = (3, 0, 10, 2, 4)
                class(deferred el12) gate(S1POE) reset(unknown) trap(vm_control) user(rw)
                fgt(HFG n 60);
            /// Auxiliary Memory Attribute Indirection Register.
            AMAIR_EL1 = (3, 0, 10, 3, 0)
                class(deferred el12) gate(ALWAYS) reset(amair) trap(vm_control) user(rw)
                fgt(HFG 3);
            /// LORegion Start Address: there are no regions.
            LORSA_EL1 = (3, 0, 10, 4, 0)
                class(emulated) gate(LOR) reset(0) trap(raz_wi) user(none) fgt(HFG 23);
            /// LORegion End Address.
            LOREA_EL1 = (3, 0, 10, 4, 1)
                class(emulated) gate(LOR) reset(0) trap(raz_wi) user(none) fgt(HFG 20);
            /// LORegion Number.
            LORN_EL1 = (3, 0, 10, 4, 2)
                class(emulated) gate(LOR) reset(0) trap(raz_wi) user(none) fgt(HFG 22);
            /// LORegion Control.
            LORC_EL1 = (3, 0, 10, 4, 3)
                class(emulated) gate(LOR) reset(0) trap(raz_wi) user(none) fgt(HFG 19);
            /// LORegionID.
            LORID_EL1 = (3, 0, 10, 4, 7)
                class(emulated) gate(LOR) reset(0) trap(raz) user(none) fgt(HFG 21);
            /// Vector Base Address Register.
            VBAR_EL1 = (3, 0, 12, 0, 0)
                class(deferred el12) gate(ALWAYS) reset(0) trap(storage) user(rw) fgt(HFG 38);
            /// Deferred Interrupt Status Register. With HCR_EL2.AMO set the guest's is VDISR_EL2.
            DISR_EL1 = (3, 0, 12, 1, 1)
                class(deferred at (3, 4, 12, 1, 1) when HOST_RAS) gate(ALWAYS) reset(0) trap(storage)
                user(rw) fgt(none);
            /// Context ID Register.
            CONTEXTIDR_EL1 = (3, 0, 13, 0, 1)
                class(deferred el12) gate(ALWAYS) reset(0) trap(vm_control) user(rw) fgt(HFG 11);
            /// Software Thread ID Register of EL1.
            TPIDR_EL1 = (3, 0, 13, 0, 4)
                class(deferred own) gate(ALWAYS) reset(unknown) trap(storage) user(rw) fgt(HFG 33);
            /// Accelerator Data.
            ACCDATA_EL1 = (3, 0, 13, 0, 5)
                class(deferred shared) gate(LS64_ACCDATA) reset(unknown) trap(undef) user(rw)
                fgt(HFG n 50);
            /// Software Context Number of EL1.
            SCXTNUM_EL1 = (3, 0, 13, 0, 7)
                class(deferred el12) gate(SCXTNUM) reset(unknown) trap(undef) user(rw) fgt(HFG 30);
            /// Counter-timer Kernel Control register.
            CNTKCTL_EL1 = (3, 0, 14, 1, 0)
                class(deferred el12) gate(ALWAYS) reset(0) trap(storage) user(rw) fgt(none);

            // EL0.

            /// Floating-point Mode Register.
            FPMR = (3, 3, 4, 4, 2)
                class(immediate "the kernel saves user space\'s itself, when it takes the FP registers")
                gate(FPMR) reset(0) trap(undef) user(rw) fgt(none);
            /// Permission Overlay Register 0.
            POR_EL0 = (3, 3, 10, 2, 4)
                class(immediate "the host's own accesses to user memory go by it")
                gate(S1POE) reset(unknown) trap(vm_control) user(rw) fgt(HFG n 59);
            /// Software Thread ID Register of EL0.
            TPIDR_EL0 = (3, 3, 13, 0, 2)
                class(deferred shared) gate(ALWAYS) reset(unknown) trap(storage) user(rw) fgt(HFG 35);
            /// Read-Only Software Thread ID Register of EL0.
            TPIDRRO_EL0 = (3, 3, 13, 0, 3)
                class(deferred shared) gate(ALWAYS) reset(unknown) trap(storage) user(rw) fgt(HFG 34);
            /// Software Thread ID Register 2 of EL0.
            TPIDR2_EL0 = (3, 3, 13, 0, 5)
                class(deferred shared) gate(SME) reset(0) trap(undef) user(rw) fgt(HFG n 55);
            /// Software Context Number of EL0.
            SCXTNUM_EL0 = (3, 3, 13, 0, 7)
                class(deferred shared) gate(SCXTNUM) reset(unknown) trap(undef) user(rw) fgt(HFG 31);

            // Time. The counters themselves have no memory: they are the host's less an offset.

            /// Counter-timer Physical Count register.
            CNTPCT_EL0 = (3, 3, 14, 0, 1)
                class(emulated) gate(ALWAYS) reset(0) trap(counter) user(counter) fgt(none);
            /// Counter-timer Virtual Count register.
            CNTVCT_EL0 = (3, 3, 14, 0, 2)
                class(emulated) gate(ALWAYS) reset(0) trap(counter) user(counter) fgt(none);
            /// Counter-timer Self-Synchronized Physical Count register.
            CNTPCTSS_EL0 = (3, 3, 14, 0, 5)
                class(emulated) gate(ECV) reset(0) trap(counter) user(none) fgt(none);
            /// Counter-timer Self-Synchronized Virtual Count register.
            CNTVCTSS_EL0 = (3, 3, 14, 0, 6)
                class(emulated) gate(ECV) reset(0) trap(counter) user(none) fgt(none);
            /// Counter-timer Physical Timer TimerValue register: CNTP_CVAL_EL0 in another view.
            CNTP_TVAL_EL0 = (3, 3, 14, 2, 0)
                class(emulated) gate(ALWAYS) reset(0) trap(timer) user(none) fgt(none);
            /// Counter-timer Physical Timer CompareValue register. Loaded before the timer is on.
            CNTP_CVAL_EL0 = (3, 3, 14, 2, 2)
                class(deferred el12 when PHYSICAL_TIMER) gate(ALWAYS) reset(0) trap(timer) user(rw)
                fgt(none);
            /// Counter-timer Physical Timer Control register.
            CNTP_CTL_EL0 = (3, 3, 14, 2, 1)
                class(deferred el12 when PHYSICAL_TIMER) gate(ALWAYS) reset(0) trap(timer) user(rw)
                fgt(none);
            /// Counter-timer Virtual Timer TimerValue register: CNTV_CVAL_EL0 in another view.
            CNTV_TVAL_EL0 = (3, 3, 14, 3, 0)
                class(emulated) gate(ALWAYS) reset(0) trap(timer) user(none) fgt(none);
            /// Counter-timer Virtual Timer CompareValue register. Loaded before the timer is on.
            CNTV_CVAL_EL0 = (3, 3, 14, 3, 2)
                class(deferred el12) gate(ALWAYS) reset(0) trap(timer) user(rw) fgt(none);
            /// Counter-timer Virtual Timer Control register.
            CNTV_CTL_EL0 = (3, 3, 14, 3, 1)
                class(deferred el12) gate(ALWAYS) reset(0) trap(timer) user(rw) fgt(none);

            // Performance monitors.

            /// Performance Monitors Interrupt Enable Set register; Clear shares its bits.
            PMINTENSET_EL1 = (3, 0, 9, 14, 1)
                class(emulated) gate(PMU) reset(0) trap(undef) user(rw) fgt(HDFG 17);
            /// Performance Monitors Control Register.
            PMCR_EL0 = (3, 3, 9, 12, 0)
                class(emulated) gate(PMU) reset(0) trap(undef) user(rw) fgt(none);
            /// Performance Monitors Count Enable Set register; Clear shares its bits.
            PMCNTENSET_EL0 = (3, 3, 9, 12, 1)
                class(emulated) gate(PMU) reset(0) trap(undef) user(rw) fgt(HDFG 16);
            /// Performance Monitors Event Counter Selection Register.
            PMSELR_EL0 = (3, 3, 9, 12, 5)
                class(emulated) gate(PMU) reset(0) trap(undef) user(rw) fgt(HDFG 19);
            /// Performance Monitors Cycle Count Register.
            PMCCNTR_EL0 = (3, 3, 9, 13, 0)
                class(emulated) gate(PMU) reset(unknown) trap(undef) user(rw) fgt(HDFG 15);
            /// Performance Monitors User Enable Register.
            PMUSERENR_EL0 = (3, 3, 9, 14, 0)
                class(emulated) gate(PMU) reset(0) trap(undef) user(rw) fgt(HDFG 57);
            /// Performance Monitors Overflow Flag Status Set register; Clear shares its bits.
            PMOVSSET_EL0 = (3, 3, 9, 14, 3)
                class(emulated) gate(PMU) reset(0) trap(undef) user(rw) fgt(HDFG 18);
            /// Performance Monitors Event Count Registers.
            PMEVCNTR_EL0[31, op2] = (3, 3, 14, 8, 0)
                class(emulated) gate(PMU) reset(unknown) trap(undef) user(rw) fgt(HDFG 12);
            /// Performance Monitors Event Type Registers.
            PMEVTYPER_EL0[31, op2] = (3, 3, 14, 12, 0)
                class(emulated) gate(PMU) reset(unknown) trap(undef) user(rw) fgt(HDFG 13);
            /// Performance Monitors Cycle Count Filter Register.
            PMCCFILTR_EL0 = (3, 3, 14, 15, 7)
                class(emulated) gate(PMU) reset(0) trap(undef) user(rw) fgt(HDFG 14);

            // AArch32's, which a 64-bit VM shows to its VMM and to nobody else.

            /// Domain Access Control Register.
            DACR32_EL2 = (3, 4, 3, 0, 0)
                class(deferred own when AARCH32_EL1) gate(ALWAYS) reset(unknown) trap(undef) user(rw)
                fgt(none);
            /// Stack Pointer of EL1.
            SP_EL1 = (3, 4, 4, 1, 0)
                class(deferred own) gate(ALWAYS) reset(0) trap(undef) user(core) fgt(none);
            /// Saved Program Status Register, IRQ mode.
            SPSR_irq = (3, 4, 4, 3, 0)
                class(deferred own when AARCH32_EL1) gate(ALWAYS) reset(0) trap(undef) user(core)
                fgt(none);
            /// Saved Program Status Register, Abort mode.
            SPSR_abt = (3, 4, 4, 3, 1)
                class(deferred own when AARCH32_EL1) gate(ALWAYS) reset(0) trap(undef) user(core)
                fgt(none);
            /// Saved Program Status Register, Undefined mode.
            SPSR_und = (3, 4, 4, 3, 2)
                class(deferred own when AARCH32_EL1) gate(ALWAYS) reset(0) trap(undef) user(core)
                fgt(none);
            /// Saved Program Status Register, FIQ mode.
            SPSR_fiq = (3, 4, 4, 3, 3)
                class(deferred own when AARCH32_EL1) gate(ALWAYS) reset(0) trap(undef) user(core)
                fgt(none);
            /// Instruction Fault Status Register.
            IFSR32_EL2 = (3, 4, 5, 0, 1)
                class(deferred own when AARCH32_EL1) gate(ALWAYS) reset(unknown) trap(undef) user(rw)
                fgt(none);
            /// Floating-Point Exception Control register.
            FPEXC32_EL2 = (3, 4, 5, 3, 0)
                class(deferred own when AARCH32_EL1) gate(ALWAYS) reset(0x700) trap(undef) user(rw)
                fgt(none);
        }
    };
}
