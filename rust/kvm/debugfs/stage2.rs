// SPDX-License-Identifier: GPL-2.0

//! What stage 2 maps, as text. Guest addresses only.

use crate::vm::Vm;
use kernel::{
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};
use kvm_core::stage2::{
    Level,
    Mapping,
    MemoryType, //
};
use kvm_host::debugfs::Show;

/// The shape of the tables, how much each level maps, and the ranges that are mapped alike.
///
/// It is not one moment's: vCPUs fault, and the host takes pages away, while it is shown.
pub(super) struct Stage2State(pub(super) Arc<Vm>);

impl Show for Stage2State {
    fn show(&self, m: &SeqFile) {
        let memory = &self.0.memory;
        let mut levels = [(0u64, 0u64, 0u64); Level::COUNT];
        let mut open: Option<Range> = None;

        seq_print!(m, "ipa_bits:\t{}\n", self.0.ipa.get());
        seq_print!(m, "start_level:\t{}\n", memory.start_level().get());
        seq_print!(m, "table_pages:\t{}\n", memory.table_pages());
        memory.for_each_mapping(|mapping| {
            if let Some((count, bytes, accessed)) = levels.get_mut(usize::from(mapping.level.get()))
            {
                *count += 1;
                *bytes += mapping.size;
                *accessed += u64::from(mapping.accessed);
            }
            match &mut open {
                Some(range) if range.goes_on_with(&mapping) => range.bytes += mapping.size,
                open => {
                    if let Some(range) = open.replace(Range::new(&mapping)) {
                        range.show(m);
                    }
                }
            }
        });
        if let Some(range) = open {
            range.show(m);
        }
        for (level, (count, bytes, accessed)) in Level::ALL.iter().zip(levels) {
            if count != 0 {
                seq_print!(
                    m,
                    "level {}:\t{} entries, {} KiB, {} accessed\n",
                    level.get(),
                    count,
                    bytes >> 10,
                    accessed
                );
            }
        }
    }
}

/// What is mapped alike, without a gap.
struct Range {
    first: Mapping,
    bytes: u64,
}

impl Range {
    fn new(mapping: &Mapping) -> Self {
        Self {
            first: *mapping,
            bytes: mapping.size,
        }
    }

    fn goes_on_with(&self, next: &Mapping) -> bool {
        let first = &self.first;

        next.ipa == first.ipa + self.bytes
            && next.level == first.level
            && next.permissions == first.permissions
            && next.memory == first.memory
    }

    fn show(&self, m: &SeqFile) {
        let Mapping {
            ipa,
            level,
            permissions,
            memory,
            ..
        } = self.first;
        let mark = |set, mark| if set { mark } else { '-' };

        seq_print!(
            m,
            "0x{:010x}-0x{:010x} level {} {}{}{}{} {}\n",
            ipa,
            ipa + self.bytes,
            level.get(),
            mark(permissions.read, 'r'),
            mark(permissions.write, 'w'),
            mark(permissions.execute.at_el1(), 'x'),
            mark(permissions.execute.at_el0(), 'u'),
            match memory {
                Some(MemoryType::Normal) => "normal",
                Some(MemoryType::NormalNonCacheable) => "non-cacheable",
                Some(MemoryType::Device) => "device",
                None => "unknown",
            }
        );
    }
}
