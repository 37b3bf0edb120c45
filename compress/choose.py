"""Choosing settings by what they come to: error on data that training did not see, against bytes.

A search first walks on a path from fine to coarse, halving it towards the goal, and then lets Optuna look around
(Bergstra et al. 2011, with constraints for a goal). The points are kept, so that a search that was cut short goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import CheckFailedError, InputError, reason_of
from ..metric import ERROR, Metric
from ..optuna_study import finished, open_study, without_password
from ..packed_format import pareto
from ..text import printable
from .settings import CompressSettings

_SEED = 0  # of the sampler: the same search finds the same settings
_FAILED = 1 << 62  # bytes of what left no network
# What is searched, and where: low, high, and whether the scale is logarithmic.
_SPANS: dict[str, tuple[float, float, bool]] = {
    "threshold": (-1.0, 3.5, False),
    "budget": (0.003, 3.0, True),
    "rate_weight": (0.001, 1.0, True),
    "clusters": (4, 64, True),
}
# Retraining mends what rounding breaks, and its rate weighs the likelihood, which bears more than the posterior.
_RETRAINED_SPANS = _SPANS | {"budget": (0.03, 8.0, True), "rate_weight": (0.1, 10.0, True)}
_WALK = 6  # proposals on the path


@dataclass(frozen=True)
class Goal:
    """What a search is for; without either it looks for the knee of the curve.

    max_error  the metric on the held-out data, as the error in percent; the smallest file within it is chosen
    max_loss   the same, above the metric of the network before compression
    max_bytes  of the file; the lowest error within it is chosen
    """

    max_error: float | None = None
    max_loss: float | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        """Raises InputError for several at once and for what no network can come to."""
        given = [f"{name} {value:g}" for name, value in asdict(self).items() if value is not None]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} were asked for; a search has one goal, so give one.")
        if self.max_loss is not None and not 0.0 <= self.max_loss < math.inf:
            raise InputError(f"The largest loss is {self.max_loss}; it has to be at least 0, and finite.")
        if self.max_error is not None and not math.isfinite(self.max_error):
            raise InputError(f"The highest error is {self.max_error}; it has to be finite.")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise InputError(f"The largest file is {self.max_bytes} bytes; it has to be above 0.")

    def check(self, metric: Metric) -> None:
        """Raises InputError for a goal that no network can come to, or that this metric cannot serve."""
        if not metric.lower_is_better:
            raise InputError(
                f"A search lowers its metric, and a higher {metric.name} is better; give a metric that falls, such as "
                "an error."
            )
        if metric.unit == "%":
            for name, value in (("largest loss", self.max_loss), ("highest error", self.max_error)):
                if value is not None and not 0.0 <= value < 100.0:
                    raise InputError(f"The {name} is {value} %; it has to be at least 0 and below 100.")

    def over(self, metric: float) -> Goal:
        """The goal for a network whose metric before compression is this."""
        return self if self.max_loss is None else Goal(max_error=metric + self.max_loss)

    def text(self, metric: Metric) -> str:
        """The goal in words."""
        article = "an" if metric.name[:1] in "aeiou" else "a"
        if self.max_error is not None:
            limit = f"{self.max_error:g} {metric.unit}".rstrip()
            return f"the smallest file with {article} {metric.name} of at most {limit}"
        if self.max_bytes is not None:
            return f"the lowest {metric.name} within {self.max_bytes:,} bytes"
        return "the knee of the curve"

    def excess(self, point: Point) -> float:
        """By how much a point misses the goal; 0 or less if it does not."""
        if self.max_error is not None:
            return point.metric - self.max_error
        if self.max_bytes is not None:
            return point.bytes / self.max_bytes - 1.0
        return 0.0


@dataclass(frozen=True)
class Point:
    """What some settings came to: the metric on the held-out data, and the file's bytes."""

    settings: CompressSettings
    metric: float
    bytes: int


@dataclass(frozen=True)
class Choice:
    """The point chosen, what for, and all that were seen, in the order of their bytes."""

    goal: Goal
    chosen: Point
    points: tuple[Point, ...]


