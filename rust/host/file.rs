// SPDX-License-Identifier: GPL-2.0

//! Files that answer ioctls: the character device and anonymous inodes.
//!
//! The `kernel` crate's `miscdevice` serves neither: it allows dynamic minor numbers only, while
//! KVM's is fixed, and its files hold no reference on the module, so that a module could be unloaded
//! under them. Here every open file pins the module, which is what makes rmmod wait for the last VM.
//!
//! C headers: `include/linux/fs.h`, `include/linux/miscdevice.h`, `include/linux/anon_inodes.h`

use crate::bindings;
use core::{
    marker::PhantomData,
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    bindings as linux, //
    container_of,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::{
        c_char,
        c_int,
        c_long,
        c_uint,
        c_ulong, //
    },
    fs::File,
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::{
        BorrowedPage,
        PAGE_SIZE, //
    },
    prelude::*,
    seq_file::SeqFile,
    str::CString,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceWriter, //
    },
};

extern "C" {
    /// This module, defined by the object that modpost adds to it.
    static __this_module: c_void;
}

/// This module, for who owns operations.
pub(crate) const THIS_MODULE: *mut linux::module = (&raw const __this_module).cast_mut().cast();

/// What the files of this module have in common.
///
/// Like C KVM, the module has no interface for 32-bit processes: they can neither open the device
/// nor use a descriptor that a 64-bit process hands to them.
const FILE_OPERATIONS: linux::file_operations = linux::file_operations {
    owner: THIS_MODULE,
    llseek: Some(linux::noop_llseek),
    #[cfg(CONFIG_COMPAT)]
    compat_ioctl: Some(refuse_compat_ioctl),
    ..pin_init::zeroed()
};

/// # Safety
///
/// None needed, it looks at nothing; the type is the VFS's.
#[cfg(CONFIG_COMPAT)]
unsafe extern "C" fn refuse_compat_ioctl(
    _file: *mut linux::file,
    _cmd: c_uint,
    _arg: c_ulong,
) -> c_long {
    EINVAL.to_errno() as c_long
}

/// What an ioctl returns to the C side.
fn ioctl_return(result: Result<u32>) -> c_long {
    match result {
        Ok(value) => value as c_long,
        Err(error) => error.to_errno() as c_long,
    }
}

/// What a character device answers.
pub trait Device: Send + Sync + 'static {
    /// The node's name in `/dev`.
    const NAME: &'static CStr;

    /// The node's minor number under the major number of misc devices.
    const MINOR: u8;

    /// Says in the log that the device could not be registered, and why.
    fn not_registered(error: Error);

    /// Handles an ioctl: the non-negative answer, at most `i32::MAX`.
    ///
    /// # Errors
    ///
    /// The errno of the call.
    fn ioctl(&self, cmd: u32, arg: usize) -> Result<u32>;
}

/// A registered misc device.
///
/// Nothing may fail in the module's initialisation after this: from its registration on files
/// exist whose operations are in the module.
///
/// # Invariants
///
/// `misc` is registered, and was after `device` was initialised.
#[pin_data(PinnedDrop)]
pub struct MiscDevice<T: Device> {
    #[pin]
    misc: Opaque<linux::miscdevice>,
    device: T,
}

// SAFETY: A misc device may be deregistered on another thread than registered it, and `T` is `Send`.
unsafe impl<T: Device> Send for MiscDevice<T> {}
// SAFETY: There are no methods on `&self`, and what the files share is `&T` of a `Sync` type.
unsafe impl<T: Device> Sync for MiscDevice<T> {}

impl<T: Device> MiscDevice<T> {
    const OPERATIONS: linux::file_operations = linux::file_operations {
        open: Some(Self::open),
        unlocked_ioctl: Some(Self::ioctl),
        ..FILE_OPERATIONS
    };

    /// Makes the device appear.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the minor number is taken, and what the device model returns.
    pub fn register(device: T) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            device,
            misc <- Opaque::try_ffi_init(|misc: *mut linux::miscdevice| {
                let mut value: linux::miscdevice = pin_init::zeroed();
                value.minor = T::MINOR.into();
                value.name = T::NAME.as_char_ptr();
                value.fops = &Self::OPERATIONS;
                // SAFETY: `misc` is memory for a `struct miscdevice`.
                unsafe { misc.write(value) };

                // SAFETY: It is filled in and pinned until `PinnedDrop` deregisters it, and
                // `device`, which its files use, is initialised by now.
                to_result(unsafe { linux::misc_register(misc) })
                    .inspect_err(|error| T::not_registered(*error))
            }),
        })
    }

    /// # Safety
    ///
    /// To be called by the VFS only.
    unsafe extern "C" fn open(_inode: *mut linux::inode, _file: *mut linux::file) -> c_int {
        // SAFETY: Looks at the current task only.
        if unsafe { bindings::kvm_vhe_is_compat_task() } {
            ENODEV.to_errno()
        } else {
            0
        }
    }

    /// # Safety
    ///
    /// To be called by the VFS only, for a file that misc_open() opened.
    unsafe extern "C" fn ioctl(file: *mut linux::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: misc_open() leaves the `struct miscdevice` in the file's private data, which
        // nothing here changes.
        let misc = unsafe { (*file).private_data }.cast::<Opaque<linux::miscdevice>>();
        // SAFETY: With these operations it is the field of a `Self`, which lives until the module
        // is unloaded, which the file prevents.
        let this = unsafe { container_of!(misc, Self, misc) };
        // SAFETY: As above; by the type invariant `device` is initialised. Only that field is
        // borrowed: `misc` is the C side's.
        let device = unsafe { &(*this).device };

        ioctl_return(device.ioctl(cmd, arg))
    }
}

