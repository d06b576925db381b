// SPDX-License-Identifier: GPL-2.0

//! An ITS against its specification: commands, registers, messages, tables saved and restored.

#![no_main]

use kvm_fuzz::{
    its::drive,
    Input, //
};

kvm_fuzz::target!(run);

fn run(input: &mut Input<'_>) {
    let mut bytes = Vec::new();
    while !input.is_empty() {
        bytes.push(input.u8());
    }
    drive::run(&bytes);
}
