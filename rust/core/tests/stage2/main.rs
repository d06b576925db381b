// SPDX-License-Identifier: GPL-2.0

//! Stage 2 tables: shape, descriptors, and the walker against a plain map.

mod block;
mod cpu;
mod format;
mod geometry;
mod memory;
#[path = "../common/orders.rs"]
mod orders;
mod pieces;
mod rules;
mod shared;
mod tlbi;
mod walker;
mod world;
