// SPDX-License-Identifier: GPL-2.0

//! What the host does with the memory that a VM maps.
//!
//! Who maps user memory elsewhere, such as into a stage 2, without holding it must be told when the
//! host takes it away, write-protects it or asks whether it was used. What keeps pages from being
//! mapped behind a notification is [`InvalidateSeq`](kvm_core::invalidate::InvalidateSeq).
//!
//! Lock order: notifications come under the host's page-table locks, `mmap_lock` and locks of the
//! page cache, or while memory is being reclaimed. So locks that a callback takes must never be held
//! while memory is allocated, `mmap_lock` is taken or user memory accessed.
//!
//! C header: `include/linux/mmu_notifier.h`

use core::ops::Range;
use kernel::{
    bindings,
    container_of,
    error::to_result,
    ffi::{
        c_int,
        c_ulong, //
    },
    mm::MmWithUser,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// Receives the notifications of an address space. Ranges are of user addresses in it, multiples of
/// the page size.
pub trait MmuCallbacks: Send + Sync + 'static {
    /// The pages in the range are about to be taken away or to change their protection: when this
    /// returns, nothing reaches them through a mapping of the callee's, and none is made before
    /// [`invalidate_range_end`](Self::invalidate_range_end). The calls of several threads overlap.
    ///
    /// It must sleep only if `may_block`. It cannot fail: the kernel knows no notifier that may
    /// refuse the start and be told of the end, since it tells all of the end if one refused.
    fn invalidate_range_start(&self, range: Range<usize>, may_block: bool);

    /// What [`invalidate_range_start`](Self::invalidate_range_start) announced for this range has
    /// been done.
    fn invalidate_range_end(&self, range: Range<usize>);

    /// Whether a page in the range was accessed since the last time; what it is known from is reset
    /// and, with `flush`, so that each later access is seen.
    fn clear_young(&self, _range: Range<usize>, _flush: bool) -> bool {
        false
    }

    /// Whether the page at the address was accessed since the last time it was reset.
    fn test_young(&self, _address: usize) -> bool {
        false
    }

    /// The address space goes away: when this returns, nothing reaches any of its pages through a
    /// mapping of the callee's, and none is ever made again. It comes when the registration is
    /// dropped, too, and may come twice, even at the same time.
    fn release(&self);
}

/// A registration of [`MmuCallbacks`] with an address space. When it has been dropped no callback
/// runs any more.
///
/// # Invariants
///
/// `raw` is registered with the address space that its field `mm` says, and was after `callbacks`
/// was initialised.
#[pin_data(PinnedDrop)]
pub struct MmuNotifier<T: MmuCallbacks> {
    #[pin]
    raw: Opaque<bindings::mmu_notifier>,
    callbacks: Arc<T>,
}

// SAFETY: Registering and unregistering may happen on different threads, and what is shared is an
// `Arc` of a `Send + Sync` type.
unsafe impl<T: MmuCallbacks> Send for MmuNotifier<T> {}
// SAFETY: As above; there are no methods on `&self`.
unsafe impl<T: MmuCallbacks> Sync for MmuNotifier<T> {}

impl<T: MmuCallbacks> MmuNotifier<T> {
    const OPS: bindings::mmu_notifier_ops = bindings::mmu_notifier_ops {
        release: Some(Self::release),
        clear_flush_young: Some(Self::clear_flush_young),
        clear_young: Some(Self::clear_young),
        test_young: Some(Self::test_young),
        invalidate_range_start: Some(Self::invalidate_range_start),
        invalidate_range_end: Some(Self::invalidate_range_end),
        ..pin_init::zeroed()
    };

