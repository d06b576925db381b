# SPDX-License-Identifier: GPL-2.0
"""Finds the package, registers the mark for tests that boot."""

import sys
from pathlib import Path

import pytest

UPSTREAM = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(UPSTREAM))


def pytest_configure(config: pytest.Config) -> None:
    """Declare our marks."""
    config.addinivalue_line("markers", "boot: boots hosts; needs the built tests and the kernel")
