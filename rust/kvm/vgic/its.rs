// SPDX-License-Identifier: GPL-2.0

//! An ITS in the kernel.
//!
//! The lock order is: `state`, then `cache` or the table of LPIs, under which nothing sleeps. Guest
//! memory is accessed under `state`.
//!
//! An LPI becomes pending, or goes to another vCPU, under `state` or `cache` only, and only if that
//! vCPU has its LPIs enabled. So who disables them and has then had either lock of each ITS
//! ([`Its::wait_for_messages`]) finds all that are pending, and no more come.

use crate::{
    memory::{
        DirtyRing,
        Memory, //
    },
    vgic::{
        lpis::{
            Lpi,
            NotAdded, //
        },
        redistributors::RedistRegisters,
        tree::Tree,
        vm::Vgic, //
    },
};
use kernel::{
    new_mutex, new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SetOnce,
        SpinLockIrq, //
    },
};
use kvm_core::{
    ipa::IpaBits,
    its::{
        self,
        env::{
            CannotMap,
            Fault, //
        },
        frame::{
            FRAME_ALIGN,
            FRAME_SIZE, //
        },
        Collection,
        CollectionId,
        ConfigTable,
        Device,
        DeviceId,
        Environment,
        Event,
        Forget,
        GuestMemory,
        LpiConfig,
        LpiId,
        Lpis,
        Mapping,
        Processor,
        Progress,
        Refused,
        Storage,
        TableError,
        Undelivered, //
    },
    vgic::{
        cell::IrqCell as _,
        intid::IntId,
        irq::Irq, //
    },
};
use kvm_host::task_work::is_being_killed;

/// How many steps of commands are done before others get the ITS.
const BATCH: u32 = 1024;

/// How many translations are cached.
const CACHED: usize = 128;

/// The kernel's maps.
pub(crate) struct Kernel;

impl Storage for Kernel {
    type Lpi = Arc<Lpi>;
    type Devices = Tree<DeviceId, Device>;
    type Events = Tree<Event, Mapping<Arc<Lpi>>>;
    type Collections = Tree<CollectionId, Collection>;
}

/// An ITS.
#[pin_data]
pub(crate) struct Its {
    /// The address of its frame.
    base: SetOnce<u64>,
    #[pin]
    state: Mutex<its::Its<Kernel>>,
    #[pin]
    cache: SpinLockIrq<its::Cache<Arc<Lpi>, CACHED>>,
}

/// What is around the LPIs of a VM.
#[derive(Copy, Clone)]
pub(crate) struct Around<'a> {
    pub(super) vgic: &'a Vgic,
    pub(super) memory: &'a Memory,
    pub(super) redistributors: &'a RedistRegisters,
    /// Of the vCPU that is the reason, if it is one.
    pub(super) ring: Option<&'a DirtyRing>,
}

/// What is around an ITS, or around the LPIs of a VM if it is none's business.
pub(super) struct Surroundings<'a> {
    around: Around<'a>,
    its: Option<&'a Its>,
}

impl<'a> Around<'a> {
    /// For what no ITS is asked for.
    pub(super) fn lpis(self) -> Surroundings<'a> {
        Surroundings {
            around: self,
            its: None,
        }
    }

    fn its(self, its: &'a Its) -> Surroundings<'a> {
        Surroundings {
            around: self,
            its: Some(its),
        }
    }
}

impl Around<'_> {
    /// A message has come for an interrupt. Where the vCPU has its LPIs disabled it is lost.
    fn with_message(self, irq: Irq) -> Irq {
        match irq.target() {
            Some(vcpu) if !self.redistributors.lpis(vcpu) => irq,
            _ => irq.set_pending(),
        }
    }

    /// An interrupt goes to `target` now. What is pending is lost where LPIs are disabled.
    fn with_target(self, irq: Irq, target: Option<usize>) -> Irq {
        let irq = irq.set_target(target);

        match target {
            Some(vcpu) if !self.redistributors.lpis(vcpu) => irq.clear_pending(),
            _ => irq,
        }
    }
}

impl GuestMemory for Surroundings<'_> {
    fn read(&self, ipa: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.around.memory.read(ipa, bytes).map_err(|_| Fault)
    }

    fn write(&self, ipa: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.around
            .memory
            .write(ipa, bytes, self.around.ring)
            .map_err(|_| Fault)
    }

    fn takes_writes(&self) -> bool {
        !self.around.ring.is_some_and(DirtyRing::is_full)
    }

    fn is_memory(&self, ipa: u64) -> bool {
        self.around.memory.is_memory(ipa)
    }
}

