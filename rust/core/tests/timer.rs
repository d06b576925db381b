// SPDX-License-Identifier: GPL-2.0

//! The generic timers against the architecture's words, in wide arithmetic.

use kvm_core::{
    register::Reg,
    timer::{
        CntCtl,
        CounterOffsets,
        Frequency,
        Lines,
        Ppi,
        PpiClash,
        Timer,
        TimerIrq,
        TimerPpis,
        TimerReg,
        TimerState, //
    },
};
use proptest::prelude::*;

/// A number, more often than not near one of those where something wraps around.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (
            prop_oneof![
                Just(0),
                Just(1 << 31),
                Just(1 << 32),
                Just(1 << 63),
                Just(u64::MAX)
            ],
            -3i64..=3
        )
            .prop_map(|(base, by): (u64, i64)| base.wrapping_add_signed(by)),
    ]
}

/// A counter, and a number that is not far from it as often as not.
fn count_and_value() -> impl Strategy<Value = (u64, u64)> {
    (number(), number(), -3i64..=3, any::<bool>()).prop_map(|(count, other, by, near)| {
        let value = if near {
            count.wrapping_add_signed(by)
        } else {
            other
        };
        (count, value)
    })
}

fn timer(ctl: u64, cval: u64) -> TimerState {
    TimerState {
        ctl: CntCtl::from_raw(ctl),
        cval,
    }
}

proptest! {
    /// "TimerConditionMet = (((Counter - Offset)[63:0] - CompareValue[63:0]) >= 0)", where only the
    /// first subtraction is modulo 2^64.
    #[test]
    fn the_line_is_up_from_cval_on((count, cval) in count_and_value(), ctl: u64) {
        let state = timer(ctl, cval);
        let met = i128::from(count) - i128::from(cval) >= 0;
        let on = ctl & 1 != 0;
        let masked = ctl & 2 != 0;

        prop_assert_eq!(state.condition(count), met);
        prop_assert_eq!(state.output(count), on && !masked && met);
        prop_assert_eq!(state.remaining(count) == Some(0), state.output(count));
        prop_assert_eq!(state.remaining(count).is_some(), on && !masked);
        let read = state.read(TimerReg::Ctl, count);
        prop_assert_eq!(read & 3, ctl & 3);
        prop_assert_eq!(read & 4 != 0, on && met);
        // What the CPU's register would say is the same.
        prop_assert_eq!(CntCtl::from_raw(read).output(), state.output(count));
    }

    /// After the ticks that remain, and no earlier, the line is up.
    #[test]
    fn what_remains_is_exact((count, cval) in count_and_value()) {
        let state = timer(1, cval);
        let remaining = state.remaining(count).unwrap();

        prop_assert!(state.output(count.saturating_add(remaining)));
        if remaining > 0 {
            prop_assert!(!state.output(count + remaining - 1));
        }
    }

    /// "CompareValue = ((Counter - Offset)[63:0] + SignExtend(TimerValue[31:0], 64))[63:0]", and
    /// reading gives "(CompareValue - (Counter - Offset))[31:0]".
    #[test]
    fn tval_is_a_signed_distance(count in number(), before in number(), value in number(), later: u32) {
        let state = timer(1, before).write(TimerReg::Tval, value, count);
        let distance = i128::from(value as u32 as i32);

        prop_assert_eq!(
            i128::from(state.cval),
            (i128::from(count) + distance).rem_euclid(1 << 64)
        );
        prop_assert_eq!(state.read(TimerReg::Tval, count), value & 0xffff_ffff);
        // It counts down.
        let after = count.wrapping_add(later.into());
        prop_assert_eq!(
            i128::from(state.read(TimerReg::Tval, after)),
            (distance - i128::from(later)).rem_euclid(1 << 32)
        );
        // "TimerConditionMet = (TimerValue <= 0)", where the counter is far from wrapping.
        if (1 << 33..u64::MAX - (1 << 33)).contains(&count) {
            prop_assert_eq!(state.condition(count), distance <= 0);
        }
    }

    #[test]
    fn writes_change_one_register(count: u64, ctl: u64, cval: u64, value: u64) {
        let state = timer(ctl & 3, cval);

        prop_assert_eq!(state.write(TimerReg::Ctl, value, count), timer(value & 3, cval));
        prop_assert_eq!(state.write(TimerReg::Cval, value, count), timer(ctl & 3, value));
        prop_assert_eq!(state.write(TimerReg::Tval, value, count).ctl, state.ctl);
        prop_assert_eq!(state.write(TimerReg::Cval, value, 0).read(TimerReg::Cval, count), value);
    }

    #[test]
    fn a_written_counter_goes_on_from_there(
        created in number(),
        written in number(),
        at in number(),
        later: u32,
        physical: bool,
    ) {
        let (this, other) = if physical {
            (Timer::Physical, Timer::Virtual)
        } else {
            (Timer::Virtual, Timer::Physical)
        };
        let mut offsets = CounterOffsets::new(created);
        prop_assert_eq!(offsets.count(Timer::Virtual, created), 0);
        prop_assert_eq!(offsets.count(Timer::Physical, created), created);
        let before = offsets.get(other);

        offsets.set_count(this, written, at);
        let now = at.wrapping_add(later.into());
        prop_assert_eq!(offsets.count(this, now), written.wrapping_add(later.into()));
        prop_assert_eq!(offsets.get(other), before);
    }

    /// "using this ioctl results in KVM ignoring subsequent userspace writes to the CNTVCT_EL0 and
    /// CNTPCT_EL0 registers"
    #[test]
    fn an_offset_that_is_given_stays(
        created: u64,
        early: u64,
        offset in number(),
        late: u64,
        now: u64,
        again: u64,
    ) {
        let mut offsets = CounterOffsets::new(created);
        offsets.set_count(Timer::Physical, early, now);
        offsets.give(offset);
        for timer in Timer::ALL {
            prop_assert_eq!(offsets.get(timer), offset);
            offsets.set_count(timer, late, now);
            prop_assert_eq!(offsets.get(timer), offset);
            prop_assert_eq!(offsets.count(timer, now), now.wrapping_sub(offset));
        }
        offsets.give(again);
        prop_assert_eq!(offsets.get(Timer::Virtual), again);
        prop_assert_eq!(offsets.get(Timer::Physical), again);
    }

    #[test]
    fn ticks_are_time(hz in 1u32.., ticks in number()) {
        let frequency = Frequency::new(hz.into()).unwrap();
        let exact = (u128::from(ticks) * 1_000_000_000).div_ceil(hz.into());

        prop_assert_eq!(
            u128::from(frequency.nanoseconds(ticks) as u64),
            exact.min(i64::MAX as u128)
        );
    }

    #[test]
    fn ticks_fit_into_the_time(hz in 1u32.., nanoseconds: u32) {
        let frequency = Frequency::new(hz.into()).unwrap();
        let ticks = frequency.ticks(nanoseconds);

        prop_assert!(u128::from(ticks) * 1_000_000_000 <= u128::from(nanoseconds) * u128::from(hz));
        prop_assert!(frequency.nanoseconds(ticks) <= nanoseconds.into());
        prop_assert!(frequency.nanoseconds(ticks + 1) > nanoseconds.into());
    }

    #[test]
    fn ppis_are_checked(first in -100i32..100, second in -100i32..100) {
        let is_ppi = |n| (16..=31).contains(&n);
        prop_assert_eq!(Ppi::new(first).is_some(), is_ppi(first));
        let (Some(v), Some(p)) = (Ppi::new(first), Ppi::new(second)) else {
            return Ok(());
        };
        prop_assert_eq!(v.intid() as i32, first);
        let mut ppis = TimerPpis::DEFAULT;
        ppis.set(TimerIrq::Virtual, v);
        ppis.set(TimerIrq::Physical, p);
        let expected = if first == second { Err(PpiClash) } else { Ok(()) };
        prop_assert_eq!(ppis.check(), expected);
        // Those of timers that a vCPU has not may be anything.
        ppis.set(TimerIrq::HypVirtual, v);
        ppis.set(TimerIrq::HypPhysical, v);
        prop_assert_eq!(ppis.check(), expected);
        prop_assert_eq!(ppis.get(TimerIrq::Virtual), v);
        prop_assert_eq!(ppis.get(TimerIrq::Physical), p);
    }

    #[test]
    fn lines_are_bits(up: bool, other: bool) {
        let lines = Lines::LOW
            .with(Timer::Virtual, !up)
            .with(Timer::Physical, other)
            .with(Timer::Virtual, up);
        prop_assert_eq!(lines.into_raw(), u64::from(up) | (u64::from(other) << 1));
        prop_assert_eq!(lines.get(Timer::Virtual), up);
        prop_assert_eq!(lines.get(Timer::Physical), other);
        prop_assert_eq!(lines.any(), up || other);
    }
}

