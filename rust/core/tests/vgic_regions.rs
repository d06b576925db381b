// SPDX-License-Identifier: GPL-2.0

//! The places of a GICv3's frames, against a plain list of all frames there are.

use kvm_core::{
    bits::Bits,
    ipa::IpaBits,
    vgic::regions::{
        BadFrame,
        Frame,
        Frames,
        NoRoom,
        RedistRegionAttr,
        Region,
        RegionStore,
        Unmapped,
        DIST_SIZE,
        REDIST_SIZE, //
    },
};
use proptest::prelude::*;

#[derive(Clone, Debug, Default)]
struct Store(Vec<Region>);

impl RegionStore for Store {
    fn regions(&self) -> &[Region] {
        &self.0
    }

    fn push(&mut self, region: Region) -> Result<(), NoRoom> {
        self.0.push(region);
        Ok(())
    }
}

/// What user space asks for.
#[derive(Copy, Clone, Debug)]
enum Step {
    Dist(u64),
    Redist(u64),
    Region {
        index: u64,
        base: u64,
        count: u64,
        flags: u64,
    },
    Vcpu,
}

const SIZE: u64 = 1 << 32;

fn ipa() -> IpaBits {
    IpaBits::new(32).unwrap()
}

fn attr(index: u64, base: u64, count: u64, flags: u64) -> RedistRegionAttr {
    RedistRegionAttr::from_raw((count << 52) | base | (flags << 12) | index)
}

/// What was accepted.
#[derive(Clone, Debug, Default)]
struct Model {
    dist: Option<u64>,
    single: Option<u64>,
    regions: Vec<(u64, u64)>,
    vcpus: usize,
}

type Range = std::ops::Range<u64>;

fn meet(a: &Range, b: &Range) -> bool {
    a.start.max(b.start) < a.end.min(b.end)
}

impl Model {
    fn dist(&self) -> Option<Range> {
        self.dist.map(|base| base..base + DIST_SIZE)
    }

    /// The place of each vCPU, for those that have one.
    fn places(&self) -> Vec<u64> {
        let all: Vec<u64> = match self.single {
            Some(base) => (0..self.vcpus as u64)
                .map(|n| base + n * REDIST_SIZE)
                .collect(),
            None => self
                .regions
                .iter()
                .flat_map(|(base, count)| (0..*count).map(move |n| base + n * REDIST_SIZE))
                .collect(),
        };
        all.into_iter().take(self.vcpus).collect()
    }

    fn fits(range: &Range) -> Option<BadFrame> {
        if range.start % 0x1_0000 != 0 {
            Some(BadFrame::Alignment)
        } else if range.end > SIZE {
            Some(BadFrame::Range)
        } else {
            None
        }
    }

    /// Everything that can be wrong with a step; an implementation may report any of it.
    fn wrongs(&self, step: Step) -> Vec<BadFrame> {
        let mut wrongs = Vec::new();
        let mut wrong = |condition: bool, error| {
            if condition {
                wrongs.push(error);
            }
        };
        let hits_dist = |range: &Range| self.dist().is_some_and(|dist| meet(&dist, range));
        match step {
            Step::Dist(base) => {
                wrong(self.dist.is_some(), BadFrame::Exists);
                if let Some(error) = Self::fits(&(base..base + DIST_SIZE)) {
                    wrong(true, error);
                }
            }
            Step::Redist(base) => {
                let range = base..base + REDIST_SIZE * self.vcpus.max(1) as u64;
                wrong(self.single.is_some(), BadFrame::Exists);
                wrong(!self.regions.is_empty(), BadFrame::Mixed);
                wrong(hits_dist(&range), BadFrame::Overlap);
                if let Some(error) = Self::fits(&range) {
                    wrong(true, error);
                }
            }
            Step::Region {
                index,
                base,
                count,
                flags,
            } => {
                let range = base..base + REDIST_SIZE * count;
                wrong(flags != 0, BadFrame::Flags);
                wrong(count == 0, BadFrame::Empty);
                wrong(self.single.is_some(), BadFrame::Mixed);
                wrong(index != self.regions.len() as u64, BadFrame::Index);
                wrong(
                    hits_dist(&range)
                        || self.regions.iter().any(|(base, count)| {
                            meet(&(*base..base + count * REDIST_SIZE), &range)
                        }),
                    BadFrame::Overlap,
                );
                if let Some(error) = Self::fits(&range) {
                    wrong(true, error);
                }
            }
            Step::Vcpu => {}
        }
        wrongs
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Dist(base) => self.dist = Some(base),
            Step::Redist(base) => self.single = Some(base),
            Step::Region { base, count, .. } => self.regions.push((base, count)),
            Step::Vcpu => self.vcpus += 1,
        }
    }

    fn can_run(&self) -> Result<(), Unmapped> {
        let places = self.places();
        let Some(dist) = self.dist() else {
            return Err(Unmapped::Missing);
        };
        if places.len() < self.vcpus
            || self.single.is_none() && self.regions.is_empty() && self.vcpus > 0
        {
            return Err(Unmapped::Missing);
        }
        // Regions count as a whole, filled or not.
        let mut ranges: Vec<Range> = self
            .regions
            .iter()
            .map(|(base, count)| *base..base + count * REDIST_SIZE)
            .collect();
        if let Some(base) = self.single {
            ranges.push(base..base + REDIST_SIZE * self.vcpus.max(1) as u64);
        }
        if ranges
            .iter()
            .any(|range| meet(range, &dist) || range.end > SIZE)
        {
            return Err(Unmapped::Misplaced);
        }
        Ok(())
    }
}

