// SPDX-License-Identifier: GPL-2.0

//! Memory that the kernel and user space both read and write at any time.
//!
//! No Rust reference to this memory is ever made: user space changes it at any moment, so the only
//! accesses are volatile ones, each of one value, through raw pointers. What is read once may be
//! another value when read again; a caller that checks a value uses the copy it checked.

use crate::bindings;
use core::{
    marker::PhantomData,
    mem::{
        align_of,
        size_of, //
    },
    ptr::NonNull,
};
use kernel::{
    bindings as linux,
    page::{
        BorrowedPage,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Release, //
    },
};

mod sealed {
    pub trait Sealed {}
}

/// An integer that one instruction reads or writes, so that both sides see it whole.
pub trait Scalar: Copy + sealed::Sealed {}

macro_rules! scalars {
    ($($name:ty)+) => {$(
        impl sealed::Sealed for $name {}
        impl Scalar for $name {}
    )+};
}

scalars! { u8 u16 u32 u64 }

/// Where in `N` shared pages a `T` is.
///
/// # Invariants
///
/// `offset`, in bytes, is a multiple of the alignment of `T`, and all of the `T` at it is inside of
/// `N` pages.
pub struct Field<const N: usize, T> {
    offset: usize,
    _type: PhantomData<fn() -> T>,
}

impl<const N: usize, T> Clone for Field<N, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<const N: usize, T> Copy for Field<N, T> {}

impl<const N: usize, T> Field<N, T> {
    /// The field at an offset.
    ///
    /// # Panics
    ///
    /// If it is not aligned or not inside. Fields are constants, so that is when building.
    pub(crate) const fn at(offset: usize) -> Self {
        assert!(offset % align_of::<T>() == 0);
        assert!(size_of::<T>() <= N * PAGE_SIZE && offset <= N * PAGE_SIZE - size_of::<T>());
        // INVARIANT: As just checked.
        Self {
            offset,
            _type: PhantomData,
        }
    }

    /// The field at an offset that is computed, as that of an element of a ring; [`None`] if it is not
    /// aligned or not inside.
    #[inline]
    pub(crate) const fn checked(offset: usize) -> Option<Self> {
        let inside = size_of::<T>() <= N * PAGE_SIZE && offset <= N * PAGE_SIZE - size_of::<T>();
        if offset % align_of::<T>() != 0 || !inside {
            return None;
        }
        // INVARIANT: As just checked.
        Some(Self {
            offset,
            _type: PhantomData,
        })
    }
}

/// `N` contiguous pages, zeroed at first, which user space can map.
///
/// # Invariants
///
/// `base` is the address of `N` pages in the linear map, allocated by this type and freed by it only;
/// they are accessed by volatile and atomic accesses only.
pub struct SharedPages<const N: usize> {
    base: NonNull<u8>,
}

// SAFETY: The pages may be freed by any thread.
unsafe impl<const N: usize> Send for SharedPages<N> {}
// SAFETY: All accesses are volatile or atomic ones, of a value each, as are those of user space's.
unsafe impl<const N: usize> Sync for SharedPages<N> {}

impl<const N: usize> SharedPages<N> {
    /// The size in bytes.
    pub const SIZE: usize = N * PAGE_SIZE;

    /// Allocates the pages, accounted to the current task's memory group. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        const { assert!(N > 0) };
        let flags = linux::GFP_KERNEL_ACCOUNT | linux::__GFP_ZERO;

        // SAFETY: It may be called where sleeping is allowed. The pages are independent of each
        // other, each with a reference count of its own, as mapping them into user space needs.
        let base = unsafe { linux::alloc_pages_exact_noprof(Self::SIZE, flags) };

        // INVARIANT: These are the pages just allocated.
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(ENOMEM)?,
        })
    }

    /// A page, for mapping it into user space; none from `N` on.
    pub fn page(&self, index: usize) -> Option<BorrowedPage<'_>> {
        if index >= N {
            return None;
        }
        // SAFETY: By the type invariant this is an address in the linear map.
        let page = unsafe {
            bindings::kvm_vhe_virt_to_page(self.base.as_ptr().add(index * PAGE_SIZE).cast())
        };

        // SAFETY: The page is ours, with a `struct page`, for as long as `self` lives.
        NonNull::new(page).map(|page| unsafe { BorrowedPage::from_raw(page) })
    }

    /// The address of a field: aligned for it, and inside of the pages with all of it.
    #[inline]
    fn pointer<T>(&self, field: Field<N, T>) -> *mut T {
        // SAFETY: By the invariants of `Field` and of this type it is inside of the allocation.
        unsafe { self.base.as_ptr().add(field.offset) }.cast()
    }

    /// Reads an integer.
    #[inline]
    pub fn read<T: Scalar>(&self, field: Field<N, T>) -> T {
        // SAFETY: The pointer is aligned and inside of the pages, which are initialised; an integer
        // has no invalid values.
        unsafe { self.pointer(field).read_volatile() }
    }

    /// Writes an integer.
    #[inline]
    pub fn write<T: Scalar>(&self, field: Field<N, T>, value: T) {
        // SAFETY: The pointer is aligned and inside of the pages.
        unsafe { self.pointer(field).write_volatile(value) }
    }

    /// Reads an integer; what is read afterwards is not older than it.
    pub fn read_acquire(&self, field: Field<N, u32>) -> u32 {
        // SAFETY: The pointer is aligned and inside of the pages, which live as long as `self`; all
        // accesses are volatile or atomic.
        unsafe { Atomic::from_ptr(self.pointer(field)) }.load(Acquire)
    }

    /// Writes an integer; who reads it sees all that was written before.
    pub fn write_release(&self, field: Field<N, u32>, value: u32) {
        // SAFETY: As in `read_acquire()`.
        unsafe { Atomic::from_ptr(self.pointer(field)) }.store(value, Release);
    }

    /// Reads bytes, each on its own: user space may change them in between.
    pub fn read_bytes<const LEN: usize>(&self, field: Field<N, [u8; LEN]>) -> [u8; LEN] {
        let pointer = self.pointer(field).cast::<u8>();

        // SAFETY: By `pointer()` there are `LEN` bytes.
        core::array::from_fn(|i| unsafe { pointer.add(i).read_volatile() })
    }

    /// Writes bytes.
    pub fn write_bytes<const LEN: usize>(&self, field: Field<N, [u8; LEN]>, bytes: &[u8; LEN]) {
        let pointer = self.pointer(field).cast::<u8>();

        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: By `pointer()` there are `LEN` bytes.
            unsafe { pointer.add(i).write_volatile(*byte) };
        }
    }

    /// Writes bytes at an offset that is computed, as that of an element of a ring.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they would not be inside of the pages; nothing is written then.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result {
        if bytes.len() > Self::SIZE || offset > Self::SIZE - bytes.len() {
            return Err(EINVAL);
        }
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: As just checked, it is inside of the pages.
            unsafe { self.base.as_ptr().add(offset + i).write_volatile(*byte) };
        }
        Ok(())
    }
}

impl<const N: usize> Drop for SharedPages<N> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant these are our pages. Each mapping holds a reference on those
        // in it, so that they outlive this where one is left.
        unsafe { linux::free_pages_exact(self.base.as_ptr().cast(), Self::SIZE) }
    }
}
