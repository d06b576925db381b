// SPDX-License-Identifier: GPL-2.0

//! What a mapping allows, and what kind of memory it maps.

use crate::bit_enum;

bit_enum! {
    /// Who can execute, as XN\[1:0\] of a descriptor has it.
    ///
    /// Without FEAT_XNX the lower bit is RES0, and there are only [`Execute::All`] and
    /// [`Execute::Never`].
    pub enum Execute: 2 {
        /// EL1 and EL0.
        All = 0,
        /// EL0 only (FEAT_XNX).
        El0 = 1,
        /// Nobody.
        Never = 2,
        /// EL1 only (FEAT_XNX).
        El1 = 3,
    }
}

impl Execute {
    /// Whether EL0 can execute.
    #[inline]
    pub const fn at_el0(self) -> bool {
        matches!(self, Self::All | Self::El0)
    }

    /// Whether EL1 can execute.
    #[inline]
    pub const fn at_el1(self) -> bool {
        matches!(self, Self::All | Self::El1)
    }

    /// Returns the permission by its two parts.
    #[inline]
    pub const fn by_level(el1: bool, el0: bool) -> Self {
        match (el1, el0) {
            (true, true) => Self::All,
            (false, true) => Self::El0,
            (true, false) => Self::El1,
            (false, false) => Self::Never,
        }
    }
}

/// What a guest may do with a mapping, as far as stage 2 is concerned.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Permissions {
    /// S2AP\[0\].
    pub read: bool,
    /// S2AP\[1\].
    pub write: bool,
    /// XN.
    pub execute: Execute,
}

impl Permissions {
    /// Nothing.
    pub const NONE: Self = Self::new(false, false, false);

    /// Returns the permissions, execution by all or nobody.
    #[inline]
    pub const fn new(read: bool, write: bool, execute: bool) -> Self {
        Self {
            read,
            write,
            execute: Execute::by_level(execute, execute),
        }
    }

    /// Returns what either allows.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            write: self.write || other.write,
            execute: Execute::by_level(
                self.execute.at_el1() || other.execute.at_el1(),
                self.execute.at_el0() || other.execute.at_el0(),
            ),
        }
    }

    /// Whether everything that `other` allows is allowed.
    #[inline]
    pub fn contains(self, other: Self) -> bool {
        self.union(other) == self
    }
}

/// The kind of memory that a mapping gives to the guest.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum MemoryType {
    /// Normal, write-back cacheable: the host's memory. The guest's stage 1 can make it less
    /// cacheable, unless stage 2 forces write-back (FEAT_S2FWB).
    Normal,
    /// Normal, non-cacheable: device memory that allows write combining and unaligned accesses.
    NormalNonCacheable,
    /// Device-nGnRE.
    Device,
}

/// What a mapping may come to allow beyond its permissions without the host being asked again: they
/// are withheld for the VM's own reasons, such as a log of what is written.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Limit {
    /// Writing.
    pub write: bool,
    /// Execution.
    pub execute: bool,
}

impl Limit {
    /// Whether `permissions` are within the limit.
    #[inline]
    pub const fn allows(self, permissions: Permissions) -> bool {
        (self.write || !permissions.write)
            && (self.execute || matches!(permissions.execute, Execute::Never))
    }
}

/// Everything about a mapping but the address.
///
/// # Invariants
///
/// Device memory is not executable, nor may it become so: instruction fetches from it could have side
/// effects. The permissions are within the limit.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Attributes {
    permissions: Permissions,
    memory: MemoryType,
    limit: Limit,
}

impl Attributes {
    /// Returns the attributes, or [`None`] for device memory that is executable. The permissions are
    /// the limit.
    #[inline]
    pub const fn new(permissions: Permissions, memory: MemoryType) -> Option<Self> {
        match (memory, permissions.execute) {
            (MemoryType::Device, Execute::All | Execute::El0 | Execute::El1) => None,
            _ => Some(Self {
                permissions,
                memory,
                limit: Limit {
                    write: permissions.write,
                    execute: !matches!(permissions.execute, Execute::Never),
                },
            }),
        }
    }

    /// Returns the attributes with a limit that allows `limit`, too, as far as the memory does.
    #[inline]
    #[must_use]
    pub const fn with_limit(self, limit: Limit) -> Self {
        let device = matches!(self.memory, MemoryType::Device);
        Self {
            limit: Limit {
                write: self.limit.write || limit.write,
                execute: self.limit.execute || (limit.execute && !device),
            },
            ..self
        }
    }

    /// Returns what the mapping may come to allow.
    #[inline]
    pub const fn limit(self) -> Limit {
        self.limit
    }

    /// Returns what the guest may do.
    #[inline]
    pub const fn permissions(self) -> Permissions {
        self.permissions
    }

    /// Returns the kind of memory.
    #[inline]
    pub const fn memory(self) -> MemoryType {
        self.memory
    }
}