/// Addresses that tend to hit each other and the end of the address space.
fn any_base() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => (0u64..24).prop_map(|n| n * 0x1_0000),
        3 => (0u64..8).prop_map(|n| SIZE - n * 0x1_0000),
        1 => (0u64..0x20).prop_map(|n| n * 0x1000),
        1 => (0u64..1 << 20).prop_map(|n| n << 16),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let region = (
        0u64..4,
        any_base(),
        0u64..5,
        prop_oneof![9 => Just(0u64), 1 => 0u64..16],
    )
        .prop_map(|(index, base, count, flags)| Step::Region {
            index,
            base: base & !0xffff,
            count,
            flags,
        });
    prop_oneof![
        2 => any_base().prop_map(Step::Dist),
        1 => any_base().prop_map(Step::Redist),
        8 => region,
        3 => Just(Step::Vcpu),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn frames_are_those_of_the_list(steps in prop::collection::vec(any_step(), 1..24)) {
        let mut frames = Frames::new(Store::default());
        let mut model = Model::default();

        for step in steps {
            let result = match step {
                Step::Dist(base) => frames.set_dist(base, ipa()),
                Step::Redist(base) => frames.set_redist(base, model.vcpus, ipa()),
                Step::Region { index, base, count, flags } => {
                    frames.add_region(attr(index, base, count, flags), ipa())
                }
                Step::Vcpu => Ok(()),
            };
            let wrongs = model.wrongs(step);
            match result {
                Ok(()) => {
                    prop_assert!(wrongs.is_empty(), "{step:?} is {wrongs:?}");
                    model.apply(step);
                }
                Err(error) => prop_assert!(wrongs.contains(&error), "{step:?}: {error:?}"),
            }

            let places = model.places();
            prop_assert_eq!(frames.dist(), model.dist);
            prop_assert_eq!(
                frames.redist(),
                model.single.or(model.regions.first().map(|region| region.0))
            );
            for index in 0..5 {
                let region = frames.region(Bits::truncated(index as u64)).map(|attr| attr.into_raw());
                let expected = match model.single {
                    Some(base) => (index == 0).then_some(base),
                    None => model.regions.get(index).map(|(base, count)| {
                        (count << 52) | base | index as u64
                    }),
                };
                prop_assert_eq!(region, expected);
            }
            prop_assert_eq!(frames.check(model.vcpus, ipa()), model.can_run());

            // Last is of the frames alone, whether vCPUs can run or not.
            for (vcpu, base) in places.iter().enumerate() {
                prop_assert_eq!(frames.redist_of(vcpu), Some(*base));
                prop_assert_eq!(
                    frames.is_last(vcpu, model.vcpus),
                    !places.contains(&(base + REDIST_SIZE))
                );
            }
            if model.can_run().is_err() {
                continue;
            }
            for (vcpu, base) in places.iter().enumerate() {
                for offset in [0, 4, 0x1_0000, REDIST_SIZE - 1] {
                    prop_assert_eq!(
                        frames.find(base + offset, model.vcpus),
                        Some(Frame::Redist { vcpu, offset: offset as u32 })
                    );
                }
            }
            let mut owned: Vec<Range> =
                places.iter().map(|base| *base..base + REDIST_SIZE).collect();
            if let Some(dist) = model.dist() {
                for offset in [0, DIST_SIZE - 1] {
                    prop_assert_eq!(
                        frames.find(dist.start + offset, model.vcpus),
                        Some(Frame::Dist { offset: offset as u32 })
                    );
                }
                owned.push(dist);
            }
            // What is just outside of all frames is no frame.
            for range in &owned {
                for address in [range.start.wrapping_sub(1), range.end] {
                    if !owned.iter().any(|range| range.contains(&address)) {
                        prop_assert_eq!(frames.find(address, model.vcpus), None);
                    }
                }
            }
        }
    }

    #[test]
    fn no_address_is_too_odd(addresses in prop::collection::vec(any::<u64>(), 4), raw: u64) {
        let mut frames = Frames::new(Store::default());
        for ipa_bits in [32, 40, 48, 52] {
            let ipa = IpaBits::new(ipa_bits).unwrap();
            let _ = frames.set_dist(addresses[0], ipa);
            let _ = frames.set_redist(addresses[1], addresses[2] as usize % 513, ipa);
            let _ = frames.add_region(RedistRegionAttr::from_raw(raw), ipa);
            for address in &addresses {
                let _ = frames.find(*address, 512);
            }
            let _ = frames.check(512, ipa);
        }
    }
}
