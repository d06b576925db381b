// SPDX-License-Identifier: GPL-2.0

//! A vCPU's CPU interface in a GICv2: which interrupt it is signalled, and the registers by which it
//! takes and ends interrupts.
//!
//! The distributor's choice comes first: of what is pending, enabled, in a group that it forwards and
//! not active, the one with the highest priority, and of those the one with the lowest number. The CPU
//! interface then signals that one or none, so one whose group it has disabled holds up the others.
//! The active priorities of both groups are in one register, as GICV_APR\<n\> has them.
//!
//! Where the architecture leaves it open: GICC_EOIR ends interrupts of group 1 whatever
//! GICC_CTLR.AckCtl says, GICC_AEOIR ignores those of group 0, writes of GICC_DIR with EOImode 0 are
//! ignored, and so is the sender in what is written to them.
//!
//! Source: IHI 0048, "CPU interface register descriptions", "Interrupt prioritization", "Special
//! interrupt numbers"; Documentation/virt/kvm/devices/arm-vgic.rst,
//! "KVM_DEV_ARM_VGIC_GRP_CPU_REGS".

use super::super::{
    candidates::{
        Candidates,
        Marks,
        Word, //
    },
    cell::IrqCell,
    interrupts::{
        Groups,
        Interrupts, //
    },
    intid::IntId,
    irq::{
        Irq,
        PRIORITY_BITS,
        PRIORITY_MASK, //
    },
};
use crate::{
    bit_struct,
    bits::Bits,
    esr::AccessSize, //
};

/// The size of the two frames that follow each other, in bytes.
pub const FRAME_SIZE: u32 = 0x2000;

/// The bits of a priority that do not exist.
const PRIORITY_SHIFT: u32 = u8::BITS - PRIORITY_BITS;

/// The least binary point of group 0, with which all bits of a priority are of the group priority.
const MIN_BPR: Bits<3> = Bits::of::<{ PRIORITY_SHIFT as u64 - 1 }>();

/// The least one of group 1.
const MIN_ABPR: Bits<3> = Bits::of::<{ PRIORITY_SHIFT as u64 }>();

/// How often GICC_IAR chooses an interrupt that somebody else changes before it is taken.
const TAKE_ROUNDS: u32 = 4;

/// No interrupt.
const SPURIOUS: u32 = 1023;

/// There is one of group 1, and this register is not for it.
const OTHER_GROUP: u32 = 1022;

/// GICC_RPR while no interrupt is active.
const IDLE_PRIORITY: u8 = u8::MAX;

/// GICC_IIDR: KVM's product, of architecture version 2, by Arm.
const IIDR: u32 = (0x4b << 20) | (2 << 16) | 0x43b;

bit_struct! {
    /// GICC_CTLR. There is no bypass.
    pub struct GiccCtlr("GICC_CTLR") {
        /// Signals interrupts of group 0.
        enable_grp0 / with_enable_grp0: flag 0,
        /// Signals interrupts of group 1.
        enable_grp1 / with_enable_grp1: flag 1,
        /// GICC_IAR acknowledges interrupts of group 1, too.
        ack_ctl / with_ack_ctl: flag 2,
        /// Group 0 is signalled as FIQs.
        fiq_en / with_fiq_en: flag 3,
        /// GICC_BPR is for group 1, too.
        cbpr / with_cbpr: flag 4,
        /// Ending an interrupt does not deactivate it.
        eoi_mode / with_eoi_mode: flag 9,
    }
}

/// What the CPU interface signals to the vCPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Signals {
    /// HCR_EL2.VI.
    pub irq: bool,
    /// HCR_EL2.VF.
    pub fiq: bool,
}

impl Signals {
    /// Whether there is one, which ends a WFI.
    #[inline]
    pub const fn any(self) -> bool {
        self.irq || self.fiq
    }
}

/// A register.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Register {
    Ctlr,
    Pmr,
    Bpr,
    /// GICC_IAR or, if so, GICC_AIAR. The others have such aliases, too.
    Iar(bool),
    Eoir(bool),
    Rpr,
    Hppir(bool),
    Abpr,
    Apr,
    /// GICC_APR1 to GICC_APR3: there are no such priorities.
    NoApr,
    Iidr,
    Dir,
}

