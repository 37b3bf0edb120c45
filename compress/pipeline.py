"""From a posterior to a packed network: threshold, strike, levels, strike again, biases, bytes."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .. import codec
from ..codec import QuantizedTensor
from ..errors import InputError, reason_of
from ..handover import StepRecord
from .packed import Packed
from .posterior import Posterior
from .precision import grid_step
from .prune import prune
from .quantize import grid_levels, grid_values, storable_step, to_tensors
from .rate import rate_levels
from .settings import CompressSettings
from .shrink import Shrunk, shrink

Evaluate = Callable[[nn.Module], float]


def compress_network(
    network: nn.Module,
    posterior: Posterior,
    example: Tensor,
    settings: CompressSettings | None = None,
    *,
    evaluate: Evaluate | None = None,
    progress: Callable[[str], None] | None = None,
) -> Packed:
    """Compress `network`, whose weights become the posterior's means; the module given is left as it is.

    example   inputs (n >= 1, ...) for tracing the graph, from the data if possible
    evaluate  top-1 error in percent of a network; called after each step, the figures are only reported
    progress  called with the name of each step as it begins

    Raises InputError when the posterior does not fit the network, when nothing is left of it, and when the network
    does not give one tensor for these inputs.
    """
    settings = settings or CompressSettings()
    tell = progress or (lambda _step: None)
    steps: list[StepRecord] = []
    original = copy.deepcopy(network).eval().requires_grad_(False)
    posterior.load_into(original)
    _check_runs(original, example)
    parameters = sum(parameter.numel() for parameter in original.parameters())

    def record(name: str, state: nn.Module, size: int | None = None) -> None:
        error = None if evaluate is None else evaluate(state)
        nonzero = sum(int(torch.count_nonzero(parameter)) for parameter in state.parameters())
        steps.append(StepRecord(name=name, error_percent=error, nonzero=nonzero, parameters=parameters, bytes=size))

    tell("trained")
    record("trained", original, 4 * parameters)

    tell("threshold")
    pruned = copy.deepcopy(original)
    pruned.load_state_dict({**pruned.state_dict(), **prune(posterior, settings)})
    if not any(bool((pruned.state_dict()[name] != 0).any()) for name in posterior.variances):
        raise InputError(
            f"No weight has a log alpha below {settings.log_alpha}; raise the threshold or train with less KL."
            if settings.sparsity is None
            else f"A sparsity of {settings.sparsity} % leaves no weight; ask for less."
        )
    record("threshold", pruned)

    tell("strike")
    struck = shrink(pruned, example)
    record("strike", struck.network)

    tell("levels")
    steps_by_tensor, shared = _weight_steps(struck, posterior, settings.budget)
    _round(struck, posterior, steps_by_tensor, settings.rate)
    # Rounding takes small weights to zero, and with them the last of some units.
    struck = _then(struck, shrink(struck.network, example))
    bias_steps = _bias_steps(struck.network, steps_by_tensor)
    _round(struck, posterior, bias_steps, rate=0.0)
    weights = codec.encode(to_tensors(struck.network, steps_by_tensor | bias_steps, shared), profile=settings.profile)
    _check_decoded(weights, struck.network)
    record("levels", struck.network, len(weights))

    return Packed(weights, struck.network, original, example, tuple(steps), (struck.note,) if struck.note else ())


def _check_runs(network: nn.Module, example: Tensor) -> None:
    name, shape = type(network).__name__, tuple(example.shape)
    try:
        with torch.no_grad():
            output = network(example)
    except Exception as error:
        # A forward raises whatever its author's operators raise.
        raise InputError(
            f"{name} cannot be run on inputs of shape {shape} ({reason_of(error)}); give a batch as in training."
        ) from error
    tensor = isinstance(output, Tensor)
    if not tensor or output.shape[:1] != example.shape[:1]:
        what = f"a tensor of shape {tuple(output.shape)}" if tensor else f"a {type(output).__name__}"
        raise InputError(
            f"{name} gives {what} for inputs of shape {shape}; one tensor with a row for each input is needed."
        )


def _weight_steps(struck: Shrunk, posterior: Posterior, budget: float) -> tuple[dict[str, float], set[str]]:
    """Grid step of each variational weight, from the variances of its elements that are left.

    And the names of those that are point estimates, without variance: their values are shared, or as they are.
    """
    steps, shared = {}, set()
    for name, tensor in struck.network.state_dict().items():
        if name not in posterior.variances:
            continue
        variance = posterior.variances[name].flatten()[struck.kept[name]][tensor != 0]
        if variance.numel() and not bool(variance.any()):
            shared.add(name)
        elif variance.numel():
            steps[name] = storable_step(grid_step(variance, budget))
        else:
            steps[name] = 1.0  # nothing left to round; any step codes zeros
    return steps, shared


def _bias_steps(network: nn.Module, weight_steps: dict[str, float]) -> dict[str, float]:
    """A bias is the weight of an input that is always one: it shares its layer's grid."""
    steps = {}
    for name in network.state_dict():
        layer, _, leaf = name.rpartition(".")
        weight = f"{layer}.weight" if layer else "weight"
        if leaf == "bias" and weight in weight_steps:
            steps[name] = weight_steps[weight]
    return steps


def _round(struck: Shrunk, posterior: Posterior, steps: dict[str, float], rate: float) -> None:
    """Round tensors to their grids in place: biases to the nearest level, weights as `rate` says."""
    state = struck.network.state_dict()
    for name, step in steps.items():
        levels = grid_levels(name, state[name], step)
        if rate > 0.0 and name in posterior.variances:
            variance = posterior.variances[name].flatten()[struck.kept[name]]
            levels = rate_levels(state[name], variance, step, rate)
        state[name].copy_(grid_values(levels, step))


def _then(first: Shrunk, second: Shrunk) -> Shrunk:
    """The second strike seen from the network before the first."""
    kept = {
        name: first.kept[name].flatten()[index] if name in first.kept else index for name, index in second.kept.items()
    }
    return Shrunk(second.network, kept, first.note or second.note)


def _check_decoded(weights: bytes, network: nn.Module) -> None:
    """What the file decodes to must be the network's weights to the last bit."""
    state = network.state_dict()
    for tensor in codec.decode(weights):
        expected = state[tensor.name].float()
        if not torch.equal(torch.from_numpy(tensor.values()).reshape(expected.shape), expected):
            what = "levels" if isinstance(tensor, QuantizedTensor) else "values"
            raise AssertionError(f"{tensor.name}: the encoded {what} do not decode to the network's weights")
