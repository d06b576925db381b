// SPDX-License-Identifier: GPL-2.0

//! Dirty tracking against plain models.

mod bitmap;
#[path = "../common/orders.rs"]
mod orders;
mod race;
mod ring;
