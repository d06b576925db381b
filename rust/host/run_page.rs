// SPDX-License-Identifier: GPL-2.0

//! `struct kvm_run`, which a vCPU shares with its VMM.
//!
//! api.rst, "5. The kvm_run structure". The VMM may write to it at any time, also while the vCPU
//! runs: nothing that the kernel wrote there is trusted when read back.

use crate::{
    abi::*,
    bindings::kvm_run,
    shared_page::{
        Field,
        SharedPages, //
    },
    uapi::kvm_debug_exit_arch,
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    page::{
        BorrowedPage,
        PAGE_SIZE, //
    },
    prelude::*, //
};

const _: () = assert!(size_of::<kvm_run>() <= PAGE_SIZE);

type RunField<T> = Field<1, T>;

/// The fields of the structure in use on arm64.
mod field {
    use super::*;

    macro_rules! fields {
        ($($name:ident: $type:ty = $($path:ident).+;)+) => {$(
            pub(super) const $name: RunField<$type> =
                RunField::at(offset_of!(kvm_run, $($path).+));
        )+};
    }

    fields! {
        IMMEDIATE_EXIT: u8 = immediate_exit__unsafe;
        EXIT_REASON: u32 = exit_reason;
        FLAGS: u16 = flags;

        HARDWARE_EXIT_REASON: u64 = __bindgen_anon_1.hw.hardware_exit_reason;
        ENTRY_FAILURE_REASON: u64 = __bindgen_anon_1.fail_entry.hardware_entry_failure_reason;
        ENTRY_FAILURE_CPU: u32 = __bindgen_anon_1.fail_entry.cpu;
        DEBUG_HSR: u32 = __bindgen_anon_1.debug.arch.hsr;
        DEBUG_HSR_HIGH: u32 = __bindgen_anon_1.debug.arch.hsr_high;
        DEBUG_FAR: u64 = __bindgen_anon_1.debug.arch.far;
        MMIO_PHYS_ADDR: u64 = __bindgen_anon_1.mmio.phys_addr;
        MMIO_DATA: [u8; 8] = __bindgen_anon_1.mmio.data;
        MMIO_LEN: u32 = __bindgen_anon_1.mmio.len;
        MMIO_IS_WRITE: u8 = __bindgen_anon_1.mmio.is_write;
        HYPERCALL_NR: u64 = __bindgen_anon_1.hypercall.nr;
        HYPERCALL_RET: u64 = __bindgen_anon_1.hypercall.ret;
        HYPERCALL_FLAGS: u64 = __bindgen_anon_1.hypercall.__bindgen_anon_1.flags;
        INTERNAL_SUBERROR: u32 = __bindgen_anon_1.internal.suberror;
        INTERNAL_NDATA: u32 = __bindgen_anon_1.internal.ndata;
        EVENT_TYPE: u32 = __bindgen_anon_1.system_event.type_;
        EVENT_NDATA: u32 = __bindgen_anon_1.system_event.ndata;
        NISV_ESR_ISS: u64 = __bindgen_anon_1.arm_nisv.esr_iss;
        NISV_FAULT_IPA: u64 = __bindgen_anon_1.arm_nisv.fault_ipa;
        SEA_FLAGS: u64 = __bindgen_anon_1.arm_sea.flags;
        SEA_ESR: u64 = __bindgen_anon_1.arm_sea.esr;
        SEA_GVA: u64 = __bindgen_anon_1.arm_sea.gva;
        SEA_GPA: u64 = __bindgen_anon_1.arm_sea.gpa;
        FAULT_FLAGS: u64 = __bindgen_anon_1.memory_fault.flags;
        FAULT_GPA: u64 = __bindgen_anon_1.memory_fault.gpa;
        FAULT_SIZE: u64 = __bindgen_anon_1.memory_fault.size;

        DEVICE_IRQ_LEVEL: u64 = s.regs.device_irq_level;
    }

    const HYPERCALL_ARGS: usize = offset_of!(kvm_run, __bindgen_anon_1.hypercall.args);
    const EVENT_DATA: usize =
        offset_of!(kvm_run, __bindgen_anon_1.system_event.__bindgen_anon_1.data);
    const INTERNAL_DATA: usize = offset_of!(kvm_run, __bindgen_anon_1.internal.data);

    /// The fields of an array of registers.
    const fn array<const LEN: usize>(offset: usize) -> [RunField<u64>; LEN] {
        let mut fields = [RunField::at(offset); LEN];
        let mut i = 0;
        while i < LEN {
            fields[i] = RunField::at(offset + i * size_of::<u64>());
            i += 1;
        }
        fields
    }

    pub(super) const ARGS: [RunField<u64>; 6] = array(HYPERCALL_ARGS);
    pub(super) const SYSTEM_EVENT: [RunField<u64>; MAX_DATA] = array(EVENT_DATA);
    pub(super) const INTERNAL_ERROR: [RunField<u64>; MAX_DATA] = array(INTERNAL_DATA);
}

