# SPDX-License-Identifier: GPL-2.0
"""The one exception that means "the caller or the environment is at fault"."""


class LabError(Exception):
    """A usage or environment error: what is wrong, and what to do about it.

    The command line turns it into a message and exit status 2.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n  {remedy}")
        self.problem = problem
        self.remedy = remedy