#[pinned_drop]
impl<T: Device> PinnedDrop for MiscDevice<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant it is registered.
        unsafe { linux::misc_deregister(self.misc.get()) };
    }
}

/// What a file on an anonymous inode answers. The file shares in owning the object.
pub trait AnonFile: Send + Sync + 'static {
    /// The file's name: `/proc/PID/fd` shows `anon_inode:NAME`.
    const NAME: &'static CStr;

    /// What is behind the name, after a colon: the object's number, if it has one.
    fn number(&self) -> Option<u32> {
        None
    }

    /// Whether the file can be mapped; `mmap()` of one that cannot fails with `ENODEV`.
    const MAPPABLE: bool = false;

    /// Whether the file can be read, at any place; `read()` of one that cannot fails with `EINVAL`.
    const READABLE: bool = false;

    /// Copies what the file has from `position` on to `out`; returns how much there was, less than
    /// asked for only at the file's end. What [`READABLE`](Self::READABLE) is false for is never
    /// asked.
    fn read(&self, _position: u64, _out: &mut [u8]) -> usize {
        0
    }

    /// The page of a mapping at `index`, counted in pages from offset 0 of the file; `SIGBUS` for
    /// the user where there is none. It is asked for at each page's first use, so a mapping may be
    /// longer than what there is, and a page that the user gave back (`MADV_DONTNEED`) comes again.
    /// What [`MAPPABLE`](Self::MAPPABLE) is false for is never asked.
    fn page(&self, _index: usize) -> Option<BorrowedPage<'_>> {
        None
    }

    /// Whether the pages of the file may be in a mapping that is shared, so that what is written to it
    /// is seen, or executable; `mmap()` fails with `EINVAL` if not.
    fn may_map(&self, _pages: Range<usize>, _shared: bool, _executable: bool) -> bool {
        true
    }

    /// Handles an ioctl: the non-negative answer, at most `i32::MAX`.
    ///
    /// # Errors
    ///
    /// The errno of the call.
    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<u32>;

    /// Adds lines about the object, `name:<tab>value`, to `/proc/PID/fdinfo/FD`.
    fn show_fdinfo(this: ArcBorrow<'_, Self>, m: &SeqFile);
}

/// The operations of a file that owns an `Arc<T>`.
struct AnonOperations<T>(PhantomData<T>);

impl<T: AnonFile> AnonOperations<T> {
    const OPERATIONS: linux::file_operations = linux::file_operations {
        release: Some(Self::release),
        unlocked_ioctl: Some(Self::ioctl),
        #[cfg(CONFIG_PROC_FS)]
        show_fdinfo: Some(Self::show_fdinfo),
        mmap: if T::MAPPABLE { Some(Self::mmap) } else { None },
        read: if T::READABLE { Some(Self::read) } else { None },
        ..FILE_OPERATIONS
    };

