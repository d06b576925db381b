// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/kvm`: what VMs do, and how they are, for root.
//!
//! As C KVM has it, for the same tools: a directory `PID-FD` for each VM with a file for each thing
//! that is counted, `vcpuN` in it, and at the top a file for each that has the sum over all VMs.
//! Beside these numbers a VM's directory has texts: its interrupt controller's state, its ITSs'
//! maps and what stage 2 maps.
//!
//! The descriptors of a VM and its vCPUs own its directory, which nothing of the VM itself points
//! to: it goes with the last of them, and waits for those who read meanwhile.

mod halt;
mod its;
mod stage2;
mod timers;
mod vgic;

use self::{
    halt::HaltState,
    its::ItsMaps,
    stage2::Stage2State,
    timers::TimersState,
    vgic::VgicState, //
};
use crate::{
    counters::Counter,
    stats::VmNumber,
    vcpu::Vcpu,
    vm::Vm, //
};
use kernel::{
    new_mutex,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    },
};
use kvm_host::debugfs::{
    Dir,
    File,
    Show, //
};

/// A number that a VM has.
#[derive(Clone, Copy)]
enum Number {
    /// What its vCPUs count.
    Counter(Counter),
    /// Its own.
    Own(VmNumber),
}

impl Number {
    /// All of them.
    fn all() -> impl Iterator<Item = Self> {
        let counters = Counter::all().map(Self::Counter);

        Iterator::chain(counters, VmNumber::ALL.map(Self::Own))
    }

    /// Its name, that of the binary statistics.
    fn name(self) -> &'static str {
        match self {
            Self::Counter(counter) => counter.name(),
            Self::Own(number) => number.name(),
        }
    }

    /// Its value in a VM.
    fn of(self, vm: &Vm) -> u64 {
        match self {
            Self::Counter(counter) => vm.sum(counter),
            Self::Own(number) => number.of(vm),
        }
    }
}

/// A VM that has a directory.
struct Listed {
    vm: Arc<Vm>,
    name: (i32, u32),
}

/// The VMs that have one.
#[pin_data]
struct Vms {
    #[pin]
    list: Mutex<KVec<Listed>>,
}

impl Vms {
    /// Adds a VM. Returns whether nobody else has its name, as a VM whose vCPUs are open still may
    /// whose own descriptor is closed.
    fn add(&self, vm: &Arc<Vm>, name: (i32, u32)) -> Result<bool> {
        let vm = vm.clone();
        let mut list = self.list.lock();

        if list.iter().any(|other| other.name == name) {
            return Ok(false);
        }
        list.push(Listed { vm, name }, GFP_KERNEL_ACCOUNT)?;
        Ok(true)
    }

    fn remove(&self, name: (i32, u32)) {
        let mut list = self.list.lock();
        let found = list.iter().position(|other| other.name == name);
        let gone = found.and_then(|n| list.remove(n).ok());

        drop(list);
        drop(gone);
    }
}

/// The sum of a number over all VMs.
struct Total {
    vms: Arc<Vms>,
    number: Number,
}

impl Show for Total {
    fn show(&self, m: &SeqFile) {
        let mut sum: u64 = 0;

        for listed in self.vms.list.lock().iter() {
            sum = sum.wrapping_add(self.number.of(&listed.vm));
        }
        seq_print!(m, "{}\n", sum);
    }
}

/// A number of a VM.
struct OfVm {
    vm: Arc<Vm>,
    number: Number,
}

impl Show for OfVm {
    fn show(&self, m: &SeqFile) {
        seq_print!(m, "{}\n", self.number.of(&self.vm));
    }
}

/// What a vCPU counts.
struct OfVcpu {
    vcpu: Arc<Vcpu>,
    counter: Counter,
}

impl Show for OfVcpu {
    fn show(&self, m: &SeqFile) {
        seq_print!(m, "{}\n", self.vcpu.counters.get(self.counter));
    }
}

/// The thread that was last in KVM_RUN.
struct Thread(Arc<Vcpu>);

impl Show for Thread {
    fn show(&self, m: &SeqFile) {
        seq_print!(m, "{}\n", self.0.seen.thread());
    }
}

/// A file, if there is memory for it.
fn file<T: Show>(dir: &Dir, name: &str, data: T) -> Result<File<T>> {
    File::new(&CString::try_from_fmt(fmt!("{name}"))?, dir, data)
}

/// What is at the top.
struct Top {
    _totals: KVec<File<Total>>,
    dir: Dir,
}

impl Top {
    fn new(vms: &Arc<Vms>) -> Result<Self> {
        let dir = Dir::new(c"kvm", None);
        let mut totals = KVec::new();

        for number in Number::all() {
            let vms = vms.clone();
            totals.push(
                file(&dir, number.name(), Total { vms, number })?,
                GFP_KERNEL,
            )?;
        }
        Ok(Self {
            _totals: totals,
            dir,
        })
    }
}

