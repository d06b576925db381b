// SPDX-License-Identifier: GPL-2.0

//! How one field of an ID register may be written, and what limits it.

use crate::{
    bit_struct::FieldInfo,
    vm_idreg::config::Source, //
};

/// What values of a field KVM_SET_ONE_REG takes. The limit itself is always among them.
///
/// "Smaller" is by the field's sign. Source: Arm ARM, "Principles of the ID scheme for fields in ID
/// registers", and for which field has which rule, what Linux does.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// The limit only.
    Fixed,
    /// The limit only. The host's own value is taken for it: earlier kernels showed that.
    FixedOrHost,
    /// The limit only. Zero is taken for it: earlier kernels showed that.
    FixedOrZero,
    /// The limit and all that is smaller, down to this value.
    DownTo(i64),
    /// Zero, and what is in between this value and the limit. All ones, an implementation defined
    /// PMU, is taken for zero: earlier kernels showed that.
    Pmu(i64),
    /// The limit and all that is larger: the field says that something bad may happen.
    Higher,
    /// The limit and this value.
    Or(u64),
}

impl Write {
    /// The limit and all that is smaller, of an unsigned field.
    pub const LOWER: Self = Self::DownTo(0);

    /// The limit and all that is smaller, of a signed field.
    pub const LOWER_SIGNED: Self = Self::DownTo(i64::MIN);

    /// Whether the field's bits are set in the mask of writable bits.
    pub const fn is_writable(self) -> bool {
        !matches!(self, Self::Fixed | Self::FixedOrHost | Self::FixedOrZero)
    }
}

/// The largest value of a field in a VM; from it all writes are judged, and it is the value that the
/// field starts with.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Limit {
    /// The host's value.
    Host,
    /// Zero: no VM has this.
    Hidden,
    /// The host's value, but not more than this one.
    AtMost(u64),
    /// The host's value if the condition holds, zero if not.
    If(fn(&Source<'_>) -> bool),
    /// What the function makes of the host's value.
    By(fn(&Source<'_>, u64) -> u64),
}

/// One field of the table.
#[derive(Copy, Clone, Debug)]
pub struct Field {
    /// Its name and its bits.
    pub info: FieldInfo,
    /// How it may be written.
    pub write: Write,
    pub(crate) limit: Limit,
}

impl Field {
    /// Returns the field of `fields` with this name; there must be one.
    pub(crate) const fn named(
        fields: &[FieldInfo],
        name: &str,
        write: Write,
        limit: Limit,
    ) -> Self {
        match FieldInfo::find(fields, name) {
            Some(info) => Self { info, write, limit },
            None => panic!("the register has no such field"),
        }
    }

    /// Returns a field of a register that has no type of its own.
    pub(crate) const fn unnamed(info: FieldInfo, write: Write, limit: Limit) -> Self {
        Self { info, write, limit }
    }

    /// Returns the field of a VM as its VMM may leave it at most, in place.
    pub(crate) fn limit(&self, source: &Source<'_>, host: u64) -> u64 {
        let host = self.info.extract(host);
        let limit = match self.limit {
            Limit::Host => host,
            Limit::Hidden => 0,
            Limit::AtMost(most) => host.min(most),
            Limit::If(condition) => {
                if condition(source) {
                    host
                } else {
                    0
                }
            }
            Limit::By(limit) => limit(source, host),
        };
        self.insert(0, limit)
    }

    /// Returns `value` with the field's bits replaced by those that `limit` stands for, if the
    /// field has a value that earlier kernels showed; all three are whole registers.
    pub(crate) fn normalise(&self, value: u64, limit: u64, host: u64) -> u64 {
        let field = self.info.extract(value);
        match self.write {
            Write::FixedOrHost if field == self.info.extract(host) => {
                self.insert(value, self.info.extract(limit))
            }
            Write::FixedOrZero if field == 0 => self.insert(value, self.info.extract(limit)),
            Write::Pmu(_) if field == self.info.extract(u64::MAX) => self.insert(value, 0),
            _ => value,
        }
    }

    /// Whether the field of `value` is one that a VM may have whose limit is `limit`.
    pub(crate) fn accepts(&self, value: u64, limit: u64) -> bool {
        let (raw, raw_limit) = (self.info.extract(value), self.info.extract(limit));
        if raw == raw_limit {
            return true;
        }
        let (value, limit) = (self.number(raw), self.number(raw_limit));
        match self.write {
            Write::Fixed | Write::FixedOrHost | Write::FixedOrZero => false,
            Write::DownTo(least) => value >= least && value <= limit,
            Write::Pmu(least) => value == 0 || (value >= least && value <= limit),
            Write::Higher => value >= limit,
            Write::Or(other) => raw == other,
        }
    }

    /// Returns `register` with the field replaced by `value`.
    fn insert(&self, register: u64, value: u64) -> u64 {
        let mask = self.info.mask();
        (register & !mask) | (value.checked_shl(self.info.lo).unwrap_or(0) & mask)
    }

    /// Returns the number that the field's bits stand for.
    fn number(&self, raw: u64) -> i64 {
        if !self.info.signed {
            return raw as i64;
        }
        let unused = u64::BITS - 1 - (self.info.hi - self.info.lo);
        ((raw << unused) as i64) >> unused
    }
}
