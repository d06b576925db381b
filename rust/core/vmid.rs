// SPDX-License-Identifier: GPL-2.0

//! VMIDs: the numbers by which TLBs tell VMs apart.
//!
//! There are fewer VMIDs than VMs may come and go. They are given out in generations: once all are
//! taken, a new generation starts in which all are free again, except those that are in use on a
//! CPU in this moment, which keep their meaning. Each CPU cleans its own TLB before it loads a VM
//! in the new generation, so that nothing of the old one is hit under a VMID with a new meaning.
//!
//! Each CPU has an *active* word ([`Active`]) that says which VM it has loaded. A CPU changes its
//! own without a lock; starting a generation takes all of them away:
//!
//! - [`is_loaded`], before each entry of a guest: one load of the CPU's own word.
//! - [`try_load`], when another VM is loaded: two loads and a compare-exchange of the own word.
//! - [`Allocator::load`], when these fail: under a lock.
//! - [`unload`], when the VM is put.
//!
//! Until the CPU has the VM loaded, preemption is off, and from there to the guest's exit
//! interrupts are, so that the CPU notices at the latest at its next entry that its word is gone.
//!
//! Source: Arm ARM, "VTTBR_EL2" and "TLB maintenance".

use core::{
    fmt,
    num::NonZeroU64,
    ops::DerefMut, //
};

/// A VMID and the generation in which it was given out.
///
/// # Invariants
///
/// Bits 15 to 0 are the VMID, not 0, which is the host's. Bits 63 to 16 are the generation, not 0.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Vmid(NonZeroU64);

/// A generation of VMIDs, in bits 63 to 16 of a [`Vmid`]; never 0.
///
/// 2^48 of them do not run out: one takes more than 200 VM loads.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Generation(u64);

impl Generation {
    /// The first generation.
    pub const FIRST: Self = Self(1 << 16);

    /// Returns the generation that [`Self::into_raw`] made `raw` of; [`None`] for any other number.
    #[inline]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        if raw != 0 && raw & 0xffff == 0 {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// Returns the generation as a number, for an atomic variable.
    #[inline]
    pub const fn into_raw(self) -> u64 {
        self.0
    }

    /// Returns the generation after this one; after the last the first, not 0.
    const fn next(self) -> Self {
        match self.0.checked_add(1 << 16) {
            Some(next) => Self(next),
            None => Self::FIRST,
        }
    }
}

impl Vmid {
    /// Returns the VMID `number` of `generation`, or [`None`] for number 0.
    const fn new(generation: Generation, number: u16) -> Option<Self> {
        if number == 0 {
            return None;
        }
        match NonZeroU64::new(generation.0 | number as u64) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// Returns the VMID that [`Self::into_raw`] made `raw` of, or [`None`] for any other number,
    /// such as the 0 that a VM's variable starts with.
    #[inline]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match NonZeroU64::new(raw) {
            Some(nonzero) if raw as u16 != 0 && raw >> 16 != 0 => Some(Self(nonzero)),
            _ => None,
        }
    }

    /// Returns the VMID with its generation as a number, for an atomic variable.
    #[inline]
    pub const fn into_raw(self) -> u64 {
        self.0.get()
    }

    /// Returns the number, for VTTBR_EL2.
    #[inline]
    pub const fn number(self) -> u16 {
        self.0.get() as u16
    }

    /// Returns the generation.
    #[inline]
    pub const fn generation(self) -> Generation {
        Generation(self.0.get() & !0xffff)
    }

    /// Whether the VMID was given out in `generation`. If that is the current one, no other VM has
    /// it; if not, it may have been given to another.
    #[inline]
    pub fn is_current(self, generation: Generation) -> bool {
        self.generation() == generation
    }
}

impl fmt::Debug for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.number(), self.0.get() >> 16)
    }
}

/// What a CPU has loaded.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Active {
    /// A generation started since the CPU last went through [`Allocator::load`], or it never did.
    /// If it had a VM loaded, that VM's VMID is kept for it.
    Taken,
    /// No VM.
    Idle,
    /// A VM.
    Loaded(Vmid),
}

impl Active {
    /// Returns the word as a number, for an atomic variable; [`Self::Taken`] is 0.
    #[inline]
    pub const fn into_raw(self) -> u64 {
        match self {
            Self::Taken => 0,
            // No VMID: its generation is 0.
            Self::Idle => 1,
            Self::Loaded(vmid) => vmid.into_raw(),
        }
    }

