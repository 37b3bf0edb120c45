"""Checks and what came of them."""

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
    """One check and what came of it."""

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    detail: str


@dataclass(repr=False)
class VerifyReport:
    """All checks in the order in which they were made; those after a failure of the files are not made."""

    path: str
    checks: list[Check] = field(default_factory=list)

    def __repr__(self) -> str:
        counts = Counter(check.outcome for check in self.checks)
        words = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
        return f"VerifyReport({self.path}: {words})"

    def _repr_html_(self) -> str:
        """A table of the checks, for notebooks."""
        rows = [(check.name, check.outcome, check.detail) for check in self.checks]
        return html_table(("check", "outcome", "found"), rows, repr(self))

    @property
    def passed(self) -> bool:
        """Whether no check failed. Skipped ones say why, and are for the reader to judge."""
        return all(check.outcome != "failed" for check in self.checks)


def check_time_limit(seconds: float) -> None:
    """See that runs on devices can be stopped after so many seconds. Raises InputError otherwise."""
    if not 0.0 < seconds <= _LONGEST_LIMIT:
        raise InputError(f"A time limit of {seconds} seconds cannot be kept; give between 0 and {_LONGEST_LIMIT}.")


def attempt(name: str, check: Callable[[], str], log: Callable[[str], None]) -> Check:
    """Make a check: it gives what it found, or raises what is wrong."""
    log(name)
    try:
        return Check(name=name, outcome="passed", detail=check())
    except MissingToolError:
        raise
    except BayespressError as error:
        return Check(name=name, outcome="failed", detail=str(error))
