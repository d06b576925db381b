// SPDX-License-Identifier: GPL-2.0

//! System registers and system instructions by their encoding.

pub mod encoding;
pub mod names;

pub use self::encoding::{
    ParseSysRegError,
    SysReg, //
};