/// Returns the register at `offset`. There are only words.
#[inline]
const fn decode(offset: u32, size: AccessSize) -> Option<Register> {
    if !matches!(size, AccessSize::Word) {
        return None;
    }
    Some(match offset {
        0x0 => Register::Ctlr,
        0x4 => Register::Pmr,
        0x8 => Register::Bpr,
        0xc => Register::Iar(false),
        0x10 => Register::Eoir(false),
        0x14 => Register::Rpr,
        0x18 => Register::Hppir(false),
        0x1c => Register::Abpr,
        0x20 => Register::Iar(true),
        0x24 => Register::Eoir(true),
        0x28 => Register::Hppir(true),
        0xd0 => Register::Apr,
        0xd4 | 0xd8 | 0xdc => Register::NoApr,
        0xfc => Register::Iidr,
        0x1000 => Register::Dir,
        _ => return None,
    })
}

/// Whether user space finds a register at `offset`: KVM_HAS_DEVICE_ATTR. Those that say or change
/// what is pending or active are not for it.
pub const fn exists(offset: u32) -> bool {
    matches!(
        decode(offset, AccessSize::Word),
        Some(
            Register::Ctlr
                | Register::Pmr
                | Register::Bpr
                | Register::Abpr
                | Register::Apr
                | Register::NoApr
                | Register::Iidr
        )
    )
}

/// The interrupt that the distributor has for a vCPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Pending {
    priority: u8,
    intid: IntId,
    group1: bool,
    /// The sender, if it is an SGI.
    sender: u32,
}

impl Pending {
    fn new(intid: IntId, irq: Irq) -> Self {
        Self {
            priority: irq.priority().into(),
            intid,
            group1: irq.group1(),
            sender: irq.sender(intid),
        }
    }

    /// What GICC_IAR returns for it.
    const fn id(self) -> u32 {
        (self.sender << 10) | self.intid.get()
    }
}

/// A vCPU's CPU interface, as its own thread has it.
pub struct CpuInterface {
    vcpu: usize,
    ctlr: GiccCtlr,
    /// GICC_PMR.
    mask: u8,
    bpr: Bits<3>,
    abpr: Bits<3>,
    /// Bit n is set while an interrupt with the group priority n, in units of the lowest bit of a
    /// priority that there is, is active.
    active: u32,
    /// What is to be looked at, beside the candidates.
    marks: Marks,
    /// Whether what is signalled may have changed, as far as the vCPU has done it itself.
    changed: bool,
    signals: Signals,
}

impl CpuInterface {
    /// Returns that of the vCPU with index `vcpu`, after a reset.
    pub const fn new(vcpu: usize) -> Self {
        Self {
            vcpu,
            ctlr: GiccCtlr::from_raw(0),
            mask: 0,
            bpr: MIN_BPR,
            abpr: MIN_ABPR,
            active: 0,
            marks: Marks::NONE,
            // Whatever was signalled to the vCPU before.
            changed: true,
            signals: Signals {
                irq: false,
                fiq: false,
            },
        }
    }

    /// Whether [`signals`](Self::signals) has to be called before the guest is entered. That is always
    /// so while something is signalled, for nobody says that it is not to be any more.
    #[inline(always)]
    pub fn is_stale<W: Word>(&self, candidates: &Candidates<W>) -> bool {
        candidates.any() || self.changed || self.signals.any()
    }

    /// Returns what is signalled now.
    pub fn signals<I: Interrupts, W: Word>(
        &mut self,
        interrupts: &I,
        candidates: &Candidates<W>,
    ) -> Signals {
        self.changed = false;
        let pending = self
            .highest(interrupts, candidates)
            .filter(|pending| self.is_enabled(*pending) && self.has_sufficient_priority(*pending));
        let fiq = pending.is_some_and(|pending| !pending.group1 && self.ctlr.fiq_en());

        self.signals = Signals {
            irq: pending.is_some() && !fiq,
            fiq,
        };
        self.signals
    }

    /// Whether something is to be signalled, without that it is now: for a vCPU that sleeps.
    pub fn has_signal<I: Interrupts, W: Word>(
        &mut self,
        interrupts: &I,
        candidates: &Candidates<W>,
    ) -> bool {
        let any = self.signals(interrupts, candidates).any();

        self.changed = true;
        any
    }

