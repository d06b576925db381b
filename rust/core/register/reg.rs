// SPDX-License-Identifier: GPL-2.0

//! Registers that have a row, and the table itself.

use core::fmt;

use crate::{
    register::{
        feature::Feature,
        row::{
            Class,
            FgtBit,
            FgtGroup,
            Reset,
            Row,
            Trap,
            User, //
        },
    },
    sysreg::SysReg,
};

/// A register of the table, as an index.
///
/// # Invariants
///
/// Below [`Reg::COUNT`].
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Reg(u16);

/// A range of `N` registers of the table.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct RegRange<const N: u16> {
    first: u16,
}

impl<const N: u16> RegRange<N> {
    /// Returns register `n`, or [`None`] if there is none.
    #[inline(always)]
    pub const fn get(self, n: u16) -> Option<Reg> {
        if n < N {
            Some(Reg(self.first + n))
        } else {
            None
        }
    }

    /// Returns the registers in their order.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = Reg> {
        (self.first..self.first + N).map(Reg)
    }
}

/// Returns the reason of an immediate register, which does not compile if it is empty.
const fn given(reason: &'static str) -> &'static str {
    assert!(
        !reason.is_empty(),
        "an immediate register needs the reason why it cannot be deferred"
    );
    reason
}

macro_rules! encoding {
    (($op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal)) => {
        SysReg::of::<$op0, $op1, $crn, $crm, $op2>()
    };
    (el12 $op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal) => {
        SysReg::of::<$op0, 5, $crn, $crm, $op2>()
    };
}

macro_rules! class {
    ($enc:tt $gate:ident; deferred $place:tt) => {
        class!($enc $gate; deferred $place when $gate)
    };
    ($enc:tt $gate:ident; deferred at $at:tt) => {
        class!($enc $gate; deferred at $at when $gate)
    };
    (($op0:literal, $($enc:literal),*) $gate:ident; deferred el12 when $when:ident) => {
        class!(@deferred encoding!(el12 $op0, $($enc),*), $when, false)
    };
    ($enc:tt $gate:ident; deferred own when $when:ident) => {
        class!(@deferred encoding!($enc), $when, false)
    };
    ($enc:tt $gate:ident; deferred shared when $when:ident) => {
        class!(@deferred encoding!($enc), $when, true)
    };
    ($enc:tt $gate:ident; deferred at $at:tt when $when:ident) => {
        class!(@deferred encoding!($at), $when, false)
    };
    (@deferred $cpu:expr, $when:ident, $shared:literal) => {
        Class::Deferred { cpu: $cpu, when: Feature::$when, shared: $shared }
    };
    ($enc:tt $gate:ident; immediate $reason:literal) => {
        Class::Immediate { reason: given($reason) }
    };
    ($enc:tt $gate:ident; immediate) => {
        compile_error!("an immediate register needs the reason why it cannot be deferred")
    };
    ($enc:tt $gate:ident; emulated) => {
        Class::Emulated
    };
}

macro_rules! reset {
    (unknown) => {
        Reset::Unknown
    };
    (id) => {
        Reset::Id
    };
    (mpidr) => {
        Reset::Mpidr
    };
    (actlr) => {
        Reset::Actlr
    };
    (amair) => {
        Reset::Amair
    };
    ($value:literal) => {
        Reset::Value($value)
    };
}

macro_rules! trap {
    (storage) => {
        Trap::Storage
    };
    (read_only) => {
        Trap::ReadOnly
    };
    (write_ignored) => {
        Trap::WriteIgnored
    };
    (raz) => {
        Trap::Raz
    };
    (raz_wi) => {
        Trap::RazWi
    };
    (undef) => {
        Trap::Undef
    };
    (id) => {
        Trap::Id
    };
    (id_undef) => {
        Trap::IdUndef
    };
    (vm_control) => {
        Trap::VmControl
    };
    (debug) => {
        Trap::Debug
    };
    (os_lock) => {
        Trap::OsLock
    };
    (clidr) => {
        Trap::Clidr
    };
    (ccsidr) => {
        Trap::Ccsidr
    };
    (counter) => {
        Trap::Counter
    };
    (timer) => {
        Trap::Timer
    };
}

macro_rules! user {
    (rw) => {
        User::Rw
    };
    (id) => {
        User::Id
    };
    (clidr) => {
        User::Clidr
    };
    (os_lock) => {
        User::OsLock
    };
    (counter) => {
        User::Counter
    };
    (core) => {
        User::Core
    };
    (none) => {
        User::None
    };
}

macro_rules! fgt {
    (none) => {
        None
    };
    (HFG $($bit:tt)*) => {
        Some(fgt!(@bit Hfg $($bit)*))
    };
    (HDFG $($bit:tt)*) => {
        Some(fgt!(@bit Hdfg $($bit)*))
    };
    (@bit $group:ident $bit:literal) => {
        fgt!(@bit $group $bit, false, false)
    };
    (@bit $group:ident n $bit:literal) => {
        fgt!(@bit $group $bit, true, false)
    };
    (@bit $group:ident n $bit:literal tracked) => {
        fgt!(@bit $group $bit, true, true)
    };
    (@bit $group:ident $bit:literal, $clear:literal, $tracks:literal) => {
        FgtBit {
            group: FgtGroup::$group,
            bit: $bit,
            traps_if_clear: $clear,
            tracks_writes: $tracks,
        }
    };
}

/// How many registers, and how far apart.
macro_rules! range {
    (count) => {
        1
    };
    (stride) => {
        0
    };
    (count $count:literal $step:ident) => {
        $count
    };
    (stride $count:literal op2) => {
        1
    };
    (stride $count:literal crm) => {
        8
    };
}

macro_rules! constant {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        pub const $name: Reg = Reg(FIRST[Ordinal::$name as usize]);
    };
    ($(#[$meta:meta])* $name:ident $count:literal) => {
        $(#[$meta])*
        pub const $name: RegRange<$count> = RegRange { first: FIRST[Ordinal::$name as usize] };
    };
}

macro_rules! table {
    ($(
        #[doc = $doc:literal] $(#[doc = $more:literal])*
        $name:ident $([$count:literal, $step:ident])? = $enc:tt
            class($($class:tt)*) gate($gate:ident) reset($reset:tt) trap($trap:ident)
            user($user:ident) fgt($($fgt:tt)*);
    )*) => {
        /// The rows' numbers. A name that occurs twice does not compile here.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[derive(Copy, Clone)]
        #[repr(u8)]
        enum Ordinal {
            $($name,)*
        }

        /// The table.
        pub static ROWS: [Row; ROW_COUNT] = ROWS_CONST;

        const ROW_COUNT: usize = [$(Ordinal::$name),*].len();

        const ROWS_CONST: [Row; ROW_COUNT] = [$(
            Row {
                name: stringify!($name),
                first: encoding!($enc),
                count: range!(count $($count $step)?),
                stride: range!(stride $($count $step)?),
                class: class!($enc $gate; $($class)*),
                gate: Feature::$gate,
                reset: reset!($reset),
                trap: trap!($trap),
                user: user!($user),
                fgt: fgt!($($fgt)*),
                doc: concat!($doc, $($more),*),
            },
        )*];

        // The architecture's spelling.
        #[allow(non_upper_case_globals)]
        impl Reg {
            $(constant!(#[doc = $doc] $(#[doc = $more])* $name $($count)?);)*
        }
    };
}

with_registers!(table);

/// The index of each row's first register.
const FIRST: [u16; ROW_COUNT] = {
    let mut first = [0; ROW_COUNT];
    let mut row = 1;
    while row < ROW_COUNT {
        first[row] = first[row - 1] + ROWS_CONST[row - 1].count;
        row += 1;
    }
    first
};

const COUNT: usize = (FIRST[ROW_COUNT - 1] + ROWS_CONST[ROW_COUNT - 1].count) as usize;

// What may be tracked is in the CPU at its own name for EL1, by itself, and is nobody else's; and its
// bit is its own.
const _: () = {
    let mut bits = 0u64;
    let mut row = 0;
    while row < ROW_COUNT {
        if let Some(fgt) = ROWS_CONST[row].fgt {
            if fgt.tracks_writes {
                assert!(matches!(fgt.group, FgtGroup::Hfg) && bits & (1 << fgt.bit) == 0);
                assert!(ROWS_CONST[row].count == 1);
                assert!(matches!(
                    ROWS_CONST[row].class,
                    Class::Deferred { shared: false, .. }
                ));
                bits |= 1 << fgt.bit;
            }
        }
        row += 1;
    }
};

/// The row of each register.
static ROW_OF: [u8; COUNT] = ROW_OF_CONST;

const ROW_OF_CONST: [u8; COUNT] = {
    let mut rows = [0; COUNT];
    let mut row = 0;
    while row < ROW_COUNT {
        let mut n = 0;
        while n < ROWS_CONST[row].count {
            rows[(FIRST[row] + n) as usize] = row as u8;
            n += 1;
        }
        row += 1;
    }
    rows
};

/// An encoding and its register.
type Entry = (u16, u16);

/// All registers in the order of their encodings. Two with one encoding do not compile here.
static BY_ENCODING: [Entry; COUNT] = {
    let mut sorted: [Entry; COUNT] = [(0, 0); COUNT];
    let mut filled = 0;
    let mut row = 0;
    while row < ROW_COUNT {
        let mut n = 0;
        while n < ROWS_CONST[row].count {
            let raw = ROWS_CONST[row].encoding(n).into_raw();
            let mut at = filled;
            while at > 0 && sorted[at - 1].0 >= raw {
                assert!(sorted[at - 1].0 != raw, "two rows have one encoding");
                sorted[at] = sorted[at - 1];
                at -= 1;
            }
            sorted[at] = (raw, FIRST[row] + n);
            filled += 1;
            n += 1;
        }
        row += 1;
    }
    sorted
};

impl Reg {
    /// The number of registers.
    pub const COUNT: usize = COUNT;

    /// Returns all registers, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u16).map(Self)
    }

    /// Returns the register with this index, or [`None`] if it is out of range.
    #[inline]
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < Self::COUNT {
            Some(Self(index as u16))
        } else {
            None
        }
    }

    /// Returns the index, which is below [`Reg::COUNT`].
    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the register with this encoding, or [`None`] if it has no row.
    #[inline]
    pub fn from_sysreg(encoding: SysReg) -> Option<Self> {
        let at = BY_ENCODING
            .binary_search_by_key(&encoding.into_raw(), |entry| entry.0)
            .ok()?;
        BY_ENCODING.get(at).map(|entry| Self(entry.1))
    }

    /// Returns the class, as a constant for those who generate code from the table.
    pub const fn class(self) -> Class {
        ROWS_CONST[ROW_OF_CONST[self.index()] as usize].class
    }

    /// Returns the register's bit in HFGWTR_EL2 if the trap of its writes may tell that it is to be
    /// saved, and 0 otherwise; a constant as [`class`](Self::class) is.
    pub const fn write_trap(self) -> u64 {
        match ROWS_CONST[ROW_OF_CONST[self.index()] as usize].fgt {
            Some(fgt) if fgt.tracks_writes => 1 << fgt.bit,
            _ => 0,
        }
    }

    /// Returns the row.
    #[inline]
    pub fn row(self) -> &'static Row {
        // In range by the invariants of the type and of the tables.
        &ROWS[usize::from(ROW_OF[self.index()])]
    }

    /// Returns the register's number within its row, 0 if that has one register only.
    #[inline]
    pub fn number(self) -> u16 {
        self.0 - FIRST[usize::from(ROW_OF[self.index()])]
    }

    /// Returns the encoding.
    #[inline]
    pub fn encoding(self) -> SysReg {
        self.row().encoding(self.number())
    }
}

/// Prints the name; that of a register of a range ends in its number.
impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)?;
        if self.row().count > 1 {
            write!(f, "[{}]", self.number())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
