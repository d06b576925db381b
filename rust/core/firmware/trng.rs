// SPDX-License-Identifier: GPL-2.0

//! True random numbers.
//!
//! Source: Arm DEN0098, "True Random Number Generator Firmware Interface", 1.0.

use crate::smccc::{
    Call,
    FunctionId,
    Owner,
    Registers, //
};

/// TRNG_VERSION.
pub const VERSION: FunctionId = FunctionId::fast32(Owner::Standard, 0x50);

/// TRNG_FEATURES.
pub const FEATURES: FunctionId = FunctionId::fast32(Owner::Standard, 0x51);

/// TRNG_GET_UUID.
pub const GET_UUID: FunctionId = FunctionId::fast32(Owner::Standard, 0x52);

/// TRNG_RND, up to 96 bits in W1 to W3.
pub const RND32: FunctionId = FunctionId::fast32(Owner::Standard, 0x53);

/// TRNG_RND, up to 192 bits in X1 to X3.
pub const RND64: FunctionId = FunctionId::fast64(Owner::Standard, 0x53);

/// What TRNG_VERSION returns: 1.0.
pub const TRNG_1_0: u64 = 0x1_0000;

/// By this UUID, 0d21e000-4384-11eb-8070-5244554e5a4c, guests know that the numbers are from the
/// random number generator of a Linux host. The words of it must not be NOT_SUPPORTED.
pub const HOST_UUID: [u8; 16] = 0x0d21_e000_4384_11eb_8070_5244_554e_5a4c_u128.to_be_bytes();

/// Return codes. They are the interface's own; two differ from the general ones.
mod code {
    pub(super) const SUCCESS: i64 = 0;
    pub(super) const NOT_SUPPORTED: i64 = -1;
    pub(super) const INVALID_PARAMETERS: i64 = -2;
    pub(super) const NO_ENTROPY: i64 = -3;
}

/// The host's random number generator.
pub trait Entropy {
    /// Returns 64 random bits, or [`None`] if it has none to give now.
    fn random(&self) -> Option<u64>;
}

/// Returns the registers after a TRNG call, NOT_SUPPORTED if it is none.
pub(in crate::firmware) fn call(call: &Call, entropy: &impl Entropy) -> Registers {
    match call.function() {
        VERSION => Registers::value(TRNG_1_0),
        FEATURES => Registers::code(match FunctionId::new(call.w1()) {
            RND64 if call.is_aarch32() => code::NOT_SUPPORTED,
            VERSION | FEATURES | GET_UUID | RND32 | RND64 => code::SUCCESS,
            _ => code::NOT_SUPPORTED,
        }),
        GET_UUID => Registers::uuid(&HOST_UUID),
        RND32 => random::<32>(call.w1(), entropy),
        RND64 => random::<64>(call.w1(), entropy),
        _ => Registers::code(code::NOT_SUPPORTED),
    }
}

/// Returns `bits` random bits in registers of `WIDTH` bits: right-aligned, the lowest ones in the
/// last register, zeros above them.
fn random<const WIDTH: u32>(bits: u32, entropy: &impl Entropy) -> Registers {
    if bits == 0 || bits > 3 * WIDTH {
        return Registers::code(code::INVALID_PARAMETERS);
    }
    let mut registers = [code::SUCCESS as u64, 0, 0, 0];
    let [_, words @ ..] = &mut registers;
    let mut missing = bits;
    for word in words.iter_mut().rev() {
        let take = missing.min(WIDTH);
        if take == 0 {
            break;
        }
        let Some(random) = entropy.random() else {
            return Registers::code(code::NO_ENTROPY);
        };
        *word = random >> (u64::BITS - take);
        missing -= take;
    }
    Registers(registers)
}
