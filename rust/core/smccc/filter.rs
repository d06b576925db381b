// SPDX-License-Identifier: GPL-2.0

//! The filter of calls that user space can put before a VM's firmware.
//!
//! Source: Documentation/virt/kvm/devices/vm.rst, "KVM_ARM_VM_SMCCC_CTRL".

use core::{
    fmt,
    mem, //
};

use crate::{
    bit_enum,
    bits::Bits,
    smccc::function::{
        FunctionId,
        Owner, //
    },
};

/// KVM_ARM_VM_SMCCC_CTRL: the group of VM attributes that the filter is set by.
pub const KVM_ARM_VM_SMCCC_CTRL: u32 = 0;

/// KVM_ARM_VM_SMCCC_FILTER: the group's one attribute. It can be set and not be read.
pub const KVM_ARM_VM_SMCCC_FILTER: u64 = 0;

bit_enum! {
    /// `enum kvm_smccc_filter_action`: what becomes of a call.
    pub enum Action: 8 {
        /// It is handled in the kernel, as without a filter.
        Handle = 0,
        /// It returns NOT_SUPPORTED.
        Deny = 1,
        /// User space handles it, by KVM_EXIT_HYPERCALL.
        ForwardToUser = 2,
    }
}

/// `struct kvm_smccc_filter`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct KvmSmcccFilter {
    /// The first function.
    pub base: u32,
    /// The number of functions, at least 1.
    pub nr_functions: u32,
    /// An [`Action`].
    pub action: u8,
    /// Zero.
    pub pad: [u8; 15],
}

const _: () = {
    assert!(mem::size_of::<KvmSmcccFilter>() == 24);
    assert!(mem::align_of::<KvmSmcccFilter>() == 4);
    assert!(mem::offset_of!(KvmSmcccFilter, nr_functions) == 4);
    assert!(mem::offset_of!(KvmSmcccFilter, action) == 8);
    assert!(mem::offset_of!(KvmSmcccFilter, pad) == 9);
};

impl KvmSmcccFilter {
    /// Returns the structure that user space has in these bytes.
    #[inline]
    pub const fn from_ne_bytes(bytes: &[u8; 24]) -> Self {
        let [b0, b1, b2, b3, n0, n1, n2, n3, action, pad @ ..] = *bytes;
        Self {
            base: u32::from_ne_bytes([b0, b1, b2, b3]),
            nr_functions: u32::from_ne_bytes([n0, n1, n2, n3]),
            action,
            pad,
        }
    }
}

/// User space describes no range of functions; EINVAL.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadFilter {
    /// There are no functions in it.
    Empty,
    /// It goes on beyond the last function.
    Wraps,
    /// There is no such action.
    Action(u8),
    /// The padding is not zero.
    Padding,
}

impl fmt::Display for BadFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an SMCCC filter for no function"),
            Self::Wraps => f.write_str("an SMCCC filter beyond the last function"),
            Self::Action(action) => write!(f, "SMCCC filter action {action} does not exist"),
            Self::Padding => f.write_str("an SMCCC filter with padding that is not zero"),
        }
    }
}

/// A range of functions and what becomes of calls to them.
///
/// # Invariants
///
/// `first` is not above `last`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FilterRange {
    first: u32,
    last: u32,
    action: Action,
}

impl FilterRange {
    /// Returns the range that user space describes.
    ///
    /// # Errors
    ///
    /// [`BadFilter`], which is EINVAL, if it does not describe one.
    pub fn new(filter: &KvmSmcccFilter) -> Result<Self, BadFilter> {
        if filter.pad.iter().any(|byte| *byte != 0) {
            return Err(BadFilter::Padding);
        }
        let more = filter.nr_functions.checked_sub(1).ok_or(BadFilter::Empty)?;
        let last = filter.base.checked_add(more).ok_or(BadFilter::Wraps)?;
        let action =
            Action::from_bits(Bits::from(filter.action)).ok_or(BadFilter::Action(filter.action))?;
        Ok(Self {
            first: filter.base,
            last,
            action,
        })
    }

