// SPDX-License-Identifier: GPL-2.0

//! A GICv3 as IHI 0069 has it on paper: each interrupt is a structure, and each register a rule that
//! says for interrupt m in which register, and where in it, its field is. An access is the bytes that
//! it touches. Nothing here knows of words, targets' indices or candidates.

use std::collections::BTreeMap;

/// An interrupt.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Irq {
    pub enabled: bool,
    pub latch: bool,
    pub line: bool,
    pub active: bool,
    pub edge: bool,
    pub group1: bool,
    pub priority: u8,
    /// The affinity that it goes to.
    pub router: u64,
    /// Whether an interrupt of the host stands behind it, and whether that is active.
    pub wired: bool,
    pub host_active: bool,
}

impl Irq {
    fn pending(&self) -> bool {
        self.latch || (!self.edge && self.line)
    }
}

/// What belongs to one vCPU.
#[derive(Clone, Debug)]
pub struct Cpu {
    pub id: u16,
    pub affinity: u64,
    pub last: bool,
    pub private: Vec<Irq>,
    pub status: u8,
    pub pendbaser: u64,
    pub lpis: bool,
    /// What it was told to invalidate: LPIs, or all of them.
    pub invalidated: Vec<Option<u32>>,
}

/// The GIC.
#[derive(Clone, Debug)]
pub struct Gic {
    pub its: bool,
    pub initialized: bool,
    pub revision: u8,
    pub group0: bool,
    pub group1: bool,
    pub status: u8,
    /// "All Redistributors must share an LPI Configuration table": GICR_TYPER.CommonLPIAff is 0.
    pub propbaser: u64,
    pub spis: Vec<Irq>,
    pub cpus: Vec<Cpu>,
}

/// Who accesses.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Who {
    Guest,
    User,
}

/// Registers with a field for each interrupt: the name, the offset of the first one, the number of
/// bits of a field, and whether bytes can be accessed.
const ARRAYS: [(&str, u32, u32, bool); 12] = [
    ("IGROUPR", 0x080, 1, false),
    ("ISENABLER", 0x100, 1, false),
    ("ICENABLER", 0x180, 1, false),
    ("ISPENDR", 0x200, 1, false),
    ("ICPENDR", 0x280, 1, false),
    ("ISACTIVER", 0x300, 1, false),
    ("ICACTIVER", 0x380, 1, false),
    ("IPRIORITYR", 0x400, 8, true),
    ("ITARGETSR", 0x800, 8, true),
    ("ICFGR", 0xc00, 2, false),
    ("IGRPMODR", 0xd00, 1, false),
    ("NSACR", 0xe00, 2, false),
];

/// Returns the field of interrupt `m`, which is `irq`, in the register of this name.
fn get(name: &str, m: u32, irq: &Irq, who: Who) -> u64 {
    let _ = m;
    match (name, who) {
        ("IGROUPR", _) => irq.group1.into(),
        ("ISENABLER" | "ICENABLER", _) => irq.enabled.into(),
        ("ISPENDR" | "ICPENDR", Who::Guest) => irq.pending().into(),
        // The latch, for user space.
        ("ISPENDR", Who::User) => irq.latch.into(),
        ("ICPENDR", Who::User) => 0,
        ("ISACTIVER" | "ICACTIVER", _) => irq.active.into(),
        ("IPRIORITYR", _) => irq.priority.into(),
        ("ICFGR", _) => {
            if irq.edge {
                0b10
            } else {
                0b00
            }
        }
        // Affinity routing; one security state.
        ("ITARGETSR" | "IGRPMODR" | "NSACR", _) => 0,
        _ => unreachable!(),
    }
}

/// Writes `value` to the field of interrupt `m`. If it stands for one of the host, that is active while
/// a guest has made it so that it has it to take or to end.
fn set(name: &str, m: u32, irq: &mut Irq, who: Who, value: u64) {
    let had = irq.active || irq.pending();
    set_field(name, m, irq, who, value);
    let has = irq.active || irq.pending();
    if irq.wired && who == Who::Guest && had != has {
        irq.host_active = has;
    }
}

