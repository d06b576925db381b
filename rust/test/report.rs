// SPDX-License-Identifier: GPL-2.0

//! Results as TAP in the kernel's log.

use kernel::prelude::*;

/// What was reported so far.
pub(crate) struct Report {
    points: u32,
}

impl Report {
    pub(crate) fn begin() -> Self {
        pr_info!("TAP version 13\n");
        Self { points: 0 }
    }

    /// Reports one point.
    pub(crate) fn point(&mut self, passed: bool, name: core::fmt::Arguments<'_>) {
        self.points += 1;
        let word = if passed { "ok" } else { "not ok" };
        pr_info!("{} {} {}\n", word, self.points, name);
    }

    /// Ends it with the number of points: their absence is how a reader finds out that it is not all.
    pub(crate) fn end(self) {
        pr_info!("1..{}\n", self.points);
    }
}
