// SPDX-License-Identifier: GPL-2.0

//! Dirty tracking: which pages of a VM's memory were written to.
//!
//! A slot that logs has a [`Bitmap`] with a bit for each page, and with dirty rings each vCPU has a
//! [`Ring`] of page numbers. A page whose bit is clear, or that is in no ring, is write-protected in
//! stage 2, so that the first write to it faults. The order is what makes that safe:
//!
//! - A fault makes the leaf writable, and then marks the page, before the guest goes on.
//! - Who collects takes the marks, and then write-protects the leaves and invalidates the TLBs; only
//!   then does the VMM read the pages.
//!
//! A mark that comes too late to be taken stays for the next time; one that was taken belongs to a
//! leaf that was writable before, and is found so by the write-protection that follows.
//!
//! What a ring gives back comes in a [`Batch`] of neighbours.
//!
//! Source: api.rst, "4.8 KVM_GET_DIRTY_LOG", "4.117 KVM_CLEAR_DIRTY_LOG", "7.18
//! KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2", "7.36 KVM_CAP_DIRTY_LOG_RING".

pub mod bitmap;

pub mod page;

pub mod protect;

pub mod ring;

pub use self::{
    bitmap::{
        is_clear,
        Bitmap,
        Part, //
    },
    page::Page,
    protect::Batch,
    ring::{
        BadRingSize,
        Entries,
        Full,
        Ring,
        RingSize, //
    },
};
