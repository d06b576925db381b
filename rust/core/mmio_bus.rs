// SPDX-License-Identifier: GPL-2.0

//! Writes to devices of user space that need no exit: doorbells, which signal an eventfd, and zones
//! whose writes are put into the ring of coalesced MMIO.
//!
//! Both are kept in sorted slices, which the caller owns; what is here finds the element that a write
//! goes to, and the place of a new one.
//!
//! Source: api.rst, "4.59 KVM_IOEVENTFD" and "4.116 KVM_(UN)REGISTER_COALESCED_MMIO".

use crate::esr::AccessSize;
use core::cmp::Reverse;

/// A guest's write to where no memory is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// The guest physical address of its first byte.
    pub ipa: u64,
    /// Its size.
    pub size: AccessSize,
    /// Its bytes as they are in memory, zeroes behind them.
    pub data: [u8; 8],
}

impl Write {
    /// The number of its bytes: 1, 2, 4 or 8.
    #[inline]
    pub const fn bytes(&self) -> u8 {
        self.size.bytes()
    }

    /// The value that the host, which is little-endian, sees.
    #[inline]
    pub const fn value(&self) -> u64 {
        u64::from_le_bytes(self.data)
    }
}

/// What addresses are of.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Space {
    /// The guest's physical addresses.
    Memory,
    /// I/O ports, which the architecture does not have: nothing ever writes there. VMMs that know
    /// devices with ports as well, such as legacy virtio-pci, name them nevertheless.
    Ports,
}

/// KVM_IOEVENTFD_FLAG_DATAMATCH: only writes of one value count.
pub const IOEVENTFD_DATAMATCH: u32 = 1 << 0;
/// KVM_IOEVENTFD_FLAG_PIO: the address is that of a port.
pub const IOEVENTFD_PIO: u32 = 1 << 1;
/// KVM_IOEVENTFD_FLAG_DEASSIGN: the eventfd is to be detached.
pub const IOEVENTFD_DEASSIGN: u32 = 1 << 2;

/// The arguments do not name a doorbell; EINVAL.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadDoorbell {
    /// The length is none that a write has, nor 0.
    Length(u32),
    /// The address range wraps around.
    Wraps,
    /// A flag that is not known, or that of a machine with subchannels.
    Flags(u32),
    /// A value to compare with, and no length.
    DataWithoutLength,
}

/// Which writes ring a doorbell.
///
/// The order of two is that of their spaces, then of their addresses, their lengths, and their values,
/// one without a value first.
///
/// # Invariants
///
/// The length is 0, 1, 2, 4 or 8, and there is no value if it is 0.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Doorbell {
    space: Space,
    address: u64,
    len: u8,
    value: Option<u64>,
}

impl Doorbell {
    /// Returns what the arguments of KVM_IOEVENTFD name; of the flags, DEASSIGN says nothing here.
    ///
    /// # Errors
    ///
    /// [`BadDoorbell`], which is EINVAL.
    pub fn new(address: u64, len: u32, flags: u32, datamatch: u64) -> Result<Self, BadDoorbell> {
        let unknown = flags & !(IOEVENTFD_DATAMATCH | IOEVENTFD_PIO | IOEVENTFD_DEASSIGN);
        if unknown != 0 {
            return Err(BadDoorbell::Flags(unknown));
        }
        let len = match len {
            0 | 1 | 2 | 4 | 8 => len as u8,
            _ => return Err(BadDoorbell::Length(len)),
        };
        address.checked_add(len.into()).ok_or(BadDoorbell::Wraps)?;
        let space = if flags & IOEVENTFD_PIO != 0 {
            Space::Ports
        } else {
            Space::Memory
        };
        let value = (flags & IOEVENTFD_DATAMATCH != 0).then_some(datamatch);
        if value.is_some() && len == 0 {
            return Err(BadDoorbell::DataWithoutLength);
        }
        Ok(Self {
            space,
            address,
            len,
            value,
        })
    }

    /// Whether the write rings it.
    #[inline]
    pub fn matches(&self, write: &Write) -> bool {
        (self.space, self.address) == (Space::Memory, write.ipa)
            && (self.len == 0 || self.len == write.bytes())
            && self.value.is_none_or(|value| value == write.value())
    }

    /// Where it is.
    const fn place(&self) -> (Space, u64) {
        (self.space, self.address)
    }

    /// Whether there is a write that would ring both.
    pub fn collides(&self, other: &Self) -> bool {
        let value = match (self.value, other.value) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.place() == other.place()
            && (self.len == 0 || other.len == 0 || self.len == other.len && value)
    }
}