    const VM_OPERATIONS: linux::vm_operations_struct = linux::vm_operations_struct {
        fault: Some(Self::fault),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// To be called by the VFS only, for a file of [`new_anon_file`].
    unsafe extern "C" fn ioctl(file: *mut linux::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: The private data is the `Arc` that the file owns until `release()`, which comes
        // after the last ioctl has returned; it is only ever borrowed shared.
        let object = unsafe { Arc::<T>::borrow((*file).private_data) };

        ioctl_return(T::ioctl(object, cmd, arg))
    }

    /// # Safety
    ///
    /// To be called by the VFS only, for a file of [`new_anon_file`], with a buffer of the user's.
    unsafe extern "C" fn read(
        file: *mut linux::file,
        buffer: *mut c_char,
        len: usize,
        position: *mut linux::loff_t,
    ) -> isize {
        // SAFETY: As in `ioctl()`.
        let object = unsafe { Arc::<T>::borrow((*file).private_data) };
        // SAFETY: The VFS passes the place of the position, of the file or of pread(), that this
        // call has to itself.
        let position = unsafe { &mut *position };
        let mut user = UserSlice::new(UserPtr::from_ptr(buffer.cast()), len).writer();

        match copy_out(&*object, position, &mut user) {
            Ok(count) => count as isize,
            Err(error) => error.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// To be called by procfs only, for a file of [`new_anon_file`].
    #[cfg(CONFIG_PROC_FS)]
    unsafe extern "C" fn show_fdinfo(m: *mut linux::seq_file, file: *mut linux::file) {
        // SAFETY: As in `ioctl()`: procfs holds a reference on the file.
        let object = unsafe { Arc::<T>::borrow((*file).private_data) };
        // SAFETY: procfs passes a `seq_file` that is valid during the call.
        let m = unsafe { SeqFile::from_raw(m) };

        T::show_fdinfo(object, m);
    }

    /// # Safety
    ///
    /// To be called by the VFS only, for a file of [`new_anon_file`].
    unsafe extern "C" fn mmap(file: *mut linux::file, vma: *mut linux::vm_area_struct) -> c_int {
        // SAFETY: As in `ioctl()`.
        let object = unsafe { Arc::<T>::borrow((*file).private_data) };
        // SAFETY: The VFS passes a mapping that is being set up, and that nobody else uses.
        let (first, new) = unsafe { ((*vma).vm_pgoff, VmaNew::from_raw(vma)) };
        let count = (new.end() - new.start()) / PAGE_SIZE;
        let pages = first..first.saturating_add(count);
        let (shared, executable) = (flags::SHARED, flags::EXEC);

        if !object.may_map(
            pages,
            new.flags() & shared != 0,
            new.flags() & executable != 0,
        ) {
            return EINVAL.to_errno();
        }
        // SAFETY: As above. The operations are static.
        unsafe { (*vma).vm_ops = &Self::VM_OPERATIONS };
        0
    }

    /// # Safety
    ///
    /// To be called by memory management only, for a mapping of a file of [`new_anon_file`].
    unsafe extern "C" fn fault(vmf: *mut linux::vm_fault) -> linux::vm_fault_t {
        // SAFETY: The fault names its mapping and the page of the file in it.
        let (vma, index) = unsafe { ((*vmf).__bindgen_anon_1.vma, (*vmf).__bindgen_anon_1.pgoff) };
        // SAFETY: As in `ioctl()`: the mapping holds a reference on its file.
        let object = unsafe { Arc::<T>::borrow((*(*vma).vm_file).private_data) };

        match object.page(index) {
            Some(page) => {
                // SAFETY: The page is lent for as long as the object lives, so it has a reference;
                // the new one goes to the caller, together with the page.
                unsafe {
                    bindings::kvm_vhe_get_page(page.as_ptr());
                    (*vmf).page = page.as_ptr();
                }
                0
            }
            None => linux::vm_fault_reason_VM_FAULT_SIGBUS,
        }
    }

    /// # Safety
    ///
    /// To be called by the VFS only, once for a file of [`new_anon_file`].
    unsafe extern "C" fn release(_inode: *mut linux::inode, file: *mut linux::file) -> c_int {
        // SAFETY: The private data is the `Arc` that the file owned; nobody uses the file any more.
        drop(unsafe { Arc::<T>::from_foreign((*file).private_data) });
        0
    }
}

/// Reads for a user from `position`, which moves on. Returns how much it was.
fn copy_out<T: AnonFile>(
    object: &T,
    position: &mut linux::loff_t,
    user: &mut UserSliceWriter,
) -> Result<usize> {
    /// How much is read at once, on the stack.
    const CHUNK: usize = 256;

    let mut total = 0;
    while !user.is_empty() {
        let mut chunk = [0; CHUNK];
        let wanted = user.len().min(CHUNK);
        let at = u64::try_from(*position).map_err(|_| EINVAL)?;
        let count = object.read(at, &mut chunk[..wanted]).min(wanted);
        if let Err(error) = user.write_slice(&chunk[..count]) {
            // What was copied before counts.
            return if total > 0 { Ok(total) } else { Err(error) };
        }
        total += count;
        *position += count as linux::loff_t;
        if count < wanted {
            break;
        }
    }
    Ok(total)
}

/// Makes a file, open for reading and writing, that shares in owning `object`.
///
/// # Errors
///
/// `ENOMEM`, `ENFILE` and what else opening a file may return; `object` is dropped then.
pub fn new_anon_file<T: AnonFile>(object: Arc<T>) -> Result<ARef<File>> {
    let name = match object.number() {
        Some(number) => CString::try_from_fmt(fmt!("{}:{}", T::NAME, number))?,
        None => CString::try_from_fmt(fmt!("{}", T::NAME))?,
    };
    let object = object.into_foreign();

    // SAFETY: The name is copied, the operations are static, and they take the private data for
    // what it is.
    let file = from_err_ptr(unsafe {
        bindings::anon_inode_getfile(
            name.as_char_ptr(),
            &AnonOperations::<T>::OPERATIONS,
            object,
            linux::O_RDWR as c_int,
        )
    });

    if T::READABLE {
        if let Ok(file) = file {
            // SAFETY: It is a new file, and nobody else has it yet.
            unsafe { bindings::kvm_vhe_allow_pread(file) };
        }
    }

    match file.map(NonNull::new) {
        // SAFETY: It is a new file with one reference, which is ours. No descriptor refers to it,
        // so no fdget_pos() section can be under way on it.
        Ok(Some(file)) => Ok(unsafe { ARef::from_raw(file.cast::<File>()) }),
        error => {
            // SAFETY: No file has taken the object, so it is still the one given away above.
            drop(unsafe { Arc::<T>::from_foreign(object) });
            Err(error.err().unwrap_or(ENOMEM))
        }
    }
}
