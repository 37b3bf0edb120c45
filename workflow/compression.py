"""A run directory to a packed directory.

Training and compression do not know each other, so it is here that the data of a run meet its compression: the part
to choose settings by (validation), the part to retrain on (train), the part to report on (test).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .compress_table import Search, settings_of, table_settings

if TYPE_CHECKING:
    from torch import nn

    from ..compress.choose import SearchResult
    from ..compress.packed import Packed
    from ..compress.posterior import Posterior
    from ..compress.retrain import Labelled
    from ..compress.settings import CompressSettings
    from ..metric import Metric
    from ..packed_format import SearchRecord
    from ..train.data import DataSet
    from ..train.likelihoods import Likelihood
    from ..train.run import RunRecord

_EXAMPLES = 16  # of the data, that the graph is traced with; the first of them become golden inputs
BATCH = "A batch to retrain on"  # what it is called in errors
_HELD_OUT = 0.1  # of the training set, where the run kept nothing back


def compress_run(
    run: Path,
    out: Path | None = None,
    settings: CompressSettings | Mapping[str, Any] | None = None,
    *,
    data_dir: Path | None = None,
    data: DataSet | None = None,
    search: Search | None = None,
    overwrite: bool = False,
    named: Collection[str | None] = (),
    trust_code: bool = False,
    progress: Callable[[str], None] = lambda _step: None,
) -> Packed:
    """Compress the run directory `run`; its packed directory is written to `out`, where that is given.

    settings    how to compress, whole or by name; what is not named is the recipe's, and then the default. A search
                starts from these
    data_dir    folder of the data set's files, in place of the one that the run names
    data        data set to measure the error on, in place of the one that the run names
    search      searches the settings on held-out data before the network is compressed; see wanted_search for that of
                the recipe
    overwrite   replace a packed directory at `out`
    named, trust_code  whether a `module:callable` that the run names may be imported; see train.trust.check_code
    progress    called with one line of text as each step begins

    Raises InputError for a run that is not complete, for code that is not trusted, for settings that leave no network,
    and when no settings reach the goal of the search.
    """
    from ..compress.pipeline import compress_network
    from ..compress.posterior import read_posterior
    from ..compress.settings import CompressSettings
    from ..files import sha256
    from ..packed_format import Preprocessing
    from ..train.data import load_data
    from ..train.evaluate import Evaluation, evaluate, measure
    from ..train.models import build_model
    from ..train.run import POSTERIOR, RunRecord
    from ..train.trust import check_code

    record = RunRecord.read(run)
    check_code(record, f"the run in {run}", named, trust_code=trust_code)
    if record.status != "complete":
        raise InputError(f"The run in {run} is not complete; finish it with `bayespress train --resume {run}`.")
    folder = data_dir or (Path(record.data.folder) if record.data.folder else None)
    posterior = read_posterior(run / POSTERIOR)
    data = data or load_data(record.data.name, folder, likelihood=record.likelihood())
    likelihood = _likelihood(record, data)
    network = build_model(record.model.name, record.model.options)
    if isinstance(settings, CompressSettings):
        chosen = settings
    else:
        chosen = settings_of({**table_settings(record.compress), **(settings or {})})
    held_out = record.training.held_out
    notes: tuple[str, ...] = ()
    choice: SearchRecord | None = None
    if search is not None and not held_out and data.validation is None:
        held_out = _HELD_OUT
        notes = (
            "The run was trained on all of its data, so the held-out errors of the search are too low; train with "
            "--held-out 0.1 to choose by data that training has not seen.",
        )
    seen = data.held_out(held_out) if held_out else data
    labelled = _labelled(record, seen, likelihood) if chosen.retrain else None
    if search is not None:
        chosen_by = seen.part("validation")

        def attempt(tried: CompressSettings) -> tuple[float, int]:
            packed = compress_network(network, posterior, seen.train.inputs[:_EXAMPLES], tried, data=labelled)
            return measure(packed.network, *chosen_by, likelihood), len(packed.weights)

        def error_before() -> float:
            before = copy.deepcopy(network)
            posterior.load_into(before)
            return measure(before, *chosen_by, likelihood)

        found = searched_settings(
            attempt, error_before, posterior, chosen, search, metric=likelihood.metric,
            about=sha256(run / POSTERIOR), progress=progress,
        )  # fmt: skip
        chosen, choice = found.chosen.settings, choice_record(found, len(chosen_by.inputs), likelihood.metric)
    reported_on = data.part(data.reported_on)
    states: list[Evaluation] = []  # of each step, the first before compression

    def reported(network: nn.Module) -> float:
        states.append(evaluate(network, *reported_on, likelihood))
        return states[-1].metric

    packed = compress_network(
        network,
        posterior,
        data.train.inputs[:_EXAMPLES],
        chosen,
        evaluate=reported,
        data=labelled,
        progress=progress,
    )
    packed = replace(
        packed,
        notes=packed.notes + notes,
        name=record.model.name.replace(":", "-"),
        golden=reported_on.inputs[:_EXAMPLES],
        preprocessing=Preprocessing(scale=data.scale, description=data.description),
        labels=tuple(data.labels),
        data=data.name,
        choice=choice,
        measured_by=likelihood.metric,
        part="test" if data.test is not None else "validation",
        confusion_before=states[0].confusion,
        confusion=states[-1].confusion,
    )
    if out is not None:
        progress("exporting the graph")
        written = packed.write(out, overwrite=overwrite)
        packed = replace(packed, notes=packed.notes + written.notes)
    return packed


def _likelihood(record: RunRecord, data: DataSet) -> Likelihood:
    """The run's; of a data set that was handed over, its own of the same kind, which need not be found by name."""
    from ..train.likelihoods import name_of

    task, own = record.task, data.likelihood
    if task is not None and (task.name, task.options) == (name_of(own), own.options()):
        return own
    return record.likelihood() or own


