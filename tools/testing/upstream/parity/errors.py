# SPDX-License-Identifier: GPL-2.0
"""The exception for what a user can put right."""


class SuiteError(Exception):
    """The suite, the table or the environment is at fault; the text says how."""
