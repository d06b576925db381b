// SPDX-License-Identifier: GPL-2.0

//! A GICv2 as IHI 0048 has it on paper, without the Security Extensions: each interrupt is a structure,
//! and each register a rule that says for interrupt m in which register, and where in it, its field is.
//! What a CPU interface does is looked up among all interrupts each time. Nothing here knows of words,
//! indices or candidates.

use std::collections::BTreeSet;

/// An interrupt; of an SGI or a PPI, the one of one CPU.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Irq {
    pub enabled: bool,
    pub group1: bool,
    pub priority: u8,
    pub edge: bool,
    pub line: bool,
    /// An edge has come, or software has made it pending.
    pub latch: bool,
    pub active: bool,
    /// An SPI's CPUs.
    pub targets: BTreeSet<usize>,
    /// The CPUs that an SGI is pending from.
    pub sources: BTreeSet<usize>,
}

impl Irq {
    pub fn pending(&self) -> bool {
        self.latch || !self.sources.is_empty() || (!self.edge && self.line)
    }
}

/// A CPU and its interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cpu {
    pub private: Vec<Irq>,
    pub enable: [bool; 2],
    pub ack_ctl: bool,
    pub fiq_en: bool,
    pub cbpr: bool,
    pub eoi_mode: bool,
    pub pmr: u8,
    pub bpr: u32,
    pub abpr: u32,
    /// The group priorities that are active.
    pub active: BTreeSet<u8>,
}

impl Cpu {
    pub fn new() -> Self {
        let private = |m| Irq {
            // "SGIs are always edge-triggered", and here always enabled after a reset.
            enabled: m < 16,
            edge: m < 16,
            ..Irq::default()
        };
        Self {
            private: (0..32).map(private).collect(),
            enable: [false; 2],
            ack_ctl: false,
            fiq_en: false,
            cbpr: false,
            eoi_mode: false,
            pmr: 0,
            // Five bits of a priority: the group priority is at most [7:3].
            bpr: 2,
            abpr: 3,
            active: BTreeSet::new(),
        }
    }
}

/// Who accesses.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Who {
    Guest,
    User,
}

/// An access: its offset and its size in bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct At {
    pub offset: u32,
    pub size: u32,
}

/// Registers with a field for each interrupt: the name, the offset of the first one, where they end,
/// the number of bits of a field, and whether bytes can be accessed.
const ARRAYS: [(&str, u32, u32, u32, bool); 12] = [
    ("IGROUPR", 0x080, 0x100, 1, false),
    ("ISENABLER", 0x100, 0x180, 1, false),
    ("ICENABLER", 0x180, 0x200, 1, false),
    ("ISPENDR", 0x200, 0x280, 1, false),
    ("ICPENDR", 0x280, 0x300, 1, false),
    ("ISACTIVER", 0x300, 0x380, 1, false),
    ("ICACTIVER", 0x380, 0x400, 1, false),
    ("IPRIORITYR", 0x400, 0x800, 8, true),
    ("ITARGETSR", 0x800, 0xc00, 8, true),
    ("ICFGR", 0xc00, 0xd00, 2, false),
    ("CPENDSGIR", 0xf10, 0xf20, 8, true),
    ("SPENDSGIR", 0xf20, 0xf30, 8, true),
];

/// The CPUs in a list of them.
fn cpus(list: u32) -> BTreeSet<usize> {
    (0..8).filter(|cpu| list & (1 << cpu) != 0).collect()
}

fn list(cpus: &BTreeSet<usize>) -> u32 {
    cpus.iter().map(|cpu| 1 << cpu).sum()
}

/// The GIC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gic {
    /// GICD_CTLR.EnableGrp0 and EnableGrp1.
    pub enable: [bool; 2],
    /// GICD_IIDR.Revision, once user space has written it.
    pub revision: Option<u32>,
    pub spis: Vec<Irq>,
    pub cpus: Vec<Cpu>,
}

impl Gic {
    pub fn new(spis: usize, cpus: usize) -> Self {
        Self {
            enable: [false; 2],
            revision: None,
            // What GICD_ICFGR is of SPIs is the implementation's choice.
            spis: vec![
                Irq {
                    edge: true,
                    ..Irq::default()
                };
                spis
            ],
            cpus: vec![Cpu::new(); cpus],
        }
    }

    pub fn irq(&mut self, cpu: usize, m: u32) -> Option<&mut Irq> {
        match m {
            0..32 => self.cpus[cpu].private.get_mut(m as usize),
            _ => self.spis.get_mut(m as usize - 32),
        }
    }

