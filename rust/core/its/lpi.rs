// SPDX-License-Identifier: GPL-2.0

//! LPIs' configuration and pending tables, which a redistributor and an ITS share.
//!
//! Source: IHI 0069, "LPI Configuration tables" and "LPI Pending tables".

use super::{
    config::LpiConfig,
    env::{
        CannotMap,
        Environment,
        Fault,
        GuestMemory,
        Lpis, //
    },
    id::LpiId, //
};

/// Why an LPI's tables have nothing on it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum NoLpi {
    /// GICR_PROPBASER's table is too short to have it.
    OutOfRange,
    /// A table is not in guest memory.
    Fault,
    /// It cannot be mapped.
    CannotMap(CannotMap),
}

impl From<Fault> for NoLpi {
    fn from(_: Fault) -> Self {
        Self::Fault
    }
}

impl From<CannotMap> for NoLpi {
    fn from(why: CannotMap) -> Self {
        Self::CannotMap(why)
    }
}

/// One LPI's bit in a pending table.
struct PendingBit {
    ipa: u64,
    byte: u8,
    mask: u8,
}

impl PendingBit {
    /// Reads it from the table at `table`.
    fn read<M: GuestMemory + ?Sized>(memory: &M, table: u64, id: LpiId) -> Result<Self, Fault> {
        let ipa = table.wrapping_add((id.get() / 8).into());
        Ok(Self {
            ipa,
            byte: memory.read_u8(ipa)?,
            mask: 1 << (id.get() % 8),
        })
    }

    fn is_set(&self) -> bool {
        self.byte & self.mask != 0
    }

    fn write<M: GuestMemory + ?Sized>(&self, memory: &M, set: bool) -> Result<(), Fault> {
        let byte = if set {
            self.byte | self.mask
        } else {
            self.byte & !self.mask
        };
        if byte != self.byte {
            memory.write(self.ipa, &[byte])?;
        }
        Ok(())
    }
}

/// Maps an LPI with what the guest's tables say of it. If it is pending in its vCPU's table it
/// becomes pending, and the bit is cleared: this is how pending LPIs come back when an ITS is
/// restored, which is after the redistributors.
///
/// # Errors
///
/// [`NoLpi`]; nothing is mapped.
pub(super) fn map<E: Environment + ?Sized>(
    env: &E,
    id: LpiId,
    target: Option<usize>,
) -> Result<E::Lpi, NoLpi> {
    let entry = env.config_table().entry(id).ok_or(NoLpi::OutOfRange)?;
    let config = LpiConfig::from_byte(env.read_u8(entry)?);
    let pending = target
        .and_then(|vcpu| env.pending_table(vcpu))
        .map(|table| PendingBit::read(env, table, id))
        .transpose()?
        .filter(PendingBit::is_set);
    let lpi = env.map(id, target, config)?;
    if let Some(bit) = pending {
        if bit.write(env, false).is_err() {
            env.unmap(lpi);
            return Err(NoLpi::Fault);
        }
        env.set_pending(&lpi, true);
    }
    Ok(lpi)
}

/// Reads the configuration of an LPI again: INV and GICR_INVLPIR. If its byte cannot be read it
/// stays as it is.
///
/// # Errors
///
/// [`Fault`].
pub fn reload<E: GuestMemory + Lpis + ?Sized>(env: &E, lpi: &E::Lpi) -> Result<(), Fault> {
    if let Some(entry) = env.config_table().entry(env.id(lpi)) {
        env.configure(lpi, LpiConfig::from_byte(env.read_u8(entry)?));
    }
    Ok(())
}

/// Calls `f` with each LPI of the VM until it fails.
pub(super) fn each<E: Lpis + ?Sized, R>(
    env: &E,
    mut f: impl FnMut(E::Lpi) -> Result<(), R>,
) -> Result<(), R> {
    let mut from = Some(LpiId::MIN);
    while let Some(lpi) = from.and_then(|id| env.at_or_after(id)) {
        from = env.id(&lpi).next();
        f(lpi)?;
    }
    Ok(())
}

/// Reads the configuration of all LPIs of a vCPU again: GICR_INVALLR. Those whose byte cannot be
/// read stay as they are.
pub fn reload_all<E: Environment + ?Sized>(env: &E, vcpu: usize) {
    let Ok(()) = each(env, |lpi| {
        env.go_on();
        if env.target(&lpi) == Some(vcpu) {
            // Like hardware, which has nobody to tell.
            let _ = reload(env, &lpi);
        }
        Ok::<_, core::convert::Infallible>(())
    });
}

/// Makes those LPIs of a vCPU pending that its table has: GICR_CTLR.EnableLPIs has become 1 and
/// GICR_PENDBASER.PTZ is 0. Others that are pending have become so since, by a message, for none is
/// where LPIs are disabled.
///
/// # Errors
///
/// [`Fault`]; the LPIs before the one whose bit cannot be read have their state.
pub fn load_pending<E: Environment + ?Sized>(env: &E, vcpu: usize) -> Result<(), Fault> {
    let Some(table) = env.pending_table(vcpu) else {
        return Ok(());
    };
    each(env, |lpi| {
        env.go_on();
        if env.target(&lpi) == Some(vcpu) {
            let bit = PendingBit::read(env, table, env.id(&lpi))?;
            if bit.is_set() {
                env.set_pending(&lpi, true);
            }
        }
        Ok(())
    })
}

/// Takes back the LPIs that are pending at a vCPU: GICR_CTLR.EnableLPIs has become 0.
pub fn drop_pending<E: Environment + ?Sized>(env: &E, vcpu: usize) {
    let Ok(()) = each(env, |lpi| {
        env.go_on();
        if env.target(&lpi) == Some(vcpu) {
            env.set_pending(&lpi, false);
        }
        Ok::<_, core::convert::Infallible>(())
    });
}

/// Writes the pending state of all LPIs to the tables of the vCPUs they go to:
/// KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES. vCPUs that have no LPIs enabled have no table.
///
/// # Errors
///
/// [`Fault`]; part of the tables is written.
pub fn save_pending<E: Environment + ?Sized>(env: &E) -> Result<(), Fault> {
    each(env, |lpi| {
        env.go_on();
        let Some(table) = env.target(&lpi).and_then(|vcpu| env.pending_table(vcpu)) else {
            return Ok(());
        };
        PendingBit::read(env, table, env.id(&lpi))?.write(env, env.is_pending(&lpi))
    })
}