    /// Returns the first function.
    #[inline]
    pub const fn first(&self) -> FunctionId {
        FunctionId::new(self.first)
    }

    /// Returns the last function.
    #[inline]
    pub const fn last(&self) -> FunctionId {
        FunctionId::new(self.last)
    }

    /// Returns what becomes of a call.
    #[inline]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// Whether the range has a function that user space may not filter.
    ///
    /// Those are the fast calls of the architecture. By them a guest learns whether it is safe from
    /// speculation attacks, and only the kernel knows.
    const fn has_reserved(&self) -> bool {
        let arch32 = FunctionId::fast32(Owner::Arch, 0).raw();
        let arch64 = FunctionId::fast64(Owner::Arch, 0).raw();
        self.meets(arch32, arch32 | 0xffff) || self.meets(arch64, arch64 | 0xffff)
    }

    /// Whether one of `first` to `last` is in the range.
    const fn meets(&self, first: u32, last: u32) -> bool {
        self.first <= last && first <= self.last
    }
}

/// The storage of a filter.
pub trait RangeStore {
    /// Returns the ranges.
    fn ranges(&self) -> &[FilterRange];

    /// Puts `range` before the one at `index`, which is at most their number.
    ///
    /// # Errors
    ///
    /// [`StoreFull`] if there is no room or memory for it; nothing is changed then.
    fn insert(&mut self, index: usize, range: FilterRange) -> Result<(), StoreFull>;
}

/// There is no room for another range.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct StoreFull;

/// Why a range is not taken into the filter.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FilterError {
    /// It has a function that the filter has already, or one of the architecture; EEXIST.
    Exists,
    /// There is no room for another range; ENOMEM.
    NoMemory,
}

impl From<StoreFull> for FilterError {
    fn from(_: StoreFull) -> Self {
        Self::NoMemory
    }
}

/// A VM's filter. Functions of no range are handled.
///
/// A vCPU that runs reads it, without a lock, so from the first KVM_RUN on it must only be shared:
/// an attempt to change it gets EBUSY, after [`FilterRange::new`] has found nothing to object to.
///
/// # Invariants
///
/// The ranges are in ascending order and no function is in two of them.
#[derive(Debug)]
pub struct Filter<S> {
    store: S,
}

impl<S: RangeStore> Filter<S> {
    /// Returns a filter of the ranges that `empty`, which has none, will have.
    ///
    /// [`None`] if it has any.
    pub fn new(empty: S) -> Option<Self> {
        empty.ranges().is_empty().then_some(Self { store: empty })
    }

    /// Adds a range.
    ///
    /// # Errors
    ///
    /// [`FilterError`]; nothing is changed then.
    pub fn insert(&mut self, range: FilterRange) -> Result<(), FilterError> {
        if range.has_reserved() {
            return Err(FilterError::Exists);
        }
        let ranges = self.store.ranges();
        // Of those that end before the new one starts none can meet it; of the others, if any can,
        // the first does.
        let index = ranges.partition_point(|known| known.last < range.first);
        if ranges
            .get(index)
            .is_some_and(|known| known.meets(range.first, range.last))
        {
            return Err(FilterError::Exists);
        }
        Ok(self.store.insert(index, range)?)
    }

    /// Returns what becomes of a call of `function`.
    ///
    /// Nearly all VMs have no filter, which costs one comparison; otherwise it is a binary search.
    #[inline]
    pub fn action(&self, function: FunctionId) -> Action {
        let ranges = self.store.ranges();
        if ranges.is_empty() {
            return Action::Handle;
        }
        lookup(ranges, function)
    }
}

/// Returns what `ranges`, which are in order, say of `function`.
///
/// Inline, as a call would have its caller save registers for VMs without a filter too.
#[inline]
fn lookup(ranges: &[FilterRange], function: FunctionId) -> Action {
    let index = ranges.partition_point(|known| known.last < function.raw());
    match ranges.get(index) {
        Some(range) if range.first <= function.raw() => range.action,
        _ => Action::Handle,
    }
}