def choose(
    attempt: Callable[[CompressSettings], tuple[float, int]],
    start: CompressSettings,
    goal: Goal,
    *,
    trials: int,
    storage: str,
    about: str,
    metric: Metric = ERROR,
    progress: Callable[[str], None] = lambda _text: None,
) -> Choice:
    """Look for the settings that serve `goal` best.

    attempt  compresses by some settings: the metric on held-out data, and bytes. Raises InputError where they leave
             nothing
    start    what is held fixed: all but the settings that are searched
    trials   how many settings to try, those of earlier calls with the same storage counted
    metric   what `attempt` measures
    about    what identifies this search among others in the same storage, as the network's digest

    Raises InputError when no settings come within the goal, naming the closest that was reached.
    """
    if trials < 1:
        raise InputError(f"{trials} trials were asked for; at least 1 is needed.")
    goal.check(metric)
    fields = searched(start)
    if not fields:
        raise InputError(
            f"With the rule {start.rule} and the quantizer {start.quantizer} there is nothing to search; use the rule "
            "log-alpha, or a quantizer other than round-off."
        )
    spans = _RETRAINED_SPANS if start.retrain else _SPANS
    fixed = {key: value for key, value in asdict(start).items() if key not in fields}
    name = hashlib.sha256(json.dumps([about, fixed, asdict(goal)]).encode()).hexdigest()[:16]
    single = goal.max_error is not None or goal.max_bytes is not None
    study = open_study(storage, name, 1 if single else 2, seed=_SEED)
    problem = ""
    while (done := len(finished(study))) < trials:
        walked = [_walked(trial, storage) for trial in finished(study)[:_WALK]]
        place = _next_place(goal, walked) if len(walked) < _WALK else None
        if place is not None:
            study.enqueue_trial(_on_path(start, place, fields, spans))
        trial = study.ask()
        trial.set_user_attr("place", place)
        settings = replace(start, **{field: _suggest(trial, field, spans[field]) for field in fields})
        try:
            point = Point(settings, *attempt(settings))
            if not math.isfinite(point.metric):
                raise InputError(f"The {metric.name} of these settings is {point.metric}; it has to be finite.")
        except (InputError, CheckFailedError) as error:
            problem = str(error)
            progress(f"trial {done + 1} of {trials}: {problem}")
            point = Point(settings, _worst(finished(study), metric), _FAILED)
        for key, value in (("settings", asdict(settings)), ("error", point.metric), ("bytes", point.bytes)):
            trial.set_user_attr(key, value)
        if single:
            trial.set_constraint("goal", goal.excess(point))
        study.tell(trial, _objectives(goal, point))
        if point.bytes < _FAILED:
            outcome = f"{metric.text(point.metric)} at {point.bytes:,} bytes"
            progress(f"trial {done + 1} of {trials}: {outcome} ({words(settings)})")
    points = [point for point in (_point(trial, storage) for trial in finished(study)) if point.bytes < _FAILED]
    if not points:
        raise InputError(f"None of {trials} settings left a network to measure. {problem}".rstrip())
    return Choice(goal, _best(points, goal, metric), tuple(sorted(points, key=lambda point: point.bytes)))


def _point(trial: Any, storage: str) -> Point:
    """What a finished trial came to. Raises InputError for a trial that this version has not written."""
    kept = trial.user_attrs
    try:
        point = Point(CompressSettings(**kept["settings"]), float(kept["error"]), int(kept["bytes"]))
        if not (math.isfinite(point.metric) and point.bytes > 0):
            raise ValueError("its error or its size is out of range")
    except (InputError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"Trial {trial.number} in {printable(without_password(storage))} is of another version of bayespress "
            f"({reason_of(error)}); name another storage."
        ) from None
    return point


def _walked(trial: Any, storage: str) -> tuple[float, Point]:
    """Place on the path and point of one of the first trials."""
    point, place = _point(trial, storage), trial.user_attrs.get("place")
    if not isinstance(place, int | float) or not 0.0 <= place <= 1.0:
        raise InputError(
            f"Trial {trial.number} in {printable(without_password(storage))} has no place on the path; name another "
            "storage."
        )
    return float(place), point


