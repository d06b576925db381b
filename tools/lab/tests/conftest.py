# SPDX-License-Identifier: GPL-2.0
"""Finds lablib, registers the mark for tests that boot."""

import sys
from pathlib import Path

import pytest

LAB = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB))


def pytest_configure(config: pytest.Config) -> None:
    """Declare our marks."""
    config.addinivalue_line(
        "markers", "boot: boots a machine; needs LAB_KERNEL and LAB_INITRAMFS in the environment")
