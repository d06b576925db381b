// SPDX-License-Identifier: GPL-2.0

//! Prints the register table as Documentation/registers.rst.

use kvm_core::register::{
    reg::ROWS,
    row::{
        Class,
        FgtGroup,
        Reset,
        Row,
        Trap,
        User, //
    },
    Feature, //
};

/// What stands above the table.
const TOP: &str = "\
.. SPDX-License-Identifier: GPL-2.0

.. Made by `make registers` from rust/core/register/rows.rs: change it there.

==================
A vCPU's registers
==================

Each system register that a vCPU has is a row of the table in
``rust/core/register/rows.rs``; its accessors, its place in the CPU, its identifier for
``KVM_GET_ONE_REG``, its reset, its gate, its traps and this page are made from the row.
";

const IMMEDIATE: &str = "
What each entry and exit moves
==============================

All other registers that are ever in the CPU wait for load and put. These cannot:
";

const COLUMNS: &str = "
The table
=========

Register
  The architecture's name. ``[N]`` is a range of N registers.
Encoding
  As in ``MRS Xt, S3_0_C1_C0_0``; of a range, that of the first one, and the field that
  counts the others.
Class
  ``deferred``: in the CPU between load and put, in memory otherwise, at EL2 by the name
  that follows. ``shared``: the host's user space has one, too, so put gives it back.
  ``if F``: the register stays in memory in a VM without F.
  ``immediate``: in memory whenever the host runs; the list above says why.
  ``emulated``: never in a CPU register.
Gate
  The VM's feature that the register comes with. Without it the register is UNDEFINED for
  the guest and neither switched nor listed.
Reset
  The value after ``KVM_ARM_VCPU_INIT``. ``unknown`` is 0x0bad0bad0bad0bad; ``id`` is what
  the VM's ID registers say; ``host`` the host's; ``mpidr`` made from the vCPU's number.
Trap
  What an access that traps does: ``storage`` gives and takes the value, ``vm control``
  does and tells the set/way policy, ``debug`` does and has the world switch move it.
  ``ro`` takes no writes, they are UNDEFINED; ``wi`` ignores them; ``raz`` reads as zero.
  ``id``, ``ccsidr`` and ``counter`` read as what the VM has for them and take no writes.
  ``os lock`` takes writes only. ``timer`` is a timer that counts with the VM's counter.
  ``undef`` is UNDEFINED.
User
  How ``KVM_GET_ONE_REG`` and ``KVM_SET_ONE_REG`` reach it: ``rw`` reads and writes it;
  ``id``, ``clidr`` and ``os lock`` limit what may be written; writing a ``counter`` sets
  its offset; ``core`` has an identifier of the core group; ``-`` is not reached.
FGT
  Its bit in the fine-grained trap registers, HFGRTR_EL2 and HFGWTR_EL2 or HDFGRTR_EL2 and
  HDFGWTR_EL2. An ``n`` before the number: 0 traps. ``tracked``: the trap of its writes may
  tell whether it is to be saved, see ``Documentation/lazy-state.rst``.

";

/// Where a row's register is.
fn class(row: &Row) -> String {
    match row.class {
        Class::Deferred { cpu, when, shared } => {
            let shared = if shared { ", shared" } else { "" };
            let when = if when == row.gate {
                String::new()
            } else {
                format!(", if {}", when.name())
            };
            format!("deferred {cpu}{shared}{when}")
        }
        Class::Immediate { .. } => "immediate".into(),
        Class::Emulated => "emulated".into(),
    }
}

fn reset(reset: Reset) -> String {
    match reset {
        Reset::Value(value) if value < 10 => value.to_string(),
        Reset::Value(value) => format!("{value:#x}"),
        Reset::Unknown => "unknown".into(),
        Reset::Id => "id".into(),
        Reset::Mpidr => "mpidr".into(),
        Reset::Actlr | Reset::Amair => "host".into(),
    }
}

fn trap(trap: Trap) -> &'static str {
    match trap {
        Trap::Storage => "storage",
        Trap::ReadOnly => "ro",
        Trap::WriteIgnored => "wi",
        Trap::Raz => "raz, ro",
        Trap::RazWi => "raz, wi",
        Trap::Undef => "undef",
        Trap::Id => "id",
        Trap::IdUndef => "undef by id",
        Trap::VmControl => "vm control",
        Trap::Debug => "debug",
        Trap::OsLock => "os lock",
        Trap::Ccsidr => "ccsidr",
        Trap::Clidr => "levels of cache",
        Trap::Counter => "counter",
        Trap::Timer => "timer",
    }
}

