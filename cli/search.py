"""`bayespress search`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import CheckFailedError, InputError, reason_of
from ..optuna_study import without_password
from .console import DataDir, JsonFlag, TrustCode, note, percent, print_json, show, size, step, table
from .interrupt import resumable

if TYPE_CHECKING:
    from ..train.data import DataSet
    from ..train.recipe import Range

_COMPRESS = "compress."
_HELD_OUT = 0.1  # of the training set, to measure the error on


def search(
    recipe: Annotated[str, typer.Argument(help="A recipe with a [search] table: one of the package's, or a .toml.")],
    trials: Annotated[int, typer.Option(help="How many more networks to train.")] = 20,
    storage: Annotated[
        str | None, typer.Option(help="SQLite file or database URL that workers share.", show_default="OUT/search.db")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of the recipe, as in training.epochs=20.")
    ] = None,
    data_dir: DataDir = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run and packed directory of every trial.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the trials, the table and the plot.")] = Path(
        "search"
    ),
    trust_code: TrustCode = False,
    as_json: JsonFlag = False,
) -> None:
    """Look for the best networks in (error, bytes) over a recipe's ranges.

    Example: [bold]bayespress search my-recipe.toml --trials 50 -o search/lenet[/]

    Each trial trains and compresses one network. The error is measured on a part of the training set that is held
    out; the test set chooses nothing. A search that was cut short goes on with the same command, and the same
    command in several terminals, or on several machines with a database URL, shares the work.

    The table gives each field a range: "training.learning_rate" = { low = 1e-4, high = 1e-2, log = true },
    "method.global_scale" = { choices = [1e-5, 1e-4] }, and settings of compress alike, as compress.threshold
    and compress.budget.
    """
    from ..files import parents_of
    from ..optuna_study import finished, open_study
    from ..outputs import PICTURE, check_container, check_output
    from ..train.data import load_data
    from ..train.recipe import recipe_fields, search_ranges, set_field
    from ..train.trust import check_code
    from .train import named_by

    if trials < 1:
        raise InputError(f"{trials} trials were asked for; at least 1 is needed.")
    fields = recipe_fields(recipe)
    for assignment in assignments or []:
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
        check_code(candidate, f"recipe {recipe}", named_by(assignments or []), trust_code=trust_code)
    folder = data_dir or (Path(record.data.folder) if record.data.folder else None)
    data = load_data(record.data.name, folder).held_out(_HELD_OUT)

    def kept() -> str:
        done = len(finished(study))
        return f"{done} finished trial{' is' if done == 1 else 's are'} kept in {without_password(storage)}"

    with resumable(kept):
        study.optimize(
            lambda trial: _tried(trial, fields, ranges, data, out / f"trial-{trial.number}", keep=keep),
            n_trials=trials,
            catch=(InputError, CheckFailedError),
        )
    best = sorted(study.best_trials, key=lambda trial: trial.values[1])
    if not best:
        raise InputError("No trial came to an end; see the messages above, and widen or mend the ranges.")
    _plot(study, picture)
    result = [
        {"trial": t.number, "error_percent": t.values[0], "bytes": int(t.values[1]), "settings": t.params} for t in best
    ]
    if as_json:
        print_json({"trials": len(study.trials), "pareto": result, "plot": str(picture)})
        return
    rows = [
        (each["trial"], percent(each["error_percent"]), size(each["bytes"]), _words(each["settings"]))
        for each in result
    ]
    show(
        table(f"best of {len(study.trials)} trials", ("trial", "held-out error", "size", "settings"), rows),
        f"Plot: {picture}",
    )


def _tried(trial: Any, *arguments: Any, keep: bool) -> tuple[float, int]:
    """The same as _measure; a trial that fails says why at once, and the search goes on."""
    try:
        return _measure(trial, *arguments, keep=keep)
    except (InputError, CheckFailedError) as error:
        note(f"trial {trial.number} failed ({_words(trial.params)}): {error}")
        raise


def _measure(
    trial: Any, fields: Mapping[str, Any], ranges: Mapping[str, Range], data: DataSet, folder: Path, *, keep: bool
) -> tuple[float, int]:
    """Train and compress one network: its error in percent on the held-out part, and the size of its .bpz."""
    from ..compress.settings import CompressSettings
    from ..train.training_run import train_run
    from .compression import run_compression

    chosen = {key: _suggest(trial, key, span) for key, span in ranges.items()}
    knobs = {key.removeprefix(_COMPRESS): chosen.pop(key) for key in list(chosen) if key.startswith(_COMPRESS)}
    record = _record(fields, chosen)
    step(f"trial {trial.number}: {_words(trial.params)}")
    try:
        folder.mkdir()
    except FileExistsError:  # never removed: another search's, or another worker's
        raise InputError(f"{folder} is there already; name another --out, or remove it.") from None
    try:
        train_run(folder / "run", record, data=data, live=False, trust_code=True)  # checked above
        settings = CompressSettings(**knobs)
        packed, _ = run_compression(folder / "run", folder / "packed", settings, data=data, trust_code=True)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    error = packed.steps[-1].error_percent
    if error is None:
        raise InputError(f"Trial {trial.number} has no error to choose by; search on labelled data.")
    step(f"trial {trial.number}: {error:.2f} % at {packed.packed_bytes:,} bytes")
    return error, packed.packed_bytes


def _check_knobs(ranges: Mapping[str, Range]) -> None:
    """Refuse a range of compression that there is no setting for."""
    from dataclasses import fields

    from ..compress.settings import CompressSettings

    known = {field.name for field in fields(CompressSettings)}
    for key in ranges:
        if key.startswith(_COMPRESS) and key.removeprefix(_COMPRESS) not in known:
            raise InputError(f"Search range {key}: there is no such setting; there are {', '.join(sorted(known))}.")


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


def _plot(study: Any, path: Path) -> None:
    from ..files import write_text
    from ..html_report import BLUE, GREY, new_figure, svg_of
    from ..optuna_study import finished
    from ..outputs import PICTURE, check_output

    done = finished(study)
    best = sorted(study.best_trials, key=lambda trial: trial.values[1])
    with new_figure(1, width=6.0, height=4.0) as (figure, (axes,)):
        axes.scatter([t.values[1] for t in done], [t.values[0] for t in done], s=14, color=GREY, label="trials")
        axes.step([t.values[1] for t in best], [t.values[0] for t in best], where="post", color=BLUE, label="best")
        axes.scatter([t.values[1] for t in best], [t.values[0] for t in best], s=18, color=BLUE)
        axes.set(xlabel="bytes", ylabel="held-out error, %", xscale="log")
        axes.legend(frameon=False)
        check_output(path, PICTURE, overwrite=True)
        write_text(path, svg_of(figure))  # without a lock: workers of one search draw the same picture


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key.rpartition('.')[2]}={value:.3g}" if isinstance(value, float) else f"{key.rpartition('.')[2]}={value}"
        for key, value in settings.items()
    )
