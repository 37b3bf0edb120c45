"""A run directory into a packed directory: what `compress`, `search` and `demo` share.

The face knows both stages, so it is here that training's data meet compression: the part held out to choose by, the
part to retrain on, the test set to report on.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .console import step

if TYPE_CHECKING:
    from torch import nn

    from ..compress.choose import Choice, Goal
    from ..compress.posterior import Posterior
    from ..compress.retrain import Labelled
    from ..compress.settings import CompressSettings
    from ..packed_format import ChoiceRecord, PackedRecord
    from ..train.data import DataSet
    from ..train.run import RunRecord

_EXAMPLES = 16  # of the data, that the graph is traced with; the first of them become golden inputs
_HELD_OUT = 0.1  # of the training set, where the run kept nothing back


@dataclass(frozen=True)
class Search:
    """A search for settings: its goal, how many to try, and the file or database that keeps what was seen."""

    goal: Goal
    trials: int
    storage: str


def run_compression(
    run: Path,
    out: Path,
    settings: CompressSettings | None = None,
    *,
    data_dir: Path | None = None,
    data: DataSet | None = None,
    search: Search | None = None,
    overwrite: bool = False,
    named: Collection[str | None] = (),
    trust_code: bool = False,
) -> tuple[PackedRecord, tuple[str, ...]]:
    """Compress a run directory into a packed directory; the record and what the user should know.

    settings  how, or where a search begins
    data      to measure the error on, instead of the data set that the run names
    overwrite replace a packed directory at `out`
    named, trust_code  whether a `module:callable` that the run names may be imported, which an InputError refuses
                       otherwise; see train.trust.check_code
    """
    from ..compress.pipeline import compress_network
    from ..compress.posterior import read_posterior
    from ..compress.settings import CompressSettings
    from ..files import sha256
    from ..packed_format import Preprocessing
    from ..train.data import load_data
    from ..train.evaluate import error_percent
    from ..train.models import build_model
    from ..train.run import POSTERIOR, RunRecord
    from ..train.trust import check_code

    record = RunRecord.read(run)
    check_code(record, f"the run in {run}", named, trust_code=trust_code)
    if record.status != "complete":
        raise InputError(f"The run in {run} is not complete; finish it with `bayespress train --resume {run}`.")
    folder = data_dir or (Path(record.data.folder) if record.data.folder else None)
    posterior = read_posterior(run / POSTERIOR)
    data = data or load_data(record.data.name, folder)
    network = build_model(record.model.name, record.model.options)
    settings = settings or CompressSettings()
    held_out = record.training.held_out
    notes: tuple[str, ...] = ()
    choice: ChoiceRecord | None = None
    if search is not None and not held_out:
        held_out = _HELD_OUT
        notes = (
            "The run was trained on all of its data, so the errors that the settings were chosen by flatter; "
            "train with --held-out 0.1 to choose by data that it has not seen.",
        )
    seen = data.held_out(held_out) if held_out else data
    labelled = _labelled(record, seen) if settings.retrain else None
    if search is not None:
        if settings.precision == "posterior" and not any(bool(v.any()) for v in posterior.variances.values()):
            raise InputError(
                f"The weights of {run} have no posterior variance for a search to follow; add --precision size, or "
                "codebook."
            )
        found = _search(network, posterior, seen, settings, search, labelled, about=sha256(run / POSTERIOR))
        settings, choice = found.chosen.settings, _choice_record(found, len(seen.test_images))
    packed = compress_network(
        network,
        posterior,
        data.train_images[:_EXAMPLES],
        settings,
        evaluate=lambda network: error_percent(network, data.test_images, data.test_labels),
        data=labelled,
        progress=step,
    )
    step("exporting the graph")
    written = packed.write(
        out,
        name=record.model.name.replace(":", "-"),
        golden=data.test_images[:_EXAMPLES],
        preprocessing=Preprocessing(scale=data.scale, description=data.description),
        labels=data.labels,
        data=data.name,
        choice=choice,
        overwrite=overwrite,
    )
    return written, packed.notes + written.notes + notes


def _labelled(record: RunRecord, seen: DataSet) -> Labelled:
    """The training set as training saw it: in batches of the same size, moved and mirrored alike."""
    from ..compress.retrain import Labelled
    from ..train.data import batches

    training = record.training
    loader = batches(
        seen.train_images, seen.train_labels, training.batch_size, seed=training.seed,
        shift=training.shift, mirror=training.mirror,
    )  # fmt: skip

    def of_epoch(epoch: int) -> object:
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        return loader

    return Labelled(of_epoch, len(loader), len(seen.train_images))  # type: ignore[arg-type]


def _search(
    network: nn.Module, posterior: Posterior, seen: DataSet, settings: CompressSettings, search: Search,
    labelled: Labelled | None, *, about: str,
) -> Choice:  # fmt: skip
    """Settings by their error on the held-out part, which is the test set of `seen`."""
    from ..compress.choose import choose
    from ..compress.pipeline import compress_network
    from ..train.evaluate import error_percent

    def attempt(tried: CompressSettings) -> tuple[float, int]:
        packed = compress_network(network, posterior, seen.train_images[:_EXAMPLES], tried, data=labelled)
        return error_percent(packed.network, seen.test_images, seen.test_labels), len(packed.weights)

    before = copy.deepcopy(network)
    posterior.load_into(before)  # a posterior of another network is refused once, and not by each trial
    goal = search.goal
    if goal.max_loss is not None:
        goal = goal.over(error_percent(before, seen.test_images, seen.test_labels))
    return choose(attempt, settings, goal, trials=search.trials, storage=search.storage, about=about, progress=step)


def _choice_record(found: Choice, examples: int) -> ChoiceRecord:
    from ..compress.choose import searched
    from ..packed_format import ChoiceRecord, PointRecord

    return ChoiceRecord(
        goal=str(found.goal),
        held_out=examples,
        error_percent=found.chosen.error_percent,
        bytes=found.chosen.bytes,
        points=tuple(
            PointRecord(
                error_percent=point.error_percent,
                bytes=point.bytes,
                settings={name: float(getattr(point.settings, name)) for name in searched(point.settings)},
            )
            for point in found.points
        ),
    )