fn set_field(name: &str, m: u32, irq: &mut Irq, who: Who, value: u64) {
    match (name, who, value & 1) {
        ("IGROUPR", _, one) => irq.group1 = one == 1,
        ("ISENABLER", _, 1) => irq.enabled = true,
        ("ICENABLER", _, 1) => irq.enabled = false,
        ("ISPENDR", Who::Guest, 1) => irq.latch = true,
        ("ISPENDR", Who::User, one) => irq.latch = one == 1,
        ("ICPENDR", Who::Guest, 1) => irq.latch = false,
        ("ISACTIVER", _, 1) => irq.active = true,
        ("ICACTIVER", _, 1) => irq.active = false,
        // Five bits are implemented.
        ("IPRIORITYR", _, _) => irq.priority = value as u8 & 0xf8,
        // SGIs are always edge-triggered; for PPIs it is the implementation's choice: read-only.
        ("ICFGR", _, _) if m >= 32 => irq.edge = value & 0b10 != 0,
        _ => {}
    }
}

/// An access: its offset and its size in bytes.
#[derive(Copy, Clone, Debug)]
pub struct At {
    pub offset: u32,
    pub size: u32,
}

impl At {
    fn aligned(&self) -> bool {
        self.offset % self.size == 0
    }

    /// The part of a register of 64 bits at `base` that the access is of: the number of its lowest
    /// bit.
    fn part(&self, base: u32) -> Option<u32> {
        let inside = self.offset >= base && self.offset + self.size <= base + 8;
        (self.aligned() && self.size >= 4 && inside).then(|| (self.offset - base) * 8)
    }

    fn mask(&self) -> u64 {
        u64::MAX >> (64 - 8 * self.size)
    }

    /// Where the access has the field of interrupt `m` in the array at `base`: the number of its
    /// lowest bit.
    fn field(&self, base: u32, bits: u32, bytes: bool, m: u32) -> Option<u32> {
        if !self.aligned() || !(self.size == 4 || self.size == 1 && bytes) {
            return None;
        }
        // "The number of the register is m DIV (32 / bits), the field is m MOD that."
        let per_register = 32 / bits;
        let register = base + 4 * (m / per_register);
        let bit = 8 * (register as i64 - self.offset as i64) + i64::from(bits * (m % per_register));
        (0..i64::from(8 * self.size))
            .contains(&bit)
            .then_some(bit as u32)
    }
}

/// Non-shareable stays; all others are Inner Shareable. Inner uncached is not possible, outer
/// uncached is. `keep` are the other bits that exist.
fn base_register(raw: u64, keep: u64) -> u64 {
    let share = match (raw >> 10) & 3 {
        0 => 0,
        _ => 1,
    };
    let inner = match (raw >> 7) & 7 {
        0 | 1 => 3,
        other => other,
    };
    let outer = match (raw >> 56) & 7 {
        1 => 1,
        _ => 0,
    };
    raw & keep | (share << 10) | (inner << 7) | (outer << 56)
}

impl Gic {
    /// INTIDs below this exist or are reserved within the last group of 32.
    fn lines(&self) -> u32 {
        32 + (self.spis.len() as u32).next_multiple_of(32)
    }

    fn find(&self, affinity: u64) -> Option<usize> {
        self.cpus.iter().position(|cpu| cpu.affinity == affinity)
    }

    /// Where each SPI goes to.
    pub fn target(&self, spi: usize) -> Option<usize> {
        self.find(self.spis[spi].router)
    }

    /// The distributor's registers that are not of interrupts, with their values.
    fn dist_words(&self) -> BTreeMap<u32, u64> {
        let id_bits = if self.its { 16 } else { 10 };
        let mut words = BTreeMap::from([
            // ARE and DS.
            (
                0x0,
                (1 << 6) | (1 << 4) | (u64::from(self.group1) << 1) | u64::from(self.group0),
            ),
            (
                0x4,
                (1 << 25)
                    | ((id_bits - 1) << 19)
                    | (u64::from(self.its) << 17)
                    | u64::from(self.lines() / 32 - 1),
            ),
            (0x8, 0x4b00_043b | (u64::from(self.revision) << 12)),
            (0xc, 0),
            (0x10, self.status.into()),
            (0xffe8, 0x3b),
        ]);
        for id in (0xffd0..0x1_0000).step_by(4) {
            words.entry(id).or_insert(0);
        }
        words
    }

