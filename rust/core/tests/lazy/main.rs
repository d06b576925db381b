// SPDX-License-Identifier: GPL-2.0

//! Banks of registers, against a world in which no value may be lost or seen by another.

mod world;

use kvm_core::lazy::{
    Access,
    Bank,
    Give,
    Policy,
    State,
    Take,
    TrapField, //
};
use proptest::prelude::*;
use std::collections::{
    HashSet,
    VecDeque, //
};
use world::{
    Event,
    Machine,
    World,
    CPUS,
    GUESTS, //
};

const FIXED: [Policy; 5] = [
    Policy::Eager,
    Policy::OnUse { adaptive: false },
    Policy::OnWrite { adaptive: false },
    Policy::WhileEnabled { copies: false },
    Policy::WhileEnabled { copies: true },
];
const ADAPTIVE: [Policy; 2] = [
    Policy::OnUse { adaptive: true },
    Policy::OnWrite { adaptive: true },
];

/// Walks all states that `depth` events can lead to; how many those are, or which events lead to one
/// that is wrong, and how.
fn explore<M: Machine>(policies: [Policy; GUESTS], depth: usize) -> Result<usize, String> {
    let start = World::<M>::new(policies);
    let mut seen = HashSet::from([start.key()]);
    let mut queue = VecDeque::from([(start, Vec::new())]);

    while let Some((world, path)) = queue.pop_front() {
        if path.len() == depth {
            continue;
        }
        for event in Event::all().filter(|event| world.may(*event)) {
            let mut next = world.clone();
            let mut path = path.clone();
            path.push(event);
            next.step(event)
                .map_err(|what| format!("{path:?}: {what}"))?;
            if seen.insert(next.key()) {
                queue.push_back((next, path));
            }
        }
    }
    Ok(seen.len())
}

/// All that two guests with all policies that do not adapt can do, however long it takes.
#[test]
fn nothing_is_lost() {
    for first in FIXED {
        for second in FIXED {
            let states = explore::<Bank>([first, second], usize::MAX).unwrap();
            assert!(states > 50, "{first:?}, {second:?}: {states} states only");
        }
    }
}

/// The same for those that adapt, whose history makes for more states: all short ways.
#[test]
fn nothing_is_lost_by_adapting() {
    for first in ADAPTIVE {
        for second in FIXED.into_iter().chain(ADAPTIVE) {
            let states = explore::<Bank>([first, second], 6).unwrap();
            assert!(states > 50, "{first:?}, {second:?}: {states} states only");
        }
    }
}

/// Makes a bank that is wrong in one answer, and sees that the world finds it with one of the policies.
macro_rules! wrong {
    ($($name:ident { $($method:item)+ })+) => {$(
        #[test]
        fn $name() {
            #[derive(Clone)]
            struct Wrong(Bank);

            impl Machine for Wrong {
                fn new(policy: Policy) -> Self {
                    Self(Bank::new(policy))
                }
                fn bank(&mut self) -> &mut Bank {
                    &mut self.0
                }
                $($method)+
            }

            let found = FIXED
                .into_iter()
                .any(|policy| explore::<Wrong>([policy; GUESTS], 8).is_err());
            assert!(found);
        }
    )+};
}

wrong! {
    a_save_that_is_left_out_is_found {
        fn give_back(&mut self) -> Give {
            match Bank::give_back(&mut self.0) {
                Give::Save => Give::Drop,
                give => give,
            }
        }
    }
    registers_that_are_not_given_back_are_found {
        fn give_back(&mut self) -> Give {
            match Bank::give_back(&mut self.0) {
                Give::Drop => Give::Nothing,
                give => give,
            }
        }
    }
    a_needless_save_is_found {
        fn give_back(&mut self) -> Give {
            let _ = Bank::give_back(&mut self.0);
            Give::Save
        }
    }
    a_restore_that_is_left_out_is_found {
        fn trapped(&mut self, access: Access) -> Take {
            let _ = Bank::trapped(&mut self.0, access);
            Take::Nothing
        }
    }
    a_stay_without_a_restore_is_found {
        fn begin(&mut self, enabled: bool) -> Take {
            let _ = Bank::begin(&mut self.0, enabled);
            Take::Nothing
        }
    }
    a_write_that_does_not_trap_is_found {
        fn traps(&mut self) -> (bool, bool) {
            let traps = Bank::traps(&self.0);
            (traps.reads(), traps.reads())
        }
    }
    a_read_that_does_not_trap_is_found {
        fn traps(&mut self) -> (bool, bool) {
            (false, Bank::traps(&self.0).writes())
        }
    }
    a_value_from_old_memory_is_found {
        fn peek(&mut self) -> bool {
            false
        }
    }
    a_value_from_a_cpu_that_has_none_is_found {
        fn peek(&mut self) -> bool {
            self.0.state() != State::Clean
        }
    }
    a_value_to_memory_only_is_found {
        fn poke(&mut self) -> (bool, bool) {
            (true, false)
        }
    }
    a_value_to_the_cpu_only_is_found {
        fn poke(&mut self) -> (bool, bool) {
            let poke = Bank::poke(&self.0);
            (poke.memory && !poke.cpu, poke.cpu)
        }
    }
}

fn policies() -> impl Strategy<Value = Policy> {
    prop::sample::select([FIXED.as_slice(), ADAPTIVE.as_slice()].concat())
}

