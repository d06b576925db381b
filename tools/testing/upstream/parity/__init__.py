# SPDX-License-Identifier: GPL-2.0
"""Runs the kernel's own KVM selftests on C KVM and on the module, and compares."""
