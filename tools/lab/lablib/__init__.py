# SPDX-License-Identifier: GPL-2.0
"""The lab: boots a host in QEMU TCG and runs test programs in it."""
