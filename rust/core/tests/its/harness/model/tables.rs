// SPDX-License-Identifier: GPL-2.0

//! What is specified of tables in guest memory: saved, restored, and of pending LPIs.

use super::*;

impl Model {
    /// "ITS Table ABI REV0".
    pub fn save(&mut self) -> Result<(), &'static str> {
        let valid = field(self.baser[1], 63, 63) == 1;
        let places = if valid {
            table_size(self.baser[1]) / 8
        } else {
            0
        };
        let devices: Vec<_> = self.devices.clone().into_iter().collect();
        // The device before, to be written when the next one is known.
        let mut before: Option<(u64, u64, u64)> = None;
        for (id, (itt, bits)) in devices {
            let Some(address) = self.entry(0, id) else {
                continue;
            };
            let events: Vec<_> = self
                .events
                .range((id, 0)..=(id, u64::MAX))
                .map(|((_, event), (intid, icid))| (*event, *intid, *icid))
                .collect();
            let saved = |icid: u64| icid < places;
            for (n, (event, intid, icid)) in events.iter().enumerate() {
                let next = events[n + 1..]
                    .iter()
                    .find(|(_, _, icid)| saved(*icid))
                    .map_or(0, |(next, _, _)| next - event);
                let ite = if saved(*icid) {
                    next << 48 | intid << 16 | icid
                } else {
                    0
                };
                self.memory.set_u64(itt + event * 8, ite).ok_or("EFAULT")?;
            }
            if let Some((last, at, dte)) = before {
                let next = (id - last).min((1 << 14) - 1);
                self.memory.set_u64(at, dte | next << 49).ok_or("EFAULT")?;
            }
            let dte = 1 << 63 | (itt >> 8) << 5 | u64::from(bits - 1);
            before = Some((id, address, dte));
        }
        if let Some((_, at, dte)) = before {
            self.memory.set_u64(at, dte).ok_or("EFAULT")?;
        }
        let mut place = 0;
        for icid in self.known().into_iter().filter(|icid| *icid < places) {
            let rdbase = self.collections.get(&icid).map_or(0xffff_ffff, |to| *to);
            let at = table_address(self.baser[1]) + place * 8;
            let cte = 1 << 63 | rdbase << 16 | icid;
            self.memory.set_u64(at, cte).ok_or("EFAULT")?;
            place += 1;
        }
        if place < places {
            let at = table_address(self.baser[1]) + place * 8;
            self.memory.set_u64(at, 0).ok_or("EFAULT")?;
        }
        Ok(())
    }

    /// "ITS Restore Sequence".
    pub fn restore(&mut self) -> Result<(), &'static str> {
        let mut known = self.known();
        let restored = self
            .restore_collections(&mut known)
            .and_then(|()| self.restore_devices(&known));
        if restored.is_err() {
            self.clear();
        }
        restored
    }

    fn restore_collections(&mut self, known: &mut BTreeSet<u64>) -> Result<(), &'static str> {
        if field(self.baser[1], 63, 63) == 0 {
            return Ok(());
        }
        for place in 0..table_size(self.baser[1]) / 8 {
            let at = table_address(self.baser[1]) + place * 8;
            let cte = self.memory.u64(at).ok_or("EFAULT")?;
            if field(cte, 63, 63) == 0 {
                break;
            }
            let (rdbase, icid) = (field(cte, 47, 16), field(cte, 15, 0));
            if rdbase != 0xffff_ffff {
                vcpu(rdbase).ok_or("EINVAL")?;
            }
            if !known.insert(icid) {
                return Err("EEXIST");
            }
            self.entry(1, icid).ok_or("EINVAL")?;
            if rdbase != 0xffff_ffff {
                self.collections.insert(icid, rdbase);
            }
        }
        Ok(())
    }

    fn restore_devices(&mut self, known: &BTreeSet<u64>) -> Result<(), &'static str> {
        let baser = self.baser[0];
        if field(baser, 63, 63) == 0 {
            return Ok(());
        }
        let mut id = 0;
        while id < 0x1_0000 {
            let at = if field(baser, 62, 62) == 0 {
                if id * 8 >= table_size(baser) {
                    break;
                }
                table_address(baser) + id * 8
            } else {
                let per_page = page_size(baser) / 8;
                let page = id / per_page;
                if page * 8 >= table_size(baser) {
                    break;
                }
                let l1 = self.memory.u64(table_address(baser) + page * 8);
                let l1 = l1.ok_or("EFAULT")?;
                if field(l1, 63, 63) == 0 {
                    id = (page + 1) * per_page;
                    continue;
                }
                (field(l1, 51, 12) << 12 & !(page_size(baser) - 1)) + id % per_page * 8
            };
            let dte = self.memory.u64(at).ok_or("EFAULT")?;
            if field(dte, 63, 63) == 0 {
                id += 1;
                continue;
            }
            let bits = field(dte, 4, 0) as u32 + 1;
            if bits > 16 {
                return Err("EINVAL");
            }
            if self.devices.contains_key(&id) {
                return Err("EEXIST");
            }
            let itt = field(dte, 48, 5) << 8;
            self.devices.insert(id, (itt, bits));
            self.restore_events(id, itt, bits, known)?;
            match field(dte, 62, 49) {
                0 => break,
                next => id += next,
            }
        }
        Ok(())
    }

    fn restore_events(
        &mut self,
        device: u64,
        itt: u64,
        bits: u32,
        known: &BTreeSet<u64>,
    ) -> Result<(), &'static str> {
        let mut event = 0;
        while event < 1 << bits {
            let ite = self.memory.u64(itt + event * 8).ok_or("EFAULT")?;
            let (next, intid, icid) = (field(ite, 63, 48), field(ite, 47, 16), field(ite, 15, 0));
            if intid == 0 {
                event += 1;
                continue;
            }
            if !(8192..65536).contains(&intid) || event + next >= 1 << bits {
                return Err("EINVAL");
            }
            if !known.contains(&icid) {
                return Err("EINVAL");
            }
            self.entry(1, icid).ok_or("EINVAL")?;
            match self.map_event((device, event), intid, icid) {
                Ok(()) | Err("taken") => {}
                Err(error) => return Err(error),
            }
            match next {
                0 => break,
                next => event += next,
            }
        }
        Ok(())
    }

    /// GICR_CTLR.EnableLPIs becomes 1 with GICR_PENDBASER.PTZ 0.
    pub fn load_pending(&mut self, vcpu: usize) {
        let ids: Vec<_> = self.lpis.keys().copied().collect();
        for intid in ids {
            let (address, mask) = self.pending_bit(vcpu, intid);
            let byte = self.memory.u8(address).unwrap();
            let lpi = self.lpis.get_mut(&intid).unwrap();
            if lpi.target == Some(vcpu) && self.lpis_enabled[vcpu] {
                lpi.pending |= byte & mask != 0;
            }
        }
    }

    /// KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES.
    pub fn save_pending(&mut self) {
        for (intid, lpi) in self.lpis.clone() {
            if let Some(vcpu) = lpi.target.filter(|vcpu| self.lpis_enabled[*vcpu]) {
                let (address, mask) = self.pending_bit(vcpu, intid);
                let byte = self.memory.u8(address).unwrap() & !mask;
                let byte = byte | if lpi.pending { mask } else { 0 };
                self.memory.write(address, &[byte]).unwrap();
            }
        }
    }
}
