// SPDX-License-Identifier: GPL-2.0

//! A vCPU's side of the CPU: its registers, loading them, running the guest.

mod controls;
mod debug_state;
mod exit;
mod vectors;

mod cpu;

mod context;
mod debug;
mod load;
mod timer;
mod tracking;

mod enter;

pub use self::{
    controls::{
        ControlRegisters,
        Controls, //
    },
    cpu::VcpuCpu,
    exit::{
        Exit,
        ExitCode, //
    },
    vectors::Vectors, //
};
