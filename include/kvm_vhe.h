/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What assembly, C and Rust (through bindgen) have in common.
 */
#ifndef KVM_VHE_H
#define KVM_VHE_H

/* The module's version, as modinfo and the log show it. */
#define KVM_VHE_VERSION "0.1.0"

#endif
