// SPDX-License-Identifier: GPL-2.0

//! The ITS against its literal specification, and what else has to hold.

// Shifts bind stronger than masks, which every kernel developer knows.
#![allow(clippy::precedence)]

mod bounds;
mod cache;
mod frame;
mod harness;
mod tables;

use harness::drive;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever is done, state, registers and guest memory are as specified after each step, and
    /// no reference to an LPI is lost or dropped twice.
    #[test]
    fn any_sequence_does_what_is_specified(
        bytes in prop::collection::vec(any::<u8>(), 0..3000)
    ) {
        drive::run(&bytes);
    }
}