    fn peek(&self, cpu: usize, m: u32) -> Option<&Irq> {
        match m {
            0..32 => self.cpus[cpu].private.get(m as usize),
            _ => self.spis.get(m as usize - 32),
        }
    }

    /// INTIDs below this exist, or are reserved.
    fn limit(&self) -> u32 {
        (self.spis.len() as u32).next_multiple_of(32) + 32
    }

    /// Interrupt m's field in the register of this name, read by `cpu`.
    fn get(&self, name: &str, who: Who, cpu: usize, m: u32) -> u32 {
        let alone = self.cpus.len() == 1;
        let Some(irq) = self.peek(cpu, m) else {
            return 0;
        };
        match name {
            // "In a uniprocessor implementation, all interrupts target the one processor, and the
            // GICD_ITARGETSRs are RAZ/WI."
            "ITARGETSR" if alone => 0,
            "IGROUPR" => irq.group1.into(),
            "ISENABLER" | "ICENABLER" => irq.enabled.into(),
            // The latch, for user space.
            "ISPENDR" if who == Who::User => (irq.latch || !irq.sources.is_empty()).into(),
            "ICPENDR" if who == Who::User => 0,
            "ISPENDR" | "ICPENDR" => irq.pending().into(),
            "ISACTIVER" | "ICACTIVER" => irq.active.into(),
            "IPRIORITYR" => irq.priority.into(),
            // "Each field returns a value that corresponds only to the processor that reads it."
            "ITARGETSR" if m < 32 => 1 << cpu,
            "ITARGETSR" => list(&irq.targets),
            "ICFGR" => u32::from(irq.edge) << 1,
            "CPENDSGIR" | "SPENDSGIR" => list(&irq.sources),
            _ => unreachable!(),
        }
    }

    fn set(&mut self, name: &str, who: Who, cpu: usize, m: u32, value: u32) {
        let there: BTreeSet<usize> = (0..self.cpus.len()).collect();
        let (grouped, alone) = (self.revision.is_some(), self.cpus.len() == 1);
        let (sgi, one) = (m < 16, value & 1 == 1);
        let Some(irq) = self.irq(cpu, m) else { return };
        match name {
            // arm-vgic.rst: ignored unless GICD_IIDR has been set from user space.
            "IGROUPR" if who == Who::Guest || grouped => irq.group1 = one,
            "ISENABLER" if one => irq.enabled = true,
            "ICENABLER" if one => irq.enabled = false,
            "ISPENDR" if who == Who::User && sgi => {
                if !one {
                    irq.sources.clear();
                } else if irq.sources.is_empty() {
                    irq.sources.insert(cpu);
                }
            }
            "ISPENDR" if who == Who::User => irq.latch = one,
            "ICPENDR" if who == Who::User => {}
            // "Writes to the register bits that correspond to the SGIs are ignored."
            "ISPENDR" if one && !sgi => irq.latch = true,
            "ICPENDR" if one && !sgi => irq.latch = false,
            "ISACTIVER" if one => irq.active = true,
            "ICACTIVER" if one => irq.active = false,
            "IPRIORITYR" => irq.priority = value as u8 & 0xf8,
            "ITARGETSR" if m >= 32 && !alone => irq.targets = &cpus(value) & &there,
            "ICFGR" if m >= 32 => irq.edge = value & 2 != 0,
            "CPENDSGIR" => irq.sources = &irq.sources - &cpus(value),
            "SPENDSGIR" => irq.sources = &irq.sources | &(&cpus(value) & &there),
            _ => {}
        }
    }

    /// The fields that an access is of: the array, the interrupt and the number of the lowest bit.
    fn fields(at: At) -> Vec<(&'static str, u32, u32)> {
        let mut fields = Vec::new();
        for (name, base, end, bits, bytes) in ARRAYS {
            let allowed = at.size == 4 || at.size == 1 && bytes;
            if !allowed || at.offset % at.size != 0 || !(base..end).contains(&at.offset) {
                continue;
            }
            // "The register is m DIV (32 / bits), and the field is m MOD that."
            for m in 0..(end - base) * 8 / bits {
                let bit = (base + 4 * (m / (32 / bits))) * 8 + bits * (m % (32 / bits));
                if (at.offset * 8..(at.offset + at.size) * 8).contains(&bit) && m < 1020 {
                    fields.push((name, m, bit - at.offset * 8));
                }
            }
        }
        fields
    }

    pub fn dist_read(&self, who: Who, cpu: usize, at: At) -> u32 {
        match (at.offset, at.size) {
            (0x0, 4) => u32::from(self.enable[0]) | (u32::from(self.enable[1]) << 1),
            (0x4, 4) => (self.limit() / 32 - 1) | ((self.cpus.len() as u32 - 1) << 5),
            (0x8, 4) => 0x4b00_043b | (self.revision.unwrap_or(3) << 12),
            (0xfe8, 4) => 0x2b,
            _ => Self::fields(at)
                .into_iter()
                .map(|(name, m, bit)| self.get(name, who, cpu, m) << bit)
                .sum(),
        }
    }

