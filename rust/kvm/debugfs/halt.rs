// SPDX-License-Identifier: GPL-2.0

//! How long a vCPU waits and polls, as text.

use crate::{
    counters::Histogram,
    vcpu::Vcpu, //
};
use kernel::{
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};
use kvm_host::debugfs::Show;

/// How long the vCPU polls next, and its histograms: of each how many samples were how long.
pub(super) struct HaltState(pub(super) Arc<Vcpu>);

impl Show for HaltState {
    fn show(&self, m: &SeqFile) {
        seq_print!(m, "interval:\t{} ns\n", self.0.seen.halt_poll());
        for histogram in Histogram::ALL {
            seq_print!(m, "{}:\n", histogram.name());
            for bucket in 0..Histogram::BUCKETS {
                let count = self.0.counters.histograms.get(histogram, bucket);
                if count == 0 {
                    continue;
                }
                if bucket + 1 < Histogram::BUCKETS {
                    seq_print!(m, "  below {} ns:\t{}\n", 1u64 << bucket, count);
                } else {
                    seq_print!(m, "  more:\t{}\n", count);
                }
            }
        }
    }
}
