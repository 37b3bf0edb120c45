"""Search for compression settings by the metric on held-out data and the size of the file.

The first trials lie on a path from fine to coarse settings and bisect it towards the goal. Optuna's sampler (Bergstra
et al. 2011; the goal is a constraint) proposes the others. All trials are stored, so an interrupted search continues.
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
_FAILED = 1 << 62  # the size in bytes recorded for settings that leave no network
# Range of each searched setting: lowest value, highest value, and whether the scale is logarithmic.
_SPANS: dict[str, tuple[float, float, bool]] = {
    "threshold": (-1.0, 3.5, False),
    "budget": (0.003, 3.0, True),
    "rate_weight": (0.001, 1.0, True),
    "clusters": (4, 64, True),
}
# Retraining repairs rounding errors, so it allows a higher budget. Its rate weight is relative to the likelihood, which
# tolerates higher values than the posterior does.
_RETRAINED_SPANS = _SPANS | {"budget": (0.03, 8.0, True), "rate_weight": (0.1, 10.0, True)}
_PATH_TRIALS = 6


@dataclass(frozen=True)
class Goal:
    """The goal of a search. Without a limit, the search chooses the knee of the curve of metric against bytes.

    max_error  largest metric on the held-out data, for instance the error in percent; the smallest such file is chosen
    max_loss   the same limit, relative to the metric of the network before compression
    max_bytes  largest size of the file; the file with the lowest metric within it is chosen
    """

    max_error: float | None = None
    max_loss: float | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        """Raises InputError for several limits at once, and for a limit that no network can meet."""
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
        """Raises InputError when no network can meet this goal with `metric`, or when a higher metric is better."""
        if not metric.lower_is_better:
            raise InputError(
                f"A search minimises its metric, but a higher {metric.name} is better; give a metric of which lower "
                "values are better, such as an error."
            )
        if metric.unit == "%":
            for name, value in (("largest loss", self.max_loss), ("highest error", self.max_error)):
                if value is not None and not 0.0 <= value < 100.0:
                    raise InputError(f"The {name} is {value} %; it has to be at least 0 and below 100.")

    def over(self, metric: float) -> Goal:
        """This goal with `max_loss` replaced by `max_error`, for a network whose metric before compression is given."""
        return self if self.max_loss is None else Goal(max_error=metric + self.max_loss)

    def text(self, metric: Metric) -> str:
        """The goal as a noun phrase for messages."""
        article = "an" if metric.name[:1] in "aeiou" else "a"
        if self.max_error is not None:
            limit = f"{self.max_error:g} {metric.unit}".rstrip()
            return f"the smallest file with {article} {metric.name} of at most {limit}"
        if self.max_bytes is not None:
            return f"the lowest {metric.name} within {self.max_bytes:,} bytes"
        return "the knee of the curve"

    def excess(self, point: Point) -> float:
        """How far a point is beyond the limit: in units of the metric, or as a fraction of `max_bytes`; <= 0 if met."""
        if self.max_error is not None:
            return point.metric - self.max_error
        if self.max_bytes is not None:
            return point.bytes / self.max_bytes - 1.0
        return 0.0


@dataclass(frozen=True)
class Point:
    """The result of one trial: its settings, the metric on the held-out data, and the size of the file in bytes."""

    settings: CompressSettings
    metric: float
    bytes: int


@dataclass(frozen=True)
class SearchResult:
    """The goal of a search, the chosen point, and all points in the order of their size."""

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
) -> SearchResult:
    """Search for the settings that meet `goal` best.

    attempt  compresses with the given settings and returns the metric on held-out data and the size in bytes; raises
             InputError when the settings leave no network
    start    values of the settings that are not searched
    trials   number of trials, including those of earlier calls with the same storage
    metric   the metric that `attempt` returns
    about    identifies this search among others in the same storage, for instance the network's digest

    Raises InputError, which names the closest point, when no settings meet the goal.
    """
    if trials < 1:
        raise InputError(f"{trials} trials were asked for; at least 1 is needed.")
    goal.check(metric)
    fields = searched(start)
    if not fields:
        raise InputError(
            f"The rule {start.rule} and the quantizer {start.quantizer} have no settings to search; use the rule "
            "log-alpha, or a quantizer other than round-off."
        )
    spans = _RETRAINED_SPANS if start.retrain else _SPANS
    fixed = {key: value for key, value in asdict(start).items() if key not in fields}
    name = hashlib.sha256(json.dumps([about, fixed, asdict(goal)]).encode()).hexdigest()[:16]
    single = goal.max_error is not None or goal.max_bytes is not None
    study = open_study(storage, name, 1 if single else 2, seed=_SEED)
    problem = ""
    while (done := len(finished(study))) < trials:
        on_path = [_path_point(trial, storage) for trial in finished(study)[:_PATH_TRIALS]]
        position = _next_position(goal, on_path) if len(on_path) < _PATH_TRIALS else None
        if position is not None:
            study.enqueue_trial(_settings_on_path(start, position, fields, spans))
        trial = study.ask()
        trial.set_user_attr("place", position)
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
            progress(f"trial {done + 1} of {trials}: {outcome} ({settings_text(settings)})")
    points = [point for point in (_point(trial, storage) for trial in finished(study)) if point.bytes < _FAILED]
    if not points:
        raise InputError(f"None of {trials} settings left a network to measure. {problem}".rstrip())
    return SearchResult(goal, _best(points, goal, metric), tuple(sorted(points, key=lambda point: point.bytes)))


def _point(trial: Any, storage: str) -> Point:
    """The result of a finished trial. Raises InputError for a trial that another version wrote."""
    stored = trial.user_attrs
    try:
        point = Point(CompressSettings(**stored["settings"]), float(stored["error"]), int(stored["bytes"]))
        if not (math.isfinite(point.metric) and point.bytes > 0):
            raise ValueError("its error or its size is out of range")
    except (InputError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"Trial {trial.number} in {printable(without_password(storage))} was written by another version of "
            f"bayespress ({reason_of(error)}); name another storage."
        ) from None
    return point


def _path_point(trial: Any, storage: str) -> tuple[float, Point]:
    """The position on the path, from 0 (fine) to 1 (coarse), and the result of one of the first trials."""
    point, position = _point(trial, storage), trial.user_attrs.get("place")
    if not isinstance(position, int | float) or not 0.0 <= position <= 1.0:
        raise InputError(
            f"Trial {trial.number} in {printable(without_password(storage))} has no position on the path; name another "
            "storage."
        )
    return float(position), point


def _next_position(goal: Goal, on_path: Sequence[tuple[float, Point]]) -> float:
    """The next position on the path, from 0 (fine) to 1 (coarse): by bisection, or evenly spaced without a limit."""
    if goal.max_error is None and goal.max_bytes is None:
        return (len(on_path) + 1) / (_PATH_TRIALS + 1)
    fine, coarse = 0.0, 1.0
    for position, point in on_path:
        within = goal.excess(point) <= 0.0
        # Coarser settings meet a limit of size, finer ones a limit of error. Settings that left no network are too
        # coarse for both.
        if within == (goal.max_bytes is not None) or point.bytes == _FAILED:
            coarse = min(coarse, position)
        else:
            fine = max(fine, position)
    return (fine + coarse) / 2.0


def settings_text(settings: CompressSettings) -> str:
    """Names and values of the searched settings, for messages."""
    return ", ".join(f"{name} {getattr(settings, name) or 0:.3g}" for name in searched(settings))


def searched(settings: CompressSettings) -> list[str]:
    """Names of the settings that a search varies; they depend on the rule and the quantizer."""
    names = ["threshold"] if settings.rule == "log-alpha" and settings.sparsity is None else []
    if settings.quantizer in ("posterior", "size"):
        return [*names, "budget", "rate_weight"]
    return [*names, "clusters"] if settings.quantizer == "codebook" else names


def _worst(trials: Sequence[Any], metric: Metric) -> float:
    """The metric recorded for settings that left no network: 100 %, or the highest value so far in other units."""
    values = [float(trial.user_attrs.get("error", 0.0)) for trial in trials]
    return 100.0 if metric.unit == "%" else max(values, default=100.0)


def _best(points: Sequence[Point], goal: Goal, metric: Metric) -> Point:
    within = [point for point in points if goal.excess(point) <= 0.0]
    if not within:
        closest = min(points, key=goal.excess)
        raise InputError(
            f"None of {len(points)} settings tried gives {goal.text(metric)}; the closest is "
            f"{metric.text(closest.metric)} at {closest.bytes:,} bytes ({settings_text(closest.settings)}); "
            "relax the goal to that, or ask for more trials."
        )
    if goal.max_error is not None:
        return min(within, key=lambda point: (point.bytes, point.metric))
    if goal.max_bytes is not None:
        return min(within, key=lambda point: (point.metric, point.bytes))
    return _knee(pareto(points))


def _knee(front: Sequence[Point]) -> Point:
    """The point farthest below the line between the ends of the Pareto front, with bytes on a logarithmic scale."""
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


def _settings_on_path(
    start: CompressSettings, position: float, fields: Sequence[str], spans: Mapping[str, tuple[float, float, bool]]
) -> dict[str, float]:
    """The values at a position of the path: the threshold is constant, all others go from fine (0) to coarse (1)."""
    values: dict[str, float] = {}
    for field in fields:
        low, high, log = spans[field]
        along = 1.0 - position if field == "clusters" else position  # fewer clusters are coarser
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