/// The most data that goes with a system event or an internal error, in 64-bit words.
pub const MAX_DATA: usize = 16;

/// Why `KVM_RUN` returns to the VMM: `exit_reason` and what belongs to it.
pub enum Exit<'a> {
    /// `KVM_EXIT_UNKNOWN`: the hardware left the guest for a reason that nothing handles.
    Unknown {
        /// The hardware's reason.
        reason: u64,
    },
    /// `KVM_EXIT_MMIO`: the VMM is to read a device; `KVM_RUN` then finds the answer in
    /// [`RunPage::mmio_data`].
    MmioRead {
        /// The guest-physical address.
        address: u64,
        /// The number of bytes, 1 to 8.
        len: u32,
    },
    /// `KVM_EXIT_MMIO`: the VMM is to write to a device.
    MmioWrite {
        /// The guest-physical address.
        address: u64,
        /// The number of bytes, 1 to 8.
        len: u32,
        /// The bytes as they would be in memory, zeroes behind `len`.
        data: [u8; 8],
    },
    /// `KVM_EXIT_HYPERCALL`: an SMCCC call that the VMM's filter asked for.
    Hypercall {
        /// The function.
        function: u64,
        /// `KVM_HYPERCALL_EXIT_*`.
        flags: u64,
    },
    /// `KVM_EXIT_DEBUG`.
    Debug(kvm_debug_exit_arch),
    /// `KVM_EXIT_INTR`: a signal is pending, or `immediate_exit` was set.
    Interrupted,
    /// `KVM_EXIT_FAIL_ENTRY`.
    FailEntry {
        /// The reason, such as `KVM_EXIT_FAIL_ENTRY_CPU_UNSUPPORTED`.
        reason: u64,
        /// The CPU that it failed on.
        cpu: u32,
    },
    /// `KVM_EXIT_INTERNAL_ERROR`.
    InternalError {
        /// `KVM_INTERNAL_ERROR_*`.
        suberror: u32,
        /// What may help to find the cause; what is beyond [`MAX_DATA`] words is left out.
        data: &'a [u64],
    },
    /// `KVM_EXIT_SYSTEM_EVENT`.
    SystemEvent {
        /// `KVM_SYSTEM_EVENT_*`.
        event: u32,
        /// Its data; what is beyond [`MAX_DATA`] words is left out.
        data: &'a [u64],
    },
    /// `KVM_EXIT_ARM_NISV`: an access whose syndrome does not say what it is.
    ArmNisv {
        /// The syndrome.
        esr_iss: u64,
        /// The guest-physical address.
        fault_ipa: u64,
    },
    /// `KVM_EXIT_ARM_LDST64B`: as [`Exit::ArmNisv`], for a 64-byte access.
    ArmLdst64b {
        /// The syndrome.
        esr_iss: u64,
        /// The guest-physical address.
        fault_ipa: u64,
    },
    /// `KVM_EXIT_DIRTY_RING_FULL`.
    DirtyRingFull,
    /// `KVM_EXIT_ARM_SEA`: an access has met a synchronous External abort.
    ArmSea {
        /// The syndrome.
        esr: u64,
        /// The virtual address, if it is known.
        gva: Option<u64>,
        /// The guest-physical address, if it is known.
        gpa: Option<u64>,
    },
    /// `KVM_EXIT_MEMORY_FAULT`.
    MemoryFault {
        /// `KVM_MEMORY_EXIT_FLAG_*`.
        flags: u64,
        /// The guest-physical address of the range.
        address: u64,
        /// The size of the range in bytes.
        size: u64,
    },
}

/// The page that a vCPU shares with its VMM.
pub struct RunPage(SharedPages<1>);

