// SPDX-License-Identifier: GPL-2.0

//! The ITS as IHI 0069 and arm-vgic-its.rst have it, literally: numbers, plain maps, and a paragraph
//! of text per function.

mod tables;

use super::{
    memory::{
        Memory,
        PENDING,
        PENDING_SIZE, //
    },
    world::PROCESSORS, //
};
use std::collections::{
    BTreeMap,
    BTreeSet, //
};

/// What is known of an LPI.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lpi {
    pub target: Option<usize>,
    pub pending: bool,
    /// Its byte in the configuration table when that was read last, without RES0 bits.
    pub config: u8,
}

/// The state.
#[derive(Clone)]
pub struct Model {
    pub enabled: bool,
    pub baser: [u64; 2],
    pub cbaser: u64,
    pub creadr: u64,
    pub cwriter: u64,
    /// DeviceID to the ITT's address and the number of EventID bits.
    pub devices: BTreeMap<u64, (u64, u32)>,
    /// DeviceID and EventID to INTID and ICID.
    pub events: BTreeMap<(u64, u64), (u64, u64)>,
    /// ICID to RDbase.
    pub collections: BTreeMap<u64, u64>,
    pub lpis: BTreeMap<u64, Lpi>,
    pub memory: Memory,
    /// GICR_PROPBASER: address and number of bits.
    pub propbaser: (u64, u32),
    /// GICR_CTLR.EnableLPIs.
    pub lpis_enabled: [bool; 3],
}

/// The command has no effect.
#[derive(Debug)]
pub struct Ignored;

fn field(word: u64, hi: u32, lo: u32) -> u64 {
    (word << (63 - hi)) >> (63 - hi + lo)
}

/// GITS_BASER: the address, by page size.
fn table_address(baser: u64) -> u64 {
    match field(baser, 9, 8) {
        0 => field(baser, 47, 12) << 12,
        1 => field(baser, 47, 14) << 14,
        _ => field(baser, 47, 16) << 16 | field(baser, 15, 12) << 48,
    }
}

fn page_size(baser: u64) -> u64 {
    [4096, 16384, 65536, 65536][field(baser, 9, 8) as usize]
}

fn table_size(baser: u64) -> u64 {
    (field(baser, 7, 0) + 1) * page_size(baser)
}

fn vcpu(rdbase: u64) -> Option<usize> {
    PROCESSORS
        .iter()
        .position(|number| u64::from(*number) == rdbase)
}

impl Model {
    pub fn new(propbaser: (u64, u32)) -> Self {
        let baser = |kind: u64| 7 << 48 | kind << 56 | 3 << 59 | 1 << 10 | 2 << 8;
        Self {
            enabled: false,
            baser: [baser(1), baser(4)],
            cbaser: 0,
            creadr: 0,
            cwriter: 0,
            devices: BTreeMap::new(),
            events: BTreeMap::new(),
            collections: BTreeMap::new(),
            lpis: BTreeMap::new(),
            memory: Memory::default(),
            propbaser,
            lpis_enabled: [true; 3],
        }
    }

    /// The collections that are mapped or that events are in.
    pub fn known(&self) -> BTreeSet<u64> {
        let used = self.events.values().map(|(_, icid)| *icid);
        self.collections.keys().copied().chain(used).collect()
    }

    /// The address of an entry of table `n`; none if it has none or that is not in memory.
    fn entry(&self, n: usize, id: u64) -> Option<u64> {
        let baser = self.baser[n];
        if field(baser, 63, 63) == 0 || id > 0xffff {
            return None;
        }
        let address = if field(baser, 62, 62) == 0 {
            (id * 8 < table_size(baser)).then(|| table_address(baser) + id * 8)?
        } else {
            let (page, offset) = (id * 8 / page_size(baser), id * 8 % page_size(baser));
            if page * 8 >= table_size(baser) {
                return None;
            }
            let l1 = self.memory.u64(table_address(baser) + page * 8)?;
            if field(l1, 63, 63) == 0 {
                return None;
            }
            (field(l1, 51, 12) << 12 & !(page_size(baser) - 1)) + offset
        };
        Memory::contains(address).then_some(address)
    }

