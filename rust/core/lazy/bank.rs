// SPDX-License-Identifier: GPL-2.0

//! One bank: where its values are, and what follows from what happens to it.

/// Where a guest's values are.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// In memory. The CPU's registers are somebody else's, and every access of the guest traps.
    #[default]
    Away,
    /// In memory and in the CPU, and alike. Writes of the guest trap.
    Clean,
    /// In the CPU; what is in memory is old. Nothing traps.
    Dirty,
}

/// When a bank's registers get into the CPU, and when they are known to have changed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// With each stay, and saved with each.
    #[default]
    Eager,
    /// With the first access in a stay, which traps.
    ///
    /// If it is `adaptive`, a guest that uses them in most stays gets them as with
    /// [`Policy::Eager`], see [`Bank::MANY`].
    OnUse {
        /// Whether traps end for a guest that has many.
        adaptive: bool,
    },
    /// With each stay, and saved only after a write, of which the first traps. For banks whose writes
    /// can trap by themselves. `adaptive` as above.
    OnWrite {
        /// Whether traps end for a guest that has many.
        adaptive: bool,
    },
    /// With each stay that begins with the bank enabled, as its values in memory say; in others with
    /// the first access, which traps.
    ///
    /// If `copies`, accesses cannot be let through: the CPU's are copies of those in memory while the
    /// bank is enabled, and nothing else. [`Bank::trapped`] is not called then.
    WhileEnabled {
        /// Whether accesses always trap.
        copies: bool,
    },
}

/// What of the guest traps.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Traps {
    /// Reads and writes.
    All,
    /// Writes.
    Writes,
    /// Nothing.
    None,
}

impl Traps {
    /// Whether reads trap.
    #[inline]
    pub const fn reads(self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether writes trap.
    #[inline]
    pub const fn writes(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// An access that has trapped.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Access {
    /// It reads.
    Read,
    /// It writes, or nobody knows whether it does.
    Write,
}

/// What is to be moved before the guest goes on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Take {
    /// Nothing.
    Nothing,
    /// The values in memory, to the CPU.
    Restore,
}

/// What is to be moved before the CPU's registers are somebody else's.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Give {
    /// Nothing: they were not in the CPU.
    Nothing,
    /// Nothing, though they were in the CPU: memory has them.
    Drop,
    /// The values in the CPU, to memory.
    Save,
}

/// What has happened to a bank.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Events {
    /// Moves from memory to the CPU.
    pub restores: u32,
    /// Moves from the CPU to memory.
    pub saves: u32,
    /// Ends of a stay at which there was no need for one, though the CPU had the bank.
    pub skipped: u32,
    /// Accesses that trapped so that the bank is moved or is known to change.
    pub traps: u32,
}

impl Events {
    /// Nothing.
    pub const NONE: Self = Self {
        restores: 0,
        saves: 0,
        skipped: 0,
        traps: 0,
    };
}

/// A guest's bank.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Bank {
    state: State,
    policy: Policy,
    /// Whether this stay has had a trap.
    trapped: bool,
    /// Whether each of the last stays had a trap, the last one in bit 0.
    history: u16,
    /// For an adaptive bank: how many stays have no traps from now on.
    free: u16,
    events: Events,
}

impl Bank {
    /// How many of its last 16 stays an adaptive bank traps in before its traps end.
    pub const MANY: u32 = 12;

    /// For how many stays they end. Then one trap is enough for them to end again, for a while.
    pub const FREE: u16 = 256;

    /// What the history is after that.
    const RELAPSE: u16 = (1 << (Self::MANY - 1)) - 1;

    /// A bank whose values are in memory.
    pub const fn new(policy: Policy) -> Self {
        Self {
            state: State::Away,
            policy,
            trapped: false,
            history: 0,
            free: 0,
            events: Events::NONE,
        }
    }

    /// Where the values are.
    #[inline(always)]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The policy.
    #[inline]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Changes the policy, from the next stay on.
    pub fn set_policy(&mut self, policy: Policy) {
        if self.policy != policy {
            self.policy = policy;
            self.history = 0;
            self.free = 0;
        }
    }