def _next_place(goal: Goal, walked: Sequence[tuple[float, Point]]) -> float:
    """Where on the path, 0 fine and 1 coarse, to look next: halving towards the goal, or evenly without one."""
    if goal.max_error is None and goal.max_bytes is None:
        return (len(walked) + 1) / (_WALK + 1)
    fine, coarse = 0.0, 1.0
    for place, point in walked:
        within = goal.excess(point) <= 0.0
        # A size is kept by what is coarse enough, an error by what is fine enough; where nothing is left, neither.
        if within == (goal.max_bytes is not None) or point.bytes == _FAILED:
            coarse = min(coarse, place)
        else:
            fine = max(fine, place)
    return (fine + coarse) / 2.0


def words(settings: CompressSettings) -> str:
    """The settings that a search turns, in words."""
    return ", ".join(f"{name} {getattr(settings, name) or 0:.3g}" for name in searched(settings))


def searched(settings: CompressSettings) -> list[str]:
    """Names of the settings that a search turns, the others given."""
    names = ["threshold"] if settings.rule == "log-alpha" and settings.sparsity is None else []
    if settings.quantizer in ("posterior", "size"):
        return [*names, "budget", "rate_weight"]
    return [*names, "clusters"] if settings.quantizer == "codebook" else names


def _worst(trials: Sequence[Any], metric: Metric) -> float:
    """What a trial that left no network counts as: 100 %, or the highest figure so far where there is no highest."""
    found = [float(trial.user_attrs.get("error", 0.0)) for trial in trials]
    return 100.0 if metric.unit == "%" else max(found, default=100.0)


def _best(points: Sequence[Point], goal: Goal, metric: Metric) -> Point:
    within = [point for point in points if goal.excess(point) <= 0.0]
    if not within:
        closest = min(points, key=goal.excess)
        raise InputError(
            f"None of {len(points)} settings tried gives {goal.text(metric)}; the closest is "
            f"{metric.text(closest.metric)} at {closest.bytes:,} bytes ({words(closest.settings)}); "
            "ask for no more than that, or for more trials."
        )
    if goal.max_error is not None:
        return min(within, key=lambda point: (point.bytes, point.metric))
    if goal.max_bytes is not None:
        return min(within, key=lambda point: (point.metric, point.bytes))
    return _knee(pareto(points))


def _knee(front: Sequence[Point]) -> Point:
    """The point farthest below the line between the ends of the front, bytes on a logarithmic scale."""
    first, last = front[0], front[-1]
    width = math.log(last.bytes / first.bytes) or 1.0
    height = (first.metric - last.metric) or 1.0

    def depth(point: Point) -> float:
        along = math.log(point.bytes / first.bytes) / width
        return (1.0 - along) - (point.metric - last.metric) / height

    return max(front, key=depth)


def _objectives(goal: Goal, point: Point) -> list[float]:
    size = math.log2(point.bytes)
    if goal.max_error is not None:
        return [size]
    return [point.metric] if goal.max_bytes is not None else [point.metric, size]


def _on_path(
    start: CompressSettings, place: float, fields: Sequence[str], spans: Mapping[str, tuple[float, float, bool]]
) -> dict[str, float]:
    """Values at a place of the path: all go from their fine end to their coarse one, but for the threshold."""
    values: dict[str, float] = {}
    for field in fields:
        low, high, log = spans[field]
        along = 1.0 - place if field == "clusters" else place
        if field == "threshold":
            values[field] = min(max(start.cut, low), high)
        elif log:
            values[field] = low * (high / low) ** along
        else:
            values[field] = low + (high - low) * along
        if field == "clusters":
            values[field] = round(values[field])
    return values


def _suggest(trial: Any, field: str, span: tuple[float, float, bool]) -> Any:
    low, high, log = span
    if field == "clusters":
        return trial.suggest_int(field, int(low), int(high), log=log)
    return trial.suggest_float(field, low, high, log=log)