def _labelled(record: RunRecord, seen: DataSet, likelihood: Likelihood) -> Labelled:
    """The training set as training saw it: in batches of the same size, moved and mirrored alike."""
    from ..compress.retrain import Labelled
    from ..train.data import batches

    training = record.training
    loader = batches(
        *seen.train, training.batch_size, seed=training.seed,
        shift=training.shift, mirror=training.mirror,
    )  # fmt: skip

    def of_epoch(epoch: int) -> object:
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        return loader

    loss = partial(likelihood.loss, where=BATCH)
    return Labelled(of_epoch, len(loader), len(seen.train.inputs), loss, likelihood.soft_nll)  # type: ignore[arg-type]


def searched_settings(
    attempt: Callable[[CompressSettings], tuple[float, int]],
    error_before: Callable[[], float],
    posterior: Posterior,
    settings: CompressSettings,
    search: Search,
    *,
    metric: Metric,
    about: str,
    progress: Callable[[str], None],
) -> SearchResult:
    """Search settings by the metric of `attempt` on held-out data; see compress.choose.choose.

    error_before  measures the network before compression; raises InputError for a posterior of another network, once
                  and not in each trial
    metric        what `attempt` and `error_before` measure
    about         identifies the network in the storage of the search

    Raises InputError for a network without posterior variance whose settings would follow it.
    """
    from ..compress.choose import choose

    if settings.quantizer == "posterior" and not any(bool(v.any()) for v in posterior.variances.values()):
        raise InputError(
            "The weights have no posterior variance for a search to follow; add the quantizer size, or codebook."
        )
    goal = search.goal
    goal.check(metric)
    before = error_before()
    if goal.max_loss is not None:
        goal = goal.over(before)
    return choose(
        attempt, settings, goal, trials=search.trials, storage=search.storage, about=about, metric=metric,
        progress=progress,
    )  # fmt: skip


def choice_record(found: SearchResult, examples: int | None, metric: Metric) -> SearchRecord:
    """The search as the packed directory records it.

    examples  that its figures were measured on; None where that is not known
    metric    what the figures are
    """
    from ..compress.choose import searched
    from ..packed_format import PointRecord, SearchRecord

    return SearchRecord(
        goal=found.goal.text(metric),
        held_out=examples,
        metric=found.chosen.metric,
        bytes=found.chosen.bytes,
        points=tuple(
            PointRecord(
                metric=point.metric,
                bytes=point.bytes,
                settings={name: float(getattr(point.settings, name)) for name in searched(point.settings)},
            )
            for point in found.points
        ),
    )