/// The interrupt `irq` with the configuration of an LPI.
fn configured(irq: Irq, config: LpiConfig) -> Irq {
    irq.set_enabled(config.enabled)
        .set_priority(config.priority)
}

/// An LPI's number as an INTID.
fn intid(id: LpiId) -> Option<IntId> {
    IntId::lpi(id.get())
}

impl Lpis for Surroundings<'_> {
    type Lpi = Arc<Lpi>;

    fn config_table(&self) -> ConfigTable {
        let propbaser = self.around.redistributors.propbaser();
        ConfigTable {
            base: propbaser.table(),
            id_bits: u32::from(u8::from(propbaser.id_bits())) + 1,
        }
    }

    fn find(&self, processor: Processor) -> Option<usize> {
        self.around.vgic.index_of(processor.get())
    }

    fn pending_table(&self, vcpu: usize) -> Option<u64> {
        let redistributors = self.around.redistributors;
        redistributors
            .lpis(vcpu)
            .then(|| redistributors.pendbaser(vcpu).table())
    }

    fn map(
        &self,
        id: LpiId,
        target: Option<usize>,
        config: LpiConfig,
    ) -> Result<Arc<Lpi>, CannotMap> {
        let intid = intid(id).ok_or(CannotMap::Taken)?;
        let irq = configured(Irq::reset(intid, target, true), config);
        self.around
            .vgic
            .map_lpi(intid, irq)
            .map_err(|error| match error {
                NotAdded::Taken => CannotMap::Taken,
                NotAdded::NoMemory => CannotMap::NoMemory,
            })
    }

    fn unmap(&self, lpi: Arc<Lpi>) {
        self.around.vgic.unmap_lpi(lpi);
    }

    fn at_or_after(&self, id: LpiId) -> Option<Arc<Lpi>> {
        self.around.vgic.lpis().at_or_after(intid(id)?)
    }

    fn id(&self, lpi: &Arc<Lpi>) -> LpiId {
        // The numbers of LPIs are the same.
        LpiId::new(lpi.intid().get()).unwrap_or(LpiId::MIN)
    }

    fn target(&self, lpi: &Arc<Lpi>) -> Option<usize> {
        lpi.irq().target()
    }

    fn set_target(&self, lpi: &Arc<Lpi>, target: Option<usize>) {
        self.around
            .vgic
            .update_lpi(lpi, |irq| self.around.with_target(irq, target));
    }

    fn is_pending(&self, lpi: &Arc<Lpi>) -> bool {
        lpi.irq().pending()
    }

    fn set_pending(&self, lpi: &Arc<Lpi>, pending: bool) {
        self.around.vgic.update_lpi(lpi, |irq| {
            if pending {
                self.around.with_message(irq)
            } else {
                irq.clear_pending()
            }
        });
    }

    fn configure(&self, lpi: &Arc<Lpi>, config: LpiConfig) {
        self.around
            .vgic
            .update_lpi(lpi, |irq| configured(irq, config));
    }
}

impl Environment for Surroundings<'_> {
    fn remember(&self, event: Event, lpi: &Arc<Lpi>) {
        if let Some(its) = self.its {
            let lost = its.cache.lock().insert(event, lpi.clone());
            drop(lost);
        }
    }

    fn forget(&self, which: Forget) {
        if let Some(its) = self.its {
            its.forget(which);
        }
    }

    fn go_on(&self) -> bool {
        !is_being_killed()
    }
}

/// The errno of tables that are not saved or restored. Source: arm-vgic-its.rst.
fn table_errno(error: TableError) -> Error {
    match error {
        TableError::Fault => EFAULT,
        TableError::Inconsistent => EINVAL,
        TableError::Exists => EEXIST,
        TableError::NoMemory => ENOMEM,
        TableError::Killed => EINTR,
    }
}

impl Its {
    /// Makes one without an address.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                base: SetOnce::new(),
                state <- new_mutex!(
                    its::Its::new(Tree::new(), Tree::new(), Tree::new()),
                    "kvm_vhe::Its::state"
                ),
                cache <- new_spinlock_irq!(its::Cache::new(), "kvm_vhe::Its::cache"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// The errno of an access that is refused. Source: arm-vgic-its.rst.
    pub(crate) fn refused(error: Refused) -> Error {
        match error {
            Refused::Unaligned | Refused::Value => EINVAL,
            Refused::Unknown => ENXIO,
            Refused::Enabled => EBUSY,
        }
    }

    /// The address of its frame.
    pub(crate) fn base(&self) -> Option<u64> {
        self.base.copy()
    }

    /// Sets the address of its frame.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it has one, `EINVAL` if this one is not aligned, `E2BIG` if it is not in the VM's
    /// address space.
    pub(crate) fn set_base(&self, base: u64, ipa: IpaBits) -> Result {
        if self.base().is_some() {
            return Err(EEXIST);
        }
        if base % FRAME_ALIGN != 0 {
            return Err(EINVAL);
        }
        if base >= ipa.size() || ipa.size() - base < FRAME_SIZE {
            return Err(E2BIG);
        }
        self.base.populate(base).then_some(()).ok_or(EEXIST)
    }

    /// Looks at its state. Those who want to change it wait.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&its::Its<Kernel>) -> R) -> R {
        f(&self.state.lock())
    }