    fn config_byte(&self, intid: u64) -> Option<u8> {
        Some(self.memory.u8(self.propbaser.0 + intid - 8192)? & 0xfd)
    }

    fn pending_bit(&self, vcpu: usize, intid: u64) -> (u64, u8) {
        let table = PENDING + vcpu as u64 * PENDING_SIZE;
        (table + intid / 8, 1 << (intid % 8))
    }

    fn unmap_event(&mut self, key: (u64, u64)) {
        if let Some((intid, _)) = self.events.remove(&key) {
            self.lpis.remove(&intid);
        }
    }

    fn unmap_device(&mut self, device: u64) {
        self.devices.remove(&device);
        let gone: Vec<_> = self
            .events
            .range((device, 0)..=(device, u64::MAX))
            .map(|(key, _)| *key)
            .collect();
        gone.into_iter().for_each(|key| self.unmap_event(key));
    }

    fn unmap_collection(&mut self, icid: u64) {
        self.collections.remove(&icid);
        self.retarget(icid, None);
    }

    fn retarget(&mut self, icid: u64, target: Option<usize>) {
        for (intid, _) in self.events.values().filter(|(_, of)| *of == icid) {
            self.lpis.get_mut(intid).unwrap().target = target;
        }
    }

    fn map_event(&mut self, key: (u64, u64), intid: u64, icid: u64) -> Result<(), &'static str> {
        let ids = 1 << self.propbaser.1.min(16);
        if !(8192..ids).contains(&intid) {
            return Err("EINVAL");
        }
        let config = self.config_byte(intid).ok_or("EFAULT")?;
        let target = self.collections.get(&icid).and_then(|to| vcpu(*to));
        let mut pending = false;
        if let Some(vcpu) = target.filter(|vcpu| self.lpis_enabled[*vcpu]) {
            let (address, mask) = self.pending_bit(vcpu, intid);
            let byte = self.memory.u8(address).unwrap();
            pending = byte & mask != 0;
            if !self.lpis.contains_key(&intid) {
                self.memory.write(address, &[byte & !mask]).unwrap();
            }
        }
        if self.lpis.contains_key(&intid) {
            return Err("taken");
        }
        self.events.insert(key, (intid, icid));
        let lpi = Lpi {
            target,
            pending,
            config,
        };
        self.lpis.insert(intid, lpi);
        Ok(())
    }

    /// "ITS commands".
    pub fn command(&mut self, words: [u64; 4]) -> Result<(), Ignored> {
        let done = self.carry_out(words);
        self.drop_disabled();
        done
    }

    /// GICR_CTLR.EnableLPIs is 0: no LPI is pending at the vCPU.
    pub fn drop_disabled(&mut self) {
        let enabled = self.lpis_enabled;
        for lpi in self.lpis.values_mut() {
            lpi.pending &= lpi.target.is_none_or(|vcpu| enabled[vcpu]);
        }
    }

    fn carry_out(&mut self, words: [u64; 4]) -> Result<(), Ignored> {
        let [w0, w1, w2, w3] = words;
        let (device, event) = (field(w0, 63, 32), field(w1, 31, 0));
        let (icid, valid) = (field(w2, 15, 0), field(w2, 63, 63) == 1);
        let rdbase = field(w2, 50, 16);
        let key = (device, event);
        match field(w0, 7, 0) {
            // MAPD
            0x08 => {
                let bits = field(w1, 4, 0) as u32 + 1;
                let entry = self.entry(0, device).ok_or(Ignored)?;
                if valid && bits > 16 {
                    return Err(Ignored);
                }
                self.unmap_device(device);
                if valid {
                    self.devices.insert(device, (field(w2, 51, 8) << 8, bits));
                } else {
                    self.memory.set_u64(entry, 0).ok_or(Ignored)?;
                }
            }
            // MAPC
            0x09 if valid => {
                let vcpu = vcpu(rdbase).ok_or(Ignored)?;
                self.entry(1, icid).ok_or(Ignored)?;
                self.collections.insert(icid, rdbase);
                self.retarget(icid, Some(vcpu));
            }
            0x09 => self.unmap_collection(icid),
            // MAPTI, MAPI
            number @ (0x0a | 0x0b) => {
                let intid = if number == 0x0a {
                    field(w1, 63, 32)
                } else {
                    event
                };
                let (itt, bits) = *self.devices.get(&device).ok_or(Ignored)?;
                if event >= 1 << bits || !Memory::contains(itt + event * 8) {
                    return Err(Ignored);
                }
                // UNPREDICTABLE: nothing happens; an INTID that is none is an error all the same.
                if !(8192..65536).contains(&intid) {
                    return Err(Ignored);
                }
                if self.events.contains_key(&key) {
                    return Ok(());
                }
                self.entry(1, icid).ok_or(Ignored)?;
                self.map_event(key, intid, icid).map_err(|_| Ignored)?;
            }
            // MOVI
            0x01 => {
                let (intid, from) = *self.events.get(&key).ok_or(Ignored)?;
                self.collections.get(&from).ok_or(Ignored)?;
                let to = *self.collections.get(&icid).ok_or(Ignored)?;
                self.events.insert(key, (intid, icid));
                self.lpis.get_mut(&intid).unwrap().target = vcpu(to);
            }
            // MOVALL
            0x0e => {
                let from = vcpu(rdbase).ok_or(Ignored)?;
                let to = vcpu(field(w3, 50, 16)).ok_or(Ignored)?;
                for lpi in self.lpis.values_mut() {
                    if lpi.target == Some(from) {
                        lpi.target = Some(to);
                    }
                }
            }
            // DISCARD
            0x0f => {
                let (_, icid) = *self.events.get(&key).ok_or(Ignored)?;
                self.collections.get(&icid).ok_or(Ignored)?;
                self.unmap_event(key);
                let (itt, _) = self.devices[&device];
                self.memory.set_u64(itt + event * 8, 0).ok_or(Ignored)?;
            }
            // CLEAR
            0x04 => {
                let (intid, _) = self.events.get(&key).ok_or(Ignored)?;
                self.lpis.get_mut(intid).unwrap().pending = false;
            }
            // INT
            0x03 => {
                let intid = self.translate(device, event).map_err(|_| Ignored)?;
                self.lpis.get_mut(&intid).unwrap().pending = true;
            }
            // INV
            0x0c => {
                let (intid, _) = *self.events.get(&key).ok_or(Ignored)?;
                self.reload(intid)?;
            }
            // INVALL
            0x0d => {
                self.collections.get(&icid).ok_or(Ignored)?;
                let all: Vec<_> = self.events.values().copied().collect();
                for (intid, _) in all.into_iter().filter(|(_, of)| *of == icid) {
                    let _ = self.reload(intid);
                }
            }
            // SYNC
            0x05 => {}
            _ => return Err(Ignored),
        }
        Ok(())
    }

    fn reload(&mut self, intid: u64) -> Result<(), Ignored> {
        if intid < 1 << self.propbaser.1.min(16) {
            self.lpis.get_mut(&intid).unwrap().config = self.config_byte(intid).ok_or(Ignored)?;
        }
        Ok(())
    }

    /// The LPI of a message, or what KVM_SIGNAL_MSI says instead.
    pub fn translate(&self, device: u64, event: u64) -> Result<u64, &'static str> {
        if !self.enabled {
            return Err("EBUSY");
        }
        let (intid, icid) = *self.events.get(&(device, event)).ok_or("0")?;
        let rdbase = *self.collections.get(&icid).ok_or("0")?;
        if !self.lpis_enabled[vcpu(rdbase).unwrap()] {
            return Err("EBUSY");
        }
        Ok(intid)
    }

    /// "ITS command queue": all commands until GITS_CREADR is GITS_CWRITER.
    pub fn queue(&mut self) {
        while self.enabled && self.creadr != self.cwriter {
            let address = (field(self.cbaser, 51, 12) << 12) + self.creadr;
            let words = [0, 8, 16, 24].map(|at| self.memory.u64(address + at));
            if let [Some(w0), Some(w1), Some(w2), Some(w3)] = words {
                let _ = self.command([w0, w1, w2, w3]);
            }
            self.creadr += 32;
            if self.creadr == self.queue_size() {
                self.creadr = 0;
            }
        }
    }

    fn queue_size(&self) -> u64 {
        (field(self.cbaser, 7, 0) + 1) * 4096
    }

    /// The registers, whole.
    pub fn get(&self, offset: u64) -> u64 {
        match offset {
            0x00 => {
                let idle = !self.enabled || self.creadr == self.cwriter;
                u64::from(self.enabled) | u64::from(idle) << 31
            }
            0x04 => 0x4b00_043b,
            // PTA, CIL, HCC 0; Devbits 15, ID_bits 15, ITT_entry_size 7, Physical.
            0x08 => 15 << 13 | 15 << 8 | 7 << 4 | 1,
            0x80 => self.cbaser,
            0x88 => self.cwriter,
            0x90 => self.creadr,
            0x100 => self.baser[0],
            0x108 => self.baser[1],
            0xffd0 => 0x40,
            0xffe0 => 0x92,
            0xffe4 => 0xb4,
            0xffe8 => 0x3b,
            0xfff0 => 0x0d,
            0xfff4 => 0xf0,
            0xfff8 => 0x05,
            0xfffc => 0xb1,
            _ => 0,
        }
    }

    /// What a field of memory attributes becomes: shareability, inner, outer.
    fn attributes(value: u64) -> u64 {
        let mut value = value;
        if field(value, 11, 10) > 1 {
            value = value & !(3 << 10) | 1 << 10;
        }
        if field(value, 61, 59) < 2 {
            value = value & !(7 << 59) | 3 << 59;
        }
        if field(value, 55, 53) > 1 {
            value &= !(7 << 53);
        }
        value
    }

    /// Writes a register, whole.
    pub fn set(&mut self, offset: u64, value: u64) {
        match offset {
            0x00 if value & 1 == 0 => self.enabled = false,
            0x00 => {
                let valid = [self.baser[0], self.baser[1], self.cbaser];
                self.enabled |= valid.iter().all(|register| field(*register, 63, 63) == 1);
            }
            0x88 => {
                let offset = field(value, 19, 5) << 5;
                if offset < self.queue_size() {
                    self.cwriter = offset;
                }
            }
            0x80 if !self.enabled => {
                let defined = 0xff | 3 << 10 | 0xf_ffff_ffff << 16 | 7 << 53 | 7 << 59 | 1 << 63;
                self.cbaser = Self::attributes(value & defined);
                self.creadr = 0;
                self.cwriter = 0;
            }
            0x100 | 0x108 if !self.enabled => {
                let n = usize::from(offset == 0x108);
                let mut value = Self::attributes(value);
                value = value & !(0x1f << 48) | 7 << 48;
                value = value & !(7 << 56) | [1, 4][n] << 56;
                if n == 1 {
                    value &= !(1 << 62);
                }
                if field(value, 9, 8) == 3 {
                    value = value & !(3 << 8) | 2 << 8;
                }
                if field(value, 9, 8) == 1 {
                    value &= !(3 << 12);
                }
                if value == self.baser[n] {
                    return;
                }
                self.baser[n] = value;
                if n == 0 {
                    let all: Vec<_> = self.devices.keys().copied().collect();
                    all.into_iter().for_each(|device| self.unmap_device(device));
                } else {
                    let all: Vec<_> = self.known().into_iter().collect();
                    all.into_iter().for_each(|icid| self.unmap_collection(icid));
                }
            }
            _ => {}
        }
    }

    /// User space writes a register, whole.
    pub fn user_set(&mut self, offset: u64, value: u64) -> Result<(), &'static str> {
        match offset {
            0x04 if field(value, 15, 12) != 0 => return Err("EINVAL"),
            0x90 if self.enabled => return Err("EBUSY"),
            0x90 => {
                let offset = field(value, 19, 5) << 5;
                if offset >= self.queue_size() {
                    return Err("EINVAL");
                }
                self.creadr = offset;
            }
            _ => self.set(offset, value),
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.devices.clear();
        self.events.clear();
        self.collections.clear();
        self.lpis.clear();
    }

    /// "ITS Reset State".
    pub fn reset(&mut self) {
        self.enabled = false;
        self.baser[0] &= !(1 << 63);
        self.baser[1] &= !(1 << 63);
        self.cbaser = 0;
        self.creadr = 0;
        self.cwriter = 0;
        self.clear();
    }
}