    /// Returns whether it could be written so.
    pub fn dist_write(&mut self, who: Who, cpu: usize, at: At, value: u32) -> bool {
        match (at.offset, at.size) {
            (0x0, 4) => self.enable = [value & 1 != 0, value & 2 != 0],
            (0x8, 4) if who == Who::User => match value {
                0x4b00_243b => self.revision = Some(2),
                0x4b00_343b => self.revision = Some(3),
                _ => return false,
            },
            (0xf00, 4) => {
                let all: BTreeSet<usize> = (0..self.cpus.len()).collect();
                let to = match (value >> 24) & 3 {
                    0 => &cpus(value >> 16) & &all,
                    1 => &all - &BTreeSet::from([cpu]),
                    2 => BTreeSet::from([cpu]),
                    _ => BTreeSet::new(),
                };
                for target in to {
                    self.cpus[target].private[value as usize & 15]
                        .sources
                        .insert(cpu);
                }
            }
            _ => {
                for (name, m, bit) in Self::fields(at) {
                    self.set(name, who, cpu, m, value >> bit);
                }
            }
        }
        true
    }

    pub fn dist_has(&self, offset: u32) -> bool {
        let at = At { offset, size: 4 };
        let fields = Self::fields(at);
        let in_array = fields.iter().any(|(_, m, _)| *m < self.limit());
        // GICD_NSACR has two bits for each.
        let nsacr = (0xe00..0xf00).contains(&offset) && (offset - 0xe00) * 4 < self.limit();
        offset % 4 == 0
            && (in_array
                // The interrupts 1020 to 1023 have fields.
                || fields.is_empty() && self.limit() == 1024 && matches!(offset, 0x7fc | 0xbfc)
                || nsacr
                || matches!(offset, 0x0 | 0x4 | 0x8 | 0xf00 | 0xfd0..0x1000))
    }

    /// The interrupt that is pending, enabled, forwarded and not active, of the highest priority; of
    /// those, the lowest number.
    fn highest(&self, cpu: usize) -> Option<(u32, Irq)> {
        let mut highest: Option<(u32, &Irq)> = None;
        for m in 0..32 + self.spis.len() as u32 {
            let irq = self.peek(cpu, m)?;
            let goes_here = m < 32 || self.cpus.len() == 1 || irq.targets.first() == Some(&cpu);
            let forwarded = goes_here && irq.enabled && self.enable[usize::from(irq.group1)];
            if forwarded
                && irq.pending()
                && !irq.active
                && highest.is_none_or(|(_, best)| irq.priority < best.priority)
            {
                highest = Some((m, irq));
            }
        }
        highest.map(|(m, irq)| (m, irq.clone()))
    }

    /// "The priority bits that are the group priority."
    fn group_priority(cpu: &Cpu, irq: &Irq) -> u8 {
        // The rows of the table for group 0; group 1 has that of one less.
        const MASKS: [u8; 8] = [0xfe, 0xfc, 0xf8, 0xf0, 0xe0, 0xc0, 0x80, 0x00];
        let row = match irq.group1 && !cpu.cbpr {
            true => cpu.abpr - 1,
            false => cpu.bpr,
        };
        irq.priority & MASKS[row as usize]
    }

    fn running(cpu: &Cpu) -> u8 {
        cpu.active.first().copied().unwrap_or(0xff)
    }

    fn sufficient(&self, cpu: usize, irq: &Irq) -> bool {
        let cpu = &self.cpus[cpu];
        irq.priority < cpu.pmr && Self::group_priority(cpu, irq) < Self::running(cpu)
    }

    /// Whether IRQ and FIQ are signalled.
    pub fn signals(&self, cpu: usize) -> (bool, bool) {
        let Some((_, irq)) = self.highest(cpu) else {
            return (false, false);
        };
        let interface = &self.cpus[cpu];
        if !interface.enable[usize::from(irq.group1)] || !self.sufficient(cpu, &irq) {
            return (false, false);
        }
        match !irq.group1 && interface.fiq_en {
            true => (false, true),
            false => (true, false),
        }
    }

    /// What GICC_HPPIR says of an interrupt.
    fn identity(&self, cpu: usize, m: u32, irq: &Irq, alias: bool) -> u32 {
        let interface = &self.cpus[cpu];
        match (irq.group1, alias) {
            (group1, _) if !interface.enable[usize::from(group1)] => 1023,
            (false, true) => 1023,
            (true, false) if !interface.ack_ctl => 1022,
            _ => m | ((irq.sources.first().copied().unwrap_or(0) as u32) << 10),
        }
    }

