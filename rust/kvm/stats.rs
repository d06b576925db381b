// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_STATS_FD: what a VM and its vCPUs count, as a file.
//!
//! api.rst, "4.133 KVM_GET_STATS_FD". The file shares in owning the VM, and outlives its descriptor.

use crate::{
    counters::{
        Counter,
        Histogram, //
    },
    vcpu::Vcpu,
    vm::Vm, //
};
use kernel::{
    fs::file::{
        flags::O_CLOEXEC,
        FileDescriptorReservation, //
    },
    prelude::*,
    seq_file::SeqFile,
    str::CString,
    sync::{
        Arc,
        ArcBorrow, //
    },
};
use kvm_core::{
    stage2::Level,
    stats::{
        self,
        Kind,
        Source,
        Stat,
        Unit, //
    },
};
use kvm_host::file::{
    new_anon_file,
    AnonFile, //
};

/// What a VM has beside what its vCPUs count.
#[derive(Clone, Copy)]
pub(crate) enum VmNumber {
    /// Pages of its stage 2 tables.
    TablePages,
    /// Pages and blocks that they map, by level: with pages of 4 KiB these, 2 MiB and 1 GiB.
    Mapped(Level),
    /// Its vCPUs.
    Vcpus,
}

impl VmNumber {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::TablePages,
        Self::Mapped(Level::L3),
        Self::Mapped(Level::L2),
        Self::Mapped(Level::L1),
        Self::Vcpus,
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TablePages => "stage2_table_pages",
            Self::Mapped(Level::L3) => "stage2_pages",
            Self::Mapped(Level::L2) => "stage2_level2_blocks",
            Self::Mapped(Level::L0 | Level::L1) => "stage2_level1_blocks",
            Self::Vcpus => "vcpus",
        }
    }

    /// Its value in a VM.
    pub(crate) fn of(self, vm: &Vm) -> u64 {
        match self {
            Self::TablePages => vm.memory.table_pages(),
            Self::Mapped(level) => vm.memory.leaves().at(level),
            Self::Vcpus => vm.vcpu_count() as u64,
        }
    }
}

/// The statistics of a VM.
struct OfVm<'a> {
    vm: &'a Vm,
    id: &'a [u8],
}

impl Source for OfVm<'_> {
    fn id(&self) -> &[u8] {
        self.id
    }

    fn count(&self) -> usize {
        VmNumber::ALL.len()
    }

    fn stat(&self, index: usize) -> Option<Stat> {
        let number = VmNumber::ALL.get(index)?;

        Some(Stat {
            name: number.name(),
            kind: Kind::Instant,
            unit: Unit::Number,
        })
    }

    fn value(&self, index: usize, _n: usize) -> u64 {
        VmNumber::ALL
            .get(index)
            .map_or(0, |number| number.of(self.vm))
    }
}

/// A statistic of a vCPU.
enum Counted {
    Counter(Counter),
    Histogram(Histogram),
}

impl Counted {
    /// The one at `index`, the counters first.
    fn at(index: usize) -> Option<Self> {
        match index.checked_sub(Counter::COUNT) {
            None => Counter::at(index).map(Self::Counter),
            Some(n) => Histogram::ALL.get(n).copied().map(Self::Histogram),
        }
    }
}

/// The statistics of a vCPU.
struct OfVcpu<'a> {
    vcpu: &'a Vcpu,
    id: &'a [u8],
}

impl Source for OfVcpu<'_> {
    fn id(&self) -> &[u8] {
        self.id
    }

    fn count(&self) -> usize {
        Counter::COUNT + Histogram::ALL.len()
    }

    fn stat(&self, index: usize) -> Option<Stat> {
        Some(match Counted::at(index)? {
            Counted::Counter(counter) => Stat {
                name: counter.name(),
                kind: Kind::Cumulative,
                unit: counter.unit(),
            },
            Counted::Histogram(histogram) => Stat {
                name: histogram.name(),
                kind: Kind::LogHistogram(Histogram::BUCKETS as u16),
                unit: Unit::Nanoseconds,
            },
        })
    }

    fn value(&self, index: usize, n: usize) -> u64 {
        match Counted::at(index) {
            Some(Counted::Counter(counter)) => self.vcpu.counters.get(counter),
            Some(Counted::Histogram(histogram)) => self.vcpu.counters.histograms.get(histogram, n),
            None => 0,
        }
    }
}

/// A file with statistics.
struct StatsFile {
    vm: Arc<Vm>,
    /// The vCPU whose they are; [`None`] for the VM's.
    vcpu: Option<Arc<Vcpu>>,
    id: CString,
}

impl AnonFile for StatsFile {
    const NAME: &'static CStr = c"kvm-stats";
    const READABLE: bool = true;

    fn number(&self) -> Option<u32> {
        self.vcpu.as_ref().map(|vcpu| vcpu.id)
    }

    fn read(&self, position: u64, out: &mut [u8]) -> usize {
        let id = self.id.to_bytes();

        match &self.vcpu {
            Some(vcpu) => stats::read(&OfVcpu { vcpu, id }, position, out),
            None => stats::read(&OfVm { vm: &self.vm, id }, position, out),
        }
    }

    fn ioctl(_this: ArcBorrow<'_, Self>, _cmd: u32, _arg: usize) -> Result<u32> {
        Err(ENOTTY)
    }

    fn show_fdinfo(_this: ArcBorrow<'_, Self>, _m: &SeqFile) {}
}

/// Opens the statistics of a VM, or of one of its vCPUs. Returns the new descriptor.
///
/// # Errors
///
/// `EMFILE` and `ENFILE` if there are too many files, `ENOMEM`.
pub(crate) fn open(vm: Arc<Vm>, vcpu: Option<Arc<Vcpu>>) -> Result<u32> {
    let fd = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    let id = match &vcpu {
        Some(vcpu) => CString::try_from_fmt(fmt!("kvm-{}/vcpu-{}", vm.creator, vcpu.id))?,
        None => CString::try_from_fmt(fmt!("kvm-{}", vm.creator))?,
    };
    let file = new_anon_file(Arc::new(StatsFile { vm, vcpu, id }, GFP_KERNEL_ACCOUNT)?)?;
    let number = fd.reserved_fd();

    fd.fd_install(file);
    Ok(number)
}
