"""Searching a recipe's ranges for the best networks in (error, bytes); each trial trains and compresses one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckFailedError, InputError, Interrupted, reason_of, unknown_name
from ..optuna_study import without_password
from .compression import compress_run
from .training import named_by

if TYPE_CHECKING:
    from ..metric import Metric
    from ..train.data import DataSet
    from ..train.recipe import Range

_COMPRESS = "compress."
_HELD_OUT = 0.1  # of the training set, to measure the error on


@dataclass(frozen=True)
class TrialResult:
    """One network that no other of the search beats in both metric and size.

    trial          its number
    metric         on the validation part, see RecipeSearch.measured_by
    bytes          of its .bpz file
    settings       values of the fields that were searched
    """

    trial: int
    metric: float
    bytes: int
    settings: dict[str, Any]


@dataclass(frozen=True)
class RecipeSearch:
    """What a search has found so far.

    trials  how many were run, failed ones included
    pareto  the best networks, smallest first
    plot    path of the picture
    measured_by  what the metric of each trial is
    """

    trials: int
    pareto: tuple[TrialResult, ...]
    plot: Path
    measured_by: Metric


def search_recipe(
    recipe: str,
    out: Path,
    *,
    trials: int = 20,
    storage: str | None = None,
    assignments: Sequence[str] = (),
    data_dir: Path | None = None,
    keep: bool = False,
    trust_code: bool = False,
    progress: Callable[[str], None] = lambda _step: None,
) -> RecipeSearch:
    """Train and compress `trials` more networks over the ranges of a recipe's [search] table.

    The error is measured on a part of the training set that is held out; the test set chooses nothing. A search that
    was cut short continues when it is called again, and several processes with one `storage` share the work.

    recipe       name of a recipe of the package, or path of a .toml file
    out          folder for the trials and the picture
    storage      SQLite file or database URL; None takes OUT/search.db
    assignments  changes of the recipe, as "training.epochs=20"
    keep         keep the run directory and the packed directory of every trial
    trust_code   import the module:callable that a recipe file names
    progress     called with one line of text as each trial begins and ends

    Raises InputError for a recipe without ranges, for a folder of another search and when no trial succeeds, and
    Interrupted after Ctrl-C, with what was kept.
    """
    from ..compress.choose import Goal
    from ..files import parents_of
    from ..optuna_study import finished, open_study
    from ..outputs import PICTURE, check_container, check_output
    from ..train.data import load_data
    from ..train.recipe import recipe_fields, search_ranges, set_field
    from ..train.trust import check_code

    if trials < 1:
        raise InputError(f"{trials} trials were asked for; at least 1 is needed.")
    fields = recipe_fields(recipe)
    for assignment in assignments:
        set_field(fields, assignment)
    ranges = search_ranges(fields)
    if not ranges:
        raise InputError(f"Recipe {recipe} has no [search] table; see `bayespress search --help` for how to write one.")
    _check_knobs(ranges)
    picture = out / "pareto.svg"
    check_container(out)
    # A search goes on in its folder, so its own picture is drawn anew without being asked.
    check_output(picture, PICTURE, overwrite=True)
    storage = storage or str(out / "search.db")
    foreign = next(out.glob("trial-*"), None)
    of_another = f"{foreign} is of another search than the one in {without_password(storage)}; name another --out."
    if foreign is not None and "://" not in storage and not Path(storage).expanduser().exists():
        raise InputError(of_another)  # before a file is made for this one
    with parents_of(picture):
        study = open_study(storage, recipe, objectives=2)
    if foreign is not None and not study.trials:
        raise InputError(of_another)
    record = _record(fields, {})
    for candidate in (record, *_named_in(fields, ranges)):
        check_code(candidate, f"recipe {recipe}", named_by(assignments), trust_code=trust_code)
    folder = data_dir or (Path(record.data.folder) if record.data.folder else None)
    data = load_data(record.data.name, folder, likelihood=record.likelihood()).held_out(_HELD_OUT)
    metric = (record.likelihood() or data.likelihood).metric
    Goal().check(metric)
    try:
        study.optimize(
            lambda trial: _tried(
                trial, fields, ranges, data, out / f"trial-{trial.number}", keep=keep, progress=progress
            ),
            n_trials=trials,
            catch=(InputError, CheckFailedError),
        )
    except (KeyboardInterrupt, Interrupted):
        done = len(finished(study))
        verb = " is" if done == 1 else "s are"
        raise Interrupted(f"Interrupted; {done} finished trial{verb} kept in {without_password(storage)}") from None
    best = sorted(study.best_trials, key=lambda trial: trial.values[1])
    if not best:
        raise InputError("No trial came to an end; see the messages above, and widen or mend the ranges.")
    _plot(study, picture, metric)
    found = tuple(TrialResult(t.number, t.values[0], int(t.values[1]), dict(t.params)) for t in best)
    return RecipeSearch(len(study.trials), found, picture, metric)


def _tried(trial: Any, *arguments: Any, keep: bool, progress: Callable[[str], None]) -> tuple[float, int]:
    """The same as _measure; a trial that fails reports why at once, and the search goes on."""
    try:
        return _measure(trial, *arguments, keep=keep, progress=progress)
    except (InputError, CheckFailedError) as error:
        progress(f"trial {trial.number} failed ({words(trial.params)}): {error}")
        raise


def _measure(
    trial: Any,
    fields: Mapping[str, Any],
    ranges: Mapping[str, Range],
    data: DataSet,
    folder: Path,
    *,
    keep: bool,
    progress: Callable[[str], None],
) -> tuple[float, int]:
    """Train and compress one network: its metric on the validation part, and the size of its .bpz."""
    from ..train.training_run import train_run

    chosen = {key: _suggest(trial, key, span) for key, span in ranges.items()}
    knobs = {key.removeprefix(_COMPRESS): chosen.pop(key) for key in list(chosen) if key.startswith(_COMPRESS)}
    record = _record(fields, chosen)
    progress(f"trial {trial.number}: {words(trial.params)}")
    try:
        folder.mkdir()
    except FileExistsError:  # never removed: another search's, or another worker's
        raise InputError(f"{folder} is there already; name another --out, or remove it.") from None
    try:
        train_run(folder / "run", record, data=data, live=False, trust_code=True)  # checked above
        packed = compress_run(folder / "run", folder / "packed", knobs, data=data, trust_code=True)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    figure = packed.steps[-1].metric
    if figure is None:
        raise InputError(
            f"Trial {trial.number} has no {packed.measured_by.name} to choose by; search on labelled data."
        )
    progress(f"trial {trial.number}: {packed.measured_by.text(figure)} at {len(packed.weights):,} bytes")
    return figure, len(packed.weights)


def _check_knobs(ranges: Mapping[str, Range]) -> None:
    """Refuse a range of compression that there is no setting for."""
    from dataclasses import fields

    from ..compress.settings import CompressSettings

    known = {field.name for field in fields(CompressSettings)}
    for key in ranges:
        if key.startswith(_COMPRESS) and key.removeprefix(_COMPRESS) not in known:
            raise unknown_name("setting of compression", key.removeprefix(_COMPRESS), sorted(known))


def _named_in(fields: Mapping[str, Any], ranges: Mapping[str, Range]) -> list[Any]:
    """The recipe with each choice that a range offers as a name of a network, a method or data."""
    return [
        _record(fields, {key: choice})
        for key, span in ranges.items() if key.partition(".")[0] in ("model", "method", "data")
        for choice in span.choices or [] if isinstance(choice, str) and ":" in choice
    ]  # fmt: skip


def _suggest(trial: Any, key: str, span: Range) -> Any:
    """A value of the range. Raises InputError when the storage has a search over another range of this name."""
    try:
        return _suggested(trial, key, span)
    except ValueError as error:
        raise InputError(
            f"Search range {key} is not the one of the trials in the storage ({reason_of(error)}); name another "
            "--storage, or the recipe as it was."
        ) from None


def _suggested(trial: Any, key: str, span: Range) -> Any:
    if span.choices is not None:
        return trial.suggest_categorical(key, span.choices)
    if float(span.low or 0).is_integer() and float(span.high or 0).is_integer() and key.endswith(("epochs", "size")):
        return trial.suggest_int(key, int(span.low or 0), int(span.high or 0), log=span.log)
    return trial.suggest_float(key, span.low, span.high, log=span.log)


def _record(fields: Mapping[str, Any], chosen: Mapping[str, Any]) -> Any:
    import copy

    from ..train.recipe import set_value
    from ..train.run import RunRecord

    changed = copy.deepcopy(dict(fields))
    for key, value in chosen.items():
        set_value(changed, key, value)
    return RunRecord.checked(changed, "The recipe")


def _plot(study: Any, path: Path, metric: Metric) -> None:
    from ..files import write_text
    from ..html_report.charts import picture, scatter_chart
    from ..optuna_study import finished
    from ..outputs import PICTURE, check_output

    done = finished(study)
    best = sorted(study.best_trials, key=lambda trial: trial.values[1])
    groups = {"trials": done, "beaten by none": best}
    chart = scatter_chart(
        {name: [(trial.values[1], trial.values[0]) for trial in trials] for name, trials in groups.items()},
        "bytes", metric.title("held-out"), log_x=True,
    )  # fmt: skip
    check_output(path, PICTURE, overwrite=True)
    # Without a lock: workers of one search draw the same picture.
    write_text(path, picture([("All trials of the search", chart)], study.study_name))


def words(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key.rpartition('.')[2]}={value:.3g}" if isinstance(value, float) else f"{key.rpartition('.')[2]}={value}"
        for key, value in settings.items()
    )
