"""Checks and their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ...errors import BayespressError, InputError, MissingToolError
from ...html_report import html_table

_LONGEST_LIMIT = 1_000_000  # seconds


@dataclass(frozen=True)
class Check:
    """One check and its result.

    detail  the measured result, the error, or the reason for skipping
    """

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    detail: str


@dataclass(repr=False)
class VerifyReport:
    """All checks in the order of execution. If the check of the files fails, no later check is executed."""

    path: str
    checks: list[Check] = field(default_factory=list)

    def __repr__(self) -> str:
        counts = Counter(check.outcome for check in self.checks)
        words = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
        return f"VerifyReport({self.path}: {words})"

    def _repr_html_(self) -> str:
        """A table of the checks, for notebooks."""
        rows = [(check.name, check.outcome, check.detail) for check in self.checks]
        return html_table(("check", "outcome", "detail"), rows, repr(self))

    @property
    def passed(self) -> bool:
        """Whether no check failed. A skipped check counts as passed; its detail states the reason."""
        return all(check.outcome != "failed" for check in self.checks)


def check_time_limit(seconds: float) -> None:
    """Raise InputError unless the time limit for a run on a device is in range."""
    if not 0.0 < seconds <= _LONGEST_LIMIT:
        raise InputError(f"A time limit of {seconds} seconds is out of range; give between 0 and {_LONGEST_LIMIT}.")


def attempt(name: str, check: Callable[[], str], log: Callable[[str], None]) -> Check:
    """Execute a check, which returns its detail or raises the failure.

    Raises MissingToolError, because a missing tool is not a failed check.
    """
    log(name)
    try:
        return Check(name=name, outcome="passed", detail=check())
    except MissingToolError:
        raise
    except BayespressError as error:
        return Check(name=name, outcome="failed", detail=str(error))