    /// The guest reads `size` at `offset` of the frames. Zero where nothing is.
    #[inline]
    pub fn read<I: Interrupts, W: Word>(
        &mut self,
        interrupts: &I,
        candidates: &Candidates<W>,
        offset: u32,
        size: AccessSize,
    ) -> u32 {
        match decode(offset, size) {
            Some(Register::Iar(alias)) => self.take(interrupts, candidates, alias),
            Some(Register::Hppir(alias)) => {
                let pending = self.highest(interrupts, candidates);
                match self.visible(pending, alias) {
                    Ok(pending) => pending.id(),
                    Err(special) => special,
                }
            }
            Some(Register::Pmr) => self.mask.into(),
            Some(Register::Rpr) => self.running_priority().into(),
            Some(register) => self.get(register),
            None => 0,
        }
    }

    /// The guest writes `size` at `offset` of the frames. What cannot be written is ignored. Returns
    /// the level-sensitive interrupt that it has ended by that, whose cause is to be looked at again.
    #[inline]
    pub fn write<I: Interrupts>(
        &mut self,
        interrupts: &I,
        offset: u32,
        size: AccessSize,
        value: u32,
    ) -> Option<IntId> {
        match decode(offset, size)? {
            Register::Eoir(alias) => self.end(interrupts, value, alias),
            Register::Dir if self.ctlr.eoi_mode() => self.deactivate(interrupts, intid(value)?),
            Register::Pmr => {
                self.set_mask(value as u8);
                None
            }
            register => {
                self.set(register, value);
                None
            }
        }
    }

    /// User space reads the 32 bits at `offset`; [`exists`] says where that is something. GICC_PMR is
    /// in the low bits then.
    pub fn user_read(&self, offset: u32) -> u32 {
        match decode(offset, AccessSize::Word) {
            Some(Register::Pmr) => u32::from(self.mask) >> PRIORITY_SHIFT,
            Some(register) => self.get(register),
            None => 0,
        }
    }

    /// User space writes the 32 bits at `offset`, as above.
    pub fn user_write(&mut self, offset: u32, value: u32) {
        match decode(offset, AccessSize::Word) {
            Some(Register::Pmr) => self.set_mask((value << PRIORITY_SHIFT) as u8),
            Some(register) => self.set(register, value),
            None => {}
        }
    }

    /// Reads a register that is but stored.
    fn get(&self, register: Register) -> u32 {
        match register {
            Register::Ctlr => self.ctlr.into_raw() as u32,
            Register::Bpr => u8::from(self.bpr).into(),
            Register::Abpr => u8::from(self.abpr).into(),
            Register::Apr => self.active,
            Register::Iidr => IIDR,
            _ => 0,
        }
    }

    /// Writes a register that is but stored.
    fn set(&mut self, register: Register, value: u32) {
        let point = Bits::truncated(value.into());

        match register {
            Register::Ctlr => {
                self.ctlr = GiccCtlr::from_raw(u64::from(value) & GiccCtlr::MASK);
            }
            Register::Bpr => self.bpr = point.max(MIN_BPR),
            Register::Abpr => self.abpr = point.max(MIN_ABPR),
            Register::Apr => self.active = value,
            _ => {}
        }
        self.changed = true;
    }

    fn set_mask(&mut self, mask: u8) {
        self.mask = mask & PRIORITY_MASK;
        self.changed = true;
    }

    /// The highest of the priorities that are active.
    fn running_priority(&self) -> u8 {
        match self.active {
            0 => IDLE_PRIORITY,
            active => (active.trailing_zeros() as u8) << PRIORITY_SHIFT,
        }
    }

    /// The part of a priority that decides whether it preempts another one.
    fn group_priority(&self, pending: Pending) -> u8 {
        // With n, the bits from n + 1 on in group 0, and from n on in group 1.
        let bits = if pending.group1 && !self.ctlr.cbpr() {
            self.abpr.get()
        } else {
            self.bpr.get() + 1
        };

        ((u32::from(pending.priority) >> bits) << bits) as u8
    }

    fn is_enabled(&self, pending: Pending) -> bool {
        if pending.group1 {
            self.ctlr.enable_grp1()
        } else {
            self.ctlr.enable_grp0()
        }
    }

    fn has_sufficient_priority(&self, pending: Pending) -> bool {
        pending.priority < self.mask && self.group_priority(pending) < self.running_priority()
    }

