// SPDX-License-Identifier: GPL-2.0

//! A VM to make calls in.

#![allow(dead_code)]

use std::{
    cell::RefCell,
    ops::ControlFlow, //
};

use kvm_core::{
    firmware::{
        Clock,
        ClockReading,
        Counter,
        Entropy,
        Environment,
        Firmware,
        Mitigation,
        Mitigations,
        StolenTimeIpa,
        VcpuFeatures, //
    },
    psci::{
        Affinity,
        Platform, //
    },
    smccc::{
        Call,
        Conduit,
        Filter,
        FilterRange,
        RangeStore,
        Registers,
        StoreFull, //
    },
};

/// -1 in X0.
pub const NOT_SUPPORTED: [u64; 4] = [u64::MAX, 0, 0, 0];

/// The storage of a filter, with room for so many ranges.
#[derive(Debug)]
pub struct Ranges {
    pub ranges: Vec<FilterRange>,
    pub room: usize,
}

impl Ranges {
    pub fn new(room: usize) -> Self {
        Self {
            ranges: Vec::new(),
            room,
        }
    }

    pub fn filter(room: usize) -> Filter<Self> {
        Filter::new(Self::new(room)).unwrap()
    }
}

impl RangeStore for Ranges {
    fn ranges(&self) -> &[FilterRange] {
        &self.ranges
    }

    fn insert(&mut self, index: usize, range: FilterRange) -> Result<(), StoreFull> {
        if self.ranges.len() == self.room {
            return Err(StoreFull);
        }
        self.ranges.insert(index, range);
        Ok(())
    }
}

/// The calling vCPU and what is around it.
pub struct Vm {
    pub features: VcpuFeatures,
    pub big_endian: bool,
    /// MPIDR_EL1, and whether it is on.
    pub vcpus: Vec<(u64, bool)>,
    /// The numbers to come, from the last.
    pub random: RefCell<Vec<u64>>,
    /// For the virtual and the physical counter.
    pub clock: Option<[ClockReading; 2]>,
    pub stolen_time: Option<StolenTimeIpa>,
}

impl Default for Vm {
    fn default() -> Self {
        Self {
            features: VcpuFeatures {
                psci_0_2: true,
                ssbs: true,
            },
            big_endian: false,
            vcpus: vec![(0x8000_0000, true), (0x8000_0001, false)],
            random: RefCell::new(vec![0x1111_2222_3333_4444; 64]),
            clock: None,
            stolen_time: None,
        }
    }
}

impl Platform for Vm {
    fn caller_is_big_endian(&self) -> bool {
        self.big_endian
    }

    fn visit_vcpus(&self, mut visit: impl FnMut(Affinity, bool) -> ControlFlow<()>) {
        for (mpidr, on) in &self.vcpus {
            if visit(Affinity::from_mpidr(*mpidr), *on).is_break() {
                return;
            }
        }
    }
}

impl Entropy for Vm {
    fn random(&self) -> Option<u64> {
        self.random.borrow_mut().pop()
    }
}

impl Clock for Vm {
    fn read(&self, counter: Counter) -> Option<ClockReading> {
        self.clock.map(|[virt, phys]| match counter {
            Counter::Virtual => virt,
            Counter::Physical => phys,
        })
    }
}

impl Environment for Vm {
    fn features(&self) -> VcpuFeatures {
        self.features
    }

    fn stolen_time(&self) -> Option<StolenTimeIpa> {
        self.stolen_time
    }
}

/// Returns a firmware on a host that is open to all attacks.
pub fn firmware() -> Firmware {
    Firmware::new(Mitigations {
        spectre_v2: Mitigation::Vulnerable,
        spectre_v4: Mitigation::Vulnerable,
        spectre_bhb: Mitigation::Vulnerable,
    })
}

/// Returns the call of an AArch64 guest by HVC.
pub fn hvc(function: u32, arguments: [u64; 3]) -> Call {
    let [x1, x2, x3] = arguments;
    let registers = Registers([function.into(), x1, x2, x3]);
    Call::new(Conduit::Hvc, false, 0, true, registers)
}

/// Returns the call of an AArch32 guest by HVC.
pub fn hvc32(function: u32, arguments: [u64; 3]) -> Call {
    let call = hvc(function, arguments);
    Call::new(Conduit::Hvc, true, 0, true, call.registers())
}
