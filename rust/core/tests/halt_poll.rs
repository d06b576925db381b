// SPDX-License-Identifier: GPL-2.0

//! How long a vCPU polls, against what halt-polling.rst promises.

use kvm_core::halt_poll::{
    End,
    HaltPoll,
    Tuning, //
};
use proptest::prelude::*;

fn tunings() -> impl Strategy<Value = Tuning> {
    (0u32..6, 0u32..100_000, 0u32..6).prop_map(|(grow, grow_start, shrink)| Tuning {
        grow,
        grow_start,
        shrink,
    })
}

fn any_tuning() -> impl Strategy<Value = Tuning> {
    (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(grow, grow_start, shrink)| Tuning {
        grow,
        grow_start,
        shrink,
    })
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::WakeUp), Just(End::Other)]
}

/// One after some waits, as a vCPU has it whose parameters and limit change all the time.
fn any_poll() -> impl Strategy<Value = HaltPoll> {
    prop::collection::vec((0u64..2_000_000, ends(), any::<u32>(), any_tuning()), 0..8).prop_map(
        |waits| {
            let mut poll = HaltPoll::NONE;
            for (waited, end, max, tuning) in waits {
                poll.begin(max);
                poll.end(waited, end, max, &tuning);
            }
            poll
        },
    )
}

proptest! {
    /// It is never more than the limit, whatever the parameters are.
    #[test]
    fn limit(
        mut poll in any_poll(),
        waited: u64,
        end in ends(),
        max: u32,
        later: u32,
        tuning in any_tuning(),
    ) {
        prop_assert!(poll.begin(max) <= max);
        poll.end(waited, end, later, &tuning);
        prop_assert!(poll.interval() <= later);
    }

    /// With a limit of zero there is no polling.
    #[test]
    fn off(mut poll in any_poll(), waited: u64, end in ends(), tuning in any_tuning()) {
        prop_assert_eq!(poll.begin(0), 0);
        poll.end(waited, end, 0, &tuning);
        prop_assert_eq!(poll.begin(u32::MAX), 0);
    }

    /// A wait that was over while it polled changes nothing.
    #[test]
    fn unchanged(mut poll in any_poll(), max: u32, part in 0.0f64..=1.0, tuning in any_tuning()) {
        let interval = poll.begin(max);
        poll.end((f64::from(interval) * part) as u64, End::WakeUp, max, &tuning);
        prop_assert_eq!(poll.interval(), interval);
    }

    /// After a wait that a longer interval would have been enough for it is longer: the product, the
    /// least there is at least, the limit at most.
    #[test]
    fn grows(mut poll in any_poll(), max in 1u32.., waited: u64, tuning in tunings()) {
        let interval = poll.begin(max);
        prop_assume!(interval < max - 1);
        let waited = u64::from(interval) + 1 + waited % u64::from(max - 1 - interval);
        poll.end(waited, End::WakeUp, max, &tuning);
        let product = u64::from(interval) * u64::from(tuning.grow);
        let want = if tuning.grow == 0 {
            interval.into()
        } else {
            product.max(tuning.grow_start.into()).min(max.into())
        };
        prop_assert_eq!(u64::from(poll.interval()), want);
    }

    /// After a wait that is longer than the limit, or that something else ended, it is the quotient, or
    /// nothing if that is too little.
    #[test]
    fn shrinks(
        mut poll in any_poll(),
        max: u32,
        more in 1u64..1 << 40,
        end in ends(),
        tuning in tunings(),
    ) {
        let interval = poll.begin(max);
        let waited = if end == End::Other { more } else { u64::from(max) + more };
        poll.end(waited, end, max, &tuning);
        let quotient = if tuning.shrink == 0 { 0 } else { interval / tuning.shrink };
        let want = if quotient < tuning.grow_start { 0 } else { quotient };
        prop_assert_eq!(poll.interval(), want);
    }

    /// Waits that are alike and not too long are soon polled for, with the defaults.
    #[test]
    fn settles(mut poll in any_poll(), waited in 1u64..500_000) {
        let max = 500_000;
        let mut enough = false;
        for _ in 0..8 {
            enough = u64::from(poll.begin(max)) >= waited;
            poll.end(waited, End::WakeUp, max, &Tuning::DEFAULT);
        }
        prop_assert!(enough);
    }

    /// And those that are too long soon are not.
    #[test]
    fn gives_up(mut poll in any_poll(), waited in 500_001u64..) {
        let max = 500_000;
        for _ in 0..8 {
            poll.begin(max);
            poll.end(waited, End::WakeUp, max, &Tuning::DEFAULT);
        }
        prop_assert_eq!(poll.begin(max), 0);
    }
}

/// The steps from nothing to the limit and back, with the defaults.
#[test]
fn steps() {
    let max = 500_000;
    let mut poll = HaltPoll::NONE;
    let mut up = Vec::new();
    let mut down = Vec::new();
    for _ in 0..8 {
        up.push(poll.begin(max));
        poll.end(499_999, End::WakeUp, max, &Tuning::DEFAULT);
    }
    for _ in 0..8 {
        down.push(poll.begin(max));
        poll.end(500_001, End::WakeUp, max, &Tuning::DEFAULT);
    }
    assert_eq!(
        up,
        [0, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 500_000]
    );
    assert_eq!(
        down,
        [500_000, 250_000, 125_000, 62_500, 31_250, 15_625, 0, 0]
    );
}
