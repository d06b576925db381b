// SPDX-License-Identifier: GPL-2.0

//! What has to be in memory: the kernel as Documentation/arch/arm64/booting.rst of Linux says, the
//! initramfs and the device tree.

use crate::layout;
use crate::Result;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// The most that a device tree may have, and its alignment.
const FDT_BYTES: u64 = 2 << 20;
const PAGE: u64 = 4096;

/// Where the first vCPU starts.
pub struct Entry {
    /// The kernel's first instruction.
    pub pc: u64,
    /// The device tree, for `x0`.
    pub fdt: u64,
}

/// The little-endian 64-bit word at an offset.
fn word(image: &[u8], offset: usize) -> Option<u64> {
    let bytes = image.get(offset..offset + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Puts everything into memory: the kernel at its beginning, the device tree at its end and the
/// initramfs before that.
///
/// # Errors
///
/// The kernel is no arm64 `Image`; or they do not fit.
pub fn load(
    memory: &GuestMemoryMmap,
    kernel: &[u8],
    initramfs: &[u8],
    mpidrs: &[u64],
    words: &str,
) -> Result<Entry> {
    if kernel.get(56..60) != Some(b"ARM\x64") {
        return Err("the kernel is no arm64 Image".into());
    }
    let (Some(offset), Some(bytes)) = (word(kernel, 8), word(kernel, 16)) else {
        return Err("the kernel is shorter than its header".into());
    };
    let end = layout::RAM + layout::RAM_BYTES as u64;
    let fdt = end - FDT_BYTES;
    let start = fdt.checked_sub((initramfs.len() as u64).next_multiple_of(PAGE));
    let pc = layout::RAM.checked_add(offset);
    let (Some(start), Some(pc)) = (start, pc) else {
        return Err("an address out of range".into());
    };
    if pc
        .checked_add(bytes)
        .is_none_or(|kernel_end| kernel_end > start)
    {
        return Err("kernel and initramfs do not fit into memory".into());
    }

    let range = start..start + initramfs.len() as u64;
    let tree = layout::device_tree(mpidrs, &range, words);
    memory.write_slice(kernel, GuestAddress(pc))?;
    memory.write_slice(initramfs, GuestAddress(start))?;
    memory.write_slice(&tree, GuestAddress(fdt))?;
    Ok(Entry { pc, fdt })
}