    /// What is to trap while the guest runs.
    #[inline(always)]
    pub const fn traps(&self) -> Traps {
        match self.state {
            State::Away => Traps::All,
            State::Clean => Traps::Writes,
            State::Dirty => Traps::None,
        }
    }

    /// A stay begins. Nothing changes if it has begun already. `enabled` says whether the values in
    /// memory have an effect of themselves, for [`Policy::WhileEnabled`]; it is for the caller to
    /// look while the bank is [`State::Away`].
    #[inline]
    pub fn begin(&mut self, enabled: bool) -> Take {
        if !matches!(self.state, State::Away) {
            return Take::Nothing;
        }
        let policy = self.policy;
        let state = match policy {
            Policy::Eager => State::Dirty,
            Policy::OnUse { adaptive } if self.is_free(adaptive) => State::Dirty,
            Policy::OnWrite { adaptive } if self.is_free(adaptive) => State::Dirty,
            Policy::OnUse { .. } => State::Away,
            Policy::OnWrite { .. } => State::Clean,
            Policy::WhileEnabled { copies } if enabled => {
                if copies {
                    State::Clean
                } else {
                    State::Dirty
                }
            }
            Policy::WhileEnabled { .. } => State::Away,
        };
        self.trapped = false;
        self.enter(state)
    }

    /// An access of the guest has trapped that [`traps`](Self::traps) is the reason of. It traps no
    /// more: the guest may try again.
    #[inline]
    pub fn trapped(&mut self, access: Access) -> Take {
        let state = match (self.state, access) {
            (State::Clean, Access::Read) | (State::Dirty, _) => return Take::Nothing,
            (State::Away, _) | (State::Clean, Access::Write) => State::Dirty,
        };
        self.trapped = true;
        self.events.traps = self.events.traps.wrapping_add(1);
        self.enter(state)
    }

    /// The stay ends.
    #[inline]
    pub fn give_back(&mut self) -> Give {
        let give = match self.state {
            State::Away => Give::Nothing,
            State::Clean => {
                self.events.skipped = self.events.skipped.wrapping_add(1);
                Give::Drop
            }
            State::Dirty => {
                self.events.saves = self.events.saves.wrapping_add(1);
                Give::Save
            }
        };
        self.state = State::Away;
        give
    }

    /// Whether a value is to be read from the CPU; else from memory.
    #[inline]
    pub const fn peek(&self) -> bool {
        matches!(self.state, State::Dirty)
    }

    /// Where a value is to be written.
    #[inline]
    pub const fn poke(&self) -> Poke {
        Poke {
            memory: !matches!(self.state, State::Dirty),
            cpu: !matches!(self.state, State::Away),
        }
    }

    /// Returns what has happened since this was called last.
    #[inline]
    pub fn take_events(&mut self) -> Events {
        core::mem::take(&mut self.events)
    }

    /// Goes to `state`, which is not nearer to memory than the one before.
    #[inline]
    fn enter(&mut self, state: State) -> Take {
        let before = self.state;

        self.state = state;
        if matches!(before, State::Away) && !matches!(state, State::Away) {
            self.events.restores = self.events.restores.wrapping_add(1);
            Take::Restore
        } else {
            Take::Nothing
        }
    }

    /// Whether the stay that begins is one without traps; takes note of the one before.
    #[inline]
    fn is_free(&mut self, adaptive: bool) -> bool {
        if !adaptive {
            return false;
        }
        if self.free > 0 {
            self.free -= 1;
            if self.free > 0 {
                return true;
            }
            self.history = Self::RELAPSE;
            return false;
        }
        self.history = (self.history << 1) | u16::from(self.trapped);
        if self.history.count_ones() < Self::MANY {
            return false;
        }
        self.free = Self::FREE;
        true
    }
}

/// Where a value is to be written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Poke {
    /// To memory.
    pub memory: bool,
    /// To the CPU.
    pub cpu: bool,
}
