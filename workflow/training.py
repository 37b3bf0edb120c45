"""Starting a training run: its record from a recipe and changes, and the run directory that it may write."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, Interrupted
from ..metric import ERROR, Metric
from .compress_table import check_table

if TYPE_CHECKING:
    from ..train.run import RunRecord


def new_record(recipe: str | None, choices: Mapping[str, Any], assignments: Sequence[str] = ()) -> RunRecord:
    """The record of a run that is about to start: a recipe, changed by `choices` that are not None, then by --set."""
    from ..train.recipe import recipe_fields, search_ranges, set_field, set_value
    from ..train.run import RunRecord

    fields = {} if recipe is None else recipe_fields(recipe)
    search_ranges(fields)  # only checked: they are for `search`
    for key, value in choices.items():
        if value is not None:
            set_value(fields, key, value)
    for assignment in assignments:
        set_field(fields, assignment)
    record = RunRecord.checked(fields, "The recipe" if recipe is None else f"Recipe {recipe}")
    check_table(record.compress, _known_metric(record))
    return record


def _known_metric(record: RunRecord) -> Metric | None:
    """The metric of a run, if it is known without an import of the user's code; None otherwise."""
    from ..train.data import DATA_SETS

    if record.task is not None:
        likelihood = None if ":" in record.task.name else record.likelihood()
        return None if likelihood is None else likelihood.metric
    return ERROR if record.data.name in DATA_SETS else None


def named_by(assignments: Sequence[str]) -> list[str]:
    """Names that --set gives, as in model.name=nets:Small or model=nets:Small."""
    return [value.strip().strip("\"'") for _, _, value in (each.partition("=") for each in assignments)]


@contextlib.contextmanager
def run_kept_safe(
    folder: Path,
    *,
    resume: bool,
    overwrite: bool,
    inputs: Iterable[Path | None] = (),
    restart: Callable[[], str] | None = None,
) -> Iterator[None]:
    """Lock the run directory `folder` for the block, and keep the run that it holds until the new one can be resumed.

    With `overwrite` an earlier run is set aside. It is removed when the new run has finished its first epoch; if the
    block fails or is interrupted before that, the earlier run is put back.

    restart  gives the command that starts the run again, for the message of an interruption

    Raises InputError when `folder` may not be written (outputs.py).
    """
    from ..files import locked, set_aside
    from ..outputs import claimed
    from ..train.run import CHECKPOINTS, INITIAL, POSTERIOR, RECORD
    from .kinds import run_directory

    if "LOCAL_RANK" in os.environ:  # further processes of one training find what the first has begun
        yield
        return
    if resume:
        with locked(folder):
            yield
        return
    if not overwrite and (folder / RECORD).is_file() and run_directory().difference(folder) is None:
        raise InputError(f"{folder} holds a run already; give another --out, or --resume {folder}, or --overwrite.")
    failure: BaseException | None = None
    with claimed([(folder, run_directory())], overwrite=overwrite, inputs=inputs):
        if not (folder / RECORD).exists():
            yield
            return
        try:
            with set_aside(folder, [RECORD, INITIAL, POSTERIOR, CHECKPOINTS]):
                try:
                    yield
                except BaseException as error:
                    if not any((folder / CHECKPOINTS).glob("*.ckpt")):
                        raise
                    failure = error
        except (KeyboardInterrupt, Interrupted):
            again = "" if restart is None else f"; start again with: {restart()}"
            raise Interrupted(
                f"Interrupted before the first epoch was finished; the earlier run in {folder} was put back{again}"
            ) from None
    if failure is not None:
        raise failure


def file_name(text: str) -> str:
    """`text` with a dash for what a name of one folder cannot have, as the parts of a path in folder:PATH."""
    return "-".join(filter(None, re.split(r"[/:\0]+", text)))