    /// Returns the word that `raw` stands for; what [`Self::into_raw`] never returns is
    /// [`Self::Taken`], which is always safe.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        match (raw, Vmid::from_raw(raw)) {
            (1, _) => Self::Idle,
            (_, Some(vmid)) => Self::Loaded(vmid),
            (_, None) => Self::Taken,
        }
    }
}

/// The variables that CPUs use without a lock.
///
/// The words of the CPUs are numbered from 0 to one less than the allocator's number of CPUs. A
/// number out of range reads as [`Active::Taken`] and is not written.
pub trait Shared {
    /// Reads the current generation, with acquire semantics.
    fn generation(&self) -> Generation;

    /// Writes the current generation, with release semantics.
    fn set_generation(&self, generation: Generation);

    /// Reads the word of `cpu`.
    fn active(&self, cpu: usize) -> Active;

    /// Replaces the word of `cpu` atomically, fully ordered, and returns what it was.
    fn swap_active(&self, cpu: usize, new: Active) -> Active;

    /// Replaces the word of `cpu` if it is `old`, atomically and fully ordered. Returns whether it
    /// was.
    fn compare_exchange_active(&self, cpu: usize, old: Active, new: Active) -> bool;
}

/// Whether `cpu`, the current one, still has the VM with `vmid` loaded, so that it may enter it.
///
/// If another generation starts right after, the VMID is kept for this CPU.
#[inline]
pub fn is_loaded(shared: &impl Shared, cpu: usize, vmid: Vmid) -> bool {
    shared.active(cpu) == Active::Loaded(vmid)
}

/// Loads the VM with `vmid` on `cpu`, the current one, if that takes no lock: the VMID is of the
/// current generation, and the CPU has been through [`Allocator::load`] in it. Returns whether it
/// is loaded.
#[inline]
pub fn try_load(shared: &impl Shared, cpu: usize, vmid: Vmid) -> bool {
    // In this order: if a generation starts in between, the word is no longer what it was.
    let old = shared.active(cpu);
    old != Active::Taken
        && vmid.is_current(shared.generation())
        && shared.compare_exchange_active(cpu, old, Active::Loaded(vmid))
}

/// Unloads the VM with `vmid` from `cpu`, the current one.
///
/// Its VMID is then no longer kept when a generation starts. Nothing else is to use the VM's
/// translations on this CPU from now on: VTTBR_EL2 is no longer the VM's, or speculation that
/// would walk its tables is off.
#[inline]
pub fn unload(shared: &impl Shared, cpu: usize, vmid: Vmid) {
    // If the word was taken, it stays so: the CPU has yet to clean its TLB. The VMID is then kept
    // until the CPU's next load.
    let _ = shared.compare_exchange_active(cpu, Active::Loaded(vmid), Active::Idle);
}

/// What the allocator knows of one CPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct CpuState {
    /// The VMID that was in use on the CPU when this generation started, and may still be in use.
    /// It counts as taken in this generation.
    reserved: Option<Vmid>,
    /// The TLB may hold something of an earlier generation.
    stale: bool,
}

/// What the caller has to do with the result of [`Allocator::load`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Loaded {
    /// The VM's VMID from now on, to be stored for the VM's other vCPUs before the lock is dropped.
    pub vmid: Vmid,
    /// Whether the CPU's TLB has to be cleaned of all VMs (TLBI ALLE1, DSB NSH, ISB), and of
    /// instructions that are cached by VMID, before VTTBR_EL2 is written and a guest is entered.
    pub invalidate: bool,
}

/// Why there is no allocator.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadStorage {
    /// The bitmap has not one bit for each VMID of 8 or 16 bits.
    Bitmap,
    /// As many CPUs as VMIDs or more, or none: all VMIDs could be kept for a CPU.
    Cpus,
}

/// Gives out VMIDs. The caller has it under a lock that is held with interrupts or preemption off.
///
/// `B` is a bitmap of 4 or 1024 words, one bit for each VMID of 8 or 16 bits. `C` has an element
/// for each possible CPU.
#[derive(Debug)]
pub struct Allocator<B, C> {
    /// VMIDs that were given out in this generation or are kept from an earlier one.
    used: B,
    cpus: C,
    generation: Generation,
    /// Where to look for a free VMID next.
    next: u16,
}

