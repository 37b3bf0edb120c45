"""The steps of compression: threshold weights, remove units, choose levels, retrain them, encode."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from .. import codec
from ..codec import QuantizedTensor
from ..errors import InputError, user_code
from ..packed_format import StepRecord
from .admit import admit
from .codings import choose_codings, round_to, with_biases
from .packed import Packed
from .posterior import Posterior
from .prune import prune
from .quantize import Coding, to_tensors
from .retrain import Labelled, retrain
from .settings import CompressSettings
from .shrink import Shrunk, shrink
from .tensors import tensors_of

Evaluate = Callable[[nn.Module], float]


def compress_network(
    network: nn.Module,
    posterior: Posterior,
    example: Tensor,
    settings: CompressSettings | None = None,
    *,
    evaluate: Evaluate | None = None,
    data: Labelled | None = None,
    progress: Callable[[str], None] | None = None,
) -> Packed:
    """Compress a copy of `network` with the posterior means as its weights; `network` itself is not changed.

    example   inputs (n >= 1, ...) for tracing the graph, from the data if possible
    evaluate  returns the metric of a network, for instance the error in percent; called after each step, for the record
    data      the data for retraining; needed if `settings.retrain` is above 0
    progress  called with the name of each step as it begins

    Computed weights (weight norm, spectral norm) become plain ones and all tensors become float32, see admit.py.

    Raises InputError when the posterior does not fit the network, when no weight is left, when the network does not
    return one tensor for these inputs or is not deterministic, and when retraining is asked for without data.
    """
    settings = settings or CompressSettings()
    log = progress or (lambda _step: None)
    steps: list[StepRecord] = []
    if settings.retrain and data is None:
        raise InputError(f"{settings.retrain} epochs of retraining were asked for without data; give training data.")
    original, posterior, example, admitted = admit(network, posterior, example)
    parameters = sum(parameter.numel() for parameter in original.parameters())

    def record(name: str, state: nn.Module, size: int | None = None) -> None:
        metric = None
        if evaluate is not None:
            with user_code("the function that measures the error"):
                metric = evaluate(state)
        nonzero = sum(int(torch.count_nonzero(parameter)) for parameter in state.parameters())
        steps.append(StepRecord(name=name, metric=metric, nonzero=nonzero, parameters=parameters, bytes=size))

    log("trained")
    record("trained", original, 4 * parameters)

    log("threshold")
    pruned = copy.deepcopy(original)
    pruned.load_state_dict({**pruned.state_dict(), **prune(posterior, settings)})
    _check_left(pruned, posterior, settings)
    record("threshold", pruned)

    log("remove units")
    shrunk = shrink(pruned, example)
    record("remove units", shrunk.network)

    log("levels")
    codings = choose_codings(shrunk, posterior, settings)
    rounded = round_to(shrunk, posterior, codings, settings)
    # Rounding sets small weights to zero, and may leave further units without weights.
    levelled, weights = _finish(shrunk, rounded, codings, example, settings.profile)
    _check_left(levelled.network, posterior, settings)
    record("levels", levelled.network, len(weights))

    if settings.retrain and data is not None:
        log("retraining")
        network = copy.deepcopy(shrunk.network)
        # Levels start from the posterior means, and shared values from the centroids of k-means.
        network.load_state_dict(
            {**network.state_dict(), **{n: t for n, t in rounded.items() if not isinstance(codings[n], codec.Grid)}}
        )
        codings = retrain(network, codings, data, settings, teacher=original, progress=log)
        levelled, weights = _finish(shrunk, network.state_dict(), codings, example, settings.profile)
        _check_left(levelled.network, posterior, settings)
        record("retrained", levelled.network, len(weights))

    notes = tuple(dict.fromkeys((*admitted, *shrunk.notes, *levelled.notes)))
    return Packed(weights, levelled.network, original, example, tuple(steps), settings, notes)


def _finish(
    shrunk: Shrunk, values: Mapping[str, Tensor], codings: Mapping[str, Coding], example: Tensor, profile: str
) -> tuple[Shrunk, bytes]:
    """Give the shrunk network these values, remove the units that died since, and encode it.

    Returns the final network and the contents of its `.bpz` file.
    """
    network = copy.deepcopy(shrunk.network)
    network.load_state_dict({**network.state_dict(), **values})
    again = shrink(network, example)
    state = tensors_of(again.network)
    codings = with_biases(state, codings)
    again.network.load_state_dict({**again.network.state_dict(), **_on_codings(state, codings)})
    weights = codec.encode(to_tensors(again.network, codings), profile=profile)
    _check_decoded(weights, again.network)
    return again, weights


def _on_codings(state: Mapping[str, Tensor], codings: Mapping[str, Coding]) -> dict[str, Tensor]:
    """The tensors rounded to their codings, by name. Only biases that absorbed constants still change here."""
    rounded = {}
    for name, coding in codings.items():
        if isinstance(coding, codec.Grid):
            levels = torch.round(state[name].double() / coding.step)
            rounded[name] = levels.float() * torch.tensor(coding.step, dtype=torch.float32)
        elif isinstance(coding, codec.Minifloat):
            values = coding.values(coding.nearest(state[name].float().numpy()))
            rounded[name] = torch.from_numpy(values).reshape(state[name].shape)
    return rounded


def _check_left(network: nn.Module, posterior: Posterior, settings: CompressSettings) -> None:
    state = network.state_dict()
    if any(bool((state[name] != 0).any()) for name in posterior.variances if name in state):
        return
    raise InputError(
        f"The rule {settings.rule} with threshold {settings.cut:g}, budget {settings.budget:g} and rate weight "
        f"{settings.rate_weight:g} leaves no weight; move the threshold, lower budget and rate weight, or train with "
        "less KL."
        if settings.sparsity is None
        else f"A sparsity of {settings.sparsity} % leaves no weight; ask for less."
    )


def _check_decoded(weights: bytes, network: nn.Module) -> None:
    """Raise AssertionError unless the file decodes to exactly the network's weights."""
    state = network.state_dict()
    for tensor in codec.decode(weights):
        expected = state[tensor.name].float()
        if not torch.equal(torch.from_numpy(tensor.values()).reshape(expected.shape), expected):
            what = "levels" if isinstance(tensor, QuantizedTensor) else "values"
            raise AssertionError(f"{tensor.name}: the encoded {what} do not decode to the network's weights")
