"""Compressing whatever a user has: a Bayesian network, a run directory, or a file of weights."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .. import codec
from ..errors import InputError, user_code
from .compress_table import TRIALS, Search, settings_of, wanted_search
from .compression import BATCH, choice_record, compress_run, searched_settings
from .load import LoadedWeights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..compress.choose import Goal
    from ..compress.packed import Packed
    from ..compress.pipeline import Evaluate
    from ..compress.posterior import Posterior
    from ..compress.retrain import Labelled
    from ..compress.settings import CompressSettings
    from ..train.likelihoods import Likelihood, LikelihoodLike


class Trained(Protocol):
    """What compression needs of a trained network; train.BayesianNetwork is one."""

    def point_network(self) -> nn.Module:
        """The deterministic network with the posterior means."""
        ...

    def posterior_tensors(self) -> dict[str, Tensor]:
        """`NAME` and `NAME/variance`, as compress.Posterior.from_tensors reads them."""
        ...


class Loader(Protocol):
    """Batches of inputs and targets, as torch's DataLoader gives them."""

    dataset: Sized

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


def compress_trained(
    given: Trained | Callable[..., Any],
    example: Tensor,
    settings: CompressSettings,
    *,
    evaluate: Evaluate | None,
    loader: Loader | None,
    likelihood: LikelihoodLike | None = None,
    goal: Goal | None = None,
    trials: int = TRIALS,
    storage: str | None = None,
    progress: Callable[[str], None],
) -> Packed:
    """Compress a network in memory; with `goal`, by the settings that a search finds. See api.compress and api.tune."""
    from ..compress.pipeline import compress_network
    from ..compress.posterior import Posterior
    from ..train.compiled import uncompiled

    net: Trained = uncompiled(given)
    if not (hasattr(net, "point_network") and hasattr(net, "posterior_tensors")):
        raise InputError(f"The network is a {type(net).__name__} without a posterior; give what bayesianize returned.")
    network, posterior = net.point_network(), Posterior.from_tensors(net.posterior_tensors())
    task = _likelihood(net, likelihood)
    data = _labelled(loader, task)
    choice = None
    if goal is not None:
        measure = evaluate
        if measure is None:
            raise InputError("A search needs the error of each network; give evaluate=, measured on held-out data.")

        def attempt(tried: CompressSettings) -> tuple[float, int]:
            packed = compress_network(network, posterior, example, tried, data=data)
            return _error(measure, packed.network), len(packed.weights)

        with _storage(storage) as place:
            found = searched_settings(
                attempt, lambda: _error(measure, network), posterior, settings, Search(goal, trials, place),
                metric=task.metric, about=_digest(posterior), progress=progress,
            )  # fmt: skip
        settings, choice = found.chosen.settings, choice_record(found, None, task.metric)
    packed = compress_network(network, posterior, example, settings, evaluate=evaluate, data=data, progress=progress)
    return replace(packed, choice=choice, measured_by=task.metric)


def compress_path(
    run: Path,
    out: Path | None,
    settings: Mapping[str, Any],
    *,
    goal: Goal | None = None,
    trials: int = TRIALS,
    storage: str | None = None,
    data_dir: Path | None,
    trust_code: bool,
    overwrite: bool,
    progress: Callable[[str], None],
) -> Packed:
    """Compress a run directory; `out` is locked while it is written. See api.compress and api.tune.

    goal  what a search looks for; None takes the search of the run's recipe, if that has one
    """
    from ..files import check_input
    from ..outputs import claimed
    from ..packed_format import PACKED

    check_input(run, "run directory")
    settings_of(settings)  # refused before anything is read
    wanted = [] if out is None else [(out, PACKED)]
    with claimed(wanted, overwrite=overwrite, inputs=(run,), within=True):
        if goal is not None:
            search: Search | None = Search(goal, trials, storage or str(run / "search.db"))
        else:
            search = wanted_search(run, settings)
        return compress_run(
            run, out, settings, data_dir=data_dir, search=search, overwrite=overwrite, trust_code=trust_code,
            progress=progress,
        )  # fmt: skip


def is_weight_file(path: Path) -> bool:
    """Whether `path` is to be taken for a file of weights, and not for a run directory."""
    from ..compress.quantize_file import SUFFIXES

    return path.is_file() or (path.suffix in SUFFIXES and not path.is_dir())


def compress_weights(
    path: Path,
    out: Path | None,
    settings: Mapping[str, Any],
    *,
    tolerance: float | None = None,
    threads: int = 1,
    overwrite: bool = False,
    progress: Callable[[str], None],
) -> LoadedWeights:
    """Round a file of weights into a .bpz file, beside it unless `out` says otherwise; the tensors as they decode.

    Raises InputError for settings other than `profile`, which need a posterior; other errors as in compress_file.
    """
    from ..compress.quantize_file import check_ending, compress_file
    from ..files import check_input
    from ..outputs import WEIGHT_FILE, claimed

    check_input(path, "file of weights")
    check_ending(path)
    if other := next((name for name in settings if name != "profile"), None):
        raise InputError(
            f"{path} holds weights without a posterior, so the setting {other!r} has nothing to follow; leave it out, "
            "and give a tolerance."
        )
    out = path.with_suffix(".bpz") if out is None else out
    with claimed([(out, WEIGHT_FILE)], overwrite=overwrite, inputs=(path,)):
        found = compress_file(
            path, out, 0.01 if tolerance is None else tolerance, threads=threads, overwrite=overwrite,
            progress=lambda done, count: progress(f"tensor {done} of {count}"), **settings,
        )  # fmt: skip
    for note in found.notes:
        progress(note)
    return {tensor.name: tensor.values() for tensor in codec.decode(out.read_bytes())}


def _likelihood(net: Trained, given: LikelihoodLike | None) -> Likelihood:
    """What was given, or else what `fit` trained the network by; cross-entropy for a network trained elsewhere."""
    from ..train.likelihoods import CrossEntropy, likelihood_of

    own = getattr(net, "likelihood", None)
    return likelihood_of(given if given is not None else CrossEntropy() if own is None else own)


def _labelled(loader: Loader | None, likelihood: Likelihood) -> Labelled | None:
    from ..compress.retrain import Labelled

    if loader is None:
        return None
    with user_code("the data loader"):
        return Labelled(
            lambda _epoch: loader,
            len(loader),
            len(loader.dataset),
            partial(likelihood.loss, where=BATCH),
            likelihood.soft_nll,
        )


def _error(evaluate: Evaluate, network: nn.Module) -> float:
    with user_code("the function that measures the error"):
        return float(evaluate(network))


def _storage(storage: str | None) -> AbstractContextManager[str]:
    """The storage of a search; without one, a file that is removed after it."""
    return nullcontext(storage) if storage is not None else _ScratchStorage()


class _ScratchStorage:
    def __enter__(self) -> str:
        self._folder = tempfile.TemporaryDirectory(prefix="bayespress-")
        return str(Path(self._folder.name) / "search.db")

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _digest(posterior: Posterior) -> str:
    """Identifies a posterior by the bytes of its tensors."""
    digest = hashlib.sha256()
    for tensors in (posterior.values, posterior.variances):
        for name in sorted(tensors):
            digest.update(name.encode() + tensors[name].detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
