// SPDX-License-Identifier: GPL-2.0

//! An ITS in a machine of the tests' own, and beside it its literal specification.

pub mod bytes;
pub mod drive;
pub mod memory;
pub mod model;
pub mod world;