fn user(user: User) -> &'static str {
    match user {
        User::Rw => "rw",
        User::Id => "id",
        User::Clidr => "clidr",
        User::OsLock => "os lock",
        User::Counter => "counter",
        User::Core => "core",
        User::None => "\\-",
    }
}

fn fgt(row: &Row) -> String {
    row.fgt.map_or("\\-".into(), |fgt| {
        let group = match fgt.group {
            FgtGroup::Hfg => "HFG",
            FgtGroup::Hdfg => "HDFG",
        };
        let sense = if fgt.traps_if_clear { "n" } else { "" };
        let tracked = if fgt.tracks_writes { ", tracked" } else { "" };
        format!("{group} {sense}{}{tracked}", fgt.bit)
    })
}

fn name(row: &Row) -> String {
    match row.count {
        1 => row.name.into(),
        count => format!("{}[{count}]", row.name),
    }
}

fn encoding(row: &Row) -> String {
    match row.stride {
        0 => row.first.to_string(),
        1 => format!("{}, op2", row.first),
        _ => format!("{}, CRm", row.first),
    }
}

/// A row's cells.
fn cells(row: &Row) -> [String; 9] {
    let gate = match row.gate {
        Feature::ALWAYS => "\\-",
        gate => gate.name(),
    };
    [
        name(row),
        encoding(row),
        class(row),
        gate.into(),
        reset(row.reset),
        trap(row.trap).into(),
        user(row.user).into(),
        fgt(row),
        row.doc.trim().trim_end_matches('.').into(),
    ]
}

/// Appends a line without spaces at its end.
fn line(page: &mut String, text: &str) {
    page.push_str(text.trim_end());
    page.push('\n');
}

/// Appends a table in reST's simple form.
fn table(page: &mut String, rows: &[[String; 9]]) {
    let widths: [usize; 9] =
        core::array::from_fn(|n| rows.iter().map(|row| row[n].len()).max().unwrap_or(0));
    let rule = widths.map(|width| "=".repeat(width)).join("  ");
    line(page, &rule);
    for (index, row) in rows.iter().enumerate() {
        let padded: [String; 9] = core::array::from_fn(|n| format!("{:1$}", row[n], widths[n]));
        line(page, &padded.join("  "));
        if index == 0 {
            line(page, &rule);
        }
    }
    line(page, &rule);
}

/// Returns the page.
pub fn page() -> String {
    let mut page = String::from(TOP);
    let count = |class: fn(&Row) -> bool| -> u16 {
        ROWS.iter()
            .filter(|row| class(row))
            .map(|row| row.count)
            .sum()
    };
    let deferred = count(|row| matches!(row.class, Class::Deferred { .. }));
    let immediate = count(|row| matches!(row.class, Class::Immediate { .. }));
    let emulated = count(|row| matches!(row.class, Class::Emulated));
    line(
        &mut page,
        &format!(
            "\nThey are {} registers: {deferred} deferred, {immediate} immediate and {emulated} \
             emulated.",
            deferred + immediate + emulated
        ),
    );

    page.push_str(IMMEDIATE);
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for row in ROWS.iter() {
        if let Class::Immediate { reason } = row.class {
            match reasons.iter_mut().find(|(other, _)| *other == reason) {
                Some((_, names)) => names.push(name(row)),
                None => reasons.push((reason, vec![name(row)])),
            }
        }
    }
    for (reason, names) in reasons {
        line(&mut page, &format!("\n{}\n  {reason}", names.join(", ")));
    }

    page.push_str(COLUMNS);
    let head = [
        "Register",
        "Encoding",
        "Class",
        "Gate",
        "Reset",
        "Trap",
        "User",
        "FGT",
        "What it is",
    ];
    let rows: Vec<_> = [head.map(String::from)]
        .into_iter()
        .chain(ROWS.iter().map(cells))
        .collect();
    table(&mut page, &rows);
    page
}

#[allow(dead_code)] // The test that compares the page has a main function of its own.
fn main() {
    print!("{}", page());
}