#[test]
fn a_stopped_counter_is_no_frequency() {
    assert_eq!(Frequency::new(0), None);
    assert_eq!(Frequency::new(1 << 32), None);
    assert_eq!(Frequency::new(u64::MAX).map(|f| f.nanoseconds(0)), Some(0));
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let defaults = TimerIrq::ALL.map(|timer| TimerPpis::default().get(timer).intid());
    assert_eq!(defaults, [27, 30, 28, 26]);
    assert_eq!(TimerPpis::DEFAULT.check(), Ok(()));
    assert_eq!(
        (0..4).filter_map(TimerIrq::from_attr).collect::<Vec<_>>(),
        TimerIrq::ALL
    );
    assert_eq!(TimerIrq::from_attr(4), None);
    assert_eq!(Timer::ALL.map(TimerIrq::from), TimerIrq::ALL[..2]);
}

/// Each register whose name says so is a timer's, and no other.
#[test]
fn registers_are_found_by_their_names() {
    let mut found = 0;
    for reg in Reg::all() {
        let name = reg.row().name;
        let expected = [("CNTV_", Timer::Virtual), ("CNTP_", Timer::Physical)]
            .into_iter()
            .find_map(|(prefix, timer)| {
                let which = match name.strip_prefix(prefix)? {
                    "CTL_EL0" => TimerReg::Ctl,
                    "CVAL_EL0" => TimerReg::Cval,
                    "TVAL_EL0" => TimerReg::Tval,
                    _ => return None,
                };
                Some((timer, which))
            });
        assert_eq!(TimerReg::of(reg), expected, "{name}");
        found += usize::from(expected.is_some());
    }
    assert_eq!(found, 6);
}