impl RunPage {
    /// Allocates it, all zeroes. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        SharedPages::new().map(Self)
    }

    /// The page for the VMM's mapping: [`AnonFile::page`](crate::file::AnonFile::page).
    pub fn page(&self) -> Option<BorrowedPage<'_>> {
        self.0.page(0)
    }

    /// Whether the VMM wants `KVM_RUN` to return before the guest is entered.
    #[inline]
    pub fn immediate_exit(&self) -> bool {
        self.0.read(field::IMMEDIATE_EXIT) != 0
    }

    /// Says to the VMM why `KVM_RUN` returns.
    pub fn set_exit(&self, exit: &Exit<'_>) {
        let run = &self.0;
        let reason = match *exit {
            Exit::Unknown { reason } => {
                run.write(field::HARDWARE_EXIT_REASON, reason);
                KVM_EXIT_UNKNOWN
            }
            Exit::MmioRead { address, len } => {
                self.set_mmio(address, len, false);
                KVM_EXIT_MMIO
            }
            Exit::MmioWrite { address, len, data } => {
                run.write_bytes(field::MMIO_DATA, &data);
                self.set_mmio(address, len, true);
                KVM_EXIT_MMIO
            }
            Exit::Hypercall { function, flags } => {
                run.write(field::HYPERCALL_NR, function);
                run.write(field::HYPERCALL_RET, 0);
                run.write(field::HYPERCALL_FLAGS, flags);
                // The arguments are in the guest's registers, which the VMM reads itself.
                for argument in field::ARGS {
                    run.write(argument, 0);
                }
                KVM_EXIT_HYPERCALL
            }
            Exit::Debug(arch) => {
                run.write(field::DEBUG_HSR, arch.hsr);
                run.write(field::DEBUG_HSR_HIGH, arch.hsr_high);
                run.write(field::DEBUG_FAR, arch.far);
                KVM_EXIT_DEBUG
            }
            Exit::Interrupted => KVM_EXIT_INTR,
            Exit::FailEntry { reason, cpu } => {
                run.write(field::ENTRY_FAILURE_REASON, reason);
                run.write(field::ENTRY_FAILURE_CPU, cpu);
                KVM_EXIT_FAIL_ENTRY
            }
            Exit::InternalError { suberror, data } => {
                run.write(field::INTERNAL_SUBERROR, suberror);
                run.write(
                    field::INTERNAL_NDATA,
                    self.set_data(&field::INTERNAL_ERROR, data),
                );
                KVM_EXIT_INTERNAL_ERROR
            }
            Exit::SystemEvent { event, data } => {
                run.write(field::EVENT_TYPE, event);
                run.write(
                    field::EVENT_NDATA,
                    self.set_data(&field::SYSTEM_EVENT, data),
                );
                KVM_EXIT_SYSTEM_EVENT
            }
            Exit::ArmNisv { esr_iss, fault_ipa } => {
                self.set_nisv(esr_iss, fault_ipa);
                KVM_EXIT_ARM_NISV
            }
            Exit::ArmLdst64b { esr_iss, fault_ipa } => {
                self.set_nisv(esr_iss, fault_ipa);
                KVM_EXIT_ARM_LDST64B
            }
            Exit::DirtyRingFull => KVM_EXIT_DIRTY_RING_FULL,
            Exit::ArmSea { esr, gva, gpa } => {
                let flags = gpa.map_or(0, |_| KVM_EXIT_ARM_SEA_FLAG_GPA_VALID.into());
                run.write(field::SEA_FLAGS, flags);
                run.write(field::SEA_ESR, esr);
                run.write(field::SEA_GVA, gva.unwrap_or(0));
                run.write(field::SEA_GPA, gpa.unwrap_or(0));
                KVM_EXIT_ARM_SEA
            }
            Exit::MemoryFault {
                flags,
                address,
                size,
            } => {
                run.write(field::FAULT_FLAGS, flags);
                run.write(field::FAULT_GPA, address);
                run.write(field::FAULT_SIZE, size);
                KVM_EXIT_MEMORY_FAULT
            }
        };

        run.write(field::EXIT_REASON, reason);
    }

    fn set_mmio(&self, address: u64, len: u32, write: bool) {
        self.0.write(field::MMIO_PHYS_ADDR, address);
        self.0.write(field::MMIO_LEN, len);
        self.0.write(field::MMIO_IS_WRITE, write.into());
    }

    fn set_nisv(&self, esr_iss: u64, fault_ipa: u64) {
        self.0.write(field::NISV_ESR_ISS, esr_iss);
        self.0.write(field::NISV_FAULT_IPA, fault_ipa);
    }

    /// Writes words, and zeroes behind them; returns how many they are.
    fn set_data(&self, fields: &[RunField<u64>; MAX_DATA], data: &[u64]) -> u32 {
        for (i, field) in fields.iter().enumerate() {
            self.0.write(*field, data.get(i).copied().unwrap_or(0));
        }
        data.len().min(MAX_DATA) as u32
    }

    /// What the VMM answered to [`Exit::MmioRead`], once `KVM_RUN` is called again. As many of the
    /// bytes are the answer as were asked for; the length is not read back from here.
    pub fn mmio_data(&self) -> [u8; 8] {
        self.0.read_bytes(field::MMIO_DATA)
    }

    /// Sets `flags`: bits that say more about any exit.
    pub fn set_flags(&self, flags: u16) {
        self.0.write(field::FLAGS, flags);
    }

    /// The levels of the lines of in-kernel devices, `KVM_ARM_DEV_*`, as the VMM was last told:
    /// `KVM_CAP_ARM_USER_IRQ`. The VMM may have changed the value.
    #[inline]
    pub fn device_irq_level(&self) -> u64 {
        self.0.read(field::DEVICE_IRQ_LEVEL)
    }

    /// Tells the VMM the levels of the lines of in-kernel devices, `KVM_ARM_DEV_*`.
    pub fn set_device_irq_level(&self, level: u64) {
        self.0.write(field::DEVICE_IRQ_LEVEL, level);
    }
}