    pub fn dist_read(&self, who: Who, at: At) -> u64 {
        let mut value = 0;
        if at.size == 4 {
            value |= self.dist_words().get(&at.offset).copied().unwrap_or(0);
        }
        for (n, irq) in self.spis.iter().enumerate() {
            let m = n as u32 + 32;
            for (name, base, bits, bytes) in ARRAYS {
                if let Some(bit) = at.field(base, bits, bytes, m) {
                    value |= get(name, m, irq, who) << bit;
                }
            }
            if let Some(bit) = at.part(0x6000 + 8 * m) {
                value |= (irq.router >> bit) & at.mask();
            }
        }
        value
    }

    /// Writes; an error number for user space.
    pub fn dist_write(&mut self, who: Who, at: At, value: u64) -> Result<(), &'static str> {
        if at.size == 4 {
            match (at.offset, who) {
                (0x0, _) => {
                    self.group0 = value & 1 != 0;
                    self.group1 = value & 2 != 0;
                }
                (0x8, Who::User) => {
                    let revision = (value >> 12) & 0xf;
                    if value & !0xf000 != 0x4b00_043b || ![2, 3].contains(&revision) {
                        return Err("EINVAL");
                    }
                    self.revision = revision as u8;
                }
                (0xc, Who::User) if value != 0 => {
                    return Err(if self.initialized { "EBUSY" } else { "EINVAL" });
                }
                (0x10, Who::Guest) => self.status &= !(value as u8),
                (0x10, Who::User) => self.status = value as u8 & 0xf,
                _ => {}
            }
        }
        for (n, irq) in self.spis.iter_mut().enumerate() {
            let m = n as u32 + 32;
            for (name, base, bits, bytes) in ARRAYS {
                if let Some(bit) = at.field(base, bits, bytes, m) {
                    set(name, m, irq, who, (value >> bit) & ((1 << bits) - 1));
                }
            }
            if let Some(bit) = at.part(0x6000 + 8 * m) {
                let router = irq.router & !(at.mask() << bit) | ((value & at.mask()) << bit);
                // Aff2 to Aff0.
                irq.router = router & 0xff_ffff;
            }
        }
        Ok(())
    }

    /// What KVM_HAS_DEVICE_ATTR says of the distributor's register.
    pub fn dist_has(&self, offset: u32) -> bool {
        let at = At { offset, size: 4 };
        at.aligned()
            && (self.dist_words().contains_key(&offset)
                || (0..self.lines()).any(|m| {
                    ARRAYS
                        .iter()
                        .any(|(_, base, bits, bytes)| at.field(*base, *bits, *bytes, m).is_some())
                        || at.part(0x6000 + 8 * m).is_some()
                }))
    }

    /// The registers of 64 bits of a redistributor, with their values.
    fn redist_longs(&self, vcpu: usize) -> [(u32, u64); 5] {
        let cpu = &self.cpus[vcpu];
        [
            (
                0x8,
                ((cpu.affinity & 0xff_ffff) << 32)
                    | (u64::from(cpu.id) << 8)
                    | (u64::from(cpu.last) << 4)
                    | u64::from(self.its),
            ),
            (0x70, self.propbaser),
            // PTZ is write-only.
            (0x78, cpu.pendbaser & !(1 << 62)),
            (0xa0, 0),
            (0xb0, 0),
        ]
    }

    fn redist_words(&self, vcpu: usize) -> BTreeMap<u32, u64> {
        let cpu = &self.cpus[vcpu];
        let ces_and_ir = if self.revision >= 3 { 0b110 } else { 0 };
        let mut words = BTreeMap::from([
            (0x0, ces_and_ir | u64::from(cpu.lpis)),
            (0x4, 0x4b00_043b),
            (0x10, cpu.status.into()),
            // GICR_WAKER, GICR_SYNCR.
            (0x14, 0),
            (0xc0, 0),
            (0xffe8, 0x3b),
        ]);
        for id in (0xffd0..0x1_0000).step_by(4) {
            words.entry(id).or_insert(0);
        }
        words
    }

    /// The access in the frame SGI_base.
    fn sgi_base(at: At) -> Option<At> {
        Some(At {
            offset: at.offset.checked_sub(0x1_0000)?,
            ..at
        })
    }

    pub fn redist_read(&self, who: Who, vcpu: usize, at: At) -> u64 {
        let mut value = 0;
        if at.size == 4 {
            value |= self
                .redist_words(vcpu)
                .get(&at.offset)
                .copied()
                .unwrap_or(0);
        }
        for (base, register) in self.redist_longs(vcpu) {
            if let Some(bit) = at.part(base) {
                value |= (register >> bit) & at.mask();
            }
        }
        if let Some(at) = Self::sgi_base(at) {
            for (m, irq) in self.cpus[vcpu].private.iter().enumerate() {
                for (name, base, bits, bytes) in ARRAYS {
                    if let Some(bit) = at.field(base, bits, bytes, m as u32) {
                        value |= get(name, m as u32, irq, who) << bit;
                    }
                }
            }
        }
        value
    }

    pub fn redist_write(&mut self, who: Who, vcpu: usize, at: At, value: u64) {
        let its = self.its;
        let cpu = &mut self.cpus[vcpu];

        match (at.offset, at.size, who) {
            (0x0, 4, _) if its => cpu.lpis = value & 1 != 0,
            (0x10, 4, Who::Guest) => cpu.status &= !(value as u8),
            (0x10, 4, Who::User) => cpu.status = value as u8 & 0xf,
            _ => {}
        }
        let replaced =
            |old: u64, bit: u32| old & !(at.mask() << bit) | ((value & at.mask()) << bit);
        if !cpu.lpis {
            if let Some(bit) = at.part(0x70) {
                // IDbits and the address.
                let keep = 0x1f | 0xf_ffff_ffff_f000;
                self.propbaser = base_register(replaced(self.propbaser, bit), keep);
            }
            if let Some(bit) = at.part(0x78) {
                // The address and PTZ.
                let keep = 0xf_ffff_ffff_0000 | (1 << 62);
                cpu.pendbaser = base_register(replaced(cpu.pendbaser, bit), keep);
            }
        } else {
            if at.part(0xa0) == Some(0) && (8192..65536).contains(&(value as u32)) {
                cpu.invalidated.push(Some(value as u32));
            }
            if at.part(0xb0) == Some(0) {
                cpu.invalidated.push(None);
            }
        }
        if let Some(at) = Self::sgi_base(at) {
            for (m, irq) in cpu.private.iter_mut().enumerate() {
                for (name, base, bits, bytes) in ARRAYS {
                    if let Some(bit) = at.field(base, bits, bytes, m as u32) {
                        set(name, m as u32, irq, who, (value >> bit) & ((1 << bits) - 1));
                    }
                }
            }
        }
    }

    /// What KVM_HAS_DEVICE_ATTR says of a redistributor's register.
    pub fn redist_has(&self, offset: u32) -> bool {
        let at = At { offset, size: 4 };
        if !at.aligned() {
            return false;
        }
        if let Some(at) = Self::sgi_base(at) {
            // IGRPMODR and NSACR have one word for SGIs and PPIs.
            return (0..32).any(|m| {
                ARRAYS.iter().any(|(name, base, bits, bytes)| {
                    *name != "ITARGETSR"
                        && (*name != "NSACR" || m < 16)
                        && at.field(*base, *bits, *bytes, m).is_some()
                })
            });
        }
        self.redist_words(0).contains_key(&offset)
            || self
                .redist_longs(0)
                .iter()
                .any(|(base, _)| at.part(*base).is_some())
    }

    /// The interrupt that a line, or a bit of LEVEL_INFO, is of.
    pub fn irq(&mut self, vcpu: usize, m: u32) -> Option<&mut Irq> {
        match m {
            0..32 => self.cpus[vcpu].private.get_mut(m as usize),
            _ => self.spis.get_mut(m as usize - 32),
        }
    }

    /// A device changes its line, or has an edge.
    pub fn line(&mut self, vcpu: usize, m: u32, level: bool) {
        if let Some(irq) = self.irq(vcpu, m) {
            match irq.edge {
                true => irq.latch |= level,
                false => irq.line = level,
            }
        }
    }

    pub fn read_lines(&mut self, vcpu: usize, first: u32) -> u32 {
        (0..32)
            .filter(|n| first + n >= 16)
            .filter(|n| {
                self.irq(vcpu, first + n)
                    .is_some_and(|irq| irq.line && !irq.edge)
            })
            .map(|n| 1 << n)
            .sum()
    }

    pub fn write_lines(&mut self, vcpu: usize, first: u32, value: u32) {
        for n in (0..32).filter(|n| first + n >= 16) {
            if let Some(irq) = self.irq(vcpu, first + n) {
                irq.line = (value >> n) & 1 != 0;
            }
        }
    }
}
