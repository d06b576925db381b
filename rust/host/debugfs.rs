// SPDX-License-Identifier: GPL-2.0

//! Directories and files in debugfs, for root to read.
//!
//! The `kernel` crate's `debugfs` has no owner in its files' operations, so that a module can be
//! unloaded while one of its files is open, and the file's release jumps into what is no more. Here an
//! open file pins the module, as those of [`file`](crate::file) do. What goes while a file of it is
//! open is gone for that file, too: reading it then fails with `EIO`.
//!
//! debugfs is for looking only, so nothing here fails: what cannot be made is not there.
//!
//! C header: `include/linux/debugfs.h`

#![cfg_attr(not(CONFIG_DEBUG_FS), allow(dead_code))]

use crate::file::THIS_MODULE;
use core::marker::PhantomData;
use kernel::{
    bindings as linux,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    seq_file::SeqFile,
    sync::Arc, //
};

/// What is in a file.
pub trait Show: Send + Sync + 'static {
    /// Writes it. May sleep; may be called again with more room if it was too much.
    fn show(&self, m: &SeqFile);
}

/// A directory or file.
///
/// # Invariants
///
/// What debugfs returned when this was made, or null: a dentry that is there until this is dropped,
/// or an error, which debugfs takes for one that is not there.
struct Entry {
    dentry: *mut linux::dentry,
    /// It goes after what is in it.
    _parent: Option<Arc<Entry>>,
}

// SAFETY: debugfs does its own locking.
unsafe impl Send for Entry {}

// SAFETY: As above.
unsafe impl Sync for Entry {}

impl Drop for Entry {
    /// Waits for those who read.
    fn drop(&mut self) {
        #[cfg(CONFIG_DEBUG_FS)]
        // SAFETY: By the type invariant this is ours; debugfs ignores null and errors.
        unsafe {
            linux::debugfs_remove(self.dentry)
        };
    }
}

/// A directory. It goes when this and all that was made in it are dropped.
#[derive(Clone)]
pub struct Dir(Option<Arc<Entry>>);

impl Dir {
    /// Makes a directory in another one, or at the top. Its name is not in use there.
    pub fn new(name: &CStr, parent: Option<&Dir>) -> Self {
        let parent = match parent {
            // It could not be made.
            Some(Dir(None)) => return Dir(None),
            Some(Dir(parent)) => parent.clone(),
            None => None,
        };
        #[cfg(CONFIG_DEBUG_FS)]
        let dentry = {
            let above = parent
                .as_ref()
                .map_or(core::ptr::null_mut(), |entry| entry.dentry);
            // SAFETY: The name is a string, which debugfs copies. The directory above is null, for
            // the top, or what debugfs returned and is there as long as `parent`.
            unsafe { linux::debugfs_create_dir(name.as_char_ptr(), above) }
        };
        #[cfg(not(CONFIG_DEBUG_FS))]
        let dentry = core::ptr::null_mut();

        // INVARIANT: It was just returned.
        let entry = Entry {
            dentry,
            _parent: parent,
        };
        Dir(Arc::new(entry, GFP_KERNEL_ACCOUNT).ok())
    }
}

/// A file, which is removed when this is dropped. Nobody looks at its data any more then.
pub struct File<T: Show> {
    // Before the data that it points to.
    _entry: Entry,
    _data: KBox<T>,
}

impl<T: Show> File<T> {
    /// Makes a file that shows `data`, for the owner of debugfs to read. Its name is not in use in the
    /// directory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(name: &CStr, dir: &Dir, data: T) -> Result<Self> {
        let data = KBox::new(data, GFP_KERNEL_ACCOUNT)?;
        let parent = dir.0.clone();
        #[cfg(CONFIG_DEBUG_FS)]
        let dentry = match &parent {
            // SAFETY: The name is a string, which debugfs copies, the directory is there as long as
            // `parent`. The data stays where it is until the file is removed, and is only shared;
            // the operations are static and for files with such data.
            Some(dir) => unsafe {
                linux::debugfs_create_file_full(
                    name.as_char_ptr(),
                    0o400,
                    dir.dentry,
                    (&raw const *data).cast_mut().cast(),
                    core::ptr::null(),
                    &Operations::<T>::TABLE,
                )
            },
            None => core::ptr::null_mut(),
        };
        #[cfg(not(CONFIG_DEBUG_FS))]
        let dentry = core::ptr::null_mut();

        Ok(Self {
            // INVARIANT: It was just returned, or is null.
            _entry: Entry {
                dentry,
                _parent: parent,
            },
            _data: data,
        })
    }
}

/// The operations of files whose data is a `T`.
struct Operations<T>(PhantomData<T>);

impl<T: Show> Operations<T> {
    const TABLE: linux::file_operations = linux::file_operations {
        owner: THIS_MODULE,
        open: Some(Self::open),
        read: Some(linux::seq_read),
        llseek: Some(linux::seq_lseek),
        release: Some(linux::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// To be called by debugfs only, for a file of [`File::new`] that is not removed meanwhile.
    unsafe extern "C" fn open(inode: *mut linux::inode, file: *mut linux::file) -> c_int {
        // SAFETY: The inode is that of the file, which is being opened. `show()` is called by read()
        // only, which debugfs does not let happen once the file is removed.
        unsafe { linux::single_open(file, Some(Self::show), (*inode).i_private) }
    }

    /// # Safety
    ///
    /// To be called for a `seq_file` of [`open`](Self::open) only, while its file is not removed.
    unsafe extern "C" fn show(m: *mut linux::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: What `open()` gave it is the file's data, which is there until that is removed.
        let data = unsafe { &*(*m).private.cast::<T>() };
        // SAFETY: It is valid during the call.
        let m = unsafe { SeqFile::from_raw(m) };

        data.show(m);
        0
    }
}
