// SPDX-License-Identifier: GPL-2.0

//! Accesses to registers, each in a function of its own.
//!
//! No part of the module: `tools/fold-check` looks at the code that the compiler makes of them, as it
//! does for users of `kvm_host` in other crates, and knows what each may consist of.

#![deny(unsafe_code)]

use kvm_core::register::Reg;
use kvm_host::vcpu::VcpuCpu;

/// Reads a register that is in the CPU between load and put.
#[inline(never)]
pub fn read_deferred(cpu: &VcpuCpu) -> u64 {
    cpu.read(Reg::SCTLR_EL1)
}

/// Writes a register that is in the CPU between load and put.
#[inline(never)]
pub fn write_deferred(cpu: &VcpuCpu, value: u64) {
    cpu.write(Reg::SCTLR_EL1, value);
}

/// Reads one that is in the CPU under another's name.
#[inline(never)]
pub fn read_deferred_at(cpu: &VcpuCpu) -> u64 {
    cpu.read(Reg::DISR_EL1)
}

/// Writes one that the host uses, too.
#[inline(never)]
pub fn write_deferred_shared(cpu: &VcpuCpu, value: u64) {
    cpu.write(Reg::TPIDR_EL0, value);
}

/// Reads a register that the world switch moves.
#[inline(never)]
pub fn read_immediate(cpu: &VcpuCpu) -> u64 {
    cpu.read(Reg::SP_EL0)
}

/// Writes a register that the world switch moves.
#[inline(never)]
pub fn write_immediate(cpu: &VcpuCpu, value: u64) {
    cpu.write(Reg::SP_EL0, value);
}

/// Reads a register that is never in the CPU.
#[inline(never)]
pub fn read_emulated(cpu: &VcpuCpu) -> u64 {
    cpu.read(Reg::OSLSR_EL1)
}

/// Writes a register that is never in the CPU.
#[inline(never)]
pub fn write_emulated(cpu: &VcpuCpu, value: u64) {
    cpu.write(Reg::OSLSR_EL1, value);
}

/// Reads two registers, one after the other.
#[inline(never)]
pub fn read_two(cpu: &VcpuCpu) -> (u64, u64) {
    (cpu.read(Reg::ESR_EL1), cpu.read(Reg::FAR_EL1))
}

/// Writes two registers, one after the other.
#[inline(never)]
pub fn write_two(cpu: &VcpuCpu, esr: u64, far: u64) {
    cpu.write(Reg::ESR_EL1, esr);
    cpu.write(Reg::FAR_EL1, far);
}