    /// Registers the callbacks with an address space, which is kept (not what it maps) until the
    /// registration is dropped. Sleeps, and takes the `mmap_lock`.
    ///
    /// The callbacks must not own the registration: it would never be dropped.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR` if the current task is being killed.
    pub fn register<'a>(
        mm: &'a MmWithUser,
        callbacks: Arc<T>,
    ) -> impl PinInit<Self, Error> + use<'a, T> {
        try_pin_init!(Self {
            callbacks,
            raw <- Opaque::try_ffi_init(move |raw: *mut bindings::mmu_notifier| {
                let mut value: bindings::mmu_notifier = pin_init::zeroed();
                value.ops = &Self::OPS;
                // SAFETY: `raw` is memory for a `struct mmu_notifier`.
                unsafe { raw.write(value) };

                // SAFETY: It is filled in and pinned until `PinnedDrop` unregisters it, `callbacks`,
                // which the callbacks reach through it, is initialised by now, and the address space
                // has users.
                to_result(unsafe { bindings::mmu_notifier_register(raw, mm.as_raw()) })
            }),
        })
    }

    /// # Safety
    ///
    /// `raw` is the `raw` of a live `MmuNotifier<T>` whose `callbacks` is initialised, and remains
    /// it as long as the result is used.
    unsafe fn callbacks<'a>(raw: *mut bindings::mmu_notifier) -> &'a T {
        // SAFETY: By this function's contract it is a field of a `Self`.
        let this =
            unsafe { container_of!(raw.cast::<Opaque<bindings::mmu_notifier>>(), Self, raw) };

        // SAFETY: By this function's contract; only that field is borrowed: `raw` is the C side's.
        unsafe { &(*this).callbacks }
    }

    /// # Safety
    ///
    /// To be called by memory management only, for a registered notifier: unregistering waits for
    /// the calls under way. So for all callbacks.
    unsafe extern "C" fn invalidate_range_start(
        raw: *mut bindings::mmu_notifier,
        range: *const bindings::mmu_notifier_range,
    ) -> c_int {
        // SAFETY: By this function's contract.
        let callbacks = unsafe { Self::callbacks(raw) };
        // SAFETY: The range is the caller's and valid during the call.
        let (start, end, flags) = unsafe { ((*range).start, (*range).end, (*range).flags) };
        let may_block = flags & bindings::MMU_NOTIFIER_RANGE_BLOCKABLE != 0;

        callbacks.invalidate_range_start(start..end, may_block);
        0
    }

    /// # Safety
    ///
    /// As [`Self::invalidate_range_start`].
    unsafe extern "C" fn invalidate_range_end(
        raw: *mut bindings::mmu_notifier,
        range: *const bindings::mmu_notifier_range,
    ) {
        // SAFETY: By this function's contract.
        let callbacks = unsafe { Self::callbacks(raw) };
        // SAFETY: The range is the caller's and valid during the call.
        let (start, end) = unsafe { ((*range).start, (*range).end) };

        callbacks.invalidate_range_end(start..end);
    }

    /// The C type of the answer, of this callback and the next two, is `bool` or `int`, depending on
    /// the kernel's release.
    ///
    /// # Safety
    ///
    /// As [`Self::invalidate_range_start`].
    unsafe extern "C" fn clear_flush_young<R: From<bool>>(
        raw: *mut bindings::mmu_notifier,
        _mm: *mut bindings::mm_struct,
        start: c_ulong,
        end: c_ulong,
    ) -> R {
        // SAFETY: By this function's contract.
        unsafe { Self::callbacks(raw) }
            .clear_young(start..end, true)
            .into()
    }

    /// # Safety
    ///
    /// As [`Self::invalidate_range_start`].
    unsafe extern "C" fn clear_young<R: From<bool>>(
        raw: *mut bindings::mmu_notifier,
        _mm: *mut bindings::mm_struct,
        start: c_ulong,
        end: c_ulong,
    ) -> R {
        // SAFETY: By this function's contract.
        unsafe { Self::callbacks(raw) }
            .clear_young(start..end, false)
            .into()
    }

    /// # Safety
    ///
    /// As [`Self::invalidate_range_start`].
    unsafe extern "C" fn test_young<R: From<bool>>(
        raw: *mut bindings::mmu_notifier,
        _mm: *mut bindings::mm_struct,
        address: c_ulong,
    ) -> R {
        // SAFETY: By this function's contract.
        unsafe { Self::callbacks(raw) }.test_young(address).into()
    }

    /// # Safety
    ///
    /// As [`Self::invalidate_range_start`].
    unsafe extern "C" fn release(raw: *mut bindings::mmu_notifier, _mm: *mut bindings::mm_struct) {
        // SAFETY: By this function's contract.
        unsafe { Self::callbacks(raw) }.release();
    }
}

#[pinned_drop]
impl<T: MmuCallbacks> PinnedDrop for MmuNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        let raw = self.raw.get();

        // SAFETY: By the type invariant it is registered with that address space, which the
        // registration keeps. This returns when no callback runs any more.
        unsafe { bindings::mmu_notifier_unregister(raw, (*raw).mm) };
    }
}