    /// Returns what GICC_HPPIR, or its alias, says of the distributor's interrupt.
    ///
    /// # Errors
    ///
    /// The special number instead.
    fn visible(&self, pending: Option<Pending>, alias: bool) -> Result<Pending, u32> {
        match pending {
            Some(pending) if !self.is_enabled(pending) => Err(SPURIOUS),
            Some(pending) if !pending.group1 && alias => Err(SPURIOUS),
            Some(pending) if pending.group1 && !alias && !self.ctlr.ack_ctl() => Err(OTHER_GROUP),
            Some(pending) => Ok(pending),
            None => Err(SPURIOUS),
        }
    }

    /// Returns the interrupt that the distributor has for the vCPU.
    fn highest<I: Interrupts, W: Word>(
        &mut self,
        interrupts: &I,
        candidates: &Candidates<W>,
    ) -> Option<Pending> {
        // The groups are loaded after what says that they have changed.
        candidates.take(&mut self.marks);
        self.marks.set_lpis(false);
        let (vcpu, groups) = (self.vcpu, interrupts.groups());
        let mut highest: Option<Pending> = None;

        self.marks.retain(|intid| {
            let Some(cell) = interrupts.cell(vcpu, intid) else {
                return false;
            };
            let irq = cell.load();
            if !irq.is_candidate() || irq.owner() != Some(vcpu) {
                return false;
            }
            let pending = Pending::new(intid, irq);
            // They come in the order of their numbers.
            if irq.is_deliverable(groups)
                && highest.is_none_or(|highest| pending.priority < highest.priority)
            {
                highest = Some(pending);
            }
            true
        });
        highest
    }

    /// The guest reads GICC_IAR or its alias.
    fn take<I: Interrupts, W: Word>(
        &mut self,
        interrupts: &I,
        candidates: &Candidates<W>,
        alias: bool,
    ) -> u32 {
        self.changed = true;
        // Again only if somebody else has changed the interrupt since it was chosen. Others can do that
        // for ever, and interrupts may be off here: it is a spurious one then, and still signalled.
        for _ in 0..TAKE_ROUNDS {
            let pending = self
                .highest(interrupts, candidates)
                .filter(|pending| self.has_sufficient_priority(*pending));
            let pending = match self.visible(pending, alias) {
                Ok(pending) => pending,
                Err(special) => return special,
            };
            if acknowledge(interrupts, self.vcpu, pending) {
                self.active |= 1 << (self.group_priority(pending) >> PRIORITY_SHIFT);
                return pending.id();
            }
        }
        SPURIOUS
    }

    /// The guest writes GICC_EOIR or its alias.
    fn end<I: Interrupts>(&mut self, interrupts: &I, value: u32, alias: bool) -> Option<IntId> {
        let intid = intid(value)?;
        let irq = interrupts.cell(self.vcpu, intid)?.load();
        if alias && !irq.group1() {
            return None;
        }
        // The one with the highest priority of those that are active is the one that is ended.
        self.active &= self.active.wrapping_sub(1);
        self.changed = true;
        if self.ctlr.eoi_mode() {
            return None;
        }
        self.deactivate(interrupts, intid)
    }

    /// An interrupt is not active any more. Returns it if it was, and is level-sensitive.
    fn deactivate<I: Interrupts>(&mut self, interrupts: &I, intid: IntId) -> Option<IntId> {
        let change = interrupts
            .cell(self.vcpu, intid)?
            .update(|irq| irq.set_active(false));

        match change.concerns() {
            Some(concerned) if concerned != self.vcpu => interrupts.notify(concerned, intid),
            Some(_) => self.marks.insert(intid),
            None => {}
        }
        self.changed = true;
        (change.old.active() && !change.new.edge()).then_some(intid)
    }
}

/// The interrupt that is named in what a guest writes.
#[inline]
const fn intid(value: u32) -> Option<IntId> {
    IntId::new(value & 0x3ff)
}

/// Makes an interrupt active that is as it was when it was chosen. Returns whether it is.
fn acknowledge<I: Interrupts>(interrupts: &I, vcpu: usize, pending: Pending) -> bool {
    let groups: Groups = interrupts.groups();
    let Some(cell) = interrupts.cell(vcpu, pending.intid) else {
        return false;
    };
    let mut done = false;

    cell.update(|irq| {
        done = irq.owner() == Some(vcpu)
            && irq.is_deliverable(groups)
            && Pending::new(pending.intid, irq) == pending;
        if done {
            irq.acknowledge(vcpu, pending.intid)
        } else {
            irq
        }
    });
    done
}