/// An element of a slice that has a doorbell.
pub trait HasDoorbell {
    /// The doorbell.
    fn doorbell(&self) -> &Doorbell;
}

/// Returns the index where `new` is to be inserted into `sorted`, whose doorbells are in ascending
/// order, of which no two are rung by the same write; [`None`], which is EEXIST, if one of them and
/// the new one would be.
pub fn place_of<T: HasDoorbell>(sorted: &[T], new: &Doorbell) -> Option<usize> {
    let first = sorted.partition_point(|known| known.doorbell().place() < new.place());
    let collides = sorted
        .get(first..)?
        .iter()
        .take_while(|known| known.doorbell().place() == new.place())
        .any(|known| known.doorbell().collides(new));

    (!collides).then(|| sorted.partition_point(|known| known.doorbell() < new))
}

/// Returns the index of `doorbell` itself in `sorted`, which is as in [`place_of`]; [`None`], which is
/// ENOENT, if it is not there.
pub fn index_of<T: HasDoorbell>(sorted: &[T], doorbell: &Doorbell) -> Option<usize> {
    sorted
        .binary_search_by(|known| known.doorbell().cmp(doorbell))
        .ok()
}

/// Returns the element of `sorted`, which is as in [`place_of`], that the write rings: none or one.
#[inline]
pub fn rung<'a, T: HasDoorbell>(sorted: &'a [T], write: &Write) -> Option<&'a T> {
    // If there is one, it is the last that is not behind the one with the write's own length and
    // value. For a doorbell without a length is alone at its address, and one without a value is
    // alone with its length there.
    let most = Doorbell {
        space: Space::Memory,
        address: write.ipa,
        len: write.bytes(),
        value: Some(write.value()),
    };
    let behind = sorted.partition_point(|known| *known.doorbell() <= most);
    let last = sorted.get(behind.checked_sub(1)?)?;

    last.doorbell().matches(write).then_some(last)
}

/// A range of addresses the writes to which can wait for user space.
///
/// # Invariants
///
/// `start` is not above `end`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    space: Space,
    start: u64,
    end: u64,
}

impl Zone {
    /// The most zones of a VM, as C KVM has it; ENOSPC.
    pub const MAX: usize = 1000;

    /// Returns the zone of `size` bytes; [`None`], which is EINVAL, if it wraps around.
    pub const fn new(space: Space, start: u64, size: u32) -> Option<Self> {
        match start.checked_add(size as u64) {
            Some(end) => Some(Self { space, start, end }),
            None => None,
        }
    }

    /// Whether all of the write goes to it.
    #[inline]
    pub fn has(&self, write: &Write) -> bool {
        Self::new(Space::Memory, write.ipa, write.bytes().into())
            .is_some_and(|written| self.contains(&written))
    }

    /// Whether all of the other zone is in it: what makes KVM_UNREGISTER_COALESCED_MMIO of the other
    /// one remove it.
    #[inline]
    pub fn contains(&self, other: &Self) -> bool {
        self.space == other.space && self.start <= other.start && other.end <= self.end
    }

    /// The order for [`maximal`]: by space and start, of those that start together the largest first.
    pub const fn order(&self) -> (Space, u64, Reverse<u64>) {
        (self.space, self.start, Reverse(self.end))
    }
}

/// Returns those of `zones`, which are in [`Zone::order`], that are in no other one; of equal ones,
/// the first. They are all that [`zone_of`] needs to look at.
pub fn maximal<'a>(zones: impl Iterator<Item = &'a Zone>) -> impl Iterator<Item = &'a Zone> {
    let mut reach = None;

    // Those before it do not start behind it, so that it is in none of them is that it goes on
    // beyond the end of all.
    zones.filter(move |zone| {
        let end = Some((zone.space, zone.end));
        let is_maximal = end > reach;
        if is_maximal {
            reach = end;
        }
        is_maximal
    })
}

/// Returns a zone that has the write, out of [`maximal`] ones.
#[inline]
pub fn zone_of<'a>(maximal: &'a [Zone], write: &Write) -> Option<&'a Zone> {
    // Their ends ascend as their starts do, so the last one that does not start behind the write
    // goes farthest.
    let behind =
        maximal.partition_point(|zone| (zone.space, zone.start) <= (Space::Memory, write.ipa));
    let last = maximal.get(behind.checked_sub(1)?)?;

    last.has(write).then_some(last)
}