    pub fn cpu_read(&mut self, cpu: usize, at: At) -> u32 {
        if at.size != 4 {
            return 0;
        }
        match at.offset {
            0xc | 0x20 => self.acknowledge(cpu, at.offset == 0x20),
            0x14 => Self::running(&self.cpus[cpu]).into(),
            0x18 | 0x28 => match self.highest(cpu) {
                Some((m, irq)) => self.identity(cpu, m, &irq, at.offset == 0x28),
                None => 1023,
            },
            0x4 => self.cpus[cpu].pmr.into(),
            offset => self.stored(cpu, offset),
        }
    }

    /// A register that is but stored.
    fn stored(&self, cpu: usize, offset: u32) -> u32 {
        let cpu = &self.cpus[cpu];
        let flags = [
            (cpu.enable[0], 0),
            (cpu.enable[1], 1),
            (cpu.ack_ctl, 2),
            (cpu.fiq_en, 3),
            (cpu.cbpr, 4),
            (cpu.eoi_mode, 9),
        ];
        match offset {
            0x0 => flags.iter().map(|(on, bit)| u32::from(*on) << bit).sum(),
            0x8 => cpu.bpr,
            0x1c => cpu.abpr,
            0xd0 => cpu.active.iter().map(|priority| 1 << (priority / 8)).sum(),
            0xfc => 0x04b2_043b,
            _ => 0,
        }
    }

    fn acknowledge(&mut self, cpu: usize, alias: bool) -> u32 {
        let Some((m, irq)) = self.highest(cpu) else {
            return 1023;
        };
        if !self.sufficient(cpu, &irq) {
            return 1023;
        }
        let id = self.identity(cpu, m, &irq, alias);
        if id == 1022 || id == 1023 {
            return id;
        }
        let priority = Self::group_priority(&self.cpus[cpu], &irq);
        self.cpus[cpu].active.insert(priority);
        if let Some(irq) = self.irq(cpu, m) {
            irq.active = true;
            irq.latch = false;
            irq.sources.pop_first();
        }
        id
    }

    fn deactivate(&mut self, cpu: usize, m: u32) -> Option<u32> {
        let irq = self.irq(cpu, m)?;
        let ended = irq.active && !irq.edge;
        irq.active = false;
        ended.then_some(m)
    }

    /// Returns the level-sensitive interrupt that has ended.
    pub fn cpu_write(&mut self, cpu: usize, at: At, value: u32) -> Option<u32> {
        let m = value & 0x3ff;
        match at.offset {
            _ if at.size != 4 => None,
            0x10 | 0x24 => {
                let group1 = self.irq(cpu, m)?.group1;
                if at.offset == 0x24 && !group1 {
                    return None;
                }
                self.cpus[cpu].active.pop_first();
                match self.cpus[cpu].eoi_mode {
                    true => None,
                    false => self.deactivate(cpu, m),
                }
            }
            0x1000 if self.cpus[cpu].eoi_mode => self.deactivate(cpu, m),
            0x4 => {
                self.cpus[cpu].pmr = value as u8 & 0xf8;
                None
            }
            offset => {
                self.store(cpu, offset, value);
                None
            }
        }
    }

    fn store(&mut self, cpu: usize, offset: u32, value: u32) {
        let cpu = &mut self.cpus[cpu];
        let bit = |n: u32| value & (1 << n) != 0;
        match offset {
            0x0 => {
                cpu.enable = [bit(0), bit(1)];
                (cpu.ack_ctl, cpu.fiq_en, cpu.cbpr, cpu.eoi_mode) =
                    (bit(2), bit(3), bit(4), bit(9));
            }
            0x8 => cpu.bpr = (value & 7).max(2),
            0x1c => cpu.abpr = (value & 7).max(3),
            0xd0 => cpu.active = (0..32).filter(|n| bit(*n)).map(|n| n as u8 * 8).collect(),
            _ => {}
        }
    }

    /// User space has GICC_PMR in the format of GICH_VMCR.VMPriMask.
    pub fn cpu_user_read(&self, cpu: usize, offset: u32) -> u32 {
        match offset {
            0x4 => u32::from(self.cpus[cpu].pmr) >> 3,
            _ => self.stored(cpu, offset),
        }
    }

    pub fn cpu_user_write(&mut self, cpu: usize, offset: u32, value: u32) {
        match offset {
            0x4 => self.cpus[cpu].pmr = (value as u8) << 3,
            _ => self.store(cpu, offset, value),
        }
    }
}