    /// The offset of an address in its frame.
    pub(super) fn offset(&self, ipa: u64) -> Option<u64> {
        ipa.checked_sub(self.base()?)
            .filter(|offset| *offset < FRAME_SIZE)
    }

    /// Drops translations. Anywhere.
    pub(super) fn forget(&self, which: Forget) {
        let mut from = 0;
        loop {
            let lpi = self.cache.lock().take(which, &mut from);
            if lpi.is_none() {
                break;
            }
        }
    }

    /// Carries out some commands. Returns whether there are more. May sleep.
    pub(super) fn process(&self, around: Around<'_>) -> bool {
        let env = around.its(self);
        self.state.lock().process(&env, BATCH) == Progress::More
    }

    /// A vCPU reads a register. May sleep.
    pub(super) fn read(&self, offset: u64, len: usize) -> u64 {
        self.state.lock().read(offset, len)
    }

    /// A vCPU writes a register. May sleep. Commands may be left to be carried out.
    pub(super) fn write(&self, around: Around<'_>, offset: u64, len: usize, value: u64) {
        let env = around.its(self);
        self.state.lock().write(&env, offset, len, value);
    }

    /// User space reads a register.
    ///
    /// # Errors
    ///
    /// [`refused`](Self::refused).
    pub(crate) fn user_read(&self, offset: u64) -> Result<u64> {
        self.state.lock().user_read(offset).map_err(Self::refused)
    }

    /// User space writes a register, and what commands come of it are carried out.
    ///
    /// # Errors
    ///
    /// [`refused`](Self::refused); `EINTR` if the thread is being killed.
    pub(crate) fn user_write(&self, around: Around<'_>, offset: u64, value: u64) -> Result {
        let env = around.its(self);
        self.state
            .lock()
            .user_write(&env, offset, value)
            .map_err(Self::refused)?;
        while self.process(around) {
            if is_being_killed() {
                return Err(EINTR);
            }
        }
        Ok(())
    }

    /// Saves its tables.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `EINTR` if the thread is being killed.
    pub(crate) fn save(&self, around: Around<'_>) -> Result {
        let env = around.its(self);
        self.state.lock().save(&env).map_err(table_errno)
    }

    /// Restores its tables.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `EINVAL`, `EEXIST`, `ENOMEM`, `EINTR` if the thread is being killed.
    pub(crate) fn restore(&self, around: Around<'_>) -> Result {
        let env = around.its(self);
        self.state.lock().restore(&env).map_err(table_errno)
    }

    /// Resets it.
    pub(crate) fn reset(&self, around: Around<'_>) {
        let env = around.its(self);
        self.state.lock().reset(&env);
    }

    /// Makes the LPI of an event pending if its translation is cached; returns whether it was.
    /// Anywhere.
    pub(super) fn message_at_once(&self, around: Around<'_>, event: Event) -> bool {
        let cache = self.cache.lock();
        let Some(lpi) = cache.get(event) else {
            return false;
        };
        let (change, intid) = (lpi.irq.update(|irq| around.with_message(irq)), lpi.intid());
        drop(cache);
        if let Some(vcpu) = change.concerns() {
            around.vgic.lpi_waits(vcpu, intid, change.new.priority());
        }
        true
    }

    /// Lets those go on that are at it to make an LPI pending, and drops all translations. What is
    /// stored before this is seen by those who come later. May sleep.
    pub(super) fn wait_for_messages(&self) {
        drop(self.state.lock());
        self.forget(Forget::All);
    }

    /// Makes the LPI of an event pending. May sleep.
    ///
    /// # Errors
    ///
    /// [`Undelivered`].
    pub(super) fn message(&self, around: Around<'_>, event: Event) -> Result<(), Undelivered> {
        if self.message_at_once(around, event) {
            return Ok(());
        }
        let env = around.its(self);
        let state = self.state.lock();
        let lpi = state.translate(&env, event)?;
        around.vgic.update_lpi(&lpi, |irq| around.with_message(irq));
        drop(state);
        Ok(())
    }
}