fn events() -> impl Strategy<Value = Event> {
    let guest = 0..GUESTS;
    prop_oneof![
        3 => (guest.clone(), 0..CPUS).prop_map(|(g, c)| Event::Begin(g, c)),
        2 => guest.clone().prop_map(Event::End),
        1 => guest.clone().prop_map(Event::Read),
        1 => (guest.clone(), any::<bool>()).prop_map(|(g, e)| Event::Write(g, e)),
        1 => guest.clone().prop_map(Event::Peek),
        1 => (guest, any::<bool>()).prop_map(|(g, e)| Event::Poke(g, e)),
        1 => (0..CPUS).prop_map(Event::HostRead),
        1 => (0..CPUS).prop_map(Event::HostWrite),
    ]
}

proptest! {
    /// Long ways, on which those that adapt do.
    #[test]
    fn nothing_is_lost_in_the_long_run(
        first in policies(),
        second in policies(),
        events in prop::collection::vec(events(), 0..1000),
    ) {
        let mut world = World::<Bank>::new([first, second]);
        for event in events {
            if world.may(event) {
                world.step(event).map_err(TestCaseError::fail)?;
            }
        }
    }

    /// What each policy is for: moves and traps that there are not.
    #[test]
    fn laws(
        policy in policies(),
        stays in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(prop::bool::weighted(0.2), 0..4)),
            0..40,
        ),
    ) {
        let mut world = World::<Bank>::new([policy, policy]);
        for (enabled, accesses) in stays {
            world.step(Event::Poke(0, enabled)).unwrap();
            let before = world.guests[0].told;
            world.step(Event::Begin(0, 0)).unwrap();
            for write in accesses {
                let event = if write { Event::Write(0, enabled) } else { Event::Read(0) };
                world.step(event).unwrap();
            }
            world.step(Event::End(0)).unwrap();

            let (used, written, traps) = world.guests[0].stay;
            let after = world.guests[0].told;
            let saved = after.saves - before.saves;
            let restored = after.restores - before.restores;
            let skipped = after.skipped - before.skipped;

            prop_assert!(traps <= 1);
            prop_assert_eq!(saved + skipped, restored);
            prop_assert!(restored <= 1);
            match policy {
                Policy::Eager => prop_assert_eq!((traps, saved), (0, 1)),
                Policy::OnUse { adaptive: false } => {
                    prop_assert_eq!((traps, saved), (used.min(1), used.min(1)));
                }
                Policy::OnWrite { adaptive: false } => {
                    prop_assert_eq!((restored, traps, saved), (1, written.min(1), written.min(1)));
                }
                Policy::WhileEnabled { copies: false } if enabled => {
                    prop_assert_eq!((traps, saved), (0, 1));
                }
                Policy::WhileEnabled { copies: true } if enabled => {
                    prop_assert_eq!((restored, saved), (1, written.min(1)));
                }
                Policy::WhileEnabled { .. } => {
                    prop_assert_eq!((traps, saved), (used.min(1), used.min(1)));
                }
                Policy::OnUse { adaptive: true } => prop_assert!(saved >= used.min(1)),
                Policy::OnWrite { adaptive: true } => prop_assert!(saved >= written.min(1)),
            }
        }
    }

    /// A field says what it was told, and the rest of the register stays.
    #[test]
    fn trap_fields(register: u64, mask in 1u64.., trap: bool) {
        for (field, trapping) in [
            (TrapField::if_set(mask), mask),
            (TrapField::if_clear(mask), 0),
        ] {
            let now = field.apply(register, trap);
            prop_assert_eq!(now & !mask, register & !mask);
            prop_assert_eq!(now & mask == trapping, trap);
            prop_assert_eq!(field.traps(now), trap);
        }
        let other = !mask;
        if other != 0 {
            let both = TrapField::if_set(mask).and(TrapField::if_clear(other));
            prop_assert_eq!(both.mask(), u64::MAX);
            prop_assert_eq!(both.apply(register, trap), if trap { mask } else { other });
        }
    }
}

/// How many traps an adaptive bank has in `stays` stays, each with an access if `uses` says so.
fn traps_in(policy: Policy, stays: u32, uses: impl Fn(u32) -> bool) -> u32 {
    let mut bank = Bank::new(policy);
    for stay in 0..stays {
        let _ = bank.begin(false);
        if uses(stay) && bank.traps().writes() {
            let _ = bank.trapped(Access::Write);
        }
        let _ = bank.give_back();
    }
    bank.take_events().traps
}

#[test]
fn a_guest_that_uses_them_always_has_few_traps() {
    for policy in ADAPTIVE {
        let stays = 100 * u32::from(Bank::FREE);
        let traps = traps_in(policy, stays, |_| true);
        assert!((100..=Bank::MANY + 101).contains(&traps), "{traps}");
    }
}

#[test]
fn a_guest_that_stops_using_them_is_trapped_again() {
    for policy in ADAPTIVE {
        let mut bank = Bank::new(policy);
        let mut free = 0;
        for stay in 0..2000 {
            let _ = bank.begin(false);
            if stay < 20 && bank.traps().writes() {
                let _ = bank.trapped(Access::Write);
            } else if stay >= 20 && bank.state() == State::Dirty {
                free += 1;
            }
            let _ = bank.give_back();
        }
        assert!(free > 0 && free <= u32::from(Bank::FREE), "{free}");
    }
}

#[test]
fn a_guest_that_uses_them_now_and_then_is_always_trapped() {
    for policy in ADAPTIVE {
        assert_eq!(traps_in(policy, 1000, |stay| stay % 2 == 0), 500);
    }
}
