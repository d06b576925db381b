// SPDX-License-Identifier: GPL-2.0

//! Documentation that is made from the code is as the code is.

#[path = "../examples/registers.rs"]
mod registers;

use std::{
    fs,
    path::Path, //
};

#[test]
fn the_page_of_registers_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Documentation/registers.rst");
    let there = fs::read_to_string(&path).unwrap_or_default();
    let made = registers::page();
    let first = there
        .lines()
        .zip(made.lines())
        .enumerate()
        .find(|(_, (there, made))| there != made);
    assert!(
        there == made,
        "Documentation/registers.rst is stale: `make registers` makes it anew. {}",
        match first {
            Some((n, (there, made))) => format!("Line {} is\n{there}\nnot\n{made}", n + 1),
            None => "One has more lines than the other.".into(),
        }
    );
}