/// The whole of it.
#[pin_data]
pub(crate) struct Debugfs {
    #[pin]
    top: Mutex<Option<Top>>,
    vms: Arc<Vms>,
}

impl Debugfs {
    /// There is nothing yet: as long as `/dev/kvm` is not the module's, `kvm` here may be C KVM's.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let vms = Arc::pin_init(
            pin_init!(Vms {
                list <- new_mutex!(KVec::new(), "kvm_vhe::Vms::list"),
            }),
            GFP_KERNEL,
        )?;
        Arc::pin_init(
            pin_init!(Self {
                top <- new_mutex!(None, "kvm_vhe::Debugfs::top"),
                vms,
            }),
            GFP_KERNEL,
        )
    }

    /// The directory, which is made if there is none. Nothing depends on it: without memory it is not
    /// there.
    pub(crate) fn open(&self) -> Option<Dir> {
        let mut top = self.top.lock();

        if top.is_none() {
            *top = Top::new(&self.vms).ok();
        }
        top.as_ref().map(|top| top.dir.clone())
    }

    /// Makes the directory of a VM that has this descriptor in its creator.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add_vm(&self, vm: &Arc<Vm>, fd: u32) -> Result<Arc<VmDir>> {
        let name = (vm.creator, fd);
        let Some(top) = self.open() else {
            return Err(ENOMEM);
        };
        let files = if self.vms.add(vm, name)? {
            let listing = Listing {
                vms: self.vms.clone(),
                name,
            };
            Some(VmFiles::new(&top, vm, listing)?)
        } else {
            None
        };
        Ok(Arc::new(VmDir(files), GFP_KERNEL_ACCOUNT)?)
    }
}

/// That a VM is listed. Dropping it ends that.
struct Listing {
    vms: Arc<Vms>,
    name: (i32, u32),
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.vms.remove(self.name);
    }
}

/// What is in a VM's directory.
struct VmFiles {
    _numbers: KVec<File<OfVm>>,
    _vgic: File<VgicState>,
    _its: File<ItsMaps>,
    _stage2: File<Stage2State>,
    dir: Dir,
    // After the directory, whose name is free then.
    _listing: Listing,
}

impl VmFiles {
    fn new(top: &Dir, vm: &Arc<Vm>, listing: Listing) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}-{}", listing.name.0, listing.name.1))?;
        let dir = Dir::new(&name, Some(top));
        let mut numbers = KVec::new();

        for number in Number::all() {
            let of = OfVm {
                vm: vm.clone(),
                number,
            };
            numbers.push(file(&dir, number.name(), of)?, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self {
            _numbers: numbers,
            _vgic: file(&dir, "vgic-state", VgicState(vm.clone()))?,
            _its: file(&dir, "vgic-its-state", ItsMaps(vm.clone()))?,
            _stage2: file(&dir, "stage2", Stage2State(vm.clone()))?,
            dir,
            _listing: listing,
        })
    }
}

/// A VM's directory. There is none if another VM's has its name.
pub(crate) struct VmDir(Option<VmFiles>);

impl VmDir {
    /// Makes the directory of a vCPU.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add_vcpu(self: &Arc<Self>, vm: &Arc<Vm>, vcpu: &Arc<Vcpu>) -> Result<VcpuDir> {
        let files = match &self.0 {
            Some(files) => Some(VcpuFiles::new(&files.dir, vm, vcpu)?),
            None => None,
        };
        Ok(VcpuDir {
            _files: files,
            _vm: self.clone(),
        })
    }
}

/// What is in a vCPU's directory.
struct VcpuFiles {
    _counters: KVec<File<OfVcpu>>,
    _thread: File<Thread>,
    _timers: File<TimersState>,
    _halt: File<HaltState>,
}

impl VcpuFiles {
    fn new(above: &Dir, vm: &Arc<Vm>, vcpu: &Arc<Vcpu>) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("vcpu{}", vcpu.id))?;
        let dir = Dir::new(&name, Some(above));
        let mut counters = KVec::new();

        for counter in Counter::all() {
            let of = OfVcpu {
                vcpu: vcpu.clone(),
                counter,
            };
            counters.push(file(&dir, counter.name(), of)?, GFP_KERNEL_ACCOUNT)?;
        }
        let timers = TimersState {
            vm: vm.clone(),
            vcpu: vcpu.clone(),
        };
        Ok(Self {
            _counters: counters,
            _thread: file(&dir, "pid", Thread(vcpu.clone()))?,
            _timers: file(&dir, "timers", timers)?,
            _halt: file(&dir, "halt-polling", HaltState(vcpu.clone()))?,
        })
    }
}

/// A vCPU's directory.
pub(crate) struct VcpuDir {
    _files: Option<VcpuFiles>,
    _vm: Arc<VmDir>,
}
