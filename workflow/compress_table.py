"""The `[compress]` table of a recipe, which a run keeps in its record: settings, and what a search looks for.

[compress]
quantizer = "size"     # any field of CompressSettings
retrain = 10
max_bytes = 4265       # or max_error, or max_loss: `compress` searches the settings that it turns, see choose.py
trials = 5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, unknown_name

if TYPE_CHECKING:
    from ..compress.choose import Goal
    from ..compress.settings import CompressSettings
    from ..metric import Metric

TRIALS = 30  # settings that a search tries by default
_GOALS = ("max_error", "max_loss", "max_bytes")
_OF_SEARCH = (*_GOALS, "trials")
# Settings that a search turns: who gives one wants that value, and not what a recipe's search would find.
_TURNED = ("threshold", "sparsity", "budget", "rate_weight", "clusters")


@dataclass(frozen=True)
class Search:
    """A search for settings.

    goal     what the search looks for
    trials   how many settings to try, those that `storage` has already counted
    storage  SQLite file or database URL that keeps the trials
    """

    goal: Goal
    trials: int
    storage: str


def settings_of(values: Mapping[str, Any], *, beside: tuple[str, ...] = ()) -> CompressSettings:
    """Settings of compression by name; `beside` names what else could have been given, for the error.

    Raises InputError for an unknown name, with the nearest one.
    """
    from ..compress.settings import CompressSettings

    known = [field.name for field in fields(CompressSettings)]
    for name in values:
        if name not in known:
            raise unknown_name("setting of compression", name, [*known, *beside])
    return CompressSettings(**values)


def table_settings(table: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a table, without what is about its search."""
    return {name: value for name, value in table.items() if name not in _OF_SEARCH}


def check_table(table: Mapping[str, Any], metric: Metric | None = None) -> None:
    """Check a table before hours of training.

    metric  of the task, where it is known before the data is loaded; then the goal has to be one that it can reach

    Raises InputError for a table that `compress` would refuse.
    """
    settings_of(table_settings(table), beside=_OF_SEARCH)
    for name in _GOALS:
        value = table.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError(f"The search's {name} is {value!r}; it has to be a number.")
    trials = table.get("trials", TRIALS)
    if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
        raise InputError(f"The search's trials are {trials!r}; give a whole number from 1 on.")
    goal = _goal(table)
    if goal is not None and metric is not None:
        goal.check(metric)


def wanted_search(
    run: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    max_error: float | None = None,
    max_loss: float | None = None,
    max_bytes: int | None = None,
    trials: int | None = None,
    storage: str | None = None,
) -> Search | None:
    """The search that the caller asks for, or else that of the run's recipe; None where nobody asks for one.

    settings  that the caller gives: with one that a search would turn, the recipe's search is left out

    A number of trials alone asks for the recipe's search with so many, or for the knee of the curve.
    Raises InputError for several goals, and as RunRecord.read.
    """
    from ..compress.choose import Goal
    from ..train.run import RunRecord

    asked = Goal(max_error=max_error, max_loss=max_loss, max_bytes=max_bytes)
    table = RunRecord.read(run).compress
    check_table(table)
    own = None if any(name in (settings or {}) for name in _TURNED) else _goal(table)
    if asked == Goal() and trials is None and own is None:
        return None
    goal = asked if asked != Goal() or own is None else own
    count = trials if trials is not None else table.get("trials", TRIALS) if goal is own else TRIALS
    return Search(goal, count, storage or str(run / "search.db"))


def _goal(table: Mapping[str, Any]) -> Goal | None:
    """The goal of a table's search; None for a table without one. Raises InputError for several."""
    from ..compress.choose import Goal

    given = {name: table[name] for name in _GOALS if table.get(name) is not None}
    return Goal(**given) if given or "trials" in table else None