impl<B, C> Allocator<B, C>
where
    B: DerefMut<Target = [u64]>,
    C: DerefMut<Target = [CpuState]>,
{
    /// Returns an allocator that has given out nothing yet.
    ///
    /// `shared` is initialised: the first generation, and all words [`Active::Taken`]. TLBs need
    /// not be clean; each CPU cleans its own at its first load.
    ///
    /// # Errors
    ///
    /// [`BadStorage`] for a bitmap or a number of CPUs that cannot be.
    pub fn new(mut used: B, mut cpus: C, shared: &impl Shared) -> Result<Self, BadStorage> {
        let count = match used.len() {
            4 => 1 << 8,
            1024 => 1 << 16,
            _ => return Err(BadStorage::Bitmap),
        };
        // VMID 0 is not given out, and one has to be left beside those that are kept.
        if cpus.is_empty() || cpus.len() >= count - 1 {
            return Err(BadStorage::Cpus);
        }
        used.fill(0);
        cpus.fill(CpuState {
            reserved: None,
            stale: true,
        });
        shared.set_generation(Generation::FIRST);
        for cpu in 0..cpus.len() {
            shared.swap_active(cpu, Active::Taken);
        }
        Ok(Self {
            used,
            cpus,
            generation: Generation::FIRST,
            next: 1,
        })
    }

    /// Loads a VM on `cpu`, the current one. `vmid` is what the VM has, read under the lock;
    /// [`None`] if it never had one. It keeps that while it can, and gets another otherwise.
    ///
    /// [`None`] for a CPU without an element.
    pub fn load(&mut self, shared: &impl Shared, cpu: usize, vmid: Option<Vmid>) -> Option<Loaded> {
        if cpu >= self.cpus.len() {
            return None;
        }
        let vmid = match vmid {
            Some(vmid) if vmid.is_current(self.generation) => vmid,
            old => self.assign(shared, old)?,
        };
        let invalidate = core::mem::take(&mut self.cpus.get_mut(cpu)?.stale);
        shared.swap_active(cpu, Active::Loaded(vmid));
        Some(Loaded { vmid, invalidate })
    }

    /// Returns a VMID of the current generation, which may be a new one, for a VM that had `old`.
    fn assign(&mut self, shared: &impl Shared, old: Option<Vmid>) -> Option<Vmid> {
        if let Some(old) = old {
            let again = Vmid::new(self.generation, old.number())?;
            let mut kept = false;
            for state in self.cpus.iter_mut() {
                if state.reserved == Some(old) {
                    // All that keep it know it by its new generation, should that end before the
                    // CPU gets here.
                    state.reserved = Some(again);
                    kept = true;
                }
            }
            // Nobody else has it, or got it: the VM's number stays the same.
            if kept || self.take(old.number()) {
                return Some(again);
            }
        }
        let number = match self.take_any() {
            Some(number) => number,
            None => {
                self.start_generation(shared);
                self.take_any()?
            }
        };
        Vmid::new(self.generation, number)
    }

    /// Starts a generation, in which only those VMIDs are taken that may be in use on a CPU.
    fn start_generation(&mut self, shared: &impl Shared) {
        self.generation = self.generation.next();
        shared.set_generation(self.generation);
        self.used.fill(0);
        for cpu in 0..self.cpus.len() {
            let active = shared.swap_active(cpu, Active::Taken);
            let Some(state) = self.cpus.get_mut(cpu) else {
                continue;
            };
            match active {
                // It may still run what it ran before, two generations ago and more.
                Active::Taken => {}
                Active::Idle => state.reserved = None,
                Active::Loaded(vmid) => state.reserved = Some(vmid),
            }
            state.stale = true;
            if let Some(vmid) = state.reserved {
                self.take(vmid.number());
            }
        }
    }

    /// Takes `number` if it is free. Returns whether it was.
    fn take(&mut self, number: u16) -> bool {
        let Some(word) = self.used.get_mut(usize::from(number / 64)) else {
            return false;
        };
        let bit = 1 << (number % 64);
        let free = *word & bit == 0;
        *word |= bit;
        free
    }

    /// Takes a free VMID, the first from `self.next` on.
    fn take_any(&mut self) -> Option<u16> {
        let count = self.used.len() * 64;
        let from = usize::from(self.next);
        let number = (from..count).chain(1..from).find(|number| {
            let word = self.used.get(number / 64);
            word.is_some_and(|word| (word >> (number % 64)) & 1 == 0)
        })?;
        let number = u16::try_from(number).ok()?;
        self.take(number);
        self.next = if usize::from(number) + 1 < count {
            number + 1
        } else {
            1
        };
        Some(number)
    }
}
