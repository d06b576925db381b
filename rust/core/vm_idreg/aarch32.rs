// SPDX-License-Identifier: GPL-2.0

//! The fields of the AArch32 ID registers, as AArch64 sees them.
//!
//! Each has eight fields of four bits. All can be written: nothing in the hypervisor depends on
//! them, and a VM's EL0 gets what the CPU has.

use crate::{
    bit_struct::FieldInfo,
    idreg::IdAa64Dfr0El1,
    vm_idreg::{
        config::Source,
        fields::{
            pmuver,
            DEBUG_V8P8, //
        },
        rule::{
            Field,
            Limit,
            Write, //
        },
        view::IdView, //
    },
};

/// A register in which every field is as the host has it and may be lowered.
pub(crate) const PLAIN: [Field; 8] = {
    let mut fields = [nibble("bits3_0", 0); 8];
    fields[1] = nibble("bits7_4", 4);
    fields[2] = nibble("bits11_8", 8);
    fields[3] = nibble("bits15_12", 12);
    fields[4] = nibble("bits19_16", 16);
    fields[5] = nibble("bits23_20", 20);
    fields[6] = nibble("bits27_24", 24);
    fields[7] = nibble("bits31_28", 28);
    fields
};

const fn nibble(name: &'static str, lo: u32) -> Field {
    let info = FieldInfo {
        name,
        lo,
        hi: lo + 3,
        signed: false,
    };
    Field::unnamed(info, Write::LOWER, Limit::Host)
}

/// Returns `fields` with one replaced, the one that starts at bit `lo`.
const fn except(
    mut fields: [Field; 8],
    name: &'static str,
    lo: u32,
    signed: bool,
    write: Write,
    limit: Limit,
) -> [Field; 8] {
    let info = FieldInfo {
        name,
        lo,
        hi: lo + 3,
        signed,
    };
    fields[(lo / 4) as usize] = Field::unnamed(info, write, limit);
    fields
}

/// ID_MMFR0_EL1: the shareability domains are signed, -1 being "ignored".
pub(crate) const MMFR0: [Field; 8] = {
    let fields = except(PLAIN, "outershr", 8, true, Write::LOWER_SIGNED, Limit::Host);
    except(
        fields,
        "innershr",
        28,
        true,
        Write::LOWER_SIGNED,
        Limit::Host,
    )
};

/// ID_MMFR4_EL1: CCSIDR has the 32-bit format, and an SError may always be said to come.
pub(crate) const MMFR4: [Field; 8] = {
    let fields = except(PLAIN, "specsei", 0, false, Write::Higher, Limit::Host);
    except(fields, "ccidx", 24, false, Write::LOWER, Limit::Hidden)
};

/// ID_DFR0_EL1: the version of the debug registers is 6 at least, that of the PMU 3 or none.
pub(crate) const DFR0: [Field; 8] = {
    let fields = except(
        PLAIN,
        "copdbg",
        0,
        false,
        Write::DownTo(6),
        Limit::AtMost(DEBUG_V8P8),
    );
    except(
        fields,
        "perfmon",
        24,
        false,
        Write::Pmu(3),
        Limit::By(perfmon),
    )
};

/// The version of a VM's PMU, as ID_DFR0_EL1.PerfMon has it: PMUv3 is 1 in AArch64 and 3 here, and
/// the later versions have the same numbers. The AArch32 side of the host's PMU does not matter,
/// since a VM's PMU is emulated.
fn perfmon(source: &Source<'_>, _host: u64) -> u64 {
    match pmuver(source, source.host.reg::<IdAa64Dfr0El1>().pmuver().get()) {
        1 => 3,
        version => version,
    }
}
