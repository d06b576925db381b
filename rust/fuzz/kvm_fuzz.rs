// SPDX-License-Identifier: GPL-2.0

//! What the fuzz targets have in common: how they read their input, and the tests' models.

pub mod input;

pub use self::input::Input;

#[path = "../core/tests/common/mod.rs"]
pub mod common;

#[path = "../core/tests/vm/mod.rs"]
pub mod vm;

#[path = "../core/tests/memslot/model.rs"]
pub mod memslot;

#[path = "../core/tests/stage2/cpu.rs"]
pub mod cpu;

#[path = "../core/tests/stage2/memory.rs"]
pub mod memory;

#[path = "../core/tests/stage2/world.rs"]
pub mod world;

#[path = "../core/tests/its/harness/mod.rs"]
pub mod its;

/// Makes `$run`, a function of an [`Input`], what libFuzzer calls.
///
/// An input is fine if `$run` returns. Nothing may be left over from one input to the next.
#[macro_export]
macro_rules! target {
    ($run:path) => {
        /// libFuzzer's entry.
        ///
        /// # Safety
        ///
        /// `size` bytes at `data` can be read, and nobody changes them, until it returns.
        #[no_mangle]
        pub unsafe extern "C" fn LLVMFuzzerTestOneInput(
            data: *const u8,
            size: usize,
        ) -> ::core::ffi::c_int {
            let bytes = if size == 0 {
                &[]
            } else {
                // SAFETY: By this function's contract.
                unsafe { ::core::slice::from_raw_parts(data, size) }
            };
            $run(&mut $crate::Input::new(bytes));
            0
        }
    };
}
